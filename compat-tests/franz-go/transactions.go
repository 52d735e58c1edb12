package main

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"tidewater/compat-tests/steps"
)

type transactional struct {
	client *client
	kgo    *kgo.Client
	id     string
}

func (c *client) Transactional(id string) (steps.Transactional, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(steps.Bootstrap()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(id))
	return &transactional{c, producer, id}, err
}

func (t *transactional) Begin() error { return t.kgo.BeginTransaction() }

func (t *transactional) Send(topic string, records []steps.Record) error {
	return send(t.kgo, topic, records)
}

// SendOffsets asks for it in the words of the protocol: kgo itself does so only where one client consumes and produces
// (GroupTransactSession), and there only for what it is about to commit.
func (t *transactional) SendOffsets(m steps.Member, group, topic string, offsets map[int32]int64) error {
	ctx, cancel := limited()
	defer cancel()
	id, epoch, err := t.kgo.ProducerID(ctx)
	if err != nil {
		return err
	}
	// From v6 on topics go by their ids.
	topics, err := t.client.admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	request := kmsg.NewPtrTxnOffsetCommitRequest()
	request.TransactionalID, request.Group, request.ProducerID, request.ProducerEpoch = t.id, group, id, epoch
	request.MemberID, request.Generation = m.Who()
	wanted := kmsg.NewTxnOffsetCommitRequestTopic()
	wanted.Topic, wanted.TopicID = topic, topics[topic].ID
	for partition, offset := range offsets {
		place := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		place.Partition, place.Offset = partition, offset
		wanted.Partitions = append(wanted.Partitions, place)
	}
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(ctx, t.kgo)
	if err != nil {
		return err
	}
	for _, topic := range response.Topics {
		for _, partition := range topic.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(partition.ErrorCode))
		}
	}
	return err
}

func (t *transactional) end(commit kgo.TransactionEndTry) error {
	ctx, cancel := limited()
	defer cancel()
	return t.kgo.EndTransaction(ctx, commit)
}

func (t *transactional) Commit() error { return t.end(kgo.TryCommit) }

func (t *transactional) Abort() error { return t.end(kgo.TryAbort) }

func (t *transactional) Close() { t.kgo.Close() }
