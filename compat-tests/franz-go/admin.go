package main

import (
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
	"tidewater/compat-tests/steps"
)

func (c *client) LogDirs(topic string) (map[int32]int64, error) {
	ctx, cancel := limited()
	defer cancel()
	places := kadm.TopicsSet{}
	places.Add(topic, 0, 1, 2)
	answers, err := c.admin.DescribeAllLogDirs(ctx, places)
	sizes := map[int32]int64{}
	for _, dirs := range answers {
		dirs.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				sizes[p.Partition] = p.Size
			}
		})
	}
	return sizes, err
}

func (c *client) ListOffsets(topic string, at int64) (map[int32]int64, error) {
	listed, err := c.list(topic, at)
	offsets := map[int32]int64{}
	for partition, found := range listed[topic] {
		offsets[partition] = found.Offset
	}
	return offsets, errors.Join(err, listed.Error())
}

// broker is the one broker's number, also as the text that names its configs.
func (c *client) broker() (int32, string, error) {
	ctx, cancel := limited()
	defer cancel()
	brokers, err := c.admin.ListBrokers(ctx)
	if err != nil {
		return 0, "", err
	}
	id := brokers.NodeIDs()[0]
	return id, strconv.Itoa(int(id)), nil
}

func (c *client) BrokerConfig(key string) (steps.Config, error) {
	id, name, err := c.broker()
	if err != nil {
		return steps.Config{}, err
	}
	ctx, cancel := limited()
	defer cancel()
	described, err := c.admin.DescribeBrokerConfigs(ctx, id)
	if err != nil {
		return steps.Config{}, err
	}
	configs, err := configsOf(described, name, kmsg.ConfigSourceDynamicBrokerConfig)
	return configs[key], err
}

func (c *client) AlterBroker(key string, value *string) error {
	id, name, err := c.broker()
	if err != nil {
		return err
	}
	ctx, cancel := limited()
	defer cancel()
	change := kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: value}
	if value == nil {
		change.Op = kadm.DeleteConfig
	}
	answers, err := c.admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{change}, id)
	return altered(answers, err, name)
}

func (c *client) SetQuota(clientID, key string, value *float64) error {
	ctx, cancel := limited()
	defer cancel()
	op := kadm.AlterClientQuotaOp{Key: key, Remove: value == nil}
	if value != nil {
		op.Value = *value
	}
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}}
	answers, err := c.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{op}}})
	for _, answer := range answers {
		err = errors.Join(err, answer.Err)
	}
	return err
}

func (c *client) Quotas(clientID string) (map[string]float64, error) {
	ctx, cancel := limited()
	defer cancel()
	match := kadm.DescribeClientQuotaComponent{Type: "client-id", MatchName: &clientID, MatchType: kmsg.QuotasMatchTypeExact}
	answers, err := c.admin.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{match})
	quotas := map[string]float64{}
	for _, answer := range answers {
		for _, value := range answer.Values {
			quotas[value.Key] = value.Value
		}
	}
	return quotas, err
}
