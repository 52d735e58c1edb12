// sarama's words for the common list of steps (../lib/go).
package main

import (
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"tidewater/compat-tests/steps"
)

type client struct {
	steps.Lacking
	sarama sarama.Client
	admin  sarama.ClusterAdmin
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.ClientID = "compat-sarama"
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.Retry.Max = 1
	config.Admin.Timeout = steps.Deadline
	return config
}

func servers() []string { return strings.Split(steps.Bootstrap(), ",") }

func main() {
	plain, err := sarama.NewClient(servers(), config())
	if err != nil {
		panic(err)
	}
	admin, err := sarama.NewClusterAdminFromClient(plain)
	if err != nil {
		panic(err)
	}
	steps.Run(&client{sarama: plain, admin: admin})
}

func (c *client) Identity() (string, string) {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/IBM/sarama" {
			return "sarama", module.Version
		}
	}
	return "sarama", "unknown"
}

func (c *client) Cannot() map[string]string {
	return map[string]string{
		"offset-max-timestamp":  "sarama has no name for the offset of the largest timestamp",
		"group-seek-time":       "a running session cannot seek; ResetOffset takes effect with the next one",
		"group-pattern":         "sarama subscribes to names only",
		"error-no-offset":       "sarama starts at the oldest or newest record and has no auto.offset.reset=none",
		"group-next-generation": "sarama speaks the classic protocol only",
	}
}

func (c *client) Code(err error) int {
	var code sarama.KError
	if errors.As(err, &code) {
		return int(code)
	}
	return 0
}

// Topics

func (c *client) Create(topic string, partitions, replication int, configs map[string]string) error {
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: int16(replication),
		ConfigEntries: map[string]*string{}}
	for key, value := range configs {
		detail.ConfigEntries[key] = &value
	}
	return c.admin.CreateTopic(topic, detail, false)
}

func (c *client) Describe(topic string) ([]steps.Partition, error) {
	topics, err := c.admin.DescribeTopics([]string{topic})
	if err != nil {
		return nil, err
	}
	if topics[0].Err != sarama.ErrNoError {
		return nil, topics[0].Err
	}
	var partitions []steps.Partition
	for _, p := range topics[0].Partitions {
		partitions = append(partitions, steps.Partition{ID: p.ID, Leader: p.Leader, Replicas: p.Replicas, ISR: p.Isr})
	}
	return partitions, nil
}

func (c *client) configs(kind sarama.ConfigResourceType, name string, own sarama.ConfigSource) (map[string]steps.Config, error) {
	results, err := c.admin.DescribeConfigs([]*sarama.ConfigResource{{Type: kind, Name: name}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, err
	}
	if results[0].ErrorCode != sarama.ErrNoError {
		return nil, results[0].ErrorCode
	}
	configs := map[string]steps.Config{}
	for _, entry := range results[0].Configs {
		configs[entry.Name] = steps.Config{Value: entry.Value, OnTopic: entry.Source == own}
	}
	return configs, nil
}

func (c *client) Configs(topic string) (map[string]steps.Config, error) {
	return c.configs(sarama.TopicResource, topic, sarama.SourceTopic)
}

func (c *client) Alter(topic string, ops ...steps.Op) error {
	kinds := map[string]sarama.IncrementalAlterConfigsOperation{
		"set": sarama.IncrementalAlterConfigsOperationSet, "delete": sarama.IncrementalAlterConfigsOperationDelete,
		"append": sarama.IncrementalAlterConfigsOperationAppend, "subtract": sarama.IncrementalAlterConfigsOperationSubtract}
	entries := map[string]sarama.IncrementalAlterConfigsEntry{}
	for _, op := range ops {
		entries[op.Key] = sarama.IncrementalAlterConfigsEntry{Operation: kinds[op.Kind], Value: &op.Value}
	}
	return c.admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false)
}

func (c *client) Grow(topic string, partitions int) error {
	return c.admin.CreatePartitions(topic, int32(partitions), nil, false)
}

func (c *client) Topics() ([]string, error) {
	listed, err := c.admin.ListTopics()
	var topics []string
	for topic := range listed {
		topics = append(topics, topic)
	}
	return topics, err
}

