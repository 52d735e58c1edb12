package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"tidewater/compat-tests/steps"
)

const (
	sessionTimeout   = 10 * time.Second
	heartbeat        = 2 * time.Second
	rebalanceTimeout = 15 * time.Second
)

// A protocol is a way of sharing partitions, and the time in which a group must have settled after something happened.
type protocol struct {
	name     string
	balancer func() kgo.GroupBalancer
	next     bool
	bound    time.Duration
}

// The broker decides about a KIP-848 group's timeouts: by default a session of 45 s, and a heartbeat every 5 s.
var protocols = []*protocol{
	{name: "eager", balancer: kgo.RangeBalancer, bound: sessionTimeout + rebalanceTimeout + 20*time.Second},
	{name: "cooperative", balancer: kgo.CooperativeStickyBalancer, bound: sessionTimeout + rebalanceTimeout + 20*time.Second},
	{name: "next", balancer: kgo.StickyBalancer, next: true, bound: 45*time.Second + rebalanceTimeout + 20*time.Second},
}

// A member of a group. What it has read, it commits before it polls again; no rebalance comes in between.
type member struct {
	group   *group
	number  int64
	client  *kgo.Client
	plug    steps.Plug
	stop    context.CancelFunc
	polling sync.WaitGroup

	// Under the group's lock: the committed offset when a partition came, the next one to read, and whether it was killed.
	from, next map[int32]int64
	gone       bool
}

func join(g *group, number int64) error {
	ctx, stop := context.WithCancel(context.Background())
	m := &member{group: g, number: number, stop: stop, from: map[int32]int64{}, next: map[int32]int64{}}
	topic := g.storm.topic
	began := make(chan struct{})
	options := []kgo.Opt{kgo.SeedBrokers(steps.Bootstrap()), kgo.ClientID("storm-" + strconv.FormatInt(number, 10)),
		kgo.Dialer(m.plug.Dial), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeat),
		kgo.RebalanceTimeout(rebalanceTimeout), kgo.Balancers(g.protocol.balancer()), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(5 * time.Second), kgo.FetchMaxBytes(64 << 10), kgo.FetchMaxPartitionBytes(16 << 10),
		kgo.DisableClientMetrics(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, places map[string][]int32) {
			<-began
			g.assigned(m, places[topic])
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, places map[string][]int32) { g.given(m, places[topic], false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, places map[string][]int32) { g.given(m, places[topic], true) })}
	if g.protocol.next {
		options = append(options, kgo.ServerSideBalancer())
	}
	var err error
	if m.client, err = kgo.NewClient(options...); err != nil {
		stop()
		return err
	}
	g.add(m)
	close(began)
	m.polling.Go(func() { m.poll(ctx) })
	return nil
}

func (m *member) poll(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		offsets := map[int32]int64{}
		last := map[int32]*kgo.Record{}
		fetches.EachRecord(func(record *kgo.Record) {
			sequence, err := strconv.ParseInt(string(record.Value), 10, 64)
			if err != nil {
				sequence = -1
			}
			m.group.read(m, record.Partition, record.Offset, sequence)
			offsets[record.Partition], last[record.Partition] = record.Offset+1, record
		})
		if len(last) > 0 {
			m.commit(ctx, offsets, last)
		}
		m.client.AllowRebalance()
	}
}

func (m *member) commit(ctx context.Context, offsets map[int32]int64, last map[int32]*kgo.Record) {
	ctx, cancel := context.WithTimeout(ctx, rebalanceTimeout/2)
	defer cancel()
	var records []*kgo.Record
	for _, record := range last {
		records = append(records, record)
	}
	m.group.storm.commits.Add(1)
	// A commit without an answer, or refused, promises nothing; the next owner reads the records again.
	if m.client.CommitRecords(ctx, records...) == nil {
		m.group.committed(offsets)
	}
}

// leave closes in order.
func (m *member) leave() {
	m.stop()
	m.polling.Wait()
	m.client.CloseAllowingRebalance()
}

// cut ends the connections without a word to the broker.
func (m *member) cut() {
	m.plug.Pull()
	m.leave()
}
