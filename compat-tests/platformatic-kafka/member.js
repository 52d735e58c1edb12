"use strict";
// Members of groups, as @platformatic/kafka runs them: a consumer, and a stream of what it reads.
const { Consumer, MessagesStreamFallbackModes: Fallback, MessagesStreamModes: Mode } = require("@platformatic/kafka");
const { HEARTBEAT_MS, Positions, SESSION_TIMEOUT_MS, place } = require("../lib/js/members");

const READING = { autocommit: false, minBytes: 1, maxWaitTime: 100 };

const record = ({ topic, partition, offset, timestamp, key, value, headerEntries }) => ({ topic, partition, offset: Number(offset),
  timestampMs: Number(timestamp), key, value, headers: headerEntries.map(([name, data]) => [name.toString(), data]) });

const manual = (topic, starts) => ({ mode: Mode.MANUAL,
  offsets: Object.entries(starts).map(([partition, offset]) => ({ topic, partition: Number(partition), offset: BigInt(offset) })) });

/** Reads partitions of one topic from given offsets, in a group of its own. */
class Reader {
  static async open(options, topic, starts, isolationLevel) {
    const reader = new Reader();
    reader.consumer = new Consumer({ ...options, ...READING, groupId: `${topic}-reader-${Math.random().toString(36).slice(2)}` });
    reader.stream = await reader.consumer.consume({ ...READING, ...manual(topic, starts), topics: [topic], isolationLevel, fallbackMode: Fallback.FAIL });
    reader.records = [];
    reader.starts = starts;
    return reader;
  }

  read(count) {
    return new Promise((resolve, reject) => {
      this.stream.on("error", reject);
      this.stream.on("data", (message) => {
        // It reads the other partitions too, from their ends.
        if (message.partition in this.starts) this.records.push(record(message));
        if (this.records.length >= count) resolve(this.records);
      });
    });
  }

  async close() {
    this.stream.on("error", () => {});
    await this.consumer.close(true);
  }
}

class Member {
  static async join(options, how, inbox) {
    const member = new Member(options, how, inbox);
    // It waits for its first assignment; the other member of a test may have to be there before.
    member.joined = member.open({ mode: Mode.COMMITTED, fallbackMode: how.noReset ? Fallback.FAIL : Fallback.EARLIEST });
    member.joined.catch((error) => inbox.fail(error));
    return member;
  }

  constructor(options, how, inbox) {
    Object.assign(this, { how, inbox, positions: new Positions(), left: false });
    const classic = { sessionTimeout: SESSION_TIMEOUT_MS, rebalanceTimeout: SESSION_TIMEOUT_MS, heartbeatInterval: HEARTBEAT_MS };
    this.consumer = new Consumer({ ...options, ...READING, groupId: how.group, clientId: how.clientId, metadataMaxAge: 1_000,
      ...(how.instance && { groupInstanceId: how.instance }), ...(how.noRetry && { retries: 0 }),
      ...(how.nextGeneration ? { groupProtocol: "consumer" } : classic) });
    this.consumer.on("error", (error) => inbox.fail(error));
  }

  async open(from) {
    this.stream = await this.consumer.consume({ ...READING, ...from, topics: this.how.topics });
    this.stream.on("error", (error) => this.left || this.inbox.fail(error));
    this.stream.on("data", (message) => {
      const one = record(message);
      // What a fetch that was under way finds is handed over even if the partition went to another meanwhile.
      if (!this.owned().includes(place(one.topic, one.partition))) return;
      this.positions.passed(one);
      this.inbox.add(one);
    });
  }

  owned() {
    return (this.consumer.assignments ?? []).flatMap(({ topic, partitions }) => partitions.map((partition) => place(topic, partition)));
  }

  who() {
    return { id: this.consumer.memberId, generation: this.consumer.generationId };
  }

  heartbeat() {
    return new Promise((resolve) => this.consumer.once("consumer:heartbeat:end", resolve));
  }

  async commit() {
    await this.consumer.commit({ offsets: this.positions.of(this.owned()).map((one) => ({ ...one, offset: BigInt(one.offset), leaderEpoch: -1 })) });
  }

  async commitAt(topic, partition, offset) {
    await this.consumer.commit({ offsets: [{ topic, partition, offset: BigInt(offset), leaderEpoch: -1 }] });
  }

  /** A stream knows where it starts, and a new one takes its place. */
  async seek(topic, starts) {
    await this.stream.close();
    this.inbox.take();
    await this.open(manual(topic, starts));
  }

  async leave() {
    this.left = true;
    await this.joined.catch(() => {});
    await this.consumer.close(true);
  }
}

module.exports = { Member, Reader };
