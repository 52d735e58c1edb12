"use strict";
// The common list of steps (../../README.md) for the clients written in JavaScript.
//
// A client is an object with its own words for each operation, all of them async unless they say otherwise:
//
//   name, version, cannot           cannot: { step: reason }, such a step is printed as skipped
//   nullHeaders                     false if it cannot write a header without a value; then no record has one
//   resets                          true if it starts anew by itself where an offset is out of range
//   staticLeaves                    true if a static member that is closed leaves its group
//   code(error)                     Kafka's error code of what it reports, 0 if it names none (not async)
//   create(topic, partitions, replication, configs), describe(topic), configs(topic), alter(topic, ops),
//   grow(topic, count), topics(), delete(topics)
//                                   describe: [{ id, leader, replicas, isr }]; configs: { key: { value, onTopic } };
//                                   configs and alter may be missing;
//                                   ops: [["set" | "delete" | "append" | "subtract", key, value]]
//   produce(topic, how, records)    how: { codec, acks: -1 | 1 | 0, idempotent }; the offsets, null where they are not told
//   consume(topic, starts, count, committed)
//                                   records from { partition: offset }, without any reset; committed: read_committed
//   lookUp(topic, partition, at)    at: a time in ms, "earliest", "latest" or "max"; { offset, ms }, ms undefined if untold
//   deleteRecords(topic, partition, before)
//                                   the low watermark, undefined if untold
//   …                               of groups: members.js; of admins: admin.js; of transactions: transactions.js
const { Wrong, equal, shown, until } = require("./checks");
const { LATEST, PARTITIONS, headers, key, value } = require("./records");
const { logSteps } = require("./log");
const { groupSteps } = require("./groups");
const { adminSteps, quotas } = require("./admin");
const { transactionSteps } = require("./transactions");
const { serveVictim } = require("./victim");

const UNKNOWN_TOPIC = 3;

class Suite {
  constructor(client) {
    this.client = client;
    this.run = `compat-${client.name}-${process.pid}-${Date.now().toString(16)}`;
    this.main = `${this.run}-main`;
    this.baseMs = Date.now() - 600_000;
    this.created = [];
    this.count = { ok: 0, FAIL: 0, skip: 0 };
  }

  // Steps

  wanted(name) {
    if (this.count.FAIL > 0 && process.env.KEEP_GOING !== "1") return false;
    return !process.env.ONLY || process.env.ONLY.split(",").includes(name);
  }

  tell(result, name, detail) {
    this.count[result]++;
    console.log(detail ? `${result} ${name}: ${detail.replace(/\s+/g, " ")}` : `${result} ${name}`);
  }

  async step(name, body) {
    if (!this.wanted(name)) return;
    if (this.client.cannot[name]) return this.tell("skip", name, this.client.cannot[name]);
    try {
      await body();
      this.tell("ok", name);
    } catch (error) {
      if (process.env.TRACE) console.error(error);
      this.tell("FAIL", name, error instanceof Wrong ? error.message : `expected an answer, got ${error.name}: ${error.message}`);
    }
  }

  /** Begins the steps that mostly wait, and answers the list with these only to be awaited in their turn. */
  beside(steps, waiting) {
    return steps.map(([name, body]) => {
      if (!waiting.includes(name) || !this.wanted(name) || this.client.cannot[name]) return [name, body];
      const running = body();
      // It is reported in its turn; until then nobody may call it unhandled.
      running.catch(() => {});
      return [name, () => running];
    });
  }

  /** Holds a call to be refused with one of Kafka's codes. */
  async refused(what, call, ...codes) {
    let answer;
    try {
      answer = await call();
    } catch (error) {
      if (error instanceof Wrong) throw error;
      if (codes.includes(this.client.code(error))) return;
      throw new Wrong(`${what}: expected error ${codes.join(" or ")}, got ${error.name} ${this.client.code(error)}: ${error.message}`);
    }
    throw new Wrong(`${what}: expected error ${codes.join(" or ")}, got success ${shown(answer)}`);
  }

  // Topics

  topic(kind) {
    return `${this.run}-${kind}`;
  }

  async partitionCount(topic) {
    return (await this.client.describe(topic)).length;
  }

