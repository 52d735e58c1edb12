"use strict";
// The steps of topics, records, offsets and errors.
const { equal, until, Wrong } = require("./checks");
const { unknownApi, unsupportedVersion } = require("./raw");
const { COUNT, EACH, LATEST, PARTITIONS } = require("./records");

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];
const TOPIC_CONFIGS = { "retention.ms": "7200000", "max.message.bytes": "200000", "cleanup.policy": "delete" };
const BAD_CONFIGS = { "retention.ms": "soon", "cleanup.policy": "burn", "no.such.config": "1", "compression.type": "rar",
  "min.insync.replicas": "0" };

// Kafka's error codes that the steps expect.
const OFFSET_OUT_OF_RANGE = 1;
const UNKNOWN_TOPIC = 3;
const MESSAGE_TOO_LARGE = 10;
const INVALID_TOPIC = 17;
const INVALID_TIMESTAMP = 32;
const TOPIC_EXISTS = 36;
const INVALID_PARTITIONS = 37;
const INVALID_REPLICATION = 38;
const INVALID_CONFIG = 40;

const IDEMPOTENT = { codec: "none", acks: -1, idempotent: true };

function logSteps(s) {
  const { client } = s;
  const codecs = CODECS.flatMap((codec) => [
    [`produce-${codec}`, () => write(s, codec, { ...IDEMPOTENT, codec })],
    [`consume-${codec}`, () => read(s, codec)],
  ]);
  return [
    ["create-topic", () => createTopic(s)],
    ["describe-topic", () => describeTopic(s)],
    ["alter-config", () => alterConfig(s)],
    ["create-partitions", () => createPartitions(s)],
    ["list-topics", () => until("the topic is listed", true, async () => (await client.topics()).includes(s.main))],
    ...codecs,
    ["produce-acks1", () => write(s, "acks1", { codec: "none", acks: 1, idempotent: false })],
    ["consume-acks1", () => read(s, "acks1")],
    ["produce-acks0", () => write(s, "acks0", { codec: "none", acks: 0, idempotent: false })],
    ["consume-acks0", () => readUnacknowledged(s)],
    ["seek", () => s.readFrom(s.topic("none"), { 1: 42 }, EACH - 42)],
    ["watermarks", () => s.ends(s.topic("zstd"), 0, EACH, 0, 1, 2)],
    ["offset-earliest", () => offset(s, "earliest", 0, -1)],
    ["offset-latest", () => offset(s, "latest", EACH, -1)],
    ["offset-by-time", () => offsetByTime(s)],
    ["offset-max-timestamp", () => offset(s, "max", LATEST / PARTITIONS, s.timestamp(LATEST))],
    ["error-unknown-topic", () => unknownTopic(s)],
    ["error-too-large", () => tooLarge(s)],
    ["error-invalid-timestamp", () => invalidTimestamp(s)],
    ["error-out-of-range", () => s.refused("read at 100000", () => readAt(s, s.topic("none"), 100_000), OFFSET_OUT_OF_RANGE)],
    ["error-unsupported-version", unsupportedVersion],
    ["error-unknown-api", unknownApi],
    ["error-topic-exists", () => s.refused("create again", () => client.create(s.main, 1, 1, {}), TOPIC_EXISTS)],
    ["error-invalid-partitions", () => invalidPartitions(s)],
    ["error-invalid-replication",
      () => s.refused("create with 99 replicas", () => client.create(s.topic("r99"), 1, 99, {}), INVALID_REPLICATION)],
    ["error-invalid-name", () => invalidName(s)],
    ["error-bad-config", () => badConfig(s)],
    ["delete-records", () => deleteRecords(s)],
  ];
}

// Topics

async function createTopic(s) {
  s.created.push(s.main);
  await s.client.create(s.main, PARTITIONS, 1, TOPIC_CONFIGS);
}

/** All that is set on the topic itself. */
async function setOn(s, topic) {
  const set = Object.entries(await s.client.configs(topic)).filter(([, config]) => config.onTopic);
  return Object.fromEntries(set.map(([name, config]) => [name, config.value]));
}

/** All that is to be set after the changes, for clients that know AlterConfigs alone, which sets all anew. */
async function replaced(client, topic, ops) {
  const wanted = await setOn({ client }, topic);
  for (const [op, name, text] of ops) {
    const words = (wanted[name] ?? "").split(",").filter((word) => word && word !== text);
    delete wanted[name];
    if (op === "append") words.push(text);
    if (op !== "delete") wanted[name] = op === "set" ? text : words.join(",");
  }
  return wanted;
}

async function describeTopic(s) {
  await until(`partitions of ${s.main}`, PARTITIONS, () => s.partitionCount(s.main));
  const partitions = (await s.client.describe(s.main)).sort((a, b) => a.id - b.id);
  partitions.forEach(({ id, leader, replicas, isr }, number) => {
    if (leader < 0) throw new Wrong(`partition ${number} has no leader`);
    equal(`partition ${number}`, { id: number, replicas: [leader], isr: [leader] }, { id, replicas, isr });
  });
  if (!s.client.configs) return;
  equal("configs", TOPIC_CONFIGS, await setOn(s, s.main));
  equal("segment.bytes", { value: "1073741824", onTopic: false }, (await s.client.configs(s.main))["segment.bytes"]);
}

async function alterConfig(s) {
  await s.client.alter(s.main, [["set", "retention.ms", "10800000"], ["delete", "max.message.bytes"], ["append", "cleanup.policy", "compact"]]);
  await until("configs after altering", { "retention.ms": "10800000", "cleanup.policy": "delete,compact" }, () => setOn(s, s.main));
  await s.client.alter(s.main, [["subtract", "cleanup.policy", "compact"]]);
  await until("configs after subtracting", { "retention.ms": "10800000", "cleanup.policy": "delete" }, () => setOn(s, s.main));
}

