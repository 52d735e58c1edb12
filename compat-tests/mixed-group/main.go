// The franz-go member of the mixed group; mixed.py says what it must print.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	bootstrap, group, topic := os.Args[1], os.Args[2], os.Args[3]
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		leave()
	}()
	var mu sync.Mutex
	owned := map[int32]bool{}
	change := func(now bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, places map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			for _, partition := range places[topic] {
				owned[partition] = now
			}
			say(owned)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()), kgo.ClientID("franz-go"), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	if err != nil {
		fail(err)
	}
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			fail(err)
		}
		fetches.EachRecord(func(record *kgo.Record) { fmt.Println("read", record.Partition, record.Offset) })
		if records := fetches.Records(); len(records) > 0 {
			if err := client.CommitRecords(context.Background(), records...); err != nil {
				fail(err)
			}
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

func say(owned map[int32]bool) {
	var all []string
	for partition, now := range owned {
		if now {
			all = append(all, fmt.Sprint(partition))
		}
	}
	slices.Sort(all)
	fmt.Println("owns", strings.Join(all, " "))
}

func fail(err error) {
	fmt.Println("failed", err)
	os.Exit(1)
}
