package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (s *Suite) groupSteps() {
	s.step("group-consume", func() error { return s.groupConsume("consume", false) })
	s.step("group-resume", func() error { return s.groupResume("resume", false) })
	s.step("group-commit-metadata", s.groupCommitMetadata)
	s.step("group-join", func() error { return s.groupJoin("join", false) })
	s.step("group-leave", func() error { return s.groupLeave("leave", false) })
	s.step("group-crash", s.groupCrash)
	s.step("group-static", s.groupStatic)
	s.step("group-seek-time", s.groupSeekTime)
	s.step("group-pattern", s.groupPattern)
	s.step("group-describe", s.groupDescribe)
	s.step("group-alter-offsets", s.groupAlterOffsets)
	s.step("group-delete-offsets", s.groupDeleteOffsets)
	s.step("group-delete", s.groupDelete)
	s.step("error-no-offset", s.noOffset)
	s.step("error-fenced-member", s.fencedMember)
	s.step("group-next-generation", s.groupNextGeneration)
}

func (s *Suite) groupConsume(kind string, next bool) error {
	c, err := s.crew(kind, count)
	defer c.close()
	c.how.NextGeneration = next
	if err != nil {
		return err
	}
	m, err := c.join()
	if err != nil {
		return err
	}
	return first(
		func() error { return c.reads("all records", 0, count, m) },
		m.Commit,
		func() error { return c.committed("committed offsets", each, each, each) })
}

func (s *Suite) groupResume(kind string, next bool) error {
	c, err := s.crew(kind, 30)
	defer c.close()
	c.how.NextGeneration = next
	if err != nil {
		return err
	}
	m, err := c.join()
	if err != nil {
		return err
	}
	err = first(
		func() error { return c.reads("first member", 0, 30, m) },
		m.Commit,
		func() error { return c.leave(m) },
		func() error { return c.produce(30, 60) })
	if err != nil {
		return err
	}
	if m, err = c.join(); err != nil {
		return err
	}
	return c.reads("second member", 30, 60, m)
}

func (s *Suite) groupCommitMetadata() error {
	c, err := s.crew("metadata", 30)
	defer c.close()
	if err != nil {
		return err
	}
	m, err := c.join()
	if err != nil {
		return err
	}
	if err = first(
		func() error { return c.reads("all records", 0, 30, m) },
		func() error { return m.CommitAt(c.topic, 1, 7, "käse ✓ 1") }); err != nil {
		return err
	}
	committed, err := s.Committed(c.group, c.topic)
	return errors.Join(err, equal("committed", Committed{7, "käse ✓ 1"}, committed[1]))
}

func (s *Suite) groupJoin(kind string, next bool) error {
	c, a, b, err := s.pair(kind, next)
	defer c.close()
	if err != nil {
		return err
	}
	return c.produceAndRead("both", 30, 60, a, b)
}

func (s *Suite) groupLeave(kind string, next bool) error {
	c, a, b, err := s.pair(kind, next)
	defer c.close()
	if err != nil {
		return err
	}
	if err = first(func() error { return c.produceAndRead("both", 30, 60, a, b) }, a.Commit, b.Commit); err != nil {
		return err
	}
	start := time.Now()
	return first(
		func() error { return c.leave(b) },
		func() error { return c.owns(SessionTimeout-time.Since(start), a) },
		func() error { return c.produceAndRead("the one left", 60, 90, a) })
}

// Records 30 to 60 are committed by both, 60 to 90 only by the one that stays: it reads again what the other did not commit.
func (s *Suite) groupCrash() error {
	c, a, b, err := s.pair("crash", false)
	defer c.close()
	if err != nil {
		return err
	}
	err = first(
		func() error { return c.produceAndRead("both", 30, 60, a, b) }, a.Commit, b.Commit,
		func() error { return c.produceAndRead("both again", 60, 90, a, b) }, a.Commit)
	if err != nil {
		return err
	}
	lost := b.Owned()
	c.cut(b)
	if err = c.owns(Deadline, a); err != nil {
		return err
	}
	if err = c.produce(90, 120); err != nil {
		return err
	}
	return c.readsAgain(a, lost, 60, 90, 120)
}

