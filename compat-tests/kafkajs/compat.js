"use strict";
// kafkajs's words for the common list of steps (../lib/js).
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, ConfigSource, AssignerProtocol, logLevel } = require("kafkajs");
const { version } = require("kafkajs/package.json");
const SnappyCodec = require("kafkajs-snappy");
const lz4 = require("lz4-napi");
const zlib = require("node:zlib");
const { BOOTSTRAP, Refused, Wrong, within } = require("../lib/js/checks");
const { replaced } = require("../lib/js/log");
const { place } = require("../lib/js/members");
const { run } = require("../lib/js/steps");
const { Member } = require("./member");

// The codecs it leaves to others; zstd is Node's own.
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (data) => lz4.decompressFrame(data),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
  decompress: async (data) => zlib.zstdDecompressSync(data),
});
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD };

const TOPIC_EXISTS = 36;
const NON_EMPTY_GROUP = 68;

function kafka(clientId = "compat-kafkajs") {
  // Errors that the protocol calls retriable are answers here; kafkajs's own patience would only delay them.
  const retry = { initialRetryTime: 50, retries: 4 };
  return new Kafka({ clientId, brokers: BOOTSTRAP.split(","), logLevel: logLevel.NOTHING, retry });
}

const message = ({ partition, timestampMs, key, value, headers }) =>
  ({ partition, timestamp: String(timestampMs), key, value, headers: grouped(headers) });

const partitioner = () => ({ message: { partition } }) => partition;

/** kafkajs has a header's values in one place, several as an array. */
function grouped(headers) {
  const byName = {};
  for (const [name, data] of headers) byName[name] = name in byName ? [].concat(byName[name], data) : data;
  return byName;
}

function record(topic, partition, { offset, timestamp, key, value, headers }) {
  const pairs = Object.entries(headers).flatMap(([name, data]) => [].concat(data).map((one) => [name, one]));
  return { topic, partition, offset: Number(offset), timestampMs: Number(timestamp), key, value, headers: pairs };
}

class Client {
  name = "kafkajs";
  version = version;
  nullHeaders = false;
  // A consumer starts anew at its default where an offset is out of range.
  resets = true;
  cannot = {
    "offset-max-timestamp": "kafkajs speaks ListOffsets before that came (KIP-734)",
    "error-out-of-range": "its consumers reset by themselves to the earliest or latest record",
    "group-static": "its groups have no group.instance.id",
    "group-pattern": "it looks once, when subscribing, for the topics that match a pattern",
    "group-delete-offsets": "its admin client has no OffsetDelete",
    "error-no-offset": "its groups start at the earliest or latest record and have no auto.offset.reset=none",
    "group-next-generation": "kafkajs speaks the classic protocol only",
    "admin-log-dirs": "its admin client has no DescribeLogDirs",
    "admin-quotas": "its admin client has no client quotas",
  };

  async start() {
    this.admin = kafka().admin();
    await this.admin.connect();
  }

  code(error) {
    const inner = error.errors?.[0] ?? error.groups?.[0] ?? error.partitions?.[0]?.error ?? error.cause ?? null;
    // Codes newer than kafkajs it has only in words.
    const unknown = /Unknown error code (\d+)/.exec(error.message);
    if (unknown) return Number(unknown[1]);
    return error.kafkaCode ?? error.errorCode ?? (typeof error.code === "number" ? error.code : inner ? this.code(inner) : 0);
  }

  // Topics

