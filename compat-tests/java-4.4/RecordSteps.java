import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Writing records with each codec, reading them by assignment, and finding offsets. */
final class RecordSteps {
    private final Cluster cluster;

    RecordSteps(Cluster cluster) {
        this.cluster = cluster;
    }

    void produce(String kind, Map<String, String> settings) throws Exception {
        String topic = cluster.run + "-" + kind;
        cluster.create(topic, Cluster.PARTITIONS, Map.of());
        try (KafkaProducer<byte[], byte[]> producer = Cluster.producer(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < Records.COUNT; i++) {
                sent.add(producer.send(Records.record(topic, i)));
            }
            producer.flush();
            for (int i = 0; i < Records.COUNT; i++) {
                // With acks=0 nobody tells the producer an offset.
                long expected = kind.equals("acks0") ? -1 : i / Cluster.PARTITIONS;
                Check.equal("offset of record " + i, expected, sent.get(i).get().offset());
                Check.equal("timestamp of record " + i, Records.timestamp(i), sent.get(i).get().timestamp());
            }
        }
    }

    void consume(String kind) {
        String topic = cluster.run + "-" + kind;
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("earliest")) {
            consumer.assign(Cluster.partitions(topic));
            Map<Integer, Long> next = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : Records.read(consumer, Records.COUNT)) {
                int partition = record.partition();
                Check.equal("offset order in partition " + partition, next.getOrDefault(partition, 0L), record.offset());
                next.put(partition, record.offset() + 1);
                Records.same(record);
            }
            Check.equal("records after the last", 0, consumer.poll(Duration.ofMillis(100)).count());
        }
    }

    void seek() {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            TopicPartition partition = new TopicPartition(cluster.run + "-none", 1);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 42);
            List<ConsumerRecord<byte[], byte[]>> records = Records.read(consumer, Records.COUNT / Cluster.PARTITIONS - 42);
            Check.equal("first offset after seek", 42L, records.get(0).offset());
            records.forEach(Records::same);
            Check.equal("position", (long) Records.COUNT / Cluster.PARTITIONS, consumer.position(partition));
        }
    }

    void watermarks() {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            List<TopicPartition> all = Cluster.partitions(cluster.run + "-zstd");
            for (TopicPartition partition : all) {
                Check.equal("beginning of " + partition, 0L, consumer.beginningOffsets(all).get(partition));
                Check.equal("end of " + partition, (long) Records.COUNT / Cluster.PARTITIONS, consumer.endOffsets(all).get(partition));
            }
        }
    }

    // Offsets by time, always of partition 0, which holds the record with the latest timestamp

    private TopicPartition first(String kind) {
        return new TopicPartition(cluster.run + "-" + kind, 0);
    }

    private void expect(String what, long offset, long timestamp, Found found) {
        Check.equal("offset of the " + what, offset, found.offset());
        Check.equal("timestamp of the " + what, timestamp, found.timestamp());
        Check.equal("leader epoch is told", Api.TELLS_LEADER_EPOCHS, found.leaderEpoch().orElse(-1) >= 0);
    }

    void earliest() throws Exception {
        for (String kind : List.of("none", "lz4")) {
            expect("earliest", 0, -1, Api.earliest(cluster.admin, first(kind)));
        }
    }

    void latest() throws Exception {
        for (String kind : List.of("none", "lz4")) {
            expect("latest", Records.COUNT / Cluster.PARTITIONS, -1, Api.latest(cluster.admin, first(kind)));
        }
    }

    void maxTimestamp() throws Exception {
        for (String kind : List.of("none", "lz4")) {
            expect("largest timestamp", Records.LATEST / Cluster.PARTITIONS, Records.timestamp(Records.LATEST),
                Api.maxTimestamp(cluster.admin, first(kind)));
        }
    }

    void byTime() throws Exception {
        for (String kind : List.of("none", "gzip", "zstd")) {
            Check.equal("offset at a record's time", 10L, Api.atTime(cluster.admin, first(kind), Records.timestamp(30)).offset());
            Check.equal("offset between two records", 11L, Api.atTime(cluster.admin, first(kind), Records.timestamp(30) + 1).offset());
            Check.equal("timestamp found", Records.timestamp(33),
                Api.atTime(cluster.admin, first(kind), Records.timestamp(30) + 1).timestamp());
            Check.equal("offset before all", 0L, Api.atTime(cluster.admin, first(kind), 1).offset());
            Check.equal("offset of the latest time", (long) Records.LATEST / Cluster.PARTITIONS,
                Api.atTime(cluster.admin, first(kind), Records.timestamp(Records.LATEST)).offset());
            Check.equal("offset after all", -1L, Api.atTime(cluster.admin, first(kind), Records.timestamp(Records.LATEST) + 1).offset());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            TopicPartition partition = new TopicPartition(cluster.run + "-none", 0);
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, Records.timestamp(30))).get(partition);
            Check.equal("the consumer's offset at a record's time", 10L, found.offset());
            Check.equal("the consumer's timestamp", Records.timestamp(30), found.timestamp());
        }
    }
}
