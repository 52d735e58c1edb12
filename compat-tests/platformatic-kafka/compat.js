"use strict";
// @platformatic/kafka's words for the common list of steps (../lib/js).
const version = require("./package.json").dependencies["@platformatic/kafka"];
const { Admin, ConfigResourceTypes, ConfigSources, FetchIsolationLevels, IncrementalAlterConfigOperationTypes: operations,
  ListOffsetTimestamps, Producer } = require("@platformatic/kafka");
const { BOOTSTRAP, Refused, Wrong, within } = require("../lib/js/checks");
const { place } = require("../lib/js/members");
const { run } = require("../lib/js/steps");
const { Member, Reader } = require("./member");

const UNKNOWN_TOPIC = 3;
const INVALID_TOPIC = 17;
const TIMES = { earliest: ListOffsetTimestamps.EARLIEST, latest: ListOffsetTimestamps.LATEST, max: ListOffsetTimestamps.MAX };

const OPTIONS = { clientId: "compat-platformatic", bootstrapBrokers: BOOTSTRAP.split(","), retryDelay: 100, timeout: 30_000 };

// A Map with a Buffer for each key keeps a name that is there twice.
const message = (topic, { partition, timestampMs, key, value, headers }) => ({ topic, partition, timestamp: BigInt(timestampMs),
  key, value, headers: new Map(headers.map(([name, data]) => [Buffer.from(name), data])) });

/** It is told by words of its own that a topic is not there, and of what it does not let pass. */
function refusal(error) {
  if (error.code !== "PLT_KFK_USER") return 0;
  if (/^Unknown topic/.test(error.message)) return UNKNOWN_TOPIC;
  return /\/options\/topics\/\d+.* must match pattern/.test(error.message) ? INVALID_TOPIC : 0;
}

class Client {
  name = "platformatic-kafka";
  version = version;
  staticLeaves = true;
  cannot = {
    "group-commit-metadata": "its commits carry no metadata",
    "transaction-fenced": "it takes over a transactional id with a producer id that it makes up (0), and is refused",
    "group-pattern": "its consumers subscribe to names only",
  };

  constructor() {
    this.admin = new Admin(OPTIONS);
  }

  code(error) {
    if (error instanceof Refused) return error.kafkaCode;
    if (typeof error.apiCode === "number") return error.apiCode;
    const inner = [...(error.errors ?? []), error.cause].filter(Boolean).map((one) => this.code(one));
    return inner.find((code) => code > 0) ?? refusal(error);
  }

  // Topics

  async create(topic, partitions, replication, configs) {
    await this.admin.createTopics({ topics: [{ topic, partitions, replicas: replication }],
      configs: Object.entries(configs).map(([name, value]) => ({ name, value })) });
  }

  async describe(topic) {
    const { topics } = await this.admin.metadata({ topics: [topic], forceUpdate: true });
    return topics.get(topic).partitions.map(({ leader, replicas, isr }, id) => ({ id, leader, replicas, isr }));
  }

  async described(resourceType, resourceName, own) {
    const [{ configs }] = await this.admin.describeConfigs({ resources: [{ resourceType, resourceName }] });
    return Object.fromEntries(configs.map(({ name, value, configSource }) => [name, { value, onTopic: configSource === own }]));
  }

  configs(topic) {
    return this.described(ConfigResourceTypes.TOPIC, topic, ConfigSources.TOPIC_CONFIG);
  }

  alterConfigs(resourceType, resourceName, ops) {
    const configs = ops.map(([kind, name, value]) =>
      ({ name, configOperation: operations[kind.toUpperCase()], ...(kind !== "delete" && { value }) }));
    return this.admin.incrementalAlterConfigs({ resources: [{ resourceType, resourceName, configs }] });
  }

  alter(topic, ops) {
    return this.alterConfigs(ConfigResourceTypes.TOPIC, topic, ops);
  }

  grow(topic, count) {
    return this.admin.createPartitions({ topics: [{ name: topic, count }] });
  }

  topics() {
    return this.admin.listTopics();
  }

  delete(topics) {
    return this.admin.deleteTopics({ topics });
  }

  // Records