// readsAgain: of the places lost the records from start, of the others those from middle, up to end.
func (c *crew) readsAgain(m *member, lost []string, start, middle, end int) error {
	want := map[string]int{}
	for i := start; i < end; i++ {
		record := c.s.record(i)
		place := Place(c.topic, record.Partition)
		if i >= middle || slices.Contains(lost, place) {
			want[fmt.Sprintf("%s@%d", place, record.Offset)]++
		}
	}
	for limit := time.Now().Add(Deadline); len(want) > 0; time.Sleep(5 * time.Millisecond) {
		for _, record := range m.inbox.take() {
			place := fmt.Sprintf("%s@%d", Place(record.Topic, record.Partition), record.Offset)
			if want[place] == 0 {
				return fmt.Errorf("after the crash: %s read though it is committed, or twice", place)
			}
			delete(want, place)
		}
		if time.Now().After(limit) {
			return fmt.Errorf("after the crash: %d records are missing", len(want))
		}
	}
	return nil
}

func (s *Suite) groupStatic() error {
	c, err := s.crew("static", 30)
	defer c.close()
	if err != nil {
		return err
	}
	a, err1 := c.joinAs(c.group + "-a")
	b, err2 := c.joinAs(c.group + "-b")
	if err = errors.Join(err1, err2); err != nil {
		return err
	}
	err = first(func() error { return c.share(a, b) }, func() error { return c.reads("both", 0, 30, a, b) }, a.Commit, b.Commit)
	if err != nil {
		return err
	}
	before := sorted(b.Owned())
	_, generation := a.Who()
	if err = c.leave(b); err != nil {
		return err
	}
	if b, err = c.joinAs(c.group + "-b"); err != nil {
		return err
	}
	err = first(
		func() error {
			return until("assignment after coming back", before, func() (any, error) { return sorted(b.Owned()), nil })
		},
		func() error { return c.produceAndRead("both again", 30, 60, a, b) })
	_, after := a.Who()
	return errors.Join(err, equal("generation", generation, after))
}

func (s *Suite) groupSeekTime() error {
	c, err := s.crew("seek", count)
	defer c.close()
	if err != nil {
		return err
	}
	m, err := c.join()
	if err != nil {
		return err
	}
	if err = c.reads("all records", 0, count, m); err != nil {
		return err
	}
	// The record of the latest timestamp stands before the middle in its partition, and would be found first.
	at := s.timestamp(latest + 31)
	starts := map[int32]int64{}
	for partition := range int32(partitions) {
		offset, _, err := s.LookUp(c.topic, partition, at)
		if err = errors.Join(err, m.Seek(c.topic, partition, offset)); err != nil {
			return err
		}
		starts[partition] = offset
	}
	if err = equal("offsets by time", map[int32]int64{0: latest / partitions, 1: 60, 2: 60}, starts); err != nil {
		return err
	}
	read := 0
	return until("records after the seek", 50+40+40, func() (any, error) {
		for _, record := range m.inbox.take() {
			if err := equal("offset after the seek", starts[record.Partition], record.Offset); err != nil {
				return nil, err
			}
			starts[record.Partition]++
			read++
		}
		return read, nil
	})
}

func (s *Suite) groupPattern() error {
	c, err := s.crew("pattern-1", 30)
	defer c.close()
	if err != nil {
		return err
	}
	c.how.Topics, c.how.Pattern = nil, strings.TrimSuffix(c.topic, "1")+".*"
	m, err := c.join()
	if err != nil {
		return err
	}
	if err = first(func() error { return c.reads("the first topic", 0, 30, m) }, m.Commit); err != nil {
		return err
	}
	later, err := s.crew("pattern-2", 30)
	if err != nil {
		return err
	}
	return later.reads("the topic created later", 0, 30, m)
}

func (s *Suite) groupDescribe() error {
	c, a, b, err := s.pair("describe", false)
	defer c.close()
	if err != nil {
		return err
	}
	listed, err := s.ListGroups()
	if err != nil {
		return err
	}
	group, present := listed[c.group]
	if !present {
		return fmt.Errorf("the group is not listed")
	}
	err = errors.Join(
		orUnshown("state in the listing", "Stable", group.State),
		orUnshown("type in the listing", "classic", strings.ToLower(group.Type)))
	described, failure := s.DescribeGroup(c.group)
	if err = errors.Join(err, failure, equal("state", "Stable", described.State), equal("members", 2, len(described.Members))); err != nil {
		return err
	}
	if described.Protocol == "" {
		return errors.New("the protocol has no name")
	}
	for _, m := range []*member{a, b} {
		found := described.Members[m.clientID]
		err = errors.Join(err, equal("assignment of "+m.clientID, sorted(m.Owned()), sorted(found.Owned)))
		if !strings.Contains(found.Host, "127.0.0.1") {
			err = errors.Join(err, equal("host of "+m.clientID, "/127.0.0.1", found.Host))
		}
	}
	return err
}

