package steps

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func (s *Suite) logSteps() {
	s.step("create-topic", func() error {
		s.created = append(s.created, s.main)
		return s.Create(s.main, partitions, 1, topicConfigs)
	})
	s.step("describe-topic", s.describeTopic)
	s.step("alter-config", s.alterConfig)
	s.step("create-partitions", s.createPartitions)
	s.step("list-topics", func() error { return until("the topic is listed", true, s.lists(s.main)) })
	for _, codec := range codecs {
		how := How{Codec: codec, Acks: -1, Idempotent: true}
		s.step("produce-"+codec, func() error { return s.write(codec, how) })
		s.step("consume-"+codec, func() error { return s.read(codec) })
	}
	s.step("produce-acks1", func() error { return s.write("acks1", How{Codec: "none", Acks: 1}) })
	s.step("consume-acks1", func() error { return s.read("acks1") })
	s.step("produce-acks0", func() error { return s.write("acks0", How{Codec: "none", Acks: 0}) })
	s.step("consume-acks0", s.readUnacknowledged)
	s.step("seek", func() error { return s.readFrom(s.topic("none"), map[int32]int64{1: 42}, each-42) })
	s.step("watermarks", func() error { return s.ends(s.topic("zstd"), 0, each, 0, 1, 2) })
	s.step("offset-earliest", func() error { return s.offset("earliest", 0, -1, Earliest) })
	s.step("offset-latest", func() error { return s.offset("latest", each, -1, Latest) })
	s.step("offset-by-time", s.offsetByTime)
	s.step("offset-max-timestamp", func() error {
		return s.offset("max timestamp", latest/partitions, s.timestamp(latest), MaxTimestamp)
	})
	s.step("error-unknown-topic", s.unknownTopic)
	s.step("error-too-large", s.tooLarge)
	s.step("error-invalid-timestamp", s.invalidTimestamp)
	s.step("error-out-of-range", func() error {
		return s.refused("read at 100000", s.readAt(s.topic("none"), 100_000), offsetOutOfRange)
	})
	s.step("error-unsupported-version", unsupportedVersion)
	s.step("error-unknown-api", unknownAPI)
	s.step("error-topic-exists", func() error {
		return s.refused("create again", s.Create(s.main, 1, 1, nil), topicExists)
	})
	s.step("error-invalid-partitions", s.invalidPartitions)
	s.step("error-invalid-replication", func() error {
		return s.refused("create with 99 replicas", s.Create(s.topic("r99"), 1, 99, nil), invalidReplication)
	})
	s.step("error-invalid-name", s.invalidName)
	s.step("error-bad-config", s.badConfig)
	s.step("delete-records", s.deleteRecords)
}

// Topics

var topicConfigs = map[string]string{"retention.ms": "7200000", "max.message.bytes": "200000", "cleanup.policy": "delete"}

func (s *Suite) topic(kind string) string { return s.run + "-" + kind }

func (s *Suite) partitionCount(topic string) func() (any, error) {
	return func() (any, error) {
		described, err := s.Describe(topic)
		return len(described), err
	}
}

func (s *Suite) lists(topic string) func() (any, error) {
	return func() (any, error) {
		topics, err := s.Topics()
		return slices.Contains(topics, topic), err
	}
}

func (s *Suite) make(kind string, count int, configs map[string]string) (string, error) {
	topic := s.topic(kind)
	s.created = append(s.created, topic)
	if err := s.Create(topic, count, 1, configs); err != nil {
		return topic, err
	}
	if err := until("partitions of "+topic, count, s.partitionCount(topic)); err != nil {
		return topic, err
	}
	// The leaders serve their partitions a little after metadata names them, and acks=0 would not notice.
	for partition := range int32(count) {
		if err := s.untilEnd(topic, partition, 0); err != nil {
			return topic, err
		}
	}
	return topic, nil
}

func (s *Suite) untilEnd(topic string, partition int32, end int64) error {
	return until(fmt.Sprintf("end of %s-%d", topic, partition), end, func() (any, error) {
		offset, _, err := s.LookUp(topic, partition, Latest)
		return offset, err
	})
}

func (s *Suite) setOn(topic string) func() (any, error) {
	return func() (any, error) {
		configs, err := s.Configs(topic)
		set := map[string]string{}
		for key, config := range configs {
			if config.OnTopic {
				set[key] = config.Value
			}
		}
		return set, err
	}
}

