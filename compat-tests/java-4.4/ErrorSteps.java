import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What must be refused, by the error the client knows it by. */
final class ErrorSteps {
    private final Cluster cluster;

    ErrorSteps(Cluster cluster) {
        this.cluster = cluster;
    }

    void unknownTopic() {
        String unknown = cluster.run + "-unknown";
        Check.fails(UnknownTopicOrPartitionException.class, "describe", () -> Api.describe(cluster.admin, unknown));
        Check.fails(UnknownTopicOrPartitionException.class, "delete", () -> cluster.admin.deleteTopics(List.of(unknown)).all().get());
        Check.fails(UnknownTopicOrPartitionException.class, "describe configs", () -> cluster.config(Cluster.topic(unknown), "retention.ms"));
        if (!Api.LOOKS_WITHOUT_CREATING) {
            return;
        }
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            Check.equal("partitions of an unknown topic", 0, Optional.ofNullable(consumer.partitionsFor(unknown)).map(List::size).orElse(0));
        }
        Check.fails(UnknownTopicOrPartitionException.class, "describe after looking", () -> Api.describe(cluster.admin, unknown));
    }

    void tooLarge() throws Exception {
        String topic = cluster.run + "-small";
        cluster.create(topic, 1, Map.of("max.message.bytes", "10000"));
        byte[] noise = new byte[20_000];
        new Random(1).nextBytes(noise);
        try (KafkaProducer<byte[], byte[]> producer = Cluster.producer(Map.of())) {
            Check.fails(RecordTooLargeException.class, "20,000 bytes", () -> producer.send(new ProducerRecord<>(topic, noise)).get());
            Check.equal("offset of the next record", 0L, producer.send(new ProducerRecord<>(topic, new byte[5_000])).get().offset());
        }
    }

    void invalidTimestamp() throws Exception {
        String topic = cluster.run + "-bounded";
        cluster.create(topic, 1, Map.of("message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000"));
        try (KafkaProducer<byte[], byte[]> producer = Cluster.producer(Map.of())) {
            long now = System.currentTimeMillis();
            for (long timestamp : List.of(now - 3_600_000, now + 3_600_000)) {
                Check.fails(InvalidTimestampException.class, "timestamp " + (timestamp - now) + " ms from now",
                    () -> producer.send(new ProducerRecord<>(topic, 0, timestamp, null, Records.bytes("x"))).get());
            }
            Check.equal("offset of a record in time", 0L, producer.send(new ProducerRecord<>(topic, Records.bytes("x"))).get().offset());
        }
    }

    void outOfRange() {
        TopicPartition partition = new TopicPartition(cluster.run + "-none", 0);
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100_000);
            OffsetOutOfRangeException error = Check.fails(OffsetOutOfRangeException.class, "read at 100000", () -> Records.poll(consumer));
            Check.equal("partitions out of range", Set.of(partition), error.partitions());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("latest")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100_000);
            consumer.poll(Duration.ofSeconds(1));
            Check.equal("position after a reset", (long) Records.COUNT / Cluster.PARTITIONS, consumer.position(partition));
        }
    }

    void topicExists() {
        Check.fails(TopicExistsException.class, "create again",
            () -> cluster.admin.createTopics(List.of(new NewTopic(cluster.run + "-main", 1, (short) 1))).all().get());
    }

    void invalidPartitions() {
        Check.fails(InvalidPartitionsException.class, "create with no partitions",
            () -> cluster.admin.createTopics(List.of(new NewTopic(cluster.run + "-p0", 0, (short) 1))).all().get());
        for (int count : List.of(1, Cluster.PARTITIONS + 2)) {
            Check.fails(InvalidPartitionsException.class, "grow to " + count,
                () -> cluster.admin.createPartitions(Map.of(cluster.run + "-main", NewPartitions.increaseTo(count))).all().get());
        }
    }

    void invalidReplication() {
        Check.fails(InvalidReplicationFactorException.class, "create with 99 replicas",
            () -> cluster.admin.createTopics(List.of(new NewTopic(cluster.run + "-r99", 1, (short) 99))).all().get());
    }

    void invalidName() {
        for (String name : List.of("a b", "ä", "x".repeat(250))) {
            Check.fails(InvalidTopicException.class, "create " + name,
                () -> cluster.admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get());
        }
    }

    void badConfig() {
        Map<String, String> bad = Map.of("retention.ms", "soon", "cleanup.policy", "burn", "no.such.config", "1",
            "compression.type", "rar", "min.insync.replicas", "0");
        bad.forEach((key, value) -> {
            Check.fails(InvalidConfigurationException.class, "create with " + key + "=" + value, () -> cluster.admin.createTopics(
                List.of(new NewTopic(cluster.run + "-bad", 1, (short) 1).configs(Map.of(key, value)))).all().get());
            Check.fails(InvalidConfigurationException.class, "alter to " + key + "=" + value, () -> {
                Api.alter(cluster.admin, Cluster.topic(cluster.run + "-main"), new Change(Change.Kind.SET, key, value));
                return null;
            });
        });
    }

    void deleteRecords() throws Exception {
        TopicPartition partition = new TopicPartition(cluster.run + "-none", 0);
        Check.equal("low watermark", 20L, cluster.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(20)))
            .lowWatermarks().get(partition).get().lowWatermark());
        Check.equal("earliest offset", 20L, Api.earliest(cluster.admin, partition).offset());
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 19);
            Check.fails(OffsetOutOfRangeException.class, "read below the start", () -> Records.poll(consumer));
            consumer.seek(partition, 20);
            List<ConsumerRecord<byte[], byte[]>> records = Records.read(consumer, Records.COUNT / Cluster.PARTITIONS - 20);
            Check.equal("first offset kept", 20L, records.get(0).offset());
            records.forEach(Records::same);
        }
        Check.fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, "delete beyond the end",
            () -> cluster.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(100_000))).all().get());
    }
}
