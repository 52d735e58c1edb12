package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/segmentio/kafka-go"
	"tidewater/compat-tests/steps"
)

// A member is built on ConsumerGroup, which kafka-go's own Reader is built on, because a Reader does not say what it owns.
type member struct {
	client     *client
	id         string
	dialer     *kafka.Dialer
	plug       *steps.Plug
	inbox      *steps.Inbox
	group      *kafka.ConsumerGroup
	positions  steps.Positions
	stop       context.CancelFunc
	mu         sync.Mutex
	generation *kafka.Generation
	readers    map[string]*kafka.Reader
}

func (c *client) Join(how steps.Joining, inbox *steps.Inbox) (steps.Member, error) {
	plug := &steps.Plug{}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{client: c, id: how.Group, plug: plug, inbox: inbox, stop: stop, readers: map[string]*kafka.Reader{},
		dialer: &kafka.Dialer{ClientID: how.ClientID, DialFunc: plug.Dial}}
	var err error
	m.group, err = kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: how.Group, Brokers: servers(), Dialer: m.dialer,
		Topics: how.Topics, HeartbeatInterval: steps.HeartbeatInterval, SessionTimeout: steps.SessionTimeout,
		StartOffset: kafka.FirstOffset})
	if err != nil {
		stop()
		return nil, err
	}
	go func() {
		for ctx.Err() == nil {
			if generation, err := m.group.Next(ctx); err == nil {
				m.begin(generation)
			} else if !errors.Is(err, kafka.ErrGroupClosed) && ctx.Err() == nil {
				inbox.Fail(err)
			}
		}
	}()
	return m, nil
}

func (m *member) begin(generation *kafka.Generation) {
	m.mu.Lock()
	m.generation = generation
	m.mu.Unlock()
	for topic, assignments := range generation.Assignments {
		for _, assignment := range assignments {
			generation.Start(func(ctx context.Context) { m.read(ctx, topic, int32(assignment.ID), assignment.Offset) })
		}
	}
}

func (m *member) read(ctx context.Context, topic string, partition int32, start int64) {
	reader, place := reader(topic, partition, m.dialer), steps.Place(topic, partition)
	defer reader.Close()
	if err := reader.SetOffset(start); err != nil {
		m.inbox.Fail(err)
		return
	}
	m.mu.Lock()
	m.readers[place] = reader
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.readers, place)
		m.mu.Unlock()
	}()
	for {
		message, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.inbox.Fail(err)
			return
		}
		record := recordOf(message)
		m.positions.Passed(record)
		m.inbox.Add(record)
	}
}

func (m *member) Owned() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.readers))
}

func (m *member) now() *kafka.Generation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

func (m *member) Who() (string, int32) {
	generation := m.now()
	return generation.MemberID, generation.ID
}

func (m *member) Commit() error {
	offsets := map[string]map[int]int64{}
	for topic, partitions := range m.positions.Of(m.Owned()) {
		offsets[topic] = map[int]int64{}
		for partition, offset := range partitions {
			offsets[topic][int(partition)] = offset
		}
	}
	return m.now().CommitOffsets(offsets)
}

func (m *member) CommitAt(topic string, partition int32, offset int64, metadata string) error {
	id, generation := m.Who()
	return m.client.commit(m.id, id, generation, topic, partition, offset, metadata)
}

func (m *member) Seek(topic string, partition int32, offset int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readers[steps.Place(topic, partition)].SetOffset(offset)
}

func (m *member) Leave() error {
	m.stop()
	return m.group.Close()
}

// Cut does not wait: kafka-go tries for a while to take leave of a broker it cannot reach.
func (m *member) Cut() {
	m.stop()
	m.plug.Pull()
	go m.group.Close()
}

// Admin