func (s *Suite) describeTopic() error {
	if err := until("partitions of "+s.main, partitions, s.partitionCount(s.main)); err != nil {
		return err
	}
	described, err := s.Describe(s.main)
	if err != nil {
		return err
	}
	slices.SortFunc(described, func(a, b Partition) int { return int(a.ID - b.ID) })
	for i, partition := range described {
		if partition.Leader < 0 {
			return fmt.Errorf("partition %d has no leader", i)
		}
		err = errors.Join(err,
			equal("partition number", int32(i), partition.ID),
			equal("replicas", []int32{partition.Leader}, partition.Replicas),
			equal("in-sync replicas", []int32{partition.Leader}, partition.ISR))
	}
	set, failure := s.setOn(s.main)()
	configs, _ := s.Configs(s.main)
	return errors.Join(err, failure,
		equal("configs", any(topicConfigs), set),
		equal("segment.bytes", Config{Value: "1073741824"}, configs["segment.bytes"]))
}

func (s *Suite) alterConfig() error {
	changed := map[string]string{"retention.ms": "10800000", "cleanup.policy": "delete,compact"}
	left := map[string]string{"retention.ms": "10800000", "cleanup.policy": "delete"}
	return first(
		func() error {
			return s.Alter(s.main, Op{"set", "retention.ms", "10800000"}, Op{"delete", "max.message.bytes", ""},
				Op{"append", "cleanup.policy", "compact"})
		},
		func() error { return until("configs after altering", changed, s.setOn(s.main)) },
		func() error { return s.Alter(s.main, Op{"subtract", "cleanup.policy", "compact"}) },
		func() error { return until("configs after subtracting", left, s.setOn(s.main)) })
}

func (s *Suite) createPartitions() error {
	if err := s.Grow(s.main, partitions+2); err != nil {
		return err
	}
	return until("partitions after growing", partitions+2, s.partitionCount(s.main))
}

// Records: record(i) is what stands at offset i/3 of partition i%3.

func (s *Suite) record(i int) Record {
	return Record{Partition: int32(i % partitions), Offset: int64(i / partitions), TimestampMs: s.timestamp(i),
		Key: key(i), Value: value(i), Headers: headers(i)}
}

