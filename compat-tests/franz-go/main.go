// The common list of steps (README.md one folder up) with franz-go, which speaks the protocol in Go alone.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	count      = 300
	partitions = 3
	each       = count / partitions
	// The record that carries the latest timestamp; it is neither the last of its partition nor of the topic.
	latest   = 150
	deadline = 30 * time.Second
)

var (
	bootstrap = envOr("BOOTSTRAP", "127.0.0.1:9092")
	baseMs    = time.Now().UnixMilli() - 600_000
	codecs    = []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	}
)

type suite struct {
	run            string
	main           string
	created        []string
	client         *kgo.Client
	admin          *kadm.Client
	passed, failed int
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	run := fmt.Sprintf("compat-franz-go-%x", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		panic(err)
	}
	s := &suite{run: run, main: run + "-main", client: client, admin: kadm.NewClient(client)}
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			fmt.Println("client franz-go", module.Version)
		}
	}
	s.all()
	fmt.Printf("%d passed, %d failed\n", s.passed, s.failed)
	if s.failed > 0 {
		os.Exit(1)
	}
}

func (s *suite) all() {
	s.step("create-topic", s.createTopic)
	s.step("describe-topic", s.describeTopic)
	s.step("alter-config", s.alterConfig)
	s.step("create-partitions", s.createPartitions)
	s.step("list-topics", s.listTopics)
	for _, c := range codecs {
		s.step("produce-"+c.name, func() error { return s.write(c.name, kgo.ProducerBatchCompression(c.codec)) })
		s.step("consume-"+c.name, func() error { return s.read(c.name) })
	}
	s.step("produce-acks1", func() error {
		return s.write("acks1", kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	})
	s.step("consume-acks1", func() error { return s.read("acks1") })
	s.step("produce-acks0", func() error {
		return s.write("acks0", kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	})
	s.step("consume-acks0", func() error { return s.read("acks0") })
	s.step("seek", s.seek)
	s.step("watermarks", s.watermarks)
	s.step("offset-earliest", func() error { return s.offset("earliest", 0, -1, s.admin.ListStartOffsets) })
	s.step("offset-latest", func() error { return s.offset("latest", each, -1, s.admin.ListEndOffsets) })
	s.step("offset-by-time", s.offsetByTime)
	s.step("offset-max-timestamp", func() error {
		return s.offset("max timestamp", latest/partitions, timestamp(latest), s.admin.ListMaxTimestampOffsets)
	})
	s.step("error-unknown-topic", s.unknownTopic)
	s.step("error-too-large", s.tooLarge)
	s.step("error-invalid-timestamp", s.invalidTimestamp)
	s.step("error-out-of-range", func() error {
		return refused("read at 100000", kerr.OffsetOutOfRange, s.readAt(s.topic("none"), 0, 100_000))
	})
	s.step("error-unsupported-version", unsupportedVersion)
	s.step("error-unknown-api", unknownAPI)
	s.step("error-topic-exists", func() error {
		return refused("create again", kerr.TopicAlreadyExists, s.create(s.main, 1, 1, nil))
	})
	s.step("error-invalid-partitions", s.invalidPartitions)
	s.step("error-invalid-replication", func() error {
		return refused("create with 99 replicas", kerr.InvalidReplicationFactor, s.create(s.topic("r99"), 1, 99, nil))
	})
	s.step("error-invalid-name", s.invalidName)
	s.step("error-bad-config", s.badConfig)
	s.step("delete-records", s.deleteRecords)
	s.step("delete-topics", func() error { return s.remove(s.created...) })
	s.step("error-deleted-topic", s.deletedTopic)
}

func (s *suite) step(name string, body func() error) {
	if s.failed > 0 && os.Getenv("KEEP_GOING") != "1" {
		return
	}
	if err := body(); err != nil {
		s.failed++
		fmt.Printf("FAIL %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	s.passed++
	fmt.Println("ok", name)
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), deadline)
}

func equal(what string, expected, actual any) error {
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Errorf("%s: expected %v, got %v", what, expected, actual)
	}
	return nil
}

func refused(what string, expected *kerr.Error, err error) error {
	if err == nil {
		return fmt.Errorf("%s: expected %s, got success", what, expected.Message)
	}
	if !errors.Is(err, expected) {
		return fmt.Errorf("%s: expected %s, got %w", what, expected.Message, err)
	}
	return nil
}

// until waits for what metadata may show a little later than the controller answered.
func until(what string, expected any, actual func() any) error {
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		err := equal(what, expected, actual())
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

func orErr[T any](value T, err error) any {
	if err != nil {
		return err.Error()
	}
	return value
}

// Topics

func (s *suite) topic(kind string) string { return s.run + "-" + kind }

func (s *suite) create(topic string, count int32, replication int16, configs map[string]string) error {
	ctx, cancel := limited()
	defer cancel()
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	_, err := s.admin.CreateTopic(ctx, count, replication, values, topic)
	return err
}

func (s *suite) describe(topic string) (kadm.PartitionDetails, error) {
	ctx, cancel := limited()
	defer cancel()
	topics, err := s.admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, err
	}
	return topics[topic].Partitions, topics[topic].Err
}

func (s *suite) partitionCount(topic string) any {
	details, err := s.describe(topic)
	return orErr(len(details), err)
}

func (s *suite) make(kind string, count int32, configs map[string]string) (string, error) {
	topic := s.topic(kind)
	s.created = append(s.created, topic)
	if err := s.create(topic, count, 1, configs); err != nil {
		return topic, err
	}
	if err := until("partitions of "+topic, int(count), func() any { return s.partitionCount(topic) }); err != nil {
		return topic, err
	}
	// The leaders serve their partitions a little after metadata names them, and acks=0 would not notice.
	return topic, until("leaders of "+topic, nil, func() any {
		ctx, cancel := limited()
		defer cancel()
		listed, err := s.admin.ListEndOffsets(ctx, topic)
		if err = errors.Join(err, listed.Error()); err != nil {
			return err.Error()
		}
		return nil
	})
}

func (s *suite) configs(topic string) (map[string]kadm.Config, error) {
	ctx, cancel := limited()
	defer cancel()
	described, err := s.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	resource, err := described.On(topic, nil)
	if err = errors.Join(err, resource.Err); err != nil {
		return nil, err
	}
	configs := map[string]kadm.Config{}
	for _, config := range resource.Configs {
		configs[config.Key] = config
	}
	return configs, nil
}

func (s *suite) setOn(topic string) any {
	configs, err := s.configs(topic)
	if err != nil {
		return err.Error()
	}
	set := map[string]string{}
	for key, config := range configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
			set[key] = config.MaybeValue()
		}
	}
	return set
}

