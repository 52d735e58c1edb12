package steps

import (
	"errors"
	"fmt"
)

// Admin is what a client's admin side offers beyond topics and groups.
type Admin interface {
	// LogDirs are the sizes of a topic's partitions in bytes.
	LogDirs(topic string) (map[int32]int64, error)
	// SetQuota sets a client id's quota, or removes it (nil).
	SetQuota(clientID, key string, value *float64) error
	Quotas(clientID string) (map[string]float64, error)
	// ListOffsets answers Earliest, Latest or MaxTimestamp for all of a topic.
	ListOffsets(topic string, at int64) (map[int32]int64, error)
	// BrokerConfig is one config of the one broker, and whether it was set dynamically on it.
	BrokerConfig(key string) (Config, error)
	// AlterBroker sets a config of the one broker, or resets it (nil).
	AlterBroker(key string, value *string) error
}

func (s *Suite) adminSteps() {
	s.step("admin-log-dirs", s.logDirs)
	s.step("admin-list-offsets", s.listOffsets)
	s.step("admin-configs", s.brokerConfigs)
}

func (s *Suite) logDirs() error {
	sizes, err := s.LogDirs(s.topic("gzip"))
	if err = errors.Join(err, equal("partitions in the log directories", partitions, len(sizes))); err != nil {
		return err
	}
	for partition, size := range sizes {
		if size <= 0 {
			return fmt.Errorf("partition %d: a size of %d bytes", partition, size)
		}
	}
	return nil
}

func (s *Suite) listOffsets() error {
	for at, expected := range map[int64]map[int32]int64{
		Earliest: {0: 0, 1: 0, 2: 0}, Latest: {0: each, 1: each, 2: each}} {
		offsets, err := s.ListOffsets(s.topic("zstd"), at)
		if err = errors.Join(err, equal(fmt.Sprintf("offsets at %d", at), expected, offsets)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) brokerConfigs() error {
	const key, day = "log.retention.ms", "86400000"
	shown := func() (any, error) { return s.BrokerConfig(key) }
	before, err := s.BrokerConfig(key)
	if err != nil {
		return err
	}
	if before.OnTopic {
		return fmt.Errorf("%s is set on the broker before anybody set it", key)
	}
	text := day
	err = first(
		func() error { return s.AlterBroker(key, &text) },
		func() error { return until(key+" after altering", Config{day, true}, shown) },
		func() error { return s.AlterBroker(key, nil) },
		func() error { return until(key+" after resetting", before, shown) })
	if err != nil {
		return err
	}
	text = "soon"
	// Kafka says it of a broker in other words than of a topic.
	return s.refused(key+"=soon", s.AlterBroker(key, &text), invalidRequest)
}

func (s *Suite) quotas() error {
	id, rate := s.run, 12_345_678.0
	shown := func() (any, error) { return s.Quotas(id) }
	return first(
		func() error { return s.SetQuota(id, "producer_byte_rate", &rate) },
		func() error { return until("quotas", map[string]float64{"producer_byte_rate": rate}, shown) },
		func() error { return s.SetQuota(id, "producer_byte_rate", nil) },
		func() error { return until("quotas after removing", map[string]float64{}, shown) })
}
