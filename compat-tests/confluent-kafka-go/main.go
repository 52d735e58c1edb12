// confluent-kafka-go's words for the common list of steps (../lib/go): librdkafka behind Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"tidewater/compat-tests/steps"
)

type client struct {
	steps.Lacking
	admin *kafka.AdminClient
	// A consumer asks for metadata without having topics created.
	asker *kafka.Consumer
}

func main() {
	admin, err1 := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap()})
	asker, err2 := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap(), "group.id": "unused"})
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	steps.Run(&client{admin: admin, asker: asker})
}

func (c *client) Identity() (string, string) {
	_, librdkafka := kafka.LibraryVersion()
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/confluentinc/confluent-kafka-go/v2" {
			return "confluent-kafka-go", module.Version + " (librdkafka " + librdkafka + ")"
		}
	}
	return "confluent-kafka-go", "unknown"
}

func (c *client) Cannot() map[string]string {
	return map[string]string{
		"group-crash":          "librdkafka's connections cannot be cut from within the program; confluent-kafka and rdkafka kill theirs",
		"group-delete-offsets": "the binding has no DeleteConsumerGroupOffsets",
		"error-fenced-member":  "the binding does not commit with a generation of the program's choice",
		"admin-log-dirs":       "librdkafka has no DescribeLogDirs",
		"admin-quotas":         "librdkafka has no client quotas",
	}
}

func (c *client) Code(err error) int {
	var known kafka.Error
	if !errors.As(err, &known) {
		return 0
	}
	switch known.Code() {
	case kafka.ErrAutoOffsetReset: // out of range, and no reset to fall back on
		return 1
	case kafka.ErrInvalidArg: // librdkafka does not even ask for 0 partitions
		return int(kafka.ErrInvalidPartitions)
	case kafka.ErrFenced: // by 47 or 90
		return int(kafka.ErrProducerFenced)
	}
	return int(known.Code())
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), steps.Deadline)
}

const deadlineMs = int(steps.Deadline / time.Millisecond)

// wrong is an error inside an answer, nil where it says that there is none.
func wrong(err kafka.Error) error {
	if err.Code() == kafka.ErrNoError {
		return nil
	}
	return err
}

// Topics

func (c *client) Create(topic string, partitions, replication int, configs map[string]string) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: partitions,
		ReplicationFactor: replication, Config: configs}})
	return one(answers, err)
}

func one(answers []kafka.TopicResult, err error) error {
	for _, answer := range answers {
		err = errors.Join(err, wrong(answer.Error))
	}
	return err
}

func (c *client) Describe(topic string) ([]steps.Partition, error) {
	metadata, err := c.asker.GetMetadata(&topic, false, deadlineMs)
	if err != nil {
		return nil, err
	}
	var partitions []steps.Partition
	for _, p := range metadata.Topics[topic].Partitions {
		partitions = append(partitions, steps.Partition{ID: p.ID, Leader: p.Leader, Replicas: p.Replicas, ISR: p.Isrs})
	}
	return partitions, wrong(metadata.Topics[topic].Error)
}

func (c *client) configs(kind kafka.ResourceType, name string, own kafka.ConfigSource) (map[string]steps.Config, error) {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.DescribeConfigs(ctx, []kafka.ConfigResource{{Type: kind, Name: name}})
	if err != nil {
		return nil, err
	}
	configs := map[string]steps.Config{}
	for key, entry := range answers[0].Config {
		configs[key] = steps.Config{Value: entry.Value, OnTopic: entry.Source == own}
	}
	return configs, wrong(answers[0].Error)
}

func (c *client) Configs(topic string) (map[string]steps.Config, error) {
	return c.configs(kafka.ResourceTopic, topic, kafka.ConfigSourceDynamicTopic)
}

var operations = map[string]kafka.AlterConfigOpType{"set": kafka.AlterConfigOpTypeSet, "delete": kafka.AlterConfigOpTypeDelete,
	"append": kafka.AlterConfigOpTypeAppend, "subtract": kafka.AlterConfigOpTypeSubtract}

func (c *client) alter(kind kafka.ResourceType, name string, ops ...steps.Op) error {
	ctx, cancel := limited()
	defer cancel()
	resource := kafka.ConfigResource{Type: kind, Name: name}
	for _, op := range ops {
		resource.Config = append(resource.Config, kafka.ConfigEntry{Name: op.Key, Value: op.Value, IncrementalOperation: operations[op.Kind]})
	}
	answers, err := c.admin.IncrementalAlterConfigs(ctx, []kafka.ConfigResource{resource})
	if err != nil {
		return err
	}
	return wrong(answers[0].Error)
}

func (c *client) Alter(topic string, ops ...steps.Op) error {
	return c.alter(kafka.ResourceTopic, topic, ops...)
}

func (c *client) Grow(topic string, partitions int) error {
	ctx, cancel := limited()
	defer cancel()
	return one(c.admin.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: partitions}}))
}

func (c *client) Topics() ([]string, error) {
	metadata, err := c.asker.GetMetadata(nil, true, deadlineMs)
	if err != nil {
		return nil, err
	}
	var topics []string
	for topic := range metadata.Topics {
		topics = append(topics, topic)
	}
	return topics, nil
}

