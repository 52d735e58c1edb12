package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"tidewater/compat-tests/steps"
)

type member struct {
	group     sarama.ConsumerGroup
	inbox     *steps.Inbox
	plug      plug
	positions steps.Positions
	stop      context.CancelFunc
	running   sync.WaitGroup
	mu        sync.Mutex
	session   sarama.ConsumerGroupSession
}

type plug struct{ *steps.Plug }

func (p plug) Dial(network, address string) (net.Conn, error) {
	return p.Plug.Dial(context.Background(), network, address)
}

func (c *client) Join(how steps.Joining, inbox *steps.Inbox) (steps.Member, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &member{inbox: inbox, plug: plug{&steps.Plug{}}, stop: stop}
	config := config()
	config.ClientID = how.ClientID
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, m.plug
	config.Consumer.Group.Session.Timeout, config.Consumer.Group.Heartbeat.Interval = steps.SessionTimeout, steps.HeartbeatInterval
	config.Consumer.Group.InstanceId = how.Instance
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Consumer.Return.Errors = true
	var err error
	if m.group, err = sarama.NewConsumerGroup(servers(), how.Group, config); err != nil {
		stop()
		return nil, err
	}
	go func() {
		for failure := range m.group.Errors() {
			if ctx.Err() == nil {
				inbox.Fail(failure)
			}
		}
	}()
	m.running.Go(func() {
		for ctx.Err() == nil {
			if err := m.group.Consume(ctx, how.Topics, m); err != nil && ctx.Err() == nil {
				inbox.Fail(err)
				return
			}
		}
	})
	return m, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = session
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			record := recordOf(message)
			m.positions.Passed(record)
			m.inbox.Add(record)
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) now() sarama.ConsumerGroupSession {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

func (m *member) Owned() []string {
	var owned []string
	if session := m.now(); session != nil {
		for topic, partitions := range session.Claims() {
			for _, partition := range partitions {
				owned = append(owned, steps.Place(topic, partition))
			}
		}
	}
	return owned
}

func (m *member) Who() (string, int32) {
	if session := m.now(); session != nil {
		return session.MemberID(), session.GenerationID()
	}
	return "", -1
}

// Commit has no result in sarama: what went wrong comes to the member's errors, and shows in what is committed.
func (m *member) Commit() error {
	session := m.now()
	if session == nil {
		return errors.New("the member has no session")
	}
	for topic, partitions := range m.positions.Of(m.Owned()) {
		for partition, offset := range partitions {
			session.MarkOffset(topic, partition, offset, "")
		}
	}
	session.Commit()
	return nil
}

func (m *member) CommitAt(topic string, partition int32, offset int64, metadata string) error {
	session := m.now()
	session.MarkOffset(topic, partition, offset, metadata)
	session.Commit()
	return nil
}

func (m *member) Seek(string, int32, int64) error {
	return errors.New("sarama has no seek in a session")
}

func (m *member) Leave() error {
	m.stop()
	m.running.Wait()
	return m.group.Close()
}

// Cut does not wait: sarama tries for a while to take leave of a broker it cannot reach.
func (m *member) Cut() {
	m.stop()
	m.plug.Pull()
	go m.group.Close()
}

// Admin

func (c *client) Committed(group, topic string) (map[int32]steps.Committed, error) {
	answer, err := c.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	if err != nil {
		return nil, err
	}
	committed := map[int32]steps.Committed{}
	for partition, block := range answer.Blocks[topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		committed[partition] = steps.Committed{Offset: block.Offset, Metadata: block.Metadata}
	}
	return committed, nil
}

func (c *client) CommitAs(group, member string, generation int32, topic string, partition int32, offset int64) error {
	coordinator, err := c.admin.Coordinator(group)
	if err != nil {
		return err
	}
	request := &sarama.OffsetCommitRequest{Version: 8, ConsumerGroup: group, ConsumerID: member, ConsumerGroupGeneration: generation}
	request.AddBlock(topic, partition, offset, 0, "")
	answer, err := coordinator.CommitOffset(request)
	return commitErrors(answer, err)
}

func commitErrors(answer *sarama.OffsetCommitResponse, err error) error {
	if err != nil {
		return err
	}
	for _, partitions := range answer.Errors {
		for _, code := range partitions {
			if code != sarama.ErrNoError {
				return code
			}
		}
	}
	return nil
}

func (c *client) ListGroups() (map[string]steps.Listed, error) {
	groups, err := c.admin.ListConsumerGroups()
	listed := map[string]steps.Listed{}
	for group := range groups {
		listed[group] = steps.Listed{State: steps.Unshown, Type: steps.Unshown}
	}
	return listed, err
}

func (c *client) DescribeGroup(group string) (steps.Described, error) {
	answers, err := c.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return steps.Described{}, err
	}
	found := answers[0]
	if found.Err != sarama.ErrNoError {
		return steps.Described{}, found.Err
	}
	described := steps.Described{State: found.State, Protocol: found.Protocol, Members: map[string]steps.DescribedMember{}}
	for _, m := range found.Members {
		assigned, err := m.GetMemberAssignment()
		if err != nil {
			return described, err
		}
		var owned []string
		for topic, partitions := range assigned.Topics {
			for _, partition := range partitions {
				owned = append(owned, steps.Place(topic, partition))
			}
		}
		described.Members[m.ClientId] = steps.DescribedMember{Host: m.ClientHost, Owned: owned}
	}
	return described, nil
}