func orUnshown(what, expected, actual string) error {
	if actual == Unshown {
		return nil
	}
	return equal(what, expected, actual)
}

// solo is a crew of one that has read and committed 30 records.
func (s *Suite) solo(kind string) (*crew, *member, error) {
	c, err := s.crew(kind, 30)
	if err != nil {
		return c, nil, err
	}
	m, err := c.join()
	if err != nil {
		return c, nil, err
	}
	return c, m, first(func() error { return c.reads("alone", 0, 30, m) }, m.Commit)
}

func (s *Suite) groupAlterOffsets() error {
	c, m, err := s.solo("alter")
	defer c.close()
	if err != nil {
		return err
	}
	back := map[int32]int64{0: 5, 1: 5, 2: 5}
	err = first(
		func() error {
			return s.refused("altering an active group", s.AlterOffsets(c.group, c.topic, back), unknownMember)
		},
		func() error { return c.leave(m) },
		func() error { return s.AlterOffsets(c.group, c.topic, back) },
		func() error { return c.committed("offsets after altering", 5, 5, 5) })
	if err != nil {
		return err
	}
	if m, err = c.join(); err != nil {
		return err
	}
	return c.reads("a member after altering", 15, 30, m)
}

func (s *Suite) groupDeleteOffsets() error {
	c, m, err := s.solo("offsets")
	defer c.close()
	if err != nil {
		return err
	}
	return first(
		func() error {
			return s.refused("of a subscribed topic", s.DeleteOffsets(c.group, c.topic, 1), subscribedToTopic)
		},
		func() error { return c.leave(m) },
		func() error { return s.DeleteOffsets(c.group, c.topic, 1) },
		func() error { return c.committed("offsets after deleting one", 10, -1, 10) })
}

func (s *Suite) groupDelete() error {
	c, m, err := s.solo("delete")
	defer c.close()
	if err != nil {
		return err
	}
	return first(
		func() error { return s.refused("a group with a member", s.DeleteGroup(c.group), nonEmptyGroup) },
		func() error { return c.leave(m) },
		func() error { return s.DeleteGroup(c.group) },
		func() error { return s.refused("again", s.DeleteGroup(c.group), groupNotFound) },
		func() error {
			listed, err := s.ListGroups()
			_, present := listed[c.group]
			return errors.Join(err, equal("the group is listed", false, present))
		})
}

func (s *Suite) noOffset() error {
	c, err := s.crew("no-offset", 30)
	defer c.close()
	c.how.NoReset = true
	if err != nil {
		return err
	}
	m, err := c.join()
	if err != nil {
		return err
	}
	return until("an error is seen", true, func() (any, error) {
		if records := m.inbox.take(); len(records) > 0 {
			return nil, fmt.Errorf("%d records were read", len(records))
		}
		return m.inbox.failure() != nil, nil
	})
}

func (s *Suite) fencedMember() error {
	c, a, err := s.solo("fenced")
	defer c.close()
	if err != nil {
		return err
	}
	id, generation := a.Who()
	b, err := c.join()
	if err != nil {
		return err
	}
	return first(
		func() error { return c.share(a, b) },
		func() error {
			late := s.CommitAs(c.group, id, generation, c.topic, 0, 3)
			return s.refused("a commit of the generation before", late, illegalGeneration, unknownMember)
		},
		func() error {
			stranger := s.CommitAs(c.group, "nobody", generation, c.topic, 0, 3)
			return s.refused("a commit of a member the group does not know", stranger, illegalGeneration, unknownMember)
		},
		func() error { return c.committed("offsets after the refusals", 10, 10, 10) })
}

func (s *Suite) groupNextGeneration() error {
	err := first(
		func() error { return s.groupConsume("next-consume", true) },
		func() error { return s.groupResume("next-resume", true) },
		func() error { return s.groupLeave("next-leave", true) })
	if err != nil {
		return err
	}
	c, a, b, err := s.pair("next-list", true)
	defer c.close()
	if err != nil {
		return err
	}
	listed, err := s.ListGroups()
	if err != nil {
		return err
	}
	return first(
		func() error {
			return orUnshown("type in the listing", "consumer", strings.ToLower(listed[c.group].Type))
		},
		func() error { return c.produceAndRead("both", 30, 60, a, b) })
}
