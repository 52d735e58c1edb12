"use strict";
// What administrators ask beyond topics and groups. A client brings:
//
//   logDirs(topic)                  { partition: bytes }
//   listOffsets(topic, at)          { partition: offset } for "earliest" or "latest", asked for at once
//   brokerConfig(key)               { value, onTopic }: onTopic if it was set dynamically on the one broker
//   alterBroker(key, value)         null: back to what it was
//   quotas(clientId), setQuota(clientId, key, value)
//                                   { key: number }; null: removed
const { equal, until, Wrong } = require("./checks");

const INVALID_REQUEST = 42;
const RETENTION = "log.retention.ms";

function adminSteps(s) {
  return [
    ["admin-log-dirs", () => logDirs(s)],
    ["admin-list-offsets", () => listOffsets(s)],
    ["admin-configs", () => brokerConfigs(s)],
  ];
}

async function logDirs(s) {
  const sizes = await s.client.logDirs(s.topic("gzip"));
  equal("partitions in the log directories", ["0", "1", "2"], Object.keys(sizes).sort());
  for (const [partition, bytes] of Object.entries(sizes)) {
    if (!(bytes > 0)) throw new Wrong(`size of partition ${partition}: expected more than 0, got ${bytes}`);
  }
}

async function listOffsets(s) {
  equal("earliest", { 0: 0, 1: 0, 2: 0 }, await s.client.listOffsets(s.topic("zstd"), "earliest"));
  equal("latest", { 0: 100, 1: 100, 2: 100 }, await s.client.listOffsets(s.topic("zstd"), "latest"));
}

async function brokerConfigs(s) {
  const before = await s.client.brokerConfig(RETENTION);
  equal(`${RETENTION} is set before anybody set it`, false, before.onTopic);
  await s.client.alterBroker(RETENTION, "86400000");
  await until(`${RETENTION} after altering`, { value: "86400000", onTopic: true }, () => s.client.brokerConfig(RETENTION));
  await s.client.alterBroker(RETENTION, null);
  await until(`${RETENTION} after resetting`, before, () => s.client.brokerConfig(RETENTION));
  // Kafka says it of a broker in other words than of a topic.
  await s.refused(`${RETENTION}=soon`, () => s.client.alterBroker(RETENTION, "soon"), INVALID_REQUEST);
}

async function quotas(s) {
  const rate = 12_345_678;
  await s.client.setQuota(s.run, "producer_byte_rate", rate);
  await until("quotas", { producer_byte_rate: rate }, () => s.client.quotas(s.run));
  await s.client.setQuota(s.run, "producer_byte_rate", null);
  await until("quotas after removing", {}, () => s.client.quotas(s.run));
}

module.exports = { adminSteps, quotas };