  async make(kind, partitions = PARTITIONS, configs = {}) {
    const topic = this.topic(kind);
    this.created.push(topic);
    await this.client.create(topic, partitions, 1, configs);
    await until(`partitions of ${topic}`, partitions, () => this.partitionCount(topic));
    // The leaders serve their partitions a little after metadata names them, and acks=0 would not notice.
    for (let partition = 0; partition < partitions; partition++) await this.untilEnd(topic, partition, 0);
    return topic;
  }

  untilEnd(topic, partition, end) {
    return until(`end of ${topic}-${partition}`, end, async () => (await this.client.lookUp(topic, partition, "latest")).offset);
  }

  // Records: record(i) is what stands at offset i/3 of partition i%3.

  timestamp(i) {
    return this.baseMs + (i === LATEST ? 5_000 : i);
  }

  record(i) {
    const written = headers(i).filter(([, data]) => data !== null || this.client.nullHeaders !== false);
    return { partition: i % PARTITIONS, offset: Math.floor(i / PARTITIONS), timestampMs: this.timestamp(i),
      key: key(i), value: value(i), headers: written };
  }

  /** record(start) to record(end - 1). */
  records(start, end) {
    return Array.from({ length: end - start }, (_, i) => this.record(start + i));
  }

  /** Writes records, and holds the client to the offsets it tells. */
  async fill(topic, how, start, end) {
    const records = this.records(start, end);
    const offsets = await this.client.produce(topic, how, records);
    // With acks=0 nobody tells the producer an offset.
    if (offsets && how.acks !== 0) equal("offsets", records.map((record) => record.offset), offsets);
  }

  fields(record) {
    const hex = (data) => (data === null || data === undefined ? "null" : Buffer.from(data).toString("hex"));
    const pairs = record.headers.map(([name, data]) => `${name}=${hex(data)}`);
    return [`time ${record.timestampMs}`, `key ${hex(record.key)}`, `value ${hex(record.value)}`, ...pairs].join(" ");
  }

  /** Byte for byte what was written at that place. */
  same(record) {
    const i = record.offset * PARTITIONS + record.partition;
    equal(`record ${i}`, this.fields(this.record(i)), this.fields(record));
  }

  async readFrom(topic, starts, wanted, committed = false) {
    const following = { ...starts };
    const records = await this.client.consume(topic, starts, wanted, committed);
    equal("records read", wanted, records.length);
    for (const record of records) {
      equal(`offset order in partition ${record.partition}`, following[record.partition], record.offset);
      following[record.partition]++;
      this.same(record);
    }
  }

  async ends(topic, low, high, ...partitions) {
    for (const partition of partitions) {
      const start = await this.client.lookUp(topic, partition, "earliest");
      const end = await this.client.lookUp(topic, partition, "latest");
      equal(`ends of ${topic}-${partition}`, [low, high], [start.offset, end.offset]);
    }
  }

  async deletedTopic() {
    const codeOfDescribing = async () => {
      try {
        await this.client.describe(this.main);
        return 0;
      } catch (error) {
        return this.client.code(error);
      }
    };
    await until("error of describing a deleted topic", UNKNOWN_TOPIC, codeOfDescribing);
    await until("topics left", [], async () => (await this.client.topics()).filter((topic) => topic.startsWith(this.run)));
  }

  async all() {
    console.log("client", this.client.name, this.client.version);
    for (const [name, body] of logSteps(this)) await this.step(name, body);
    for (const [name, body] of groupSteps(this)) await this.step(name, body);
    for (const [name, body] of transactionSteps(this)) await this.step(name, body);
    for (const [name, body] of adminSteps(this)) await this.step(name, body);
    await this.step("delete-topics", () => this.client.delete(this.created));
    await this.step("error-deleted-topic", () => this.deletedTopic());
    await this.step("admin-quotas", () => quotas(this));
    console.log(`${this.count.ok} passed, ${this.count.FAIL} failed, ${this.count.skip} skipped`);
    return this.count.FAIL > 0 ? 1 : 0;
  }
}

/** Runs all steps and ends the program. */
async function run(client) {
  if (process.argv[2] === "victim") return serveVictim(client);
  // An error that nobody awaits is not the answer to any step, and must not pass unseen.
  process.on("unhandledRejection", (error) => {
    console.log(`FAIL unhandled: expected no error outside of a step, got ${String(error).replace(/\s+/g, " ")}`);
    process.exit(1);
  });
  // Not by an empty event loop: a client's timers may take long to notice that nobody needs them any more.
  process.exit(await new Suite(client).all());
}

module.exports = { run };
