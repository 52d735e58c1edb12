// A storm over consumer groups: members join, leave and are killed for minutes, and what must be so of groups is checked all
// the time. README.md says what and how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"tidewater/compat-tests/steps"
)

type storm struct {
	topic      string
	partitions int
	groups     []*group
	times      times
	number     atomic.Int64
	commits    atomic.Int64
	expelled   atomic.Int64
	produced   []int64

	mu     sync.Mutex
	wrongs []string
}

func (s *storm) wrong(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrongs = append(s.wrongs, text); len(s.wrongs) <= 20 {
		fmt.Println("WRONG", text)
	}
}

func (s *storm) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrongs) == 0 {
		return nil
	}
	return fmt.Errorf("%d rules broken, the first: %s", len(s.wrongs), s.wrongs[0])
}

func main() {
	members := flag.Int("members", 1000, "members at the start, and on average")
	groups := flag.Int("groups", 100, "groups")
	minutes := flag.Float64("minutes", 1, "how long members come and go")
	rate := flag.Float64("events", 5, "joins, leaves and kills per second, over all groups")
	every := flag.Duration("every", 2*time.Second, "a record into each partition this often")
	partitions := flag.Int("partitions", 16, "partitions of the topic that all groups read")
	seed := flag.Int64("seed", time.Now().UnixNano(), "of the order of events")
	only := flag.String("protocol", "", "eager, cooperative or next; all three in turn by default")
	flag.Parse()
	fmt.Println("client group-storm", version())
	fmt.Printf("  %d members in %d groups, %d partitions, %.3g events/s for %.3g minutes, seed %d\n",
		*members, *groups, *partitions, *rate, *minutes, *seed)

	s := &storm{topic: fmt.Sprintf("storm-%x", time.Now().UnixNano()), partitions: *partitions, produced: make([]int64, *partitions)}
	for i := range *groups {
		p := protocols[i%len(protocols)]
		for _, other := range protocols {
			if other.name == *only {
				p = other
			}
		}
		s.groups = append(s.groups, newGroup(s, fmt.Sprintf("%s-%03d", s.topic, i), p))
	}
	os.Exit(s.run(*members, time.Duration(*minutes*float64(time.Minute)), *rate, *every, rand.New(rand.NewSource(*seed))))
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return "franz-go " + module.Version
		}
	}
	return "franz-go"
}

