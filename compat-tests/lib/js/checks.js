"use strict";
// What every step is said in: comparisons, refusals, and waits for what may trail. Every wait is bounded by DEADLINE_MS.
const { isDeepStrictEqual, inspect } = require("node:util");

const DEADLINE_MS = 30_000;
const BOOTSTRAP = process.env.BOOTSTRAP || "127.0.0.1:9092";

/** A wrong answer; its message is the whole report. */
class Wrong extends Error {}

/** For clients that answer with something else than an error that carries Kafka's code. */
class Refused extends Error {
  constructor(code, text) {
    super(`error ${code} ${text}`);
    this.kafkaCode = code;
  }
}

const shown = (value) => inspect(value, { breakLength: Infinity, depth: 6, maxArrayLength: 12 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function equal(what, expected, actual) {
  if (!isDeepStrictEqual(actual, expected)) throw new Wrong(`${what}: expected ${shown(expected)}, got ${shown(actual)}`);
}

/** Waits for what may show a little later than the broker answered; an error counts as no answer yet. */
async function until(what, expected, actual, limitMs = DEADLINE_MS) {
  const end = Date.now() + limitMs;
  for (;;) {
    let last, failure;
    try {
      last = await actual();
      if (isDeepStrictEqual(last, expected)) return;
    } catch (error) {
      if (error instanceof Wrong) throw error;
      failure = error;
    }
    if (Date.now() > end) {
      if (failure) throw new Wrong(`${what}: expected ${shown(expected)}, got ${failure}`);
      equal(what, expected, last);
    }
    await sleep(20);
  }
}

/** A promise that may not settle, with an end. */
async function within(what, promise, limitMs = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Wrong(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { BOOTSTRAP, DEADLINE_MS, Refused, Wrong, equal, shown, sleep, until, within };
