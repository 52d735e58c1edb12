"use strict";
// confluent-kafka-javascript's words for the common list of steps (../lib/js): what it has from kafkajs, promises, for producers and
// groups, and what it has from node-rdkafka, callbacks, for the rest.
const { promisify } = require("node:util");
const confluent = require("@confluentinc/kafka-javascript");
const { version } = require("@confluentinc/kafka-javascript/package.json");
const { BOOTSTRAP, Refused, Wrong, within } = require("../lib/js/checks");
const { place } = require("../lib/js/members");
const { run } = require("../lib/js/steps");
const { Member, grouped, kafka } = require("./member");

const { AdminClient, KafkaConsumer, OffsetSpec } = confluent;
const { ConsumerGroupStates: STATES, ConsumerGroupTypes: TYPES } = confluent.KafkaJS;
const SPECS = { earliest: OffsetSpec.EARLIEST, latest: OffsetSpec.LATEST, max: OffsetSpec.MAX_TIMESTAMP };
const INVALID_PARTITIONS = 37;
// librdkafka's own words: for an offset out of range, as there is no reset to fall back on, and for a producer that was fenced.
const { ERR__AUTO_OFFSET_RESET, ERR__FENCED } = confluent.CODES.ERRORS;
const OWN_WORDS = { [ERR__AUTO_OFFSET_RESET]: 1, [ERR__FENCED]: 90 };
const TIMEOUT_MS = 30_000;

const message = ({ partition, timestampMs, key, value, headers }) =>
  ({ partition, timestamp: String(timestampMs), key, value, headers: grouped(headers) });

const record = ({ topic, partition, offset, timestamp, key, value, headers }) => ({ topic, partition, offset, timestampMs: timestamp, key, value,
  headers: (headers ?? []).map((header) => Object.entries(header)[0]) });

const nameOf = (names, number) => Object.keys(names).find((name) => names[name] === number);

class Client {
  name = "confluent-kafka-javascript";
  version = `${version}, librdkafka ${confluent.librdkafkaVersion}`;
  nullHeaders = false;
  cannot = {
    "alter-config": "it has no configs",
    "group-alter-offsets": "its admin client has no call for it",
    "group-delete-offsets": "its admin client has no call for it",
    "error-fenced-member": "its commitOffsets says nothing of a partition that was refused",
    "admin-log-dirs": "its admin client has no call for it",
    "admin-configs": "it has no configs",
    "admin-quotas": "its admin client has no call for it",
  };

  /** A handle for one question: one that described a topic before it had leaders may answer from what it remembers. */
  async asked(call, ...words) {
    const admin = AdminClient.create({ "bootstrap.servers": BOOTSTRAP, "client.id": "compat-confluent" });
    try {
      return await within(call, promisify(admin[call]).call(admin, ...words));
    } finally {
      admin.disconnect();
    }
  }

  code(error) {
    if (error instanceof Refused) return error.kafkaCode;
    return OWN_WORDS[error.code] ?? Number(error.code ?? 0);
  }

  // Topics

  async create(topic, partitions, replication, configs) {
    // librdkafka refuses to ask for none.
    if (partitions === 0) throw new Refused(INVALID_PARTITIONS, "");
    await this.asked("createTopic", { topic, num_partitions: partitions, replication_factor: replication, config: configs }, TIMEOUT_MS);
  }

  async describe(topic) {
    const [found] = await this.asked("describeTopics", [topic], { timeout: TIMEOUT_MS });
    if (found.error) throw found.error;
    const ids = (nodes) => nodes.map(({ id }) => id);
    return found.partitions.map(({ partition, leader, replicas, isr }) =>
      ({ id: partition, leader: leader?.id ?? -1, replicas: ids(replicas), isr: ids(isr) }));
  }

  grow(topic, count) {
    return this.asked("createPartitions", topic, count, TIMEOUT_MS);
  }

  topics() {
    return this.asked("listTopics", { timeout: TIMEOUT_MS });
  }

  async delete(topics) {
    for (const topic of topics) await this.asked("deleteTopic", topic, TIMEOUT_MS);
  }

  // Records

