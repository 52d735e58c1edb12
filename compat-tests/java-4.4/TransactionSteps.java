import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Transactions: what they write, what they commit for a group, and who may go on with one. */
final class TransactionSteps {
    private final Cluster cluster;

    TransactionSteps(Cluster cluster) {
        this.cluster = cluster;
    }

    private String make(String kind) throws Exception {
        String topic = cluster.run + "-transaction-" + kind;
        cluster.create(topic, Cluster.PARTITIONS, Map.of());
        return topic;
    }

    /** A producer that has ended what another of its id had begun. */
    private KafkaProducer<byte[], byte[]> producer(String id) {
        KafkaProducer<byte[], byte[]> producer = Cluster.producer(Map.of("transactional.id", cluster.run + "-" + id));
        producer.initTransactions();
        return producer;
    }

    private static void write(KafkaProducer<byte[], byte[]> producer, String topic, int start, int end) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = start; i < end; i++) {
            sent.add(producer.send(Records.record(topic, i)));
        }
        producer.flush();
        for (Future<RecordMetadata> each : sent) {
            each.get();
        }
    }

    private static void begin(KafkaProducer<byte[], byte[]> producer, String topic, int start, int end) throws Exception {
        producer.beginTransaction();
        write(producer, topic, start, end);
    }

    private static void writePlainly(String topic, int start, int end) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = Cluster.producer(Map.of())) {
            write(producer, topic, start, end);
        }
    }

    /** What a consumer reads of all partitions from an offset on: so many records and no more. */
    private static List<ConsumerRecord<byte[], byte[]>> read(String isolation, String topic, long start, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none", isolation)) {
            consumer.assign(Cluster.partitions(topic));
            Cluster.partitions(topic).forEach(partition -> consumer.seek(partition, start));
            List<ConsumerRecord<byte[], byte[]>> records = Records.read(consumer, count);
            Check.equal("records after the last", 0, consumer.poll(Duration.ofMillis(100)).count());
            return records;
        }
    }

    private static void offsets(List<Long> expected, List<ConsumerRecord<byte[], byte[]>> records) {
        for (int partition = 0; partition < Cluster.PARTITIONS; partition++) {
            int of = partition;
            Check.equal("offsets read of partition " + partition, expected, records.stream()
                .filter(record -> record.partition() == of).map(ConsumerRecord::offset).collect(Collectors.toList()));
        }
    }

    private static List<Long> range(long start, long end) {
        return LongStream.range(start, end).boxed().collect(Collectors.toList());
    }

    private void ends(String topic, long end) throws Exception {
        for (TopicPartition partition : Cluster.partitions(topic)) {
            Check.until("end of " + partition, end, () -> Api.latest(cluster.admin, partition).offset());
        }
    }

    /** Two transactions: the second's records stand behind the first's marker. */
    void commit() throws Exception {
        String topic = make("commit");
        try (KafkaProducer<byte[], byte[]> producer = producer("commit")) {
            begin(producer, topic, 0, 30);
            producer.commitTransaction();
            List<ConsumerRecord<byte[], byte[]>> records = read("read_committed", topic, 0, 30);
            offsets(range(0, 10), records);
            records.forEach(Records::same);
            ends(topic, 11);
            begin(producer, topic, 30, 60);
            producer.commitTransaction();
        }
        List<Long> around = range(0, 10);
        around.addAll(range(11, 21));
        offsets(around, read("read_committed", topic, 0, 60));
    }

    /** What an aborted transaction wrote is read by those that read everything, and by nobody else. */
    void abort() throws Exception {
        String topic = make("abort");
        writePlainly(topic, 0, 30);
        try (KafkaProducer<byte[], byte[]> producer = producer("abort")) {
            begin(producer, topic, 30, 60);
            producer.abortTransaction();
        }
        ends(topic, 21);
        List<ConsumerRecord<byte[], byte[]>> all = read("read_uncommitted", topic, 0, 60);
        offsets(range(0, 20), all);
        all.forEach(Records::same);
        // Behind the marker stands one that everybody reads.
        writePlainly(topic, 60, 63);
        offsets(List.of(8L, 9L, 21L), read("read_committed", topic, 8, 9));
    }

    private Map<Integer, Long> committed(String group) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
            .forEach((partition, at) -> offsets.put(partition.partition(), at.offset()));
        return offsets;
    }

    private void committed(String when, String group, long offset) throws Exception {
        Check.until("offsets " + when, Map.of(0, offset, 1, offset, 2, offset), () -> committed(group));
    }

    /** Offsets are committed with the transaction that they are part of, and not before it; an aborted one's never. */
    void offsets(String protocol) throws Exception {
        String source = make("source-" + protocol);
        String topic = make("offsets-" + protocol);
        writePlainly(source, 0, 30);
        try (Member member = new Member("offsets", protocol, source, Member.to(source));
            KafkaProducer<byte[], byte[]> producer = producer("offsets-" + protocol)) {
            Check.until("records read", 30, () -> {
                member.owned();
                return member.read().size();
            });
            member.commit();
            send(producer, member, source, topic, 4);
            producer.abortTransaction();
            committed("after an abort", source, 10);
            send(producer, member, source, topic, 7);
            committed("before the commit", source, 10);
            producer.commitTransaction();
            committed("after the commit", source, 7);
        }
    }

    /** Begins a transaction with a few records, and offsets of the member's group, which is named as its topic is. */
    private static void send(KafkaProducer<byte[], byte[]> producer, Member member, String source, String topic, long offset)
            throws Exception {
        begin(producer, topic, 0, 3);
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        Cluster.partitions(source).forEach(partition -> offsets.put(partition, new OffsetAndMetadata(offset)));
        Api.sendOffsets(producer, offsets, member, source);
    }

    /** A second producer of the id ends the first's transaction, and the first may not go on with it. */
    void fenced() throws Exception {
        String topic = make("fenced");
        try (KafkaProducer<byte[], byte[]> first = producer("fenced")) {
            begin(first, topic, 0, 3);
            try (KafkaProducer<byte[], byte[]> second = producer("fenced")) {
                begin(second, topic, 3, 6);
                Check.fails(ProducerFencedException.class, "the first producer commits", () -> {
                    first.commitTransaction();
                    return "";
                });
                second.commitTransaction();
            }
        }
        // The first's record is at 0, the marker of its end at 1.
        offsets(List.of(2L), read("read_committed", topic, 0, 3));
    }
}
