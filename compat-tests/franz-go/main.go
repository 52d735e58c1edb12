// franz-go's words for the common list of steps (../lib/go); it speaks the protocol in Go alone.
package main

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"tidewater/compat-tests/steps"
)

type client struct {
	steps.Lacking
	kgo   *kgo.Client
	admin *kadm.Client
}

func main() {
	plain, err := kgo.NewClient(kgo.SeedBrokers(steps.Bootstrap()))
	if err != nil {
		panic(err)
	}
	steps.Run(&client{kgo: plain, admin: kadm.NewClient(plain)})
}

func (c *client) Identity() (string, string) {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return "franz-go", module.Version
		}
	}
	return "franz-go", "unknown"
}

func (c *client) Code(err error) int {
	var known *kerr.Error
	if errors.As(err, &known) {
		return int(known.Code)
	}
	return 0
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), steps.Deadline)
}

// Topics

func (c *client) Create(topic string, partitions, replication int, configs map[string]string) error {
	ctx, cancel := limited()
	defer cancel()
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	_, err := c.admin.CreateTopic(ctx, int32(partitions), int16(replication), values, topic)
	return err
}

func (c *client) Describe(topic string) ([]steps.Partition, error) {
	ctx, cancel := limited()
	defer cancel()
	topics, err := c.admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, err
	}
	var partitions []steps.Partition
	for _, p := range topics[topic].Partitions {
		partitions = append(partitions, steps.Partition{ID: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR})
	}
	return partitions, topics[topic].Err
}

func (c *client) Configs(topic string) (map[string]steps.Config, error) {
	ctx, cancel := limited()
	defer cancel()
	described, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	return configsOf(described, topic, kmsg.ConfigSourceDynamicTopicConfig)
}

func configsOf(described kadm.ResourceConfigs, name string, own kmsg.ConfigSource) (map[string]steps.Config, error) {
	resource, err := described.On(name, nil)
	if err = errors.Join(err, resource.Err); err != nil {
		return nil, err
	}
	configs := map[string]steps.Config{}
	for _, config := range resource.Configs {
		configs[config.Key] = steps.Config{Value: config.MaybeValue(), OnTopic: config.Source == own}
	}
	return configs, nil
}

func (c *client) Alter(topic string, ops ...steps.Op) error {
	ctx, cancel := limited()
	defer cancel()
	kinds := map[string]kadm.IncrementalOp{"set": kadm.SetConfig, "delete": kadm.DeleteConfig,
		"append": kadm.AppendConfig, "subtract": kadm.SubtractConfig}
	var wanted []kadm.AlterConfig
	for _, op := range ops {
		change := kadm.AlterConfig{Op: kinds[op.Kind], Name: op.Key}
		if op.Kind != "delete" {
			change.Value = &op.Value
		}
		wanted = append(wanted, change)
	}
	answers, err := c.admin.AlterTopicConfigs(ctx, wanted, topic)
	return altered(answers, err, topic)
}

func altered(answers kadm.AlterConfigsResponses, err error, name string) error {
	if err != nil {
		return err
	}
	_, err = answers.On(name, func(answer *kadm.AlterConfigsResponse) error { return answer.Err })
	return err
}

func (c *client) Grow(topic string, partitions int) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.UpdatePartitions(ctx, partitions, topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (c *client) Topics() ([]string, error) {
	ctx, cancel := limited()
	defer cancel()
	listed, err := c.admin.ListTopics(ctx)
	var topics []string
	for _, topic := range listed.Sorted() {
		// The client remembers topics it asked for in vain, and lists them with their error.
		if topic.Err == nil {
			topics = append(topics, topic.Topic)
		}
	}
	return topics, err
}

func (c *client) Delete(topics ...string) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return err
	}
	return answers.Error()
}

// Records

var codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}

func (c *client) Produce(topic string, how steps.How, records []steps.Record) error {
	options := []kgo.Opt{kgo.SeedBrokers(steps.Bootstrap()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5 * time.Millisecond), kgo.ProducerBatchCompression(codecs[how.Codec])}
	if !how.Idempotent {
		acks := map[int]kgo.Acks{-1: kgo.AllISRAcks(), 0: kgo.NoAck(), 1: kgo.LeaderAck()}
		options = append(options, kgo.RequiredAcks(acks[how.Acks]), kgo.DisableIdempotentWrite())
	}
	producer, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	return send(producer, topic, records)
}

func send(producer *kgo.Client, topic string, records []steps.Record) error {
	ctx, cancel := limited()
	defer cancel()
	var produced []*kgo.Record
	for _, record := range records {
		var headers []kgo.RecordHeader
		for _, header := range record.Headers {
			headers = append(headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
		}
		produced = append(produced, &kgo.Record{Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value,
			Headers: headers, Timestamp: time.UnixMilli(record.TimestampMs)})
	}
	err := producer.ProduceSync(ctx, produced...).FirstErr()
	for i, record := range produced {
		records[i].Offset = record.Offset
	}
	return err
}

func (c *client) Consume(topic string, starts map[int32]int64, count int, committed bool) ([]steps.Record, error) {
	offsets := map[int32]kgo.Offset{}
	for partition, start := range starts {
		offsets[partition] = kgo.NewOffset().At(start)
	}
	isolation := kgo.ReadUncommitted()
	if committed {
		isolation = kgo.ReadCommitted()
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(steps.Bootstrap()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(isolation), kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	ctx, cancel := limited()
	defer cancel()
	var records []steps.Record
	for len(records) < count {
		fetches := consumer.PollFetches(ctx)
		if err = fetches.Err(); err != nil {
			return records, err
		}
		records = append(records, recordsOf(fetches)...)
	}
	return records, nil
}

func recordsOf(fetches kgo.Fetches) []steps.Record {
	var records []steps.Record
	for _, r := range fetches.Records() {
		record := steps.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
			TimestampMs: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
		for _, header := range r.Headers {
			record.Headers = append(record.Headers, steps.Header{Key: header.Key, Value: header.Value})
		}
		records = append(records, record)
	}
	return records
}

// Offsets

func (c *client) list(topic string, at int64) (kadm.ListedOffsets, error) {
	ctx, cancel := limited()
	defer cancel()
	switch at {
	case steps.Earliest:
		return c.admin.ListStartOffsets(ctx, topic)
	case steps.Latest:
		return c.admin.ListEndOffsets(ctx, topic)
	case steps.MaxTimestamp:
		return c.admin.ListMaxTimestampOffsets(ctx, topic)
	}
	return c.admin.ListOffsetsAfterMilli(ctx, at, topic)
}

func (c *client) LookUp(topic string, partition int32, at int64) (int64, int64, error) {
	listed, err := c.list(topic, at)
	if err != nil {
		return 0, 0, err
	}
	found, present := listed.Lookup(topic, partition)
	if !present {
		return 0, 0, kerr.UnknownTopicOrPartition
	}
	return found.Offset, found.Timestamp, found.Err
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) (int64, error) {
	ctx, cancel := limited()
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: before})
	answers, err := c.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return 0, err
	}
	answer, _ := answers.Lookup(topic, partition)
	return answer.LowWatermark, answer.Err
}
