"use strict";
// The steps of transactions. A client brings:
//
//   transactional(id)               a producer: begin(), send(topic, records), sendOffsets(member, group, [{ topic, partition,
//                                   offset }]), commit(), abort(), close(), all async
//   consume(topic, starts, count, true)
//                                   with isolation.level=read_committed
const { equal, until } = require("./checks");
const { IDEMPOTENT } = require("./log");
const { PARTITIONS } = require("./records");
const { Crew } = require("./members");

function transactionSteps(s) {
  return [
    ["transaction-commit", () => commit(s)],
    ["transaction-abort", () => abort(s)],
    ["transaction-offsets", () => offsets(s)],
    ["transaction-fenced", () => fenced(s)],
  ];
}

async function withProducer(s, id, use) {
  const producer = await s.client.transactional(id);
  try {
    return await use(producer);
  } finally {
    await producer.close();
  }
}

/** The end of each partition that a reader of committed records sees is behind the marker. */
function ends(s, topic, records, markers) {
  return Promise.all([0, 1, 2].map((partition) => s.untilEnd(topic, partition, records / PARTITIONS + markers)));
}

/** Two transactions: the second's records stand behind the first's marker. */
function commit(s) {
  return withProducer(s, s.topic("commit"), async (producer) => {
    const topic = await s.make("transaction-commit");
    await producer.begin();
    await producer.send(topic, s.records(0, 30));
    await producer.commit();
    await s.readFrom(topic, { 0: 0, 1: 0, 2: 0 }, 30, true);
    await ends(s, topic, 30, 1);
    await producer.begin();
    await producer.send(topic, s.records(30, 60));
    await producer.commit();
    const read = await s.client.consume(topic, { 0: 0, 1: 0, 2: 0 }, 60, true);
    const offsetsOf = (partition) => read.filter((record) => record.partition === partition).map((record) => record.offset);
    const around = [...Array(10).keys(), ...Array.from({ length: 10 }, (_, i) => 11 + i)];
    for (const partition of [0, 1, 2]) equal(`offsets of partition ${partition}`, around, offsetsOf(partition));
  });
}

/** What an aborted transaction wrote is read by those that read everything, and by nobody else. */
function abort(s) {
  return withProducer(s, s.topic("abort"), async (producer) => {
    const topic = await s.make("transaction-abort");
    await s.fill(topic, IDEMPOTENT, 0, 30);
    await producer.begin();
    await producer.send(topic, s.records(30, 60));
    await producer.abort();
    await ends(s, topic, 60, 1);
    await s.readFrom(topic, { 0: 0, 1: 0, 2: 0 }, 60, false);
    // Behind the marker stands one that everybody reads.
    await s.client.produce(topic, IDEMPOTENT, s.records(60, 63));
    const committed = await s.client.consume(topic, { 0: 8, 1: 8, 2: 8 }, 9, true);
    const read = [0, 1, 2].map((partition) => committed.filter((record) => record.partition === partition).map((record) => record.offset));
    equal("offsets read", [[8, 9, 21], [8, 9, 21], [8, 9, 21]], read);
  });
}

/** Offsets are committed with the transaction that they are part of, and not before it; an aborted one's never. */
function offsets(s) {
  return Crew.withOne(s, "transaction-offsets", (crew, member) => withProducer(s, s.topic("offsets"), async (producer) => {
    const topic = await s.make("transaction-offsets-out");
    const send = async (offset) => {
      await producer.begin();
      await producer.send(topic, s.records(0, 3));
      await producer.sendOffsets(member, crew.group, [0, 1, 2].map((partition) => ({ topic: crew.topic, partition, offset })));
    };
    await send(4);
    await producer.abort();
    await crew.committed("offsets after an abort", 10, 10, 10);
    await send(7);
    await crew.committed("offsets before the commit", 10, 10, 10);
    await producer.commit();
    await crew.committed("offsets after the commit", 7, 7, 7);
  }));
}

/** A second producer of the id ends the first's transaction, and the first may not go on with it. */
async function fenced(s) {
  const topic = await s.make("transaction-fenced");
  const INVALID_PRODUCER_EPOCH = 47;
  const PRODUCER_FENCED = 90;
  await withProducer(s, s.topic("fenced"), (first) => withProducer(s, s.topic("fenced"), async (second) => {
    await first.begin();
    await first.send(topic, s.records(0, 3));
    await second.begin();
    await second.send(topic, s.records(3, 6));
    await s.refused("the first producer commits", () => first.commit(), INVALID_PRODUCER_EPOCH, PRODUCER_FENCED);
    await second.commit();
  }));
  // The first's record is at 0, the marker of its end at 1.
  await until("committed offsets read", [2, 2, 2], async () => {
    const read = await s.client.consume(topic, { 0: 0, 1: 0, 2: 0 }, 3, true);
    return read.map((record) => record.offset);
  });
}

module.exports = { transactionSteps };