func (s *suite) alter(topic string, ops ...kadm.AlterConfig) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := s.admin.AlterTopicConfigs(ctx, ops, topic)
	if err != nil {
		return err
	}
	_, err = answers.On(topic, func(answer *kadm.AlterConfigsResponse) error { return answer.Err })
	return err
}

func (s *suite) grow(topic string, count int) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := s.admin.UpdatePartitions(ctx, count, topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (s *suite) remove(topics ...string) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := s.admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return err
	}
	return answers.Error()
}

var topicConfigs = map[string]string{"retention.ms": "7200000", "max.message.bytes": "200000", "cleanup.policy": "delete"}

func (s *suite) createTopic() error {
	s.created = append(s.created, s.main)
	return s.create(s.main, partitions, 1, topicConfigs)
}

func (s *suite) describeTopic() error {
	if err := until("partitions of "+s.main, partitions, func() any { return s.partitionCount(s.main) }); err != nil {
		return err
	}
	details, err := s.describe(s.main)
	if err != nil {
		return err
	}
	for i, partition := range details.Sorted() {
		if partition.Leader < 0 {
			return fmt.Errorf("partition %d has no leader", i)
		}
		err = errors.Join(err,
			equal("partition number", int32(i), partition.Partition),
			equal("replicas", []int32{partition.Leader}, partition.Replicas),
			equal("in-sync replicas", []int32{partition.Leader}, partition.ISR))
	}
	configs, failure := s.configs(s.main)
	segment := configs["segment.bytes"]
	return errors.Join(err, failure,
		equal("configs", any(topicConfigs), s.setOn(s.main)),
		equal("segment.bytes", "1073741824", segment.MaybeValue()),
		equal("source of segment.bytes", kmsg.ConfigSourceDefaultConfig, segment.Source))
}

