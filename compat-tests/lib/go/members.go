package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// SessionTimeout and HeartbeatInterval are every member's.
	SessionTimeout    = 6 * time.Second
	HeartbeatInterval = time.Second
)

// Joining says how a member joins its group: always at the earliest record where nothing is committed, and never
// committing by itself.
type Joining struct {
	Group, ClientID string
	// Instance is group.instance.id.
	Instance string
	// Topics or Pattern, a regular expression for whole names.
	Topics  []string
	Pattern string
	// NextGeneration is group.protocol=consumer.
	NextGeneration bool
	// NoReset is auto.offset.reset=none.
	NoReset bool
}

// Groups is what a client does in and about groups.
type Groups interface {
	// Join returns at once; the member hands what it reads, and its errors, to the inbox.
	Join(how Joining, inbox *Inbox) (Member, error)
	// Committed are a topic's committed offsets.
	Committed(group, topic string) (map[int32]Committed, error)
	// CommitAs commits with a member's name and generation, as that member would.
	CommitAs(group, member string, generation int32, topic string, partition int32, offset int64) error
	ListGroups() (map[string]Listed, error)
	DescribeGroup(group string) (Described, error)
	AlterOffsets(group, topic string, offsets map[int32]int64) error
	DeleteOffsets(group, topic string, partition int32) error
	DeleteGroup(group string) error
}

// Member is one member of a group.
type Member interface {
	// Owned are the partitions it may read now, as Place writes them.
	Owned() []string
	// Who is its member id and generation; the id is empty where the client does not show them.
	Who() (member string, generation int32)
	// Commit commits what it has handed over.
	Commit() error
	CommitAt(topic string, partition int32, offset int64, metadata string) error
	Seek(topic string, partition int32, offset int64) error
	// Leave closes it as the client does in order: a static member stays in the group.
	Leave() error
	// Cut ends it with its connections, and nothing is said to the broker.
	Cut()
}

// Committed is a committed offset; the metadata is Unshown where the client does not show it.
type Committed struct {
	Offset   int64
	Metadata string
}

// Unshown stands for what a client does not pass on.
const Unshown = "\x00unshown"

// Listed is a group in a listing.
type Listed struct{ State, Type string }

// Described is a group as described; its members by client id.
type Described struct {
	State, Protocol string
	Members         map[string]DescribedMember
}

// DescribedMember is one of its members.
type DescribedMember struct {
	Host  string
	Owned []string
}

// Place names a partition.
func Place(topic string, partition int32) string { return fmt.Sprintf("%s/%d", topic, partition) }

// Inbox takes what a member reads.
type Inbox struct {
	mu      sync.Mutex
	records []Record
	errs    []error
}

// Add takes records in the order of their offsets.
func (i *Inbox) Add(records ...Record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.records = append(i.records, records...)
}

// Fail takes an error that the client's user sees.
func (i *Inbox) Fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.errs = append(i.errs, err)
}

func (i *Inbox) take() []Record {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := i.records
	i.records = nil
	return taken
}

func (i *Inbox) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return errors.Join(i.errs...)
}

// Positions keeps, for a member, the offset after the last record it has handed over.
type Positions struct {
	mu sync.Mutex
	at map[string]map[int32]int64
}

// Passed notes that records were handed over.
func (p *Positions) Passed(records ...Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, record := range records {
		if p.at == nil {
			p.at = map[string]map[int32]int64{}
		}
		if p.at[record.Topic] == nil {
			p.at[record.Topic] = map[int32]int64{}
		}
		p.at[record.Topic][record.Partition] = record.Offset + 1
	}
}

// Of returns those of the partitions it owns.
func (p *Positions) Of(owned []string) map[string]map[int32]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	positions := map[string]map[int32]int64{}
	for topic, partitions := range p.at {
		for partition, offset := range partitions {
			if slices.Contains(owned, Place(topic, partition)) {
				if positions[topic] == nil {
					positions[topic] = map[int32]int64{}
				}
				positions[topic][partition] = offset
			}
		}
	}
	return positions
}

type member struct {
	Member
	inbox    *Inbox
	clientID string
}

// A crew is a group on a topic of its own.
type crew struct {
	s            *Suite
	kind         string
	group, topic string
	how          Joining
	members      []*member
}

// crew makes a topic and writes records to it; the group is there when somebody joins.
func (s *Suite) crew(kind string, records int) (*crew, error) {
	topic, err := s.make("group-"+kind, partitions, nil)
	c := &crew{s: s, kind: kind, group: topic, topic: topic}
	c.how = Joining{Group: c.group, Topics: []string{topic}}
	if err != nil || records == 0 {
		return c, err
	}
	return c, c.produce(0, records)
}