func (c *client) Delete(topics ...string) error {
	ctx, cancel := limited()
	defer cancel()
	return one(c.admin.DeleteTopics(ctx, topics))
}

// Records

func (c *client) Produce(topic string, how steps.How, records []steps.Record) error {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap(), "compression.type": how.Codec,
		"acks": how.Acks, "enable.idempotence": how.Idempotent, "linger.ms": 5})
	if err != nil {
		return err
	}
	defer producer.Close()
	return send(producer, topic, records)
}

func send(producer *kafka.Producer, topic string, records []steps.Record) error {
	deliveries := make(chan kafka.Event, len(records))
	for i, record := range records {
		message := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: record.Partition}, Key: record.Key,
			Value: record.Value, Timestamp: time.UnixMilli(record.TimestampMs), Opaque: i}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
		}
		if err := producer.Produce(message, deliveries); err != nil {
			return err
		}
	}
	limit := time.After(steps.Deadline)
	for range records {
		select {
		case event := <-deliveries:
			delivered := event.(*kafka.Message)
			if delivered.TopicPartition.Error != nil {
				return delivered.TopicPartition.Error
			}
			records[delivered.Opaque.(int)].Offset = int64(delivered.TopicPartition.Offset)
		case <-limit:
			return errors.New("not all records were delivered in time")
		}
	}
	return nil
}

func recordOf(message *kafka.Message) steps.Record {
	record := steps.Record{Topic: *message.TopicPartition.Topic, Partition: message.TopicPartition.Partition,
		Offset: int64(message.TopicPartition.Offset), TimestampMs: message.Timestamp.UnixMilli(), Key: message.Key, Value: message.Value}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, steps.Header{Key: header.Key, Value: header.Value})
	}
	return record
}

func (c *client) Consume(topic string, starts map[int32]int64, count int, committed bool) ([]steps.Record, error) {
	isolation := map[bool]string{false: "read_uncommitted", true: "read_committed"}[committed]
	consumer, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap(), "group.id": "unused",
		"isolation.level": isolation, "enable.auto.commit": false, "auto.offset.reset": "error", "fetch.wait.max.ms": 200})
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var places []kafka.TopicPartition
	for partition, start := range starts {
		places = append(places, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(start)})
	}
	if err := consumer.Assign(places); err != nil {
		return nil, err
	}
	var records []steps.Record
	for limit := time.Now().Add(steps.Deadline); len(records) < count && time.Now().Before(limit); {
		message, err := next(consumer)
		if err != nil {
			return records, err
		}
		if message != nil {
			records = append(records, recordOf(message))
		}
	}
	return records, nil
}

// next is the next record, nil if there is none yet. What librdkafka says of connections it mends itself.
func next(consumer *kafka.Consumer) (*kafka.Message, error) {
	switch event := consumer.Poll(100).(type) {
	case *kafka.Message:
		return event, event.TopicPartition.Error
	case kafka.Error:
		if event.Code() != kafka.ErrTransport && event.Code() != kafka.ErrAllBrokersDown {
			return nil, event
		}
	}
	return nil, nil
}

// Offsets

func (c *client) listOffsets(topic string, at int64, partitions ...int32) (map[int32]kafka.ListOffsetsResultInfo, error) {
	ctx, cancel := limited()
	defer cancel()
	spec := kafka.NewOffsetSpecForTimestamp(at)
	switch at {
	case steps.Earliest:
		spec = kafka.EarliestOffsetSpec
	case steps.Latest:
		spec = kafka.LatestOffsetSpec
	case steps.MaxTimestamp:
		spec = kafka.MaxTimestampOffsetSpec
	}
	wanted := map[kafka.TopicPartition]kafka.OffsetSpec{}
	for _, partition := range partitions {
		wanted[kafka.TopicPartition{Topic: &topic, Partition: partition}] = spec
	}
	answer, err := c.admin.ListOffsets(ctx, wanted)
	if err != nil {
		return nil, err
	}
	found := map[int32]kafka.ListOffsetsResultInfo{}
	for place, info := range answer.ResultInfos {
		found[place.Partition] = info
		err = errors.Join(err, wrong(info.Error))
	}
	return found, err
}

func (c *client) LookUp(topic string, partition int32, at int64) (int64, int64, error) {
	found, err := c.listOffsets(topic, at, partition)
	return int64(found[partition].Offset), found[partition].Timestamp, err
}

func (c *client) ListOffsets(topic string, at int64) (map[int32]int64, error) {
	found, err := c.listOffsets(topic, at, 0, 1, 2)
	offsets := map[int32]int64{}
	for partition, info := range found {
		offsets[partition] = int64(info.Offset)
	}
	return offsets, err
}

func (c *client) DeleteRecords(topic string, partition int32, before int64) (int64, error) {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.DeleteRecords(ctx, []kafka.TopicPartition{{Topic: &topic, Partition: partition, Offset: kafka.Offset(before)}})
	if err != nil {
		return 0, err
	}
	answer := answers.DeleteRecordsResults[0]
	if answer.TopicPartition.Error != nil {
		return 0, answer.TopicPartition.Error
	}
	if answer.DeletedRecords == nil {
		return 0, fmt.Errorf("no low watermark of %s-%d", topic, partition)
	}
	return int64(answer.DeletedRecords.LowWatermark), nil
}