func op(kind kadm.IncrementalOp, key, value string) kadm.AlterConfig {
	if kind == kadm.DeleteConfig {
		return kadm.AlterConfig{Op: kind, Name: key}
	}
	return kadm.AlterConfig{Op: kind, Name: key, Value: &value}
}

func (s *suite) alterConfig() error {
	err := s.alter(s.main, op(kadm.SetConfig, "retention.ms", "10800000"),
		op(kadm.DeleteConfig, "max.message.bytes", ""), op(kadm.AppendConfig, "cleanup.policy", "compact"))
	if err != nil {
		return err
	}
	err = until("configs after altering", map[string]string{"retention.ms": "10800000", "cleanup.policy": "delete,compact"},
		func() any { return s.setOn(s.main) })
	if err != nil {
		return err
	}
	if err = s.alter(s.main, op(kadm.SubtractConfig, "cleanup.policy", "compact")); err != nil {
		return err
	}
	return until("configs after subtracting", map[string]string{"retention.ms": "10800000", "cleanup.policy": "delete"},
		func() any { return s.setOn(s.main) })
}

func (s *suite) createPartitions() error {
	if err := s.grow(s.main, partitions+2); err != nil {
		return err
	}
	return until("partitions after growing", partitions+2, func() any { return s.partitionCount(s.main) })
}

func (s *suite) listed() (kadm.TopicDetails, error) {
	ctx, cancel := limited()
	defer cancel()
	return s.admin.ListTopics(ctx)
}

func (s *suite) listTopics() error {
	return until("the topic is listed", true, func() any {
		topics, err := s.listed()
		return orErr(topics.Has(s.main), err)
	})
}

// Records

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

func headers(i int) []kgo.RecordHeader {
	switch i % 4 {
	case 1:
		return []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}
	case 2:
		return []kgo.RecordHeader{{Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")}}
	case 3:
		return []kgo.RecordHeader{{Key: "bin", Value: []byte{0, 0xff, 0x80}}, {Key: "empty", Value: []byte{}}, {Key: "null"}}
	}
	return nil
}

func timestamp(i int) int64 {
	if i == latest {
		return baseMs + 5_000
	}
	return baseMs + int64(i)
}

func producer(options ...kgo.Opt) (*kgo.Client, error) {
	common := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5 * time.Millisecond)}
	return kgo.NewClient(append(common, options...)...)
}

func produce(records []*kgo.Record, options ...kgo.Opt) error {
	client, err := producer(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := limited()
	defer cancel()
	return client.ProduceSync(ctx, records...).FirstErr()
}

func (s *suite) write(kind string, options ...kgo.Opt) error {
	topic, err := s.make(kind, partitions, nil)
	if err != nil {
		return err
	}
	var records []*kgo.Record
	for i := range count {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: key(i), Value: value(i),
			Headers: headers(i), Timestamp: time.UnixMilli(timestamp(i))})
	}
	if err = produce(records, options...); err != nil || kind == "acks0" {
		// With acks=0 nobody tells the producer an offset.
		return err
	}
	for i, record := range records {
		if err = equal(fmt.Sprintf("offset of record %d", i), int64(i/partitions), record.Offset); err != nil {
			return err
		}
	}
	return nil
}