func (c *crew) produce(start, end int) error {
	return c.s.fill(c.topic, How{Codec: "none", Acks: -1, Idempotent: true}, start, end)
}

func (c *crew) joinAs(instance string) (*member, error) {
	inbox, how := &Inbox{}, c.how
	how.ClientID = fmt.Sprintf("compat-%d", len(c.members))
	how.Instance = instance
	joined, err := c.s.Join(how, inbox)
	if err != nil {
		return nil, err
	}
	m := &member{joined, inbox, how.ClientID}
	c.members = append(c.members, m)
	return m, nil
}

func (c *crew) join() (*member, error) { return c.joinAs("") }

// close leaves with all that are left, so that a step leaves nothing behind that runs.
func (c *crew) close() {
	for _, m := range c.members {
		m.Leave()
	}
	c.members = nil
}

func (c *crew) leave(m *member) error {
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	return m.Leave()
}

func (c *crew) cut(m *member) {
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	m.Cut()
}

// reads waits until the members together have read the records from start to end, each once and nothing else.
func (c *crew) reads(what string, start, end int, members ...*member) error {
	expected := map[string]bool{}
	for i := start; i < end; i++ {
		record := c.s.record(i)
		expected[fmt.Sprintf("%s@%d", Place(c.topic, record.Partition), record.Offset)] = true
	}
	for limit := time.Now().Add(Deadline); ; time.Sleep(5 * time.Millisecond) {
		for _, m := range members {
			for _, record := range m.inbox.take() {
				place := fmt.Sprintf("%s@%d", Place(record.Topic, record.Partition), record.Offset)
				if !expected[place] {
					return fmt.Errorf("%s: %s read twice or out of turn by %s", what, place, m.clientID)
				}
				delete(expected, place)
				if err := c.s.same(record); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
			}
			if err := m.inbox.failure(); err != nil {
				return fmt.Errorf("%s: %s: %w", what, m.clientID, err)
			}
		}
		if len(expected) == 0 {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s: %d of %d records are missing", what, len(expected), end-start)
		}
	}
}

// produceAndRead writes records and waits until the members have read them.
func (c *crew) produceAndRead(what string, start, end int, members ...*member) error {
	if err := c.produce(start, end); err != nil {
		return err
	}
	return c.reads(what, start, end, members...)
}

func (c *crew) all() []string {
	return []string{Place(c.topic, 0), Place(c.topic, 1), Place(c.topic, 2)}
}

func sorted(owned []string) []string {
	owned = slices.Clone(owned)
	slices.Sort(owned)
	return owned
}

func (c *crew) owns(limit time.Duration, m *member) error {
	return within(limit, "partitions of "+m.clientID, c.all(), func() (any, error) { return sorted(m.Owned()), nil })
}

// share waits until two members own all partitions, each some and none twice.
func (c *crew) share(a, b *member) error {
	err := until("partitions of both", c.all(), func() (any, error) {
		mine, theirs := a.Owned(), b.Owned()
		if len(mine) == 0 || len(theirs) == 0 {
			return fmt.Sprintf("%v and %v", mine, theirs), nil
		}
		return sorted(append(slices.Clone(mine), theirs...)), nil
	})
	if err != nil {
		return fmt.Errorf("%w (%s; %s)", err, strings.Join(a.Owned(), " "), strings.Join(b.Owned(), " "))
	}
	return nil
}

// pair is a crew of two that have read and committed 30 records, and share the partitions.
func (s *Suite) pair(kind string, next bool) (*crew, *member, *member, error) {
	c, err := s.crew(kind, 30)
	c.how.NextGeneration = next
	if err != nil {
		return c, nil, nil, err
	}
	a, err := c.join()
	if err != nil {
		return c, nil, nil, err
	}
	if err = first(func() error { return c.reads("alone", 0, 30, a) }, a.Commit); err != nil {
		return c, a, nil, err
	}
	b, err := c.join()
	if err != nil {
		return c, a, nil, err
	}
	return c, a, b, c.share(a, b)
}

func (c *crew) committed(what string, offsets ...int64) error {
	return until(what, offsets, func() (any, error) {
		committed, err := c.s.Committed(c.group, c.topic)
		found := make([]int64, len(offsets))
		for partition := range found {
			found[partition] = -1
			if at, known := committed[int32(partition)]; known {
				found[partition] = at.Offset
			}
		}
		return found, err
	})
}
