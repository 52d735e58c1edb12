"use strict";
// A member of a group, as kafkajs runs one: its consumer reads in a loop of its own and calls back with each batch.
const { HEARTBEAT_MS, METADATA_MAX_AGE_MS, Positions, SESSION_TIMEOUT_MS, place } = require("../lib/js/members");

class Member {
  static async join(kafka, how, inbox, record) {
    const member = new Member(kafka, how, inbox, record);
    await member.consumer.connect();
    await member.consumer.subscribe({ topics: how.topics, fromBeginning: true });
    member.running = member.consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (batch) => member.read(batch) });
    member.running.catch((error) => inbox.fail(error));
    return member;
  }

  constructor(kafka, how, inbox, record) {
    Object.assign(this, { inbox, record, id: "", partitions: [], positions: new Positions() });
    this.consumer = kafka.consumer({ groupId: how.group, sessionTimeout: SESSION_TIMEOUT_MS, heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: SESSION_TIMEOUT_MS, metadataMaxAge: METADATA_MAX_AGE_MS, maxWaitTimeInMs: 100, readUncommitted: true,
      allowAutoTopicCreation: false });
    const { GROUP_JOIN, REBALANCING, CRASH } = this.consumer.events;
    this.consumer.on(GROUP_JOIN, ({ payload: { memberId, memberAssignment } }) => {
      this.id = memberId;
      this.partitions = Object.entries(memberAssignment).flatMap(([topic, numbers]) => numbers.map((partition) => place(topic, partition)));
    });
    this.consumer.on(REBALANCING, () => (this.partitions = []));
    this.consumer.on(CRASH, ({ payload: { error } }) => inbox.fail(error));
  }

  async read({ batch, isStale, resolveOffset }) {
    if (isStale()) return;
    const records = batch.messages.map((message) => this.record(batch.topic, batch.partition, message));
    for (const one of records) this.positions.passed(one);
    this.inbox.add(...records);
    resolveOffset(batch.lastOffset());
  }

  owned() {
    return this.partitions;
  }

  who() {
    return { id: this.id };
  }

  heartbeat() {
    return new Promise((resolve) => {
      const remove = this.consumer.on(this.consumer.events.HEARTBEAT, () => {
        remove();
        resolve();
      });
    });
  }

  commit() {
    return this.consumer.commitOffsets(this.positions.of(this.owned()).map((one) => ({ ...one, offset: String(one.offset) })));
  }

  commitAt(topic, partition, offset, metadata) {
    return this.consumer.commitOffsets([{ topic, partition, offset: String(offset), metadata }]);
  }

  async seek(topic, offsets) {
    for (const [partition, offset] of Object.entries(offsets)) this.consumer.seek({ topic, partition: Number(partition), offset: String(offset) });
  }

  async leave() {
    await this.running;
    await this.consumer.disconnect();
    this.partitions = [];
  }
}

module.exports = { Member };
