package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"tidewater/compat-tests/steps"
)

type member struct {
	consumer  *kafka.Consumer
	positions steps.Positions
	polling   sync.WaitGroup
	stop      context.CancelFunc
	// The binding does not show the generation: how often it was given partitions stands for it.
	assignments atomic.Int32
}

func (c *client) Join(how steps.Joining, inbox *steps.Inbox) (steps.Member, error) {
	settings := kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap(), "group.id": how.Group, "client.id": how.ClientID,
		"enable.auto.commit": false, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 200,
		"topic.metadata.refresh.interval.ms": 1000}
	if how.NoReset {
		settings["auto.offset.reset"] = "error"
	}
	if how.Instance != "" {
		settings["group.instance.id"] = how.Instance
	}
	if how.NextGeneration {
		// Timeouts are the broker's there.
		settings["group.protocol"] = "consumer"
	} else {
		settings["session.timeout.ms"] = int(steps.SessionTimeout.Milliseconds())
		settings["heartbeat.interval.ms"] = int(steps.HeartbeatInterval.Milliseconds())
	}
	consumer, err := kafka.NewConsumer(&settings)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{consumer: consumer, stop: stop}
	topics := how.Topics
	if how.Pattern != "" {
		topics = []string{"^" + how.Pattern}
	}
	changed := func(_ *kafka.Consumer, event kafka.Event) error {
		if _, assigned := event.(kafka.AssignedPartitions); assigned {
			m.assignments.Add(1)
		}
		return nil
	}
	if err := consumer.SubscribeTopics(topics, changed); err != nil {
		return nil, err
	}
	m.polling.Go(func() {
		for ctx.Err() == nil {
			message, err := next(consumer)
			if err != nil {
				inbox.Fail(err)
			} else if message != nil {
				record := recordOf(message)
				m.positions.Passed(record)
				inbox.Add(record)
			}
		}
	})
	return m, nil
}

func (m *member) Owned() []string {
	places, err := m.consumer.Assignment()
	if err != nil {
		return nil
	}
	var owned []string
	for _, place := range places {
		owned = append(owned, steps.Place(*place.Topic, place.Partition))
	}
	return owned
}

func (m *member) Who() (string, int32) { return "", m.assignments.Load() }

func (m *member) commit(places []kafka.TopicPartition) error {
	committed, err := m.consumer.CommitOffsets(places)
	for _, place := range committed {
		err = errors.Join(err, place.Error)
	}
	return err
}

func (m *member) Commit() error {
	var places []kafka.TopicPartition
	for topic, partitions := range m.positions.Of(m.Owned()) {
		for partition, offset := range partitions {
			places = append(places, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset)})
		}
	}
	return m.commit(places)
}

func (m *member) CommitAt(topic string, partition int32, offset int64, metadata string) error {
	return m.commit([]kafka.TopicPartition{{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset), Metadata: &metadata}})
}

func (m *member) Seek(topic string, partition int32, offset int64) error {
	return m.consumer.Seek(kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset)}, 0)
}

func (m *member) Leave() error {
	m.stop()
	m.polling.Wait()
	return m.consumer.Close()
}

func (m *member) Cut() { m.Leave() }

// Admin

func (c *client) Committed(group, topic string) (map[int32]steps.Committed, error) {
	ctx, cancel := limited()
	defer cancel()
	var places []kafka.TopicPartition
	for partition := range int32(3) {
		places = append(places, kafka.TopicPartition{Topic: &topic, Partition: partition})
	}
	answer, err := c.admin.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: places}})
	if err != nil {
		return nil, err
	}
	committed := map[int32]steps.Committed{}
	for _, place := range answer.ConsumerGroupsTopicPartitions[0].Partitions {
		found := steps.Committed{Offset: max(int64(place.Offset), -1)}
		if place.Metadata != nil {
			found.Metadata = *place.Metadata
		}
		committed[place.Partition] = found
		err = errors.Join(err, place.Error)
	}
	return committed, err
}

func (c *client) ListGroups() (map[string]steps.Listed, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.admin.ListConsumerGroups(ctx)
	listed := map[string]steps.Listed{}
	for _, group := range answer.Valid {
		listed[group.GroupID] = steps.Listed{State: group.State.String(), Type: group.Type.String()}
	}
	return listed, errors.Join(append(answer.Errors, err)...)
}

func (c *client) DescribeGroup(group string) (steps.Described, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.admin.DescribeConsumerGroups(ctx, []string{group})
	if err != nil {
		return steps.Described{}, err
	}
	found := answer.ConsumerGroupDescriptions[0]
	described := steps.Described{State: found.State.String(), Protocol: found.PartitionAssignor, Members: map[string]steps.DescribedMember{}}
	for _, m := range found.Members {
		var owned []string
		for _, place := range m.Assignment.TopicPartitions {
			owned = append(owned, steps.Place(*place.Topic, place.Partition))
		}
		described.Members[m.ClientID] = steps.DescribedMember{Host: m.Host, Owned: owned}
	}
	return described, wrong(found.Error)
}

func (c *client) AlterOffsets(group, topic string, offsets map[int32]int64) error {
	ctx, cancel := limited()
	defer cancel()
	var places []kafka.TopicPartition
	for partition, offset := range offsets {
		places = append(places, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset)})
	}
	answer, err := c.admin.AlterConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{{Group: group, Partitions: places}})
	if err != nil {
		return err
	}
	for _, place := range answer.ConsumerGroupsTopicPartitions[0].Partitions {
		err = errors.Join(err, place.Error)
	}
	return err
}

func (c *client) DeleteGroup(group string) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.admin.DeleteConsumerGroups(ctx, []string{group})
	if err != nil {
		return err
	}
	return wrong(answer.ConsumerGroupResults[0].Error)
}

func (c *client) broker() (string, error) {
	metadata, err := c.asker.GetMetadata(nil, true, deadlineMs)
	if err != nil {
		return "", err
	}
	return strconv.Itoa(int(metadata.Brokers[0].ID)), nil
}

func (c *client) BrokerConfig(key string) (steps.Config, error) {
	name, err := c.broker()
	if err != nil {
		return steps.Config{}, err
	}
	configs, err := c.configs(kafka.ResourceBroker, name, kafka.ConfigSourceDynamicBroker)
	return configs[key], err
}

func (c *client) AlterBroker(key string, value *string) error {
	name, err := c.broker()
	if err != nil {
		return err
	}
	op := steps.Op{Kind: "delete", Key: key}
	if value != nil {
		op = steps.Op{Kind: "set", Key: key, Value: *value}
	}
	return c.alter(kafka.ResourceBroker, name, op)
}
