package main

import (
	"errors"

	"github.com/IBM/sarama"
	"tidewater/compat-tests/steps"
)

type transactional struct{ sarama.SyncProducer }

func (c *client) Transactional(id string) (steps.Transactional, error) {
	config := producing(steps.How{Codec: "none", Acks: -1, Idempotent: true})
	config.Producer.Transaction.ID = id
	producer, err := sarama.NewSyncProducer(servers(), config)
	return transactional{producer}, err
}

func (t transactional) Begin() error { return t.BeginTxn() }

func (t transactional) Send(topic string, records []steps.Record) error {
	return send(t.SyncProducer, topic, records)
}

// SendOffsets keeps them until the transaction is committed: that is when sarama sends them.
func (t transactional) SendOffsets(m steps.Member, group, topic string, offsets map[int32]int64) error {
	session := m.(*member).now()
	if session == nil {
		return errors.New("the member has no session")
	}
	var places []*sarama.PartitionOffsetMetadata
	for partition, offset := range offsets {
		places = append(places, &sarama.PartitionOffsetMetadata{Partition: partition, Offset: offset, LeaderEpoch: -1})
	}
	return t.AddOffsetsToTxnWithGroupMetadata(map[string][]*sarama.PartitionOffsetMetadata{topic: places},
		&sarama.ConsumerGroupMetadata{GroupID: group, GenerationID: session.GenerationID(), MemberID: session.MemberID()})
}

func (t transactional) Commit() error { return t.CommitTxn() }

func (t transactional) Abort() error { return t.AbortTxn() }

func (t transactional) Close() { t.SyncProducer.Close() }
