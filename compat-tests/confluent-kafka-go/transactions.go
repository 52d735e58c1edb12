package main

import (
	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"tidewater/compat-tests/steps"
)

type transactional struct{ producer *kafka.Producer }

func (c *client) Transactional(id string) (steps.Transactional, error) {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": steps.Bootstrap(), "transactional.id": id})
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited()
	defer cancel()
	if err := producer.InitTransactions(ctx); err != nil {
		producer.Close()
		return nil, err
	}
	return transactional{producer}, nil
}

func (t transactional) Begin() error { return t.producer.BeginTransaction() }

func (t transactional) Send(topic string, records []steps.Record) error {
	return send(t.producer, topic, records)
}

func (t transactional) SendOffsets(m steps.Member, _, topic string, offsets map[int32]int64) error {
	ctx, cancel := limited()
	defer cancel()
	group, err := m.(*member).consumer.GetConsumerGroupMetadata()
	if err != nil {
		return err
	}
	var places []kafka.TopicPartition
	for partition, offset := range offsets {
		places = append(places, kafka.TopicPartition{Topic: &topic, Partition: partition, Offset: kafka.Offset(offset)})
	}
	return t.producer.SendOffsetsToTransaction(ctx, places, group)
}

func (t transactional) Commit() error {
	ctx, cancel := limited()
	defer cancel()
	return t.producer.CommitTransaction(ctx)
}

func (t transactional) Abort() error {
	ctx, cancel := limited()
	defer cancel()
	return t.producer.AbortTransaction(ctx)
}

func (t transactional) Close() { t.producer.Close() }