func key(i int) []byte {
	switch i % 10 {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	return fmt.Appendf(nil, "key-é-%d", i)
}

func value(i int) []byte {
	if i%10 == 7 {
		return nil
	}
	size := i * 37 % 1500
	if i%10 == 5 {
		size = 0
	}
	value := make([]byte, size)
	for j := range value {
		value[j] = byte(i*7 + j)
	}
	return value
}

func headers(i int) []Header {
	switch i % 4 {
	case 1:
		return []Header{{"n", fmt.Append(nil, i)}}
	case 2:
		return []Header{{"twice", []byte("1")}, {"twice", []byte("2")}}
	case 3:
		return []Header{{"bin", []byte{0, 0xff, 0x80}}, {"empty", []byte{}}, {"null", nil}}
	}
	return nil
}

func (s *Suite) timestamp(i int) int64 {
	if i == latest {
		return s.baseMs + 5_000
	}
	return s.baseMs + int64(i)
}

func (s *Suite) write(kind string, how How) error {
	topic, err := s.make(kind, partitions, nil)
	if err != nil {
		return err
	}
	return s.fill(topic, how, 0, count)
}

// records are record(start) to record(end-1) before they are written.
func (s *Suite) records(start, end int) []Record {
	var records []Record
	for i := start; i < end; i++ {
		records = append(records, s.record(i))
		records[i-start].Offset = Untold
	}
	return records
}

// fill writes record(start) to record(end-1), and holds the client to their offsets.
func (s *Suite) fill(topic string, how How, start, end int) error {
	records := s.records(start, end)
	if err := s.Produce(topic, how, records); err != nil || how.Acks == 0 {
		// With acks=0 nobody tells the producer an offset.
		return err
	}
	for i, record := range records {
		if record.Offset != Untold && record.Offset != s.record(start+i).Offset {
			return equal(fmt.Sprintf("offset of record %d", start+i), s.record(start+i).Offset, record.Offset)
		}
	}
	return nil
}

// readAt returns the error of a read without any reset, nil if something was read.
func (s *Suite) readAt(topic string, offset int64) error {
	_, err := s.Consume(topic, map[int32]int64{0: offset}, 1, false)
	return err
}

func (s *Suite) hex(data []byte) string {
	if data == nil && !s.blurs {
		return "null"
	}
	return fmt.Sprintf("%x", data)
}

func (s *Suite) fields(record Record) string {
	text := fmt.Sprintf("time %d key %s value %s", record.TimestampMs, s.hex(record.Key), s.hex(record.Value))
	for _, header := range record.Headers {
		text += " " + header.Key + "=" + s.hex(header.Value)
	}
	return text
}

// same compares byte for byte with what was written at that place.
func (s *Suite) same(record Record) error {
	i := int(record.Offset)*partitions + int(record.Partition)
	return equal(fmt.Sprintf("record %d", i), s.fields(s.record(i)), s.fields(record))
}

func (s *Suite) readFrom(topic string, starts map[int32]int64, wanted int) error {
	return s.readAs(topic, starts, wanted, false)
}

func (s *Suite) readCommitted(topic string, starts map[int32]int64, wanted int) error {
	return s.readAs(topic, starts, wanted, true)
}

func (s *Suite) readAs(topic string, starts map[int32]int64, wanted int, committed bool) error {
	records, err := s.Consume(topic, starts, wanted, committed)
	if err = errors.Join(err, equal("records read", wanted, len(records))); err != nil {
		return err
	}
	for _, record := range records {
		err := errors.Join(s.same(record),
			equal(fmt.Sprintf("offset order in partition %d", record.Partition), starts[record.Partition], record.Offset))
		if err != nil {
			return err
		}
		starts[record.Partition]++
	}
	return nil
}

func (s *Suite) read(kind string) error {
	return s.readFrom(s.topic(kind), map[int32]int64{0: 0, 1: 0, 2: 0}, count)
}

func (s *Suite) readUnacknowledged() error {
	// Nobody said that the records have arrived, so they may still be on their way.
	for partition := range int32(partitions) {
		if err := s.untilEnd(s.topic("acks0"), partition, each); err != nil {
			return err
		}
	}
	return s.read("acks0")
}

// Offsets

func (s *Suite) ends(topic string, low, high int64, of ...int32) error {
	for _, partition := range of {
		start, _, err1 := s.LookUp(topic, partition, Earliest)
		end, _, err2 := s.LookUp(topic, partition, Latest)
		what := fmt.Sprintf("ends of %s-%d", topic, partition)
		if err := errors.Join(err1, err2, equal(what, []int64{low, high}, []int64{start, end})); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) lookedUp(kind, what string, at, offset, foundMs int64) error {
	found, ms, err := s.LookUp(s.topic(kind), 0, at)
	err = errors.Join(err, equal("offset "+what, offset, found))
	if ms != Untold {
		err = errors.Join(err, equal("timestamp "+what, foundMs, ms))
	}
	return err
}

// Partition 0 holds the record with the latest timestamp.
func (s *Suite) offset(what string, offset, foundMs, at int64) error {
	return errors.Join(s.lookedUp("none", "of "+what, at, offset, foundMs), s.lookedUp("lz4", "of "+what, at, offset, foundMs))
}

func (s *Suite) offsetByTime() error {
	for _, kind := range []string{"none", "gzip", "zstd"} {
		// A client may make something else of the broker's -1 for a time after all records; Untold stands for its word.
		end, _, err := s.LookUp(s.topic(kind), 0, s.timestamp(latest)+1)
		if err == nil && end != -1 && end != each && end != Untold {
			err = fmt.Errorf("offset after all: expected -1 or the end, got %d", end)
		}
		err = errors.Join(err,
			s.lookedUp(kind, "at a record's time", s.timestamp(30), 10, s.timestamp(30)),
			s.lookedUp(kind, "between two records", s.timestamp(30)+1, 11, s.timestamp(33)),
			s.lookedUp(kind, "before all", 1, 0, s.timestamp(0)),
			s.lookedUp(kind, "of the latest time", s.timestamp(latest), latest/partitions, s.timestamp(latest)))
		if err != nil {
			return err
		}
	}
	return nil
}

// Errors

func (s *Suite) unknownTopic() error {
	unknown := s.topic("unknown")
	_, described := s.Describe(unknown)
	_, configs := s.Configs(unknown)
	err := errors.Join(
		s.refused("describe", described, unknownTopic),
		s.refused("describe configs", configs, unknownTopic),
		s.refused("delete", s.Delete(unknown), unknownTopic))
	_, described = s.Describe(unknown)
	return errors.Join(err, s.refused("describe after looking", described, unknownTopic))
}

func (s *Suite) one(topic string, value []byte, ms int64) error {
	records := []Record{{Value: value, TimestampMs: ms, Offset: Untold}}
	return s.Produce(topic, How{Codec: "none", Acks: -1, Idempotent: true}, records)
}

func (s *Suite) tooLarge() error {
	topic, err := s.make("small", 1, map[string]string{"max.message.bytes": "10000"})
	if err != nil {
		return err
	}
	noise := make([]byte, 20_000)
	rand.New(rand.NewSource(1)).Read(noise)
	nowMs := time.Now().UnixMilli()
	return errors.Join(
		s.refused("20,000 bytes", s.one(topic, noise, nowMs), messageTooLarge),
		s.one(topic, noise[:5_000], nowMs),
		s.ends(topic, 0, 1, 0))
}

func (s *Suite) invalidTimestamp() error {
	bounds := map[string]string{"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"}
	topic, err := s.make("bounded", 1, bounds)
	if err != nil {
		return err
	}
	at := func(distance time.Duration) error {
		return s.one(topic, []byte("x"), time.Now().Add(distance).UnixMilli())
	}
	return errors.Join(
		s.refused("an hour ago", at(-time.Hour), invalidTimestamp),
		s.refused("in an hour", at(time.Hour), invalidTimestamp),
		at(0),
		s.ends(topic, 0, 1, 0))
}

func (s *Suite) invalidPartitions() error {
	return errors.Join(
		s.refused("create with no partitions", s.Create(s.topic("p0"), 0, 1, nil), invalidPartitions),
		s.refused("grow to 1", s.Grow(s.main, 1), invalidPartitions),
		s.refused("grow to the same", s.Grow(s.main, partitions+2), invalidPartitions))
}

func (s *Suite) invalidName() error {
	for _, name := range []string{"a b", "ä", strings.Repeat("x", 250)} {
		if err := s.refused("create "+name, s.Create(name, 1, 1, nil), invalidTopic); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) badConfig() error {
	bad := map[string]string{"retention.ms": "soon", "cleanup.policy": "burn", "no.such.config": "1",
		"compression.type": "rar", "min.insync.replicas": "0"}
	for name, text := range bad {
		what := name + "=" + text
		err := errors.Join(
			s.refused("create with "+what, s.Create(s.topic("bad"), 1, 1, map[string]string{name: text}), invalidConfig),
			s.refused("alter to "+what, s.Alter(s.main, Op{"set", name, text}), invalidConfig))
		if err != nil {
			return err
		}
	}
	return nil
}

// Deleting

func (s *Suite) deleteRecords() error {
	topic := s.topic("none")
	low, err := s.DeleteRecords(topic, 0, 20)
	if err == nil && low != Untold {
		err = equal("low watermark", int64(20), low)
	}
	if err = errors.Join(err, s.ends(topic, 20, each, 0)); err != nil {
		return err
	}
	_, beyond := s.DeleteRecords(topic, 0, 100_000)
	return errors.Join(
		s.refused("read below the start", s.readAt(topic, 19), offsetOutOfRange),
		s.readFrom(topic, map[int32]int64{0: 20}, each-20),
		s.refused("delete beyond the end", beyond, offsetOutOfRange))
}

func (s *Suite) deletedTopic() error {
	err := until("error of describing a deleted topic", unknownTopic, func() (any, error) {
		_, err := s.Describe(s.main)
		return s.Code(err), nil
	})
	if err != nil {
		return err
	}
	return until("topics left", []string{}, func() (any, error) {
		topics, err := s.Topics()
		left := []string{}
		for _, topic := range topics {
			if strings.HasPrefix(topic, s.run) {
				left = append(left, topic)
			}
		}
		return left, err
	})
}
