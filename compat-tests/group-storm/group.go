package main

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"sync"
	"time"
)

// A group is the book kept about one group, by what its members see: who owns what, how far each partition was read, and what
// is committed for sure. Every rule that is broken is noted in the storm's list.
type group struct {
	storm    *storm
	name     string
	protocol *protocol

	mu      sync.Mutex
	members map[*member]bool
	owner   map[int32]*member
	// An owner that has not yet heard that it is none any more: allowed until it hears it.
	stale map[place]bool
	// next is the offset up to which all records were read; acked the highest commit that was answered without error.
	next, acked  []int64
	generation   int32
	rebalances   int
	settled      bool
	event        string
	events       int
	since, limit time.Time
}

type place struct {
	partition int32
	member    *member
}

func newGroup(s *storm, name string, p *protocol) *group {
	return &group{storm: s, name: name, protocol: p, members: map[*member]bool{}, owner: map[int32]*member{},
		stale: map[place]bool{}, next: make([]int64, s.partitions), acked: make([]int64, s.partitions)}
}

// disturb notes that somebody joined, left or was killed; the group has its bound from now on to settle again.
func (g *group) disturb(event string) {
	now := time.Now()
	if g.settled || g.events == 0 {
		g.since, g.events = now, 0
	}
	g.settled, g.event, g.limit = false, event, now.Add(g.protocol.bound)
	g.events++
}

func (g *group) add(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[m] = true
	g.disturb("join")
}

// remove takes a member out of the book before it is closed or killed. One that is closed in order still owns its partitions
// until it says otherwise; one that is killed never will.
func (g *group) remove(event string, random *rand.Rand) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(g.members), func(a, b *member) int { return int(a.number - b.number) })
	chosen := all[random.Intn(len(all))]
	delete(g.members, chosen)
	if event == "kill" {
		g.forget(chosen)
	}
	g.disturb(event)
	return chosen
}

func (g *group) forget(m *member) {
	for partition, owner := range g.owner {
		if owner == m {
			delete(g.owner, partition)
		}
		delete(g.stale, place{partition, m})
	}
	for at := range g.stale {
		if at.member == m {
			delete(g.stale, at)
		}
	}
	m.gone = true
}

func (g *group) assigned(m *member, partitions []int32) {
	_, generation := m.client.GroupMetadata()
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone {
		return
	}
	if generation > g.generation {
		g.generation = generation
		g.rebalances++
	}
	for _, partition := range partitions {
		if other := g.owner[partition]; other != nil && other != m {
			_, theirs := other.client.GroupMetadata()
			if theirs == generation {
				g.wrong("partition %d is owned by members %d and %d in generation %d", partition, other.number, m.number, generation)
			}
			g.stale[place{partition, other}] = true
		}
		g.owner[partition] = m
		m.from[partition] = g.acked[partition]
		delete(m.next, partition)
	}
}

// given says that a member gave partitions up in order, or lost them because the group went on without it.
func (g *group) given(m *member, partitions []int32, lost bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, partition := range partitions {
		if g.owner[partition] == m {
			delete(g.owner, partition)
		}
		if at := (place{partition, m}); g.stale[at] {
			delete(g.stale, at)
			if !lost && !m.gone {
				g.wrong("partition %d was given to another member before member %d gave it up in order", partition, m.number)
			}
			g.storm.expelled.Add(1)
		}
	}
}

func (g *group) read(m *member, partition int32, offset, sequence int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone {
		// The last that a killed member did: what it reads it may still commit.
		if offset == g.next[partition] {
			g.next[partition]++
		}
		return
	}
	at := fmt.Sprintf("partition %d, offset %d, member %d", partition, offset, m.number)
	following, known := m.next[partition]
	switch {
	case sequence != offset:
		g.wrong("%s: this is record %d", at, sequence)
	case known && offset != following:
		g.wrong("%s: expected offset %d", at, following)
	case !known && offset < m.from[partition]:
		g.wrong("%s: %d was committed and answered before", at, m.from[partition])
	case offset > g.next[partition]:
		g.wrong("%s: nobody has read from %d on", at, g.next[partition])
	}
	m.next[partition] = offset + 1
	g.next[partition] = max(g.next[partition], offset+1)
}

func (g *group) committed(offsets map[int32]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for partition, offset := range offsets {
		g.acked[partition] = max(g.acked[partition], offset)
	}
}

// check notes whether the group has settled: every partition owned, nobody stale, all members in one generation.
func (g *group) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settled || g.events == 0 {
		return
	}
	now := time.Now()
	why := g.unsettled()
	switch {
	case why == "":
		g.settled = true
		if g.events == 1 {
			g.storm.times.add(g.protocol.name+" "+g.event, now.Sub(g.since))
		}
	case now.After(g.limit):
		g.wrong("stuck: %v after the last %s: %s", g.protocol.bound, g.event, why)
		g.limit = now.Add(g.protocol.bound)
	}
}

func (g *group) unsettled() string {
	if len(g.owner) != g.storm.partitions {
		return fmt.Sprintf("%d of %d partitions have an owner among %d members", len(g.owner), g.storm.partitions, len(g.members))
	}
	if len(g.stale) > 0 {
		return fmt.Sprintf("%d partitions have two owners", len(g.stale))
	}
	for partition, m := range g.owner {
		if !g.members[m] {
			return fmt.Sprintf("partition %d is still with member %d, which left", partition, m.number)
		}
	}
	generations := map[int32]int{}
	for m := range g.members {
		_, generation := m.client.GroupMetadata()
		generations[generation]++
	}
	if len(generations) != 1 {
		return fmt.Sprintf("the members are in different generations (generation: members): %v", generations)
	}
	return ""
}

func (g *group) wrong(format string, values ...any) {
	g.storm.wrong(fmt.Sprintf("%s (%s): ", g.name, g.protocol.name) + fmt.Sprintf(format, values...))
}

// size and isSettled are for who stands outside.
func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members)
}

func (g *group) isSettled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settled
}

func (g *group) readUpTo(ends []int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for partition, end := range ends {
		if g.next[partition] != end || g.acked[partition] != end {
			return false
		}
	}
	return true
}