async function createPartitions(s) {
  await s.client.grow(s.main, PARTITIONS + 2);
  await until("partitions after growing", PARTITIONS + 2, () => s.partitionCount(s.main));
}

// Records

async function write(s, kind, how) {
  await s.fill(await s.make(kind), how, 0, COUNT);
}

function read(s, kind) {
  return s.readFrom(s.topic(kind), { 0: 0, 1: 0, 2: 0 }, COUNT);
}

async function readUnacknowledged(s) {
  // Nobody said that the records have arrived, so they may still be on their way.
  for (let partition = 0; partition < PARTITIONS; partition++) await s.untilEnd(s.topic("acks0"), partition, EACH);
  await read(s, "acks0");
}

function readAt(s, topic, start) {
  return s.client.consume(topic, { 0: start }, 1, false);
}

// Offsets, always of partition 0, which holds the record with the latest timestamp

async function found(s, what, kind, at, expected, expectedMs) {
  const { offset, ms } = await s.client.lookUp(s.topic(kind), 0, at);
  equal(`offset ${what}`, expected, offset);
  if (ms !== undefined) equal(`timestamp ${what}`, expectedMs, ms);
}

async function offset(s, at, expected, expectedMs) {
  for (const kind of ["none", "lz4"]) await found(s, `of ${at}`, kind, at, expected, expectedMs);
}

async function offsetByTime(s) {
  for (const kind of ["none", "gzip", "zstd"]) {
    await found(s, "at a record's time", kind, s.timestamp(30), 10, s.timestamp(30));
    await found(s, "between two records", kind, s.timestamp(30) + 1, 11, s.timestamp(33));
    await found(s, "before all", kind, 1, 0, s.timestamp(0));
    await found(s, "of the latest time", kind, s.timestamp(LATEST), LATEST / PARTITIONS, s.timestamp(LATEST));
    // Some clients make the end of the broker's -1 for a time after all records.
    const { offset: after } = await s.client.lookUp(s.topic(kind), 0, s.timestamp(LATEST) + 1);
    if (after !== -1 && after !== EACH) throw new Wrong(`offset after all: expected -1 or ${EACH}, got ${after}`);
  }
}

// Errors

async function unknownTopic(s) {
  const unknown = s.topic("unknown");
  await s.refused("describe", () => s.client.describe(unknown), UNKNOWN_TOPIC);
  if (s.client.configs) await s.refused("describe configs", () => s.client.configs(unknown), UNKNOWN_TOPIC);
  await s.refused("delete", () => s.client.delete([unknown]), UNKNOWN_TOPIC);
  await s.refused("describe after looking", () => s.client.describe(unknown), UNKNOWN_TOPIC);
}

/** Bytes no codec makes smaller, the same in every run. */
function noise(count) {
  let state = 1;
  return Buffer.from(Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 16) & 255;
  }));
}

function one(s, topic, data, timestampMs) {
  return s.client.produce(topic, IDEMPOTENT, [{ partition: 0, timestampMs, key: null, value: data, headers: [] }]);
}

async function tooLarge(s) {
  const topic = await s.make("small", 1, { "max.message.bytes": "10000" });
  await s.refused("20,000 bytes", () => one(s, topic, noise(20_000), Date.now()), MESSAGE_TOO_LARGE);
  await one(s, topic, noise(5_000), Date.now());
  await s.ends(topic, 0, 1, 0);
}

async function invalidTimestamp(s) {
  const topic = await s.make("bounded", 1, { "message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000" });
  for (const distanceMs of [-3_600_000, 3_600_000]) {
    await s.refused(`${distanceMs} ms from now`, () => one(s, topic, Buffer.from("x"), Date.now() + distanceMs), INVALID_TIMESTAMP);
  }
  await one(s, topic, Buffer.from("x"), Date.now());
  await s.ends(topic, 0, 1, 0);
}

async function invalidPartitions(s) {
  await s.refused("create with no partitions", () => s.client.create(s.topic("p0"), 0, 1, {}), INVALID_PARTITIONS);
  await s.refused("grow to 1", () => s.client.grow(s.main, 1), INVALID_PARTITIONS);
  await s.refused("grow to the same", () => s.client.grow(s.main, PARTITIONS + 2), INVALID_PARTITIONS);
}

async function invalidName(s) {
  for (const name of ["a b", "ä", "x".repeat(250)]) {
    await s.refused(`create ${name}`, () => s.client.create(name, 1, 1, {}), INVALID_TOPIC);
  }
}

async function badConfig(s) {
  for (const [name, text] of Object.entries(BAD_CONFIGS)) {
    await s.refused(`create with ${name}=${text}`, () => s.client.create(s.topic("bad"), 1, 1, { [name]: text }), INVALID_CONFIG);
    if (s.client.alter) await s.refused(`alter to ${name}=${text}`, () => s.client.alter(s.main, [["set", name, text]]), INVALID_CONFIG);
  }
}

async function deleteRecords(s) {
  const topic = s.topic("none");
  const low = await s.client.deleteRecords(topic, 0, 20);
  if (low !== undefined) equal("low watermark", 20, low);
  await s.ends(topic, 20, EACH, 0);
  if (!s.client.resets) await s.refused("read below the start", () => readAt(s, topic, 19), OFFSET_OUT_OF_RANGE);
  await s.readFrom(topic, { 0: 20 }, EACH - 20);
  await s.refused("delete beyond the end", () => s.client.deleteRecords(topic, 0, 100_000), OFFSET_OUT_OF_RANGE);
}

module.exports = { IDEMPOTENT, logSteps, replaced };
