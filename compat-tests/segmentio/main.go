// segmentio's kafka-go's words for the common list of steps (../lib/go).
package main

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"tidewater/compat-tests/steps"
)

type client struct {
	steps.Lacking
	kafka *kafka.Client
}

func servers() []string { return strings.Split(steps.Bootstrap(), ",") }

func main() {
	steps.Run(&client{kafka: &kafka.Client{Addr: kafka.TCP(servers()...), Timeout: steps.Deadline,
		// What the transport remembers of topics would hide for a while what has just been made.
		Transport: &kafka.Transport{MetadataTTL: 100 * time.Millisecond, ClientID: "compat-segmentio"}}})
}

func (c *client) Identity() (string, string) {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/segmentio/kafka-go" {
			return "segmentio", module.Version
		}
	}
	return "segmentio", "unknown"
}

const noTransactions = "kafka-go's writer has no producer id"

func (c *client) Cannot() map[string]string {
	return map[string]string{
		"offset-max-timestamp":  "kafka-go has no name for the offset of the largest timestamp",
		"delete-records":        "kafka-go has no DeleteRecords",
		"group-static":          "its groups have no group.instance.id",
		"group-pattern":         "its groups subscribe to names only",
		"error-no-offset":       "its groups start at the first or last record and have no auto.offset.reset=none",
		"group-next-generation": "kafka-go speaks the classic protocol only",
		"admin-log-dirs":        "kafka-go has no DescribeLogDirs",
		"transaction-commit":    noTransactions,
		"transaction-abort":     noTransactions,
		"transaction-offsets":   noTransactions,
		"transaction-fenced":    noTransactions,
	}
}

// ReadsNullAsEmpty: a Reader hands out nil for both.
func (c *client) ReadsNullAsEmpty() {}

func (c *client) Code(err error) int {
	var several kafka.WriteErrors
	if errors.As(err, &several) {
		for _, one := range several {
			if one != nil {
				return c.Code(one)
			}
		}
	}
	var code kafka.Error
	if errors.As(err, &code) {
		return int(code)
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
	wanted := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: replication}
	for key, value := range configs {
		wanted.ConfigEntries = append(wanted.ConfigEntries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	answer, err := c.kafka.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{wanted}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

// metadata asks past what the transport remembers.
func (c *client) metadata(topics ...string) (*kafka.MetadataResponse, error) {
	ctx, cancel := limited()
	defer cancel()
	return c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
}

func numbers(brokers []kafka.Broker) []int32 {
	var numbers []int32
	for _, broker := range brokers {
		numbers = append(numbers, int32(broker.ID))
	}
	return numbers
}

func (c *client) Describe(topic string) ([]steps.Partition, error) {
	answer, err := c.metadata(topic)
	if err != nil {
		return nil, err
	}
	if err := answer.Topics[0].Error; err != nil {
		return nil, err
	}
	var partitions []steps.Partition
	for _, p := range answer.Topics[0].Partitions {
		partitions = append(partitions, steps.Partition{ID: int32(p.ID), Leader: int32(p.Leader.ID),
			Replicas: numbers(p.Replicas), ISR: numbers(p.Isr)})
	}
	return partitions, nil
}

// own is the number by which the protocol says that a value is set on the resource itself.
func (c *client) configs(kind kafka.ResourceType, name string, own int8) (map[string]steps.Config, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kind, ResourceName: name}}})
	if err != nil {
		return nil, err
	}
	configs := map[string]steps.Config{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		configs[entry.ConfigName] = steps.Config{Value: entry.ConfigValue, OnTopic: entry.ConfigSource == own}
	}
	return configs, answer.Resources[0].Error
}

func (c *client) Configs(topic string) (map[string]steps.Config, error) {
	return c.configs(kafka.ResourceTypeTopic, topic, 1)
}

var operations = map[string]kafka.ConfigOperation{"set": kafka.ConfigOperationSet, "delete": kafka.ConfigOperationDelete,
	"append": kafka.ConfigOperationAppend, "subtract": kafka.ConfigOperationSubtract}

func (c *client) alter(kind kafka.ResourceType, name string, ops ...steps.Op) error {
	ctx, cancel := limited()
	defer cancel()
	wanted := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for _, op := range ops {
		wanted.Configs = append(wanted.Configs,
			kafka.IncrementalAlterConfigsRequestConfig{Name: op.Key, Value: op.Value, ConfigOperation: operations[op.Kind]})
	}
	answer, err := c.kafka.IncrementalAlterConfigs(ctx,
		&kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{wanted}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (c *client) Alter(topic string, ops ...steps.Op) error {
	return c.alter(kafka.ResourceTypeTopic, topic, ops...)
}

func (c *client) Grow(topic string, partitions int) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.CreatePartitions(ctx,
		&kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(partitions)}}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (c *client) Topics() ([]string, error) {
	answer, err := c.metadata()
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, topic := range answer.Topics {
		topics = append(topics, topic.Name)
	}
	return topics, nil
}

func (c *client) Delete(topics ...string) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: topics})
	if err != nil {
		return err
	}
	for _, topic := range topics {
		err = errors.Join(err, answer.Errors[topic])
	}
	return err
}