  async create(topic, partitions, replication, configs) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    const wanted = { topic, numPartitions: partitions, replicationFactor: replication, configEntries };
    const made = await this.admin.createTopics({ waitForLeaders: false, topics: [wanted] });
    // That a topic exists is no error to it.
    if (!made) throw new Refused(TOPIC_EXISTS, topic);
  }

  async describe(topic) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0].partitions.map(({ partitionId, leader, replicas, isr }) => ({ id: partitionId, leader, replicas, isr }));
  }

  async described(type, name, own) {
    const { resources } = await this.admin.describeConfigs({ includeSynonyms: false, resources: [{ type, name }] });
    return Object.fromEntries(resources[0].configEntries.map(({ configName, configValue, configSource }) =>
      [configName, { value: configValue, onTopic: configSource === own }]));
  }

  configs(topic) {
    return this.described(ConfigResourceTypes.TOPIC, topic, ConfigSource.TOPIC_CONFIG);
  }

  alterConfigs(type, name, configs) {
    const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }));
    return this.admin.alterConfigs({ validateOnly: false, resources: [{ type, name, configEntries }] });
  }

  async alter(topic, ops) {
    await this.alterConfigs(ConfigResourceTypes.TOPIC, topic, await replaced(this, topic, ops));
  }

  grow(topic, count) {
    return this.admin.createPartitions({ topicPartitions: [{ topic, count }] });
  }

  topics() {
    return this.admin.listTopics();
  }

  delete(topics) {
    return this.admin.deleteTopics({ topics });
  }

  // Records

  async produce(topic, { codec, acks, idempotent }, records) {
    const producer = kafka().producer({ idempotent, createPartitioner: partitioner, allowAutoTopicCreation: false,
      ...(idempotent && { maxInFlightRequests: 1, retry: { retries: Number.MAX_SAFE_INTEGER } }) });
    await producer.connect();
    try {
      const sent = await within("sending", producer.send({ topic, acks, compression: CODECS[codec], messages: records.map(message) }));
      if (acks === 0) return null;
      // One batch for each partition.
      const next = Object.fromEntries(sent.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]));
      return records.map(({ partition }) => next[partition]++);
    } finally {
      await producer.disconnect();
    }
  }

  /** It reads in groups alone: one of its own for each reading. */
  async consume(topic, starts, count, committed) {
    const reader = kafka().consumer({ groupId: `${topic}-reader-${Math.random().toString(36).slice(2)}`, readUncommitted: !committed,
      maxWaitTimeInMs: 100, allowAutoTopicCreation: false });
    const records = [];
    let sought, enough, failed;
    const seeking = new Promise((resolve) => (sought = resolve));
    const all = new Promise((resolve, reject) => ([enough, failed] = [resolve, reject]));
    reader.on(reader.events.CRASH, ({ payload }) => failed(payload.error));
    await reader.connect();
    await reader.subscribe({ topics: [topic], fromBeginning: true });
    try {
      await reader.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: async ({ batch, isStale, resolveOffset }) => {
        await seeking;
        if (isStale() || !(batch.partition in starts)) return;
        records.push(...batch.messages.map((one) => record(topic, batch.partition, one)));
        resolveOffset(batch.lastOffset());
        if (records.length >= count) enough();
      } });
      for (const [partition, offset] of Object.entries(starts)) reader.seek({ topic, partition: Number(partition), offset: String(offset) });
      sought();
      await within(`reading ${count} records`, all).catch((error) => {
        if (!(error instanceof Wrong)) throw error;
      });
      return records;
    } finally {
      sought();
      await reader.disconnect();
    }
  }

  async lookUp(topic, partition, at) {
    if (typeof at === "number") {
      const found = await this.admin.fetchTopicOffsetsByTimestamp(topic, at);
      return { offset: Number(found.find((one) => one.partition === partition).offset) };
    }
    const { low, high } = (await this.admin.fetchTopicOffsets(topic)).find((one) => one.partition === partition);
    return { offset: Number(at === "earliest" ? low : high) };
  }

  async listOffsets(topic, at) {
    const found = await this.admin.fetchTopicOffsets(topic);
    return Object.fromEntries(found.map(({ partition, low, high }) => [partition, Number(at === "earliest" ? low : high)]));
  }

  async deleteRecords(topic, partition, before) {
    // It asks nobody for the leader of a topic that it has not heard of.
    await this.admin.fetchTopicOffsets(topic);
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
  }

  // Groups

  join(how, inbox) {
    return Member.join(kafka(how.clientId), how, inbox, record);
  }

  async committed(group, topic) {
    const [{ partitions }] = await this.admin.fetchOffsets({ groupId: group, topics: [topic] });
    const known = partitions.filter(({ offset }) => Number(offset) >= 0);
    return Object.fromEntries(known.map(({ partition, offset, metadata }) => [partition, { offset: Number(offset), metadata: metadata ?? "" }]));
  }

  async listGroups() {
    const { groups } = await this.admin.listGroups();
    return Object.fromEntries(groups.map(({ groupId }) => [groupId, {}]));
  }

  async describeGroup(group) {
    const { groups: [{ state, protocol, members }] } = await this.admin.describeGroups([group]);
    const owned = (assignment) => Object.entries(AssignerProtocol.MemberAssignment.decode(assignment).assignment)
      .flatMap(([topic, partitions]) => partitions.map((partition) => place(topic, partition)));
    return { state, protocol, members: Object.fromEntries(members.map((member) =>
      [member.clientId, { host: member.clientHost, owned: owned(member.memberAssignment) }])) };
  }

  async alterOffsets(group, topic, offsets) {
    const partitions = Object.entries(offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: String(offset) }));
    // It looks itself whether anybody is in the group.
    await this.admin.setOffsets({ groupId: group, topic, partitions }).catch((error) => {
      throw /must have no running instances/.test(error.message) ? new Refused(NON_EMPTY_GROUP, error.message) : error;
    });
  }

  deleteGroup(group) {
    return this.admin.deleteGroups([group]);
  }

  // Administration

  async broker() {
    return String((await this.admin.describeCluster()).brokers[0].nodeId);
  }

  async brokerConfig(key) {
    return (await this.described(ConfigResourceTypes.BROKER, await this.broker(), ConfigSource.DYNAMIC_BROKER_CONFIG))[key];
  }

  async alterBroker(key, value) {
    await this.alterConfigs(ConfigResourceTypes.BROKER, await this.broker(), value === null ? {} : { [key]: value });
  }

  // Transactions

  async transactional(transactionalId) {
    const producer = kafka().producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, createPartitioner: partitioner });
    await producer.connect();
    let transaction;
    return {
      begin: async () => {
        transaction = await producer.transaction();
      },
      send: (topic, records) => transaction.send({ topic, messages: records.map(message) }),
      sendOffsets: (_, group, offsets) => transaction.sendOffsets({ consumerGroupId: group,
        topics: [{ topic: offsets[0].topic, partitions: offsets.map(({ partition, offset }) => ({ partition, offset: String(offset) })) }] }),
      commit: () => transaction.commit(),
      abort: () => transaction.abort(),
      close: () => producer.disconnect(),
    };
  }
}

async function main() {
  const client = new Client();
  await client.start();
  await run(client);
}

main();