func (c *client) commit(group, member string, generation int32, topic string, partition int32, offset int64, metadata string) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, MemberID: member, GenerationID: int(generation),
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: int(partition), Offset: offset, Metadata: metadata}}}})
	if err != nil {
		return err
	}
	return answer.Topics[topic][0].Error
}

func (c *client) CommitAs(group, member string, generation int32, topic string, partition int32, offset int64) error {
	return c.commit(group, member, generation, topic, partition, offset, "")
}

func (c *client) AlterOffsets(group, topic string, offsets map[int32]int64) error {
	var err error
	for partition, offset := range offsets {
		err = errors.Join(err, c.commit(group, "", -1, topic, partition, offset, ""))
	}
	return err
}

func (c *client) Committed(group, topic string) (map[int32]steps.Committed, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, err
	}
	committed := map[int32]steps.Committed{}
	for _, found := range answer.Topics[topic] {
		err = errors.Join(err, found.Error)
		committed[int32(found.Partition)] = steps.Committed{Offset: found.CommittedOffset, Metadata: found.Metadata}
	}
	return committed, err
}

func (c *client) ListGroups() (map[string]steps.Listed, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, err
	}
	listed := map[string]steps.Listed{}
	for _, group := range answer.Groups {
		listed[group.GroupID] = steps.Listed{State: steps.Unshown, Type: steps.Unshown}
	}
	return listed, nil
}

func (c *client) DescribeGroup(group string) (steps.Described, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return steps.Described{}, err
	}
	found := answer.Groups[0]
	described := steps.Described{State: found.GroupState, Protocol: steps.Unshown, Members: map[string]steps.DescribedMember{}}
	for _, m := range found.Members {
		var owned []string
		for _, topic := range m.MemberAssignments.Topics {
			for _, partition := range topic.Partitions {
				owned = append(owned, steps.Place(topic.Topic, int32(partition)))
			}
		}
		described.Members[m.ClientID] = steps.DescribedMember{Host: m.ClientHost, Owned: owned}
	}
	return described, found.Error
}

func (c *client) DeleteOffsets(group, topic string, partition int32) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {int(partition)}}})
	if err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return answer.Topics[topic][0].Error
}

func (c *client) DeleteGroup(group string) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return answer.Errors[group]
}

func (c *client) broker() (string, error) {
	answer, err := c.metadata()
	if err != nil {
		return "", err
	}
	return strconv.Itoa(answer.Brokers[0].ID), nil
}

func (c *client) BrokerConfig(key string) (steps.Config, error) {
	name, err := c.broker()
	if err != nil {
		return steps.Config{}, err
	}
	configs, err := c.configs(kafka.ResourceTypeBroker, name, 2)
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
	return c.alter(kafka.ResourceTypeBroker, name, op)
}

func (c *client) SetQuota(clientID, key string, value *float64) error {
	ctx, cancel := limited()
	defer cancel()
	op := kafka.AlterClientQuotaOps{Key: key, Remove: value == nil}
	if value != nil {
		op.Value = *value
	}
	answer, err := c.kafka.AlterClientQuotas(ctx, &kafka.AlterClientQuotasRequest{Entries: []kafka.AlterClientQuotaEntry{{
		Entities: []kafka.AlterClientQuotaEntity{{EntityType: "client-id", EntityName: clientID}}, Ops: []kafka.AlterClientQuotaOps{op}}}})
	if err != nil {
		return err
	}
	return answer.Entries[0].Error
}

func (c *client) Quotas(clientID string) (map[string]float64, error) {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.kafka.DescribeClientQuotas(ctx, &kafka.DescribeClientQuotasRequest{Strict: true,
		Components: []kafka.DescribeClientQuotasRequestComponent{{EntityType: "client-id", Match: clientID}}})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, fmt.Errorf("describing quotas: %w", err)
	}
	quotas := map[string]float64{}
	for _, entry := range answer.Entries {
		for _, value := range entry.Values {
			quotas[value.Key] = value.Value
		}
	}
	return quotas, nil
}