  async produce(topic, { codec, acks, idempotent }, records) {
    const producer = kafka().producer({ "compression.type": codec, acks, "enable.idempotence": idempotent, "linger.ms": 5,
      "message.max.bytes": 1_000_000 });
    await producer.connect();
    try {
      const sent = await within("sending", producer.send({ topic, messages: records.map(message) }));
      if (acks === 0) return null;
      const next = Object.fromEntries(sent.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]));
      return records.map(({ partition }) => next[partition]++);
    } finally {
      await producer.disconnect();
    }
  }

  async consume(topic, starts, count, committed) {
    const reader = new KafkaConsumer({ "bootstrap.servers": BOOTSTRAP, "group.id": `${topic}-reader`, "enable.auto.commit": false,
      "isolation.level": committed ? "read_committed" : "read_uncommitted" }, { "auto.offset.reset": "error" });
    await promisify(reader.connect).call(reader, {});
    reader.setDefaultConsumeTimeout(200);
    reader.assign(Object.entries(starts).map(([partition, offset]) => ({ topic, partition: Number(partition), offset })));
    const records = [];
    try {
      for (const end = Date.now() + TIMEOUT_MS; records.length < count && Date.now() < end; ) {
        records.push(...(await promisify(reader.consume).call(reader, count - records.length)).map(record));
      }
      return records;
    } finally {
      await promisify(reader.disconnect).call(reader);
    }
  }

  looked(topic, partitions, at) {
    const offset = SPECS[at] ?? new OffsetSpec(at);
    return this.asked("listOffsets", partitions.map((partition) => ({ topic, partition, offset })), { timeout: TIMEOUT_MS });
  }

  async lookUp(topic, partition, at) {
    const [{ offset, timestamp, error }] = await this.looked(topic, [partition], at);
    if (error) throw error;
    return { offset, ms: timestamp };
  }

  async listOffsets(topic, at) {
    return Object.fromEntries((await this.looked(topic, [0, 1, 2], at)).map(({ partition, offset }) => [partition, offset]));
  }

  async deleteRecords(topic, partition, before) {
    const [{ lowWatermark, error }] = await this.asked("deleteRecords", [{ topic, partition, offset: before }], { timeout: TIMEOUT_MS });
    if (error) throw error;
    return lowWatermark;
  }

  // Groups

  join(how, inbox) {
    return Member.join(this, how, inbox);
  }

  async committed(group, topic) {
    const partitions = [0, 1, 2].map((partition) => ({ topic, partition }));
    const [found] = await this.asked("listConsumerGroupOffsets", [{ groupId: group, partitions }], { timeout: TIMEOUT_MS });
    if (found.error) throw found.error;
    const known = found.partitions.filter(({ offset }) => offset >= 0);
    return Object.fromEntries(known.map(({ partition, offset, metadata }) => [partition, { offset, metadata: metadata ?? "" }]));
  }

  async listGroups() {
    const { groups } = await this.asked("listGroups", { timeout: TIMEOUT_MS });
    return Object.fromEntries(groups.map(({ groupId, state, type }) => [groupId, { state: nameOf(STATES, state), type: nameOf(TYPES, type) }]));
  }

  async describeGroup(group) {
    const { groups: [{ state, partitionAssignor, members, error }] } = await this.asked("describeGroups", [group], { timeout: TIMEOUT_MS });
    if (error) throw error;
    const owned = ({ assignment }) => assignment.topicPartitions.map(({ topic, partition }) => place(topic, partition));
    return { state: nameOf(STATES, state), protocol: partitionAssignor, members: Object.fromEntries(members.map((member) =>
      [member.clientId, { id: member.memberId, host: member.clientHost, owned: owned(member) }])) };
  }

  async deleteGroup(group) {
    const [{ error }] = await this.asked("deleteGroups", [group], { timeout: TIMEOUT_MS });
    if (error) throw error;
  }

  // Transactions

  async transactional(transactionalId) {
    const producer = kafka().producer({ kafkaJS: { transactionalId } });
    // It asks for its producer id when it connects; the second of an id does so when the first is at work.
    let connected, transaction;
    return {
      begin: async () => {
        connected ??= producer.connect();
        await connected;
        transaction = await producer.transaction();
      },
      send: (topic, records) => transaction.send({ topic, messages: records.map(message) }),
      sendOffsets: ({ consumer }, _, offsets) => transaction.sendOffsets({ consumer,
        topics: [{ topic: offsets[0].topic, partitions: offsets.map(({ partition, offset }) => ({ partition, offset: String(offset) })) }] }),
      commit: () => transaction.commit(),
      abort: () => transaction.abort(),
      // A producer that was fenced may fail at this, and need not.
      close: () => within("disconnecting", producer.disconnect()).catch((error) => {
        if (error instanceof Wrong) throw error;
      }),
    };
  }
}

run(new Client());
