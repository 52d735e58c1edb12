"use strict";
// A member of a group, with the interface that confluent-kafka-javascript has from kafkajs.
const { Kafka, logLevel } = require("@confluentinc/kafka-javascript").KafkaJS;
const { BOOTSTRAP } = require("../lib/js/checks");
const { HEARTBEAT_MS, METADATA_MAX_AGE_MS, Positions, SESSION_TIMEOUT_MS, place } = require("../lib/js/members");

const kafka = (clientId = "compat-confluent", logger = undefined) =>
  new Kafka({ "client.id": clientId, kafkaJS: { brokers: BOOTSTRAP.split(","), logLevel: logLevel.NOTHING, ...(logger && { logger }) } });

/** As in kafkajs, a header's values are in one place, several as an array. */
function grouped(headers) {
  const byName = {};
  for (const [name, data] of headers) byName[name] = name in byName ? [].concat(byName[name], data) : data;
  return byName;
}

/** Its consumers tell errors to their logger alone. */
function listening(inbox) {
  const logger = { debug() {}, info() {}, warn() {}, setLogLevel() {}, namespace: () => logger, error: (text) => inbox.fail(new Error(text)) };
  return logger;
}

class Member {
  static async join(client, how, inbox) {
    const member = new Member(client, how, inbox);
    await member.consumer.connect();
    await member.consumer.subscribe({ topics: how.topics ?? [new RegExp(`^${how.pattern}`)] });
    await member.consumer.run({ eachMessage: async (payload) => member.read(payload) });
    return member;
  }

  constructor(client, how, inbox) {
    Object.assign(this, { client, how, inbox, positions: new Positions(), assignments: 0 });
    const classic = { "session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": HEARTBEAT_MS };
    const protocol = how.nextGeneration ? { "group.protocol": "consumer" } : classic;
    this.consumer = kafka(how.clientId, how.noReset && listening(inbox)).consumer({ "group.id": how.group, "enable.auto.commit": false,
      "auto.offset.reset": how.noReset ? "error" : "earliest", "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS, ...protocol,
      ...(how.instance && { "group.instance.id": how.instance }), rebalance_cb: () => void this.assignments++ });
  }

  read({ topic, partition, message: { offset, timestamp, key, value, headers } }) {
    const pairs = Object.entries(headers ?? {}).flatMap(([name, data]) => [].concat(data).map((one) => [name, one]));
    const one = { topic, partition, offset: Number(offset), timestampMs: Number(timestamp), key, value, headers: pairs };
    this.positions.passed(one);
    this.inbox.add(one);
  }

  owned() {
    return this.left ? [] : this.consumer.assignment().map(({ topic, partition }) => place(topic, partition));
  }

  /** Each generation is an assignment for everybody; the member's id only the broker tells. */
  async who() {
    return { id: (await this.client.describeGroup(this.how.group)).members[this.how.clientId].id, generation: this.assignments };
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
    this.left = true;
    await this.consumer.disconnect();
  }
}

module.exports = { Member, grouped, kafka };