func (c *client) Delete(topics ...string) error {
	for _, topic := range topics {
		if err := c.admin.DeleteTopic(topic); err != nil {
			return err
		}
	}
	return nil
}

// Records

var codecs = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}

func bytes(data []byte) sarama.Encoder {
	if data == nil {
		return nil
	}
	return sarama.ByteEncoder(data)
}

func producing(how steps.How) *sarama.Config {
	config := config()
	config.Producer.RequiredAcks = sarama.RequiredAcks(how.Acks)
	config.Producer.Compression = codecs[how.Codec]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	if how.Idempotent {
		config.Producer.Idempotent, config.Net.MaxOpenRequests = true, 1
	}
	return config
}

func (c *client) Produce(topic string, how steps.How, records []steps.Record) error {
	producer, err := sarama.NewSyncProducer(servers(), producing(how))
	if err != nil {
		return err
	}
	defer producer.Close()
	return send(producer, topic, records)
}

func send(producer sarama.SyncProducer, topic string, records []steps.Record) error {
	var messages []*sarama.ProducerMessage
	for _, record := range records {
		message := &sarama.ProducerMessage{Topic: topic, Partition: record.Partition, Key: bytes(record.Key), Value: bytes(record.Value),
			Timestamp: time.UnixMilli(record.TimestampMs)}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
		}
		messages = append(messages, message)
	}
	if err := producer.SendMessages(messages); err != nil {
		var several sarama.ProducerErrors
		if errors.As(err, &several) {
			return several[0]
		}
		return err
	}
	for i, message := range messages {
		records[i].Offset = message.Offset
	}
	return nil
}

func (c *client) Consume(topic string, starts map[int32]int64, count int, committed bool) ([]steps.Record, error) {
	config := config()
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Consumer.Return.Errors = true
	if committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(servers(), config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	messages, failures := make(chan *sarama.ConsumerMessage), make(chan error, len(starts))
	for partition, start := range starts {
		reader, err := consumer.ConsumePartition(topic, partition, start)
		if err != nil {
			return nil, err
		}
		defer reader.AsyncClose()
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
		go func() {
			for failure := range reader.Errors() {
				failures <- failure
			}
		}()
	}
	var records []steps.Record
	for limit := time.After(steps.Deadline); len(records) < count; {
		select {
		case message := <-messages:
			records = append(records, recordOf(message))
		case failure := <-failures:
			return records, failure
		case <-limit:
			return records, nil
		}
	}
	return records, nil
}

func recordOf(message *sarama.ConsumerMessage) steps.Record {
	record := steps.Record{Topic: message.Topic, Partition: message.Partition, Offset: message.Offset,
		TimestampMs: message.Timestamp.UnixMilli(), Key: message.Key, Value: message.Value}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, steps.Header{Key: string(header.Key), Value: header.Value})
	}
	return record
}

// Offsets

func (c *client) listOffsets(topic string, at int64, partitions ...int32) (map[int32]*sarama.OffsetResult, error) {
	wanted := map[int32]int64{}
	for _, partition := range partitions {
		wanted[partition] = at
	}
	found, err := c.admin.ListOffsets(map[string]map[int32]int64{topic: wanted}, nil)
	if err != nil {
		return nil, err
	}
	return found[topic], nil
}

func (c *client) LookUp(topic string, partition int32, at int64) (int64, int64, error) {
	found, err := c.listOffsets(topic, at, partition)
	if err != nil {
		return 0, 0, err
	}
	return found[partition].Offset, found[partition].Timestamp, orNil(found[partition].Err)
}

// orNil: sarama says that there was no error with an error of code 0.
func orNil(err error) error {
	if errors.Is(err, sarama.ErrNoError) {
		return nil
	}
	return err
}

func (c *client) ListOffsets(topic string, at int64) (map[int32]int64, error) {
	found, err := c.listOffsets(topic, at, 0, 1, 2)
	offsets := map[int32]int64{}
	for partition, result := range found {
		offsets[partition] = result.Offset
		err = errors.Join(err, orNil(result.Err))
	}
	return offsets, err
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) (int64, error) {
	return steps.Untold, c.admin.DeleteRecords(topic, map[int32]int64{partition: before})
}