func consumer(topic string, starts map[int32]int64) (*kgo.Client, error) {
	offsets := map[int32]kgo.Offset{}
	for partition, start := range starts {
		offsets[partition] = kgo.NewOffset().At(start)
	}
	return kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(200*time.Millisecond), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
}

func consume(topic string, starts map[int32]int64, wanted int) ([]*kgo.Record, error) {
	client, err := consumer(topic, starts)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := limited()
	defer cancel()
	var records []*kgo.Record
	for len(records) < wanted {
		fetches := client.PollFetches(ctx)
		if err = fetches.Err(); err != nil {
			return records, fmt.Errorf("after %d of %d records: %w", len(records), wanted, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records, equal("records read", wanted, len(records))
}

// readAt returns the error of a read without any reset, nil if something was read.
func (s *suite) readAt(topic string, partition int32, offset int64) error {
	_, err := consume(topic, map[int32]int64{partition: offset}, 1)
	return err
}

func hex(data []byte) string {
	if data == nil {
		return "null"
	}
	return fmt.Sprintf("%x", data)
}

func hexHeaders(headers []kgo.RecordHeader) string {
	var all []string
	for _, header := range headers {
		all = append(all, header.Key+"="+hex(header.Value))
	}
	return strings.Join(all, ",")
}

// check compares byte for byte with what write made for each place, in the order of offsets.
func check(records []*kgo.Record, starts map[int32]int64) error {
	for _, record := range records {
		partition := record.Partition
		i := int(record.Offset)*partitions + int(partition)
		err := errors.Join(
			equal(fmt.Sprintf("offset order in partition %d", partition), starts[partition], record.Offset),
			equal(fmt.Sprintf("timestamp of record %d", i), timestamp(i), record.Timestamp.UnixMilli()),
			equal(fmt.Sprintf("key of record %d", i), hex(key(i)), hex(record.Key)),
			equal(fmt.Sprintf("value of record %d", i), hex(value(i)), hex(record.Value)),
			equal(fmt.Sprintf("headers of record %d", i), hexHeaders(headers(i)), hexHeaders(record.Headers)))
		if err != nil {
			return err
		}
		starts[partition]++
	}
	return nil
}

func readFrom(topic string, starts map[int32]int64, wanted int) error {
	records, err := consume(topic, starts, wanted)
	if err != nil {
		return err
	}
	return check(records, starts)
}

func (s *suite) read(kind string) error {
	return readFrom(s.topic(kind), map[int32]int64{0: 0, 1: 0, 2: 0}, count)
}

func (s *suite) seek() error {
	return readFrom(s.topic("none"), map[int32]int64{1: 42}, each-42)
}

// Offsets

type lister func(context.Context, ...string) (kadm.ListedOffsets, error)

func lookUp(list lister, topic string, partition int32) (kadm.ListedOffset, error) {
	ctx, cancel := limited()
	defer cancel()
	listed, err := list(ctx, topic)
	if err != nil {
		return kadm.ListedOffset{}, err
	}
	found, present := listed.Lookup(topic, partition)
	if !present {
		return found, fmt.Errorf("no answer for %s-%d", topic, partition)
	}
	return found, found.Err
}

func (s *suite) ends(topic string, low, high int64, of ...int32) error {
	for _, partition := range of {
		start, err1 := lookUp(s.admin.ListStartOffsets, topic, partition)
		end, err2 := lookUp(s.admin.ListEndOffsets, topic, partition)
		what := fmt.Sprintf("ends of %s-%d", topic, partition)
		err := errors.Join(err1, err2, equal(what, []int64{low, high}, []int64{start.Offset, end.Offset}))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) watermarks() error { return s.ends(s.topic("zstd"), 0, each, 0, 1, 2) }

// Partition 0 holds the record with the latest timestamp.
func (s *suite) offset(what string, offset, foundMs int64, list lister) error {
	for _, kind := range []string{"none", "lz4"} {
		found, err := lookUp(list, s.topic(kind), 0)
		err = errors.Join(err, equal("offset of "+what, offset, found.Offset), equal("timestamp of "+what, foundMs, found.Timestamp))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) offsetByTime() error {
	cases := []struct {
		what                    string
		wanted, offset, foundMs int64
	}{
		{"at a record's time", timestamp(30), 10, timestamp(30)},
		{"between two records", timestamp(30) + 1, 11, timestamp(33)},
		{"before all", 1, 0, timestamp(0)},
		{"of the latest time", timestamp(latest), latest / partitions, timestamp(latest)},
		// kadm asks again for the end where the broker answers -1.
		{"after all", timestamp(latest) + 1, each, -1},
	}
	for _, kind := range []string{"none", "gzip", "zstd"} {
		for _, c := range cases {
			after := func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
				return s.admin.ListOffsetsAfterMilli(ctx, c.wanted, topics...)
			}
			found, err := lookUp(after, s.topic(kind), 0)
			err = errors.Join(err, equal("offset "+c.what, c.offset, found.Offset), equal("timestamp "+c.what, c.foundMs, found.Timestamp))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Errors

func (s *suite) unknownTopic() error {
	unknown := s.topic("unknown")
	_, described := s.describe(unknown)
	_, configs := s.configs(unknown)
	records := []*kgo.Record{{Topic: unknown, Value: []byte("x")}}
	err := errors.Join(
		refused("describe", kerr.UnknownTopicOrPartition, described),
		refused("describe configs", kerr.UnknownTopicOrPartition, configs),
		refused("delete", kerr.UnknownTopicOrPartition, s.remove(unknown)),
		// franz-go asks the broker not to create topics, and gives up after a few tries.
		refused("produce", kerr.UnknownTopicOrPartition, produce(records, kgo.UnknownTopicRetries(2))))
	_, described = s.describe(unknown)
	return errors.Join(err, refused("describe after looking", kerr.UnknownTopicOrPartition, described))
}

func (s *suite) tooLarge() error {
	topic, err := s.make("small", 1, map[string]string{"max.message.bytes": "10000"})
	if err != nil {
		return err
	}
	noise := make([]byte, 20_000)
	rand.New(rand.NewSource(1)).Read(noise)
	return errors.Join(
		refused("20,000 bytes", kerr.MessageTooLarge, produce([]*kgo.Record{{Topic: topic, Value: noise}})),
		produce([]*kgo.Record{{Topic: topic, Value: noise[:5_000]}}),
		s.ends(topic, 0, 1, 0))
}

func (s *suite) invalidTimestamp() error {
	bounds := map[string]string{"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"}
	topic, err := s.make("bounded", 1, bounds)
	if err != nil {
		return err
	}
	at := func(distance time.Duration) error {
		return produce([]*kgo.Record{{Topic: topic, Value: []byte("x"), Timestamp: time.Now().Add(distance)}})
	}
	return errors.Join(
		refused("an hour ago", kerr.InvalidTimestamp, at(-time.Hour)),
		refused("in an hour", kerr.InvalidTimestamp, at(time.Hour)),
		at(0),
		s.ends(topic, 0, 1, 0))
}

func (s *suite) invalidPartitions() error {
	return errors.Join(
		refused("create with no partitions", kerr.InvalidPartitions, s.create(s.topic("p0"), 0, 1, nil)),
		refused("grow to 1", kerr.InvalidPartitions, s.grow(s.main, 1)),
		refused("grow to the same", kerr.InvalidPartitions, s.grow(s.main, partitions+2)))
}

func (s *suite) invalidName() error {
	for _, name := range []string{"a b", "ä", strings.Repeat("x", 250)} {
		if err := refused("create "+name, kerr.InvalidTopicException, s.create(name, 1, 1, nil)); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) badConfig() error {
	bad := map[string]string{"retention.ms": "soon", "cleanup.policy": "burn", "no.such.config": "1",
		"compression.type": "rar", "min.insync.replicas": "0"}
	for name, text := range bad {
		what := name + "=" + text
		err := errors.Join(
			refused("create with "+what, kerr.InvalidConfig, s.create(s.topic("bad"), 1, 1, map[string]string{name: text})),
			refused("alter to "+what, kerr.InvalidConfig, s.alter(s.main, op(kadm.SetConfig, name, text))))
		if err != nil {
			return err
		}
	}
	return nil
}

// Deleting

func (s *suite) deleteBefore(topic string, before int64) (int64, error) {
	ctx, cancel := limited()
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: before})
	answers, err := s.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return 0, err
	}
	answer, _ := answers.Lookup(topic, 0)
	return answer.LowWatermark, answer.Err
}

func (s *suite) deleteRecords() error {
	topic := s.topic("none")
	low, err := s.deleteBefore(topic, 20)
	if err = errors.Join(err, equal("low watermark", int64(20), low), s.ends(topic, 20, each, 0)); err != nil {
		return err
	}
	_, beyond := s.deleteBefore(topic, 100_000)
	return errors.Join(
		refused("read below the start", kerr.OffsetOutOfRange, s.readAt(topic, 0, 19)),
		readFrom(topic, map[int32]int64{0: 20}, each-20),
		refused("delete beyond the end", kerr.OffsetOutOfRange, beyond))
}

func (s *suite) deletedTopic() error {
	err := until("describing a deleted topic", kerr.UnknownTopicOrPartition.Error(), func() any { return s.partitionCount(s.main) })
	if err != nil {
		return err
	}
	return until("topics left", []string{}, func() any {
		topics, err := s.listed()
		left := []string{}
		for _, topic := range topics.Sorted() {
			// The client remembers topics it asked for in vain, and lists them with their error.
			if topic.Err == nil && strings.HasPrefix(topic.Topic, s.run) {
				left = append(left, topic.Topic)
			}
		}
		return orErr(left, err)
	})
}

// What no client sends

func exchange(conn net.Conn, request []byte) ([]byte, error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, err
	}
	prefix := make([]byte, 4)
	if _, err := io.ReadFull(conn, prefix); err != nil {
		return nil, err
	}
	response := make([]byte, binary.BigEndian.Uint32(prefix))
	_, err := io.ReadFull(conn, response)
	return response, err
}

// unsupportedVersion sends ApiVersions v99: error 35 in the body of v0, and the connection stays usable.
func unsupportedVersion() error {
	conn, err := net.Dial("tcp", strings.Split(bootstrap, ",")[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := exchange(conn, []byte{0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 0, 2, 'x', 2, '1', 0})
	if err != nil {
		return fmt.Errorf("ApiVersions v99: %w", err)
	}
	if len(answer) < 10 || !bytes.Equal(answer[:6], []byte{0, 0, 0, 7, 0, 35}) {
		return fmt.Errorf("ApiVersions v99: expected error 35, got % x", answer[:min(len(answer), 10)])
	}
	keys := int(binary.BigEndian.Uint32(answer[6:]))
	if keys == 0 || len(answer) != 10+6*keys {
		return fmt.Errorf("ApiVersions v99: %d API keys in a v0 body of %d bytes", keys, len(answer))
	}
	answer, err = exchange(conn, []byte{0, 18, 0, 0, 0, 0, 0, 8, 0, 1, 'x'})
	if err == nil && !bytes.HasPrefix(answer, []byte{0, 0, 0, 8, 0, 0}) {
		err = fmt.Errorf("ApiVersions v0 after v99: got % x", answer[:min(len(answer), 10)])
	}
	return err
}

func unknownAPI() error {
	conn, err := net.Dial("tcp", strings.Split(bootstrap, ",")[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := exchange(conn, []byte{0x27, 0x0f, 0, 0, 0, 0, 0, 7, 0, 1, 'x'})
	if err == nil {
		return fmt.Errorf("API key 9999: expected a closed connection, got % x", answer)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("API key 9999: the connection stays open without an answer")
	}
	return nil
}