  async produce(topic, { codec, acks, idempotent }, records) {
    const producer = new Producer(OPTIONS);
    try {
      const messages = records.map((record) => message(topic, record));
      const { offsets } = await within("sending", producer.send({ messages, acks, idempotent, compression: codec }));
      if (acks === 0) return null;
      // One batch for each partition.
      const next = Object.fromEntries(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
      return records.map(({ partition }) => next[partition]++);
    } finally {
      await producer.close(true);
    }
  }

  /** It reads in groups alone: one of its own for each reading. */
  async consume(topic, starts, count, committed) {
    const reader = await Reader.open(OPTIONS, topic, starts, committed ? FetchIsolationLevels.READ_COMMITTED : FetchIsolationLevels.READ_UNCOMMITTED);
    try {
      return await within(`reading ${count} records`, reader.read(count)).catch((error) => {
        if (error instanceof Wrong) return reader.records;
        throw error;
      });
    } finally {
      await reader.close();
    }
  }

  async asked(topic, partitions, at) {
    const timestamp = TIMES[at] ?? BigInt(at);
    const wanted = partitions.map((partitionIndex) => ({ partitionIndex, timestamp }));
    const [found] = await this.admin.listOffsets({ topics: [{ name: topic, partitions: wanted }], isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED });
    return found.partitions;
  }

  async lookUp(topic, partition, at) {
    const [{ offset, timestamp }] = await this.asked(topic, [partition], at);
    return { offset: Number(offset), ms: Number(timestamp) };
  }

  async listOffsets(topic, at) {
    const found = await this.asked(topic, [0, 1, 2], at);
    return Object.fromEntries(found.map(({ partitionIndex, offset }) => [partitionIndex, Number(offset)]));
  }

  async deleteRecords(topic, partition, before) {
    const [deleted] = await this.admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition, offset: BigInt(before) }] }] });
    return Number(deleted.partitions[0].lowWatermark);
  }

  // Groups

  join(how, inbox) {
    return Member.join(OPTIONS, how, inbox);
  }

  async committed(group, topic) {
    const wanted = { groupId: group, topics: [{ name: topic, partitionIndexes: [0, 1, 2] }] };
    const [{ topics }] = await this.admin.listConsumerGroupOffsets({ groups: [wanted] });
    const known = (topics[0]?.partitions ?? []).filter(({ committedOffset }) => committedOffset >= 0n);
    return Object.fromEntries(known.map(({ partitionIndex, committedOffset, metadata }) =>
      [partitionIndex, { offset: Number(committedOffset), metadata }]));
  }

  async listGroups() {
    const groups = await this.admin.listGroups({ types: ["classic", "consumer"] });
    return Object.fromEntries([...groups].map(([id, { state, groupType }]) => [id, { state, type: groupType }]));
  }

  async describeGroup(group) {
    const { state, protocol, members } = (await this.admin.describeGroups({ groups: [group] })).get(group);
    const owned = (assignments) => [...(assignments ?? new Map()).values()].flatMap(({ topic, partitions }) => partitions.map((one) => place(topic, one)));
    return { state, protocol, members: Object.fromEntries([...members.values()].map((member) =>
      [member.clientId, { host: member.clientHost, owned: owned(member.assignments) }])) };
  }

  alterOffsets(group, topic, offsets) {
    const partitionOffsets = Object.entries(offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: BigInt(offset) }));
    return this.admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] });
  }

  deleteOffsets(group, topic, partition) {
    return this.admin.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionIndexes: [partition] }] });
  }

  deleteGroup(group) {
    return this.admin.deleteGroups({ groups: [group] });
  }

  // Administration

  async logDirs(topic) {
    const [{ results }] = await this.admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1, 2] }] });
    const partitions = results.flatMap(({ topics }) => topics).filter(({ name }) => name === topic).flatMap((found) => found.partitions);
    return Object.fromEntries(partitions.map(({ partitionIndex, partitionSize }) => [partitionIndex, Number(partitionSize)]));
  }

  async broker() {
    return String([...(await this.admin.metadata({ topics: [] })).brokers.keys()][0]);
  }

  async brokerConfig(key) {
    return (await this.described(ConfigResourceTypes.BROKER, await this.broker(), ConfigSources.DYNAMIC_BROKER_CONFIG))[key];
  }

  async alterBroker(key, value) {
    await this.alterConfigs(ConfigResourceTypes.BROKER, await this.broker(), [value === null ? ["delete", key] : ["set", key, value]]);
  }

  async quotas(clientId) {
    const entries = await this.admin.describeClientQuotas({ components: [{ entityType: "client-id", matchType: 0, match: clientId }], strict: true });
    return Object.fromEntries(entries.flatMap(({ values }) => values.map(({ key, value }) => [key, value])));
  }

  setQuota(clientId, key, value) {
    const op = value === null ? { key, remove: true } : { key, value, remove: false };
    return this.admin.alterClientQuotas({ entries: [{ entities: [{ entityType: "client-id", entityName: clientId }], ops: [op] }] });
  }

  // Transactions

  async transactional(transactionalId) {
    const producer = new Producer({ ...OPTIONS, transactionalId, idempotent: true });
    let transaction;
    return {
      begin: async () => {
        transaction = await producer.beginTransaction();
      },
      send: (topic, records) => transaction.send({ messages: records.map((record) => message(topic, record)) }),
      sendOffsets: async ({ consumer }, groupId, offsets) => {
        await transaction.addConsumer(consumer);
        // It commits messages: the offset after each.
        const { generationId, memberId, coordinatorId } = consumer;
        for (const { topic, partition, offset } of offsets) {
          const metadata = { consumer: { groupId, generationId, memberId, coordinatorId } };
          await transaction.addOffset({ topic, partition, offset: BigInt(offset - 1), metadata });
        }
      },
      commit: () => transaction.commit(),
      abort: () => transaction.abort(),
      close: () => producer.close(true),
    };
  }
}

run(new Client());