// Records

var codecs = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

// Produce is never idempotent: kafka-go's writer has no producer id.
func (c *client) Produce(topic string, how steps.How, records []steps.Record) error {
	writer := &kafka.Writer{Addr: kafka.TCP(servers()...), Topic: topic, RequiredAcks: kafka.RequiredAcks(how.Acks),
		BatchTimeout: 5 * time.Millisecond, Compression: codecs[how.Codec], Transport: c.kafka.Transport,
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int { return int(message.WriterData.(*steps.Record).Partition) }),
		Completion: func(messages []kafka.Message, err error) {
			for _, message := range messages {
				if record := message.WriterData.(*steps.Record); err == nil && how.Acks != 0 {
					record.Offset = message.Offset
				}
			}
		}}
	var messages []kafka.Message
	for i := range records {
		record := &records[i]
		message := kafka.Message{Key: record.Key, Value: record.Value, Time: time.UnixMilli(record.TimestampMs), WriterData: record}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
		}
		messages = append(messages, message)
	}
	ctx, cancel := limited()
	defer cancel()
	return errors.Join(writer.WriteMessages(ctx, messages...), writer.Close())
}

func reader(topic string, partition int32, dialer *kafka.Dialer) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{Brokers: servers(), Topic: topic, Partition: int(partition), MinBytes: 1, MaxBytes: 1 << 20,
		MaxWait: 200 * time.Millisecond, Dialer: dialer, OffsetOutOfRangeError: true})
}

func recordOf(message kafka.Message) steps.Record {
	record := steps.Record{Topic: message.Topic, Partition: int32(message.Partition), Offset: message.Offset,
		TimestampMs: message.Time.UnixMilli(), Key: message.Key, Value: message.Value}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, steps.Header{Key: header.Key, Value: header.Value})
	}
	return record
}

// Consume always reads everything: what is committed is asked for by the steps of transactions alone, which are not for it.
func (c *client) Consume(topic string, starts map[int32]int64, count int, _ bool) ([]steps.Record, error) {
	ctx, cancel := limited()
	defer cancel()
	found := make(chan steps.Record)
	failures := make(chan error, len(starts))
	for partition, start := range starts {
		reader := reader(topic, partition, nil)
		defer reader.Close()
		if err := reader.SetOffset(start); err != nil {
			return nil, err
		}
		go func() {
			for {
				message, err := reader.ReadMessage(ctx)
				if err != nil {
					failures <- err
					return
				}
				select {
				case found <- recordOf(message):
				case <-ctx.Done():
				}
			}
		}()
	}
	var records []steps.Record
	for len(records) < count {
		select {
		case record := <-found:
			records = append(records, record)
		case err := <-failures:
			return records, err
		}
	}
	return records, nil
}

// Offsets

func (c *client) listOffsets(topic string, at int64, partitions ...int) ([]kafka.PartitionOffsets, error) {
	ctx, cancel := limited()
	defer cancel()
	var wanted []kafka.OffsetRequest
	for _, partition := range partitions {
		wanted = append(wanted, kafka.OffsetRequest{Partition: partition, Timestamp: at})
	}
	answer, err := c.kafka.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: wanted}})
	if err != nil {
		return nil, err
	}
	return answer.Topics[topic], nil
}

func offsetOf(found kafka.PartitionOffsets, at int64) (int64, int64) {
	switch at {
	case steps.Earliest:
		return found.FirstOffset, steps.Untold
	case steps.Latest:
		return found.LastOffset, steps.Untold
	}
	// The times it names are those that were asked for, not the records'.
	for offset := range found.Offsets {
		return offset, steps.Untold
	}
	return steps.Untold, steps.Untold
}

func (c *client) LookUp(topic string, partition int32, at int64) (int64, int64, error) {
	found, err := c.listOffsets(topic, at, int(partition))
	if err != nil {
		return 0, 0, err
	}
	offset, ms := offsetOf(found[0], at)
	return offset, ms, found[0].Error
}

func (c *client) ListOffsets(topic string, at int64) (map[int32]int64, error) {
	found, err := c.listOffsets(topic, at, 0, 1, 2)
	offsets := map[int32]int64{}
	for _, partition := range found {
		offsets[int32(partition.Partition)], _ = offsetOf(partition, at)
		err = errors.Join(err, partition.Error)
	}
	return offsets, err
}
