package steps

import (
	"errors"
)

// Kafka's error codes for a producer that another of its transactional id has taken the place of.
const (
	invalidProducerEpoch = 47
	producerFenced       = 90
)

// Transactions is what a client with transactional producers does.
type Transactions interface {
	// Transactional is a producer with a transactional id. By its first record, at the latest, it ends what another began.
	Transactional(id string) (Transactional, error)
}

// Transactional is a producer with a transactional id.
type Transactional interface {
	Begin() error
	// Send waits for all records.
	Send(topic string, records []Record) error
	// SendOffsets has the transaction commit a topic's offsets for the group of a member.
	SendOffsets(member Member, group, topic string, offsets map[int32]int64) error
	Commit() error
	Abort() error
	Close()
}

var idempotent = How{Codec: "none", Acks: -1, Idempotent: true}

func (s *Suite) transactionSteps() {
	s.step("transaction-commit", s.transactionCommit)
	s.step("transaction-abort", s.transactionAbort)
	s.step("transaction-offsets", s.transactionOffsets)
	s.step("transaction-fenced", s.transactionFenced)
}

// transaction begins one and writes record(start) to record(end-1).
func (s *Suite) transaction(producer Transactional, topic string, start, end int) error {
	return first(producer.Begin, func() error { return producer.Send(topic, s.records(start, end)) })
}

func (s *Suite) untilEnds(topic string, end int64) error {
	for partition := range int32(partitions) {
		if err := s.untilEnd(topic, partition, end); err != nil {
			return err
		}
	}
	return nil
}

// offsetsRead holds a reader of committed records to the same offsets in each partition, in their order.
func (s *Suite) offsetsRead(topic string, start int64, expected []int64) error {
	starts := map[int32]int64{0: start, 1: start, 2: start}
	records, err := s.Consume(topic, starts, partitions*len(expected), true)
	read := map[int32][]int64{}
	for _, record := range records {
		read[record.Partition] = append(read[record.Partition], record.Offset)
	}
	return errors.Join(err, equal("offsets read", map[int32][]int64{0: expected, 1: expected, 2: expected}, read))
}

// Two transactions: the second's records stand behind the first's marker.
func (s *Suite) transactionCommit() error {
	topic, err := s.make("transaction-commit", partitions, nil)
	if err != nil {
		return err
	}
	producer, err := s.Transactional(s.topic("commit"))
	if err != nil {
		return err
	}
	defer producer.Close()
	var around []int64
	for offset := range int64(21) {
		if offset != 10 {
			around = append(around, offset)
		}
	}
	return first(
		func() error { return s.transaction(producer, topic, 0, 30) },
		producer.Commit,
		func() error { return s.readCommitted(topic, map[int32]int64{0: 0, 1: 0, 2: 0}, 30) },
		func() error { return s.untilEnds(topic, 11) },
		func() error { return s.transaction(producer, topic, 30, 60) },
		producer.Commit,
		func() error { return s.offsetsRead(topic, 0, around) })
}

// What an aborted transaction wrote is read by those that read everything, and by nobody else.
func (s *Suite) transactionAbort() error {
	topic, err := s.make("transaction-abort", partitions, nil)
	if err != nil {
		return err
	}
	producer, err := s.Transactional(s.topic("abort"))
	if err != nil {
		return err
	}
	defer producer.Close()
	return first(
		func() error { return s.fill(topic, idempotent, 0, 30) },
		func() error { return s.transaction(producer, topic, 30, 60) },
		producer.Abort,
		func() error { return s.untilEnds(topic, 21) },
		func() error { return s.readFrom(topic, map[int32]int64{0: 0, 1: 0, 2: 0}, 60) },
		// Behind the marker stands one that everybody reads.
		func() error { return s.Produce(topic, idempotent, s.records(60, 63)) },
		func() error { return s.offsetsRead(topic, 8, []int64{8, 9, 21}) })
}

// Offsets are committed with the transaction that they are part of, and not before it; an aborted one's never.
func (s *Suite) transactionOffsets() error {
	c, m, err := s.solo("transaction")
	defer c.close()
	if err != nil {
		return err
	}
	topic, err := s.make("transaction-offsets", partitions, nil)
	if err != nil {
		return err
	}
	producer, err := s.Transactional(s.topic("offsets"))
	if err != nil {
		return err
	}
	defer producer.Close()
	send := func(offset int64) error {
		return first(
			func() error { return s.transaction(producer, topic, 0, 3) },
			func() error {
				return producer.SendOffsets(m.Member, c.group, c.topic, map[int32]int64{0: offset, 1: offset, 2: offset})
			})
	}
	return first(
		func() error { return send(4) },
		producer.Abort,
		func() error { return c.committed("offsets after an abort", 10, 10, 10) },
		func() error { return send(7) },
		func() error { return c.committed("offsets before the commit", 10, 10, 10) },
		producer.Commit,
		func() error { return c.committed("offsets after the commit", 7, 7, 7) })
}

// A second producer of the id ends the first's transaction, and the first may not go on with it.
func (s *Suite) transactionFenced() error {
	topic, err := s.make("transaction-fenced", partitions, nil)
	if err != nil {
		return err
	}
	one, err := s.Transactional(s.topic("fenced"))
	if err != nil {
		return err
	}
	defer one.Close()
	if err = s.transaction(one, topic, 0, 3); err != nil {
		return err
	}
	other, err := s.Transactional(s.topic("fenced"))
	if err != nil {
		return err
	}
	defer other.Close()
	return first(
		func() error { return s.transaction(other, topic, 3, 6) },
		func() error {
			return s.refused("the first producer commits", one.Commit(), invalidProducerEpoch, producerFenced)
		},
		other.Commit,
		// The first's record is at 0, the marker of its end at 1.
		func() error { return s.offsetsRead(topic, 0, []int64{2}) })
}
