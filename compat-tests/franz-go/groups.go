package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"tidewater/compat-tests/steps"
)

type member struct {
	client    *kgo.Client
	plug      *steps.Plug
	positions steps.Positions
	polling   sync.WaitGroup
	stop      context.CancelFunc
	mu        sync.Mutex
	owned     map[string]bool
}

func (c *client) Join(how steps.Joining, inbox *steps.Inbox) (steps.Member, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &member{plug: &steps.Plug{}, stop: stop, owned: map[string]bool{}}
	lost := func(_ context.Context, _ *kgo.Client, places map[string][]int32) { m.assigned(places, false) }
	reset := kgo.NewOffset().AtStart()
	if how.NoReset {
		reset = kgo.NewOffset().AtCommitted()
	}
	options := []kgo.Opt{kgo.SeedBrokers(steps.Bootstrap()), kgo.ClientID(how.ClientID), kgo.Dialer(m.plug.Dial),
		kgo.ConsumerGroup(how.Group), kgo.ConsumeTopics(how.Topics...), kgo.DisableAutoCommit(), kgo.ConsumeStartOffset(reset),
		kgo.SessionTimeout(steps.SessionTimeout), kgo.HeartbeatInterval(steps.HeartbeatInterval),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, places map[string][]int32) { m.assigned(places, true) }),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost)}
	if how.Pattern != "" {
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+how.Pattern+"$"))
	}
	if how.Instance != "" {
		options = append(options, kgo.InstanceID(how.Instance))
	}
	if how.NextGeneration {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	var err error
	if m.client, err = kgo.NewClient(options...); err != nil {
		return nil, err
	}
	m.polling.Go(func() { m.poll(ctx, inbox) })
	return m, nil
}

func (m *member) poll(ctx context.Context, inbox *steps.Inbox) {
	for {
		fetches := m.client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		if err := fetches.Err(); err != nil {
			inbox.Fail(err)
		}
		records := recordsOf(fetches)
		m.positions.Passed(records...)
		inbox.Add(records...)
	}
}

func (m *member) assigned(places map[string][]int32, now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for topic, partitions := range places {
		for _, partition := range partitions {
			if place := steps.Place(topic, partition); now {
				m.owned[place] = true
			} else {
				delete(m.owned, place)
			}
		}
	}
}

func (m *member) Owned() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.owned))
}

func (m *member) Who() (string, int32) { return m.client.GroupMetadata() }

func (m *member) commit(offsets map[string]map[int32]kgo.EpochOffset, metadata string) error {
	ctx, cancel := limited()
	defer cancel()
	// The client's own callback sees the answer's codes; CommitOffsetsSync returns only what went wrong before.
	var refused error
	ctx = kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for i := range request.Topics {
			for j := range request.Topics[i].Partitions {
				request.Topics[i].Partitions[j].Metadata = &metadata
			}
		}
		return nil
	})
	m.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		refused = err
		if err == nil {
			refused = commitErrors(answer)
		}
	})
	return refused
}

func commitErrors(answer *kmsg.OffsetCommitResponse) error {
	var err error
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(partition.ErrorCode))
		}
	}
	return err
}

func (m *member) Commit() error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for topic, partitions := range m.positions.Of(m.Owned()) {
		offsets[topic] = map[int32]kgo.EpochOffset{}
		for partition, offset := range partitions {
			offsets[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		}
	}
	return m.commit(offsets, "")
}

func (m *member) CommitAt(topic string, partition int32, offset int64, metadata string) error {
	return m.commit(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: offset}}}, metadata)
}

func (m *member) Seek(topic string, partition int32, offset int64) error {
	m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: offset}}})
	return nil
}

func (m *member) Leave() error {
	m.stop()
	m.polling.Wait()
	m.client.Close()
	return nil
}

func (m *member) Cut() {
	m.stop()
	m.plug.Pull()
	m.polling.Wait()
	m.client.Close()
}

// Admin

func (c *client) Committed(group, topic string) (map[int32]steps.Committed, error) {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.FetchOffsets(ctx, group)
	if err = errors.Join(err, answers.Error()); err != nil {
		return nil, err
	}
	committed := map[int32]steps.Committed{}
	for partition, answer := range answers[topic] {
		committed[partition] = steps.Committed{Offset: answer.At, Metadata: answer.Metadata}
	}
	return committed, nil
}

func (c *client) CommitAs(group, member string, generation int32, topic string, partition int32, offset int64) error {
	ctx, cancel := limited()
	defer cancel()
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.MemberID, request.Generation = group, member, generation
	place := kmsg.NewOffsetCommitRequestTopicPartition()
	place.Partition, place.Offset = partition, offset
	// From v10 on topics go by their ids.
	topics, err := c.admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	request.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: topics[topic].ID,
		Partitions: []kmsg.OffsetCommitRequestTopicPartition{place}}}
	response, err := request.RequestWith(ctx, c.kgo)
	if err != nil {
		return err
	}
	return commitErrors(response)
}

func (c *client) ListGroups() (map[string]steps.Listed, error) {
	ctx, cancel := limited()
	defer cancel()
	response, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, c.kgo)
	if err != nil {
		return nil, err
	}
	listed := map[string]steps.Listed{}
	for _, group := range response.Groups {
		listed[group.Group] = steps.Listed{State: group.GroupState, Type: group.GroupType}
	}
	return listed, kerr.ErrorForCode(response.ErrorCode)
}

func (c *client) DescribeGroup(group string) (steps.Described, error) {
	ctx, cancel := limited()
	defer cancel()
	answers, err := c.admin.DescribeGroups(ctx, group)
	if err != nil {
		return steps.Described{}, err
	}
	found := answers[group]
	described := steps.Described{State: found.State, Protocol: found.Protocol, Members: map[string]steps.DescribedMember{}}
	for _, m := range found.Members {
		var owned []string
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				for _, partition := range topic.Partitions {
					owned = append(owned, steps.Place(topic.Topic, partition))
				}
			}
		}
		described.Members[m.ClientID] = steps.DescribedMember{Host: m.ClientHost, Owned: owned}
	}
	return described, found.Err
}

func (c *client) AlterOffsets(group, topic string, offsets map[int32]int64) error {
	ctx, cancel := limited()
	defer cancel()
	wanted := kadm.Offsets{}
	for partition, offset := range offsets {
		wanted.AddOffset(topic, partition, offset, -1)
	}
	answers, err := c.admin.CommitOffsets(ctx, group, wanted)
	return errors.Join(err, answers.Error())
}

func (c *client) DeleteOffsets(group, topic string, partition int32) error {
	ctx, cancel := limited()
	defer cancel()
	places := kadm.TopicsSet{}
	places.Add(topic, partition)
	answers, err := c.admin.DeleteOffsets(ctx, group, places)
	return errors.Join(err, answers.Error())
}

func (c *client) DeleteGroup(group string) error {
	ctx, cancel := limited()
	defer cancel()
	answer, err := c.admin.DeleteGroup(ctx, group)
	return errors.Join(err, answer.Err)
}
