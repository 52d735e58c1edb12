// Package steps is the common list of steps (../../README.md) for the clients written in Go.
//
// A client is a Client: its own words for each operation. What it cannot do at all it leaves to the embedded Lacking and
// names, with the reason, in Cannot; such a step is printed as skipped.
package steps

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

const (
	// Deadline bounds every wait.
	Deadline   = 30 * time.Second
	count      = 300
	partitions = 3
	each       = count / partitions
	// The record that carries the latest timestamp; it is neither the last of its partition nor of the topic.
	latest = 150
)

// Kafka's error codes that the steps expect.
const (
	offsetOutOfRange   = 1
	unknownTopic       = 3
	messageTooLarge    = 10
	invalidTopic       = 17
	illegalGeneration  = 22
	unknownMember      = 25
	invalidTimestamp   = 32
	topicExists        = 36
	invalidPartitions  = 37
	invalidReplication = 38
	invalidConfig      = 40
	invalidRequest     = 42
	nonEmptyGroup      = 68
	groupNotFound      = 69
	subscribedToTopic  = 86
)

// Partition is one partition as a client describes it.
type Partition struct {
	ID, Leader    int32
	Replicas, ISR []int32
}

// Config is a topic's config, and whether it is set on the topic itself.
type Config struct {
	Value   string
	OnTopic bool
}

// Op is one incremental change: "set", "delete", "append" or "subtract".
type Op struct{ Kind, Key, Value string }

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// Record is a record to write or one that was read.
type Record struct {
	Topic       string
	Partition   int32
	Offset      int64
	TimestampMs int64
	Key, Value  []byte
	Headers     []Header
}

// How says how to write: a codec's name, acks (-1, 1, 0) and whether idempotently.
type How struct {
	Codec      string
	Acks       int
	Idempotent bool
}

// What LookUp takes beside a time in ms.
const (
	Latest       = -1
	Earliest     = -2
	MaxTimestamp = -3
)

// Untold is what a client answers where it does not pass on what the broker said.
const Untold int64 = -1 << 62

// Client is what a client program brings.
type Client interface {
	// Identity is the client's name, which is also its folder's, and its version.
	Identity() (name, version string)
	// Cannot says why a step is skipped.
	Cannot() map[string]string
	// Code is Kafka's error code of what the client reports, 0 if it names none.
	Code(err error) int
	Log
	Groups
	Admin
	Transactions
}

// Log is topics and records.
type Log interface {
	Create(topic string, partitions, replication int, configs map[string]string) error
	Describe(topic string) ([]Partition, error)
	Configs(topic string) (map[string]Config, error)
	Alter(topic string, ops ...Op) error
	Grow(topic string, partitions int) error
	Topics() ([]string, error)
	Delete(topics ...string) error
	// Produce waits for all, and fills in their offsets unless that is Untold.
	Produce(topic string, how How, records []Record) error
	// Consume reads count records without any reset, with isolation.level=read_committed if only committed ones count.
	Consume(topic string, starts map[int32]int64, count int, committed bool) ([]Record, error)
	// LookUp asks for an offset by time, Earliest, Latest or MaxTimestamp.
	LookUp(topic string, partition int32, at int64) (offset, foundMs int64, err error)
	// DeleteRecords answers the low watermark.
	DeleteRecords(topic string, partition int32, before int64) (int64, error)
}

// Blurring is a client that reads null and empty as the same; what it writes is not blurred.
type Blurring interface{ ReadsNullAsEmpty() }

// Suite runs the steps of one client.
type Suite struct {
	Client
	name, run, main         string
	baseMs                  int64
	created                 []string
	blurs                   bool
	passed, failed, skipped int
}

// Bootstrap is the broker under test.
func Bootstrap() string {
	if value := os.Getenv("BOOTSTRAP"); value != "" {
		return value
	}
	return "127.0.0.1:9092"
}

// Run runs all steps and ends the program.
func Run(client Client) {
	name, version := client.Identity()
	run := fmt.Sprintf("compat-%s-%x", name, time.Now().UnixNano())
	s := &Suite{Client: client, name: name, run: run, main: run + "-main", baseMs: time.Now().UnixMilli() - 600_000}
	_, s.blurs = client.(Blurring)
	fmt.Println("client", name, version)
	s.logSteps()
	s.groupSteps()
	s.transactionSteps()
	s.adminSteps()
	s.step("delete-topics", func() error { return s.Delete(s.created...) })
	s.step("error-deleted-topic", s.deletedTopic)
	s.step("admin-quotas", s.quotas)
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

func (s *Suite) step(name string, body func() error) {
	if s.failed > 0 && os.Getenv("KEEP_GOING") != "1" {
		return
	}
	if only := os.Getenv("ONLY"); only != "" && !strings.Contains(","+only+",", ","+name+",") {
		return
	}
	if reason, cannot := s.Cannot()[name]; cannot {
		s.skipped++
		fmt.Printf("skip %s: %s\n", name, reason)
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

func equal(what string, expected, actual any) error {
	if !reflect.DeepEqual(expected, actual) {
		return fmt.Errorf("%s: expected %v, got %v", what, expected, actual)
	}
	return nil
}

// refused holds an error to be one of Kafka's codes.
func (s *Suite) refused(what string, err error, codes ...int) error {
	if err == nil {
		return fmt.Errorf("%s: expected error %v, got success", what, codes)
	}
	for _, code := range codes {
		if s.Code(err) == code {
			return nil
		}
	}
	return fmt.Errorf("%s: expected error %v, got %w", what, codes, err)
}

// until waits for what may show a little later than the broker answered; an error counts as an answer by its text.
func until(what string, expected any, actual func() (any, error)) error {
	return within(Deadline, what, expected, actual)
}

func within(limit time.Duration, what string, expected any, actual func() (any, error)) error {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		value, failure := actual()
		err := equal(what, expected, value)
		if failure != nil {
			err = fmt.Errorf("%s: expected %v, got %w", what, expected, failure)
		}
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// first returns the first error of a list of checks, each made only if those before it held.
func first(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