func (s *storm) run(members int, length time.Duration, rate float64, every time.Duration, random *rand.Rand) int {
	passed := 0
	plain, err := kgo.NewClient(kgo.SeedBrokers(steps.Bootstrap()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err == nil {
		_, err = kadm.NewClient(plain).CreateTopic(context.Background(), int32(s.partitions), 1, nil, s.topic)
	}
	stopProducing := make(chan struct{})
	var producing sync.WaitGroup
	checks := time.NewTicker(50 * time.Millisecond)
	go func() {
		for range checks.C {
			for _, g := range s.groups {
				g.check()
			}
		}
	}()
	brokerPID := os.Getenv("BROKER_PID")
	for _, step := range []struct {
		name string
		body func() error
	}{
		{"storm-settle", func() error {
			if err != nil {
				return err
			}
			producing.Go(func() { s.produce(plain, every, stopProducing) })
			return s.start(members)
		}},
		{"storm-churn", func() error {
			s.times.clear()
			before, _ := look(brokerPID)
			s.churn(members, length, rate, random)
			after, known := look(brokerPID)
			own, _ := look("self")
			if known {
				fmt.Printf("  broker: %.1f CPU seconds in %.0f s, %.0f MB now, %.0f MB at most\n",
					after.cpuSeconds-before.cpuSeconds, length.Seconds(), after.rssMB, after.peakMB)
			}
			fmt.Printf("  members' process: %.1f CPU seconds, %.0f MB at most\n", own.cpuSeconds, own.peakMB)
			return s.verdict()
		}},
		{"storm-calm", func() error { return s.calm() }},
		{"storm-offsets", func() error {
			close(stopProducing)
			producing.Wait()
			return s.offsets(kadm.NewClient(plain))
		}},
	} {
		if wrong := step.body(); wrong != nil {
			fmt.Printf("FAIL %s: %v\n", step.name, wrong)
			s.report()
			fmt.Printf("%d passed, 1 failed, 0 skipped\n", passed)
			return 1
		}
		passed++
		fmt.Println("ok", step.name)
	}
	s.report()
	fmt.Printf("%d passed, 0 failed, 0 skipped\n", passed)
	return 0
}

func (s *storm) report() {
	rebalances := 0
	for _, g := range s.groups {
		g.mu.Lock()
		rebalances += g.rebalances
		g.mu.Unlock()
	}
	fmt.Printf("  %d generations, %d commits, %d partitions taken from members that had been expelled\n",
		rebalances, s.commits.Load(), s.expelled.Load())
	s.times.print()
}

// produce writes into each partition records that carry their own offset.
func (s *storm) produce(client *kgo.Client, every time.Duration, stop chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var records []*kgo.Record
		for partition := range s.partitions {
			records = append(records, &kgo.Record{Topic: s.topic, Partition: int32(partition),
				Value: strconv.AppendInt(nil, s.produced[partition], 10)})
		}
		if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			s.wrong("the producer: " + err.Error())
			return
		}
		for _, record := range records {
			if record.Offset != s.produced[record.Partition] {
				s.wrong(fmt.Sprintf("record %d of partition %d got offset %d", s.produced[record.Partition], record.Partition, record.Offset))
			}
			s.produced[record.Partition]++
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func (s *storm) add(g *group) {
	if err := join(g, s.number.Add(1)); err != nil {
		s.wrong("a member cannot be made: " + err.Error())
	}
}

// start lets the members in, a group after the other and not faster than 200 a second, and waits for all groups.
func (s *storm) start(members int) error {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for i := range members {
		<-pace.C
		s.add(s.groups[i*len(s.groups)/members])
	}
	return s.calm()
}

// calm waits until all groups have settled; each has its own bound.
func (s *storm) calm() error {
	for limit := time.Now().Add(3 * time.Minute); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		settled := 0
		for _, g := range s.groups {
			if g.isSettled() {
				settled++
			}
		}
		if err := s.verdict(); err != nil || settled == len(s.groups) {
			return err
		}
	}
	return errors.New("not all groups have settled within 3 minutes")
}

// churn lets members come and go; a group keeps about as many as it had, and a quarter of the events strike where the group
// has not yet settled after the one before.
func (s *storm) churn(members int, length time.Duration, rate float64, random *rand.Rand) {
	usual := max(members/len(s.groups), 2)
	pace := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer pace.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-pace.C {
		g := s.groups[random.Intn(len(s.groups))]
		again := random.Intn(4) == 0
		for tries := 0; !again && !g.isSettled() && tries < len(s.groups); tries++ {
			g = s.groups[random.Intn(len(s.groups))]
		}
		event := []string{"join", "join", "leave", "kill"}[random.Intn(4)]
		if size := g.size(); size <= usual*7/10 {
			event = "join"
		} else if size > usual*13/10 && event == "join" {
			event = []string{"leave", "kill"}[random.Intn(2)]
		}
		switch event {
		case "join":
			s.add(g)
		case "leave":
			go g.remove("leave", random).leave()
		case "kill":
			go g.remove("kill", random).cut()
		}
	}
}

// offsets waits until all groups have read and committed all there is, and asks the broker what is committed.
func (s *storm) offsets(admin *kadm.Client) error {
	for limit := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		done := 0
		for _, g := range s.groups {
			if g.readUpTo(s.produced) {
				done++
			}
		}
		if err := s.verdict(); err != nil {
			return err
		}
		if done == len(s.groups) {
			break
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%d of %d groups have read and committed everything a minute after the last record", done, len(s.groups))
		}
	}
	for _, g := range s.groups {
		ctx, cancel := context.WithTimeout(context.Background(), steps.Deadline)
		committed, err := admin.FetchOffsets(ctx, g.name)
		cancel()
		if err != nil {
			return err
		}
		for partition, end := range s.produced {
			if at, known := committed.Lookup(s.topic, int32(partition)); !known || at.At != end {
				return fmt.Errorf("%s: committed offset of partition %d: expected %d, got %d", g.name, partition, end, at.At)
			}
		}
	}
	return nil
}