func (c *client) AlterOffsets(group, topic string, offsets map[int32]int64) error {
	wanted := map[int32]sarama.OffsetAndMetadata{}
	for partition, offset := range offsets {
		wanted[partition] = sarama.OffsetAndMetadata{Offset: offset, LeaderEpoch: -1}
	}
	return commitErrors(c.admin.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{topic: wanted}, nil))
}

func (c *client) DeleteOffsets(group, topic string, partition int32) error {
	return c.admin.DeleteConsumerGroupOffset(group, topic, partition)
}

func (c *client) DeleteGroup(group string) error { return c.admin.DeleteConsumerGroup(group) }

func (c *client) broker() int32 { return c.sarama.Brokers()[0].ID() }

func (c *client) LogDirs(topic string) (map[int32]int64, error) {
	answers, err := c.admin.DescribeLogDirs([]int32{c.broker()})
	sizes := map[int32]int64{}
	for _, dirs := range answers {
		for _, dir := range dirs {
			for _, found := range dir.Topics {
				for _, partition := range found.Partitions {
					if found.Topic == topic {
						sizes[partition.PartitionID] = partition.Size
					}
				}
			}
		}
	}
	return sizes, err
}

func (c *client) BrokerConfig(key string) (steps.Config, error) {
	configs, err := c.configs(sarama.BrokerResource, strconv.Itoa(int(c.broker())), sarama.SourceDynamicBroker)
	return configs[key], err
}

func (c *client) AlterBroker(key string, value *string) error {
	entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: value}
	if value == nil {
		entry.Operation = sarama.IncrementalAlterConfigsOperationDelete
	}
	return c.admin.IncrementalAlterConfig(sarama.BrokerResource, fmt.Sprint(c.broker()),
		map[string]sarama.IncrementalAlterConfigsEntry{key: entry}, false)
}

func (c *client) SetQuota(clientID, key string, value *float64) error {
	op := sarama.ClientQuotasOp{Key: key, Remove: value == nil}
	if value != nil {
		op.Value = *value
	}
	entity := sarama.QuotaEntityComponent{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Name: clientID}
	return c.admin.AlterClientQuotas([]sarama.QuotaEntityComponent{entity}, op, false)
}

func (c *client) Quotas(clientID string) (map[string]float64, error) {
	match := sarama.QuotaFilterComponent{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Match: clientID}
	entries, err := c.admin.DescribeClientQuotas([]sarama.QuotaFilterComponent{match}, true)
	quotas := map[string]float64{}
	for _, entry := range entries {
		for key, value := range entry.Values {
			quotas[key] = value
		}
	}
	return quotas, err
}
