import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The common list of steps (README.md one folder up) with Kafka's own Java clients. One source for all their versions. */
public final class Compat {
    static final String BOOTSTRAP = Optional.ofNullable(System.getenv("BOOTSTRAP")).orElse("127.0.0.1:9092");
    static final boolean KEEP_GOING = "1".equals(System.getenv("KEEP_GOING"));
    static final int COUNT = 300;
    static final int PARTITIONS = 3;
    /** The record that carries the latest timestamp; it is neither the last of its partition nor of the topic. */
    static final int LATEST = 150;
    static final long BASE_MS = System.currentTimeMillis() - 600_000;
    static final Duration DEADLINE = Duration.ofSeconds(30);

    final String run = "compat-java-" + Long.toString(System.nanoTime(), 36);
    final String main = run + "-main";
    final List<String> created = new ArrayList<>();
    final Admin admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));
    int passed;
    int failed;

    interface Step {
        void run() throws Exception;
    }

    static final class Wrong extends RuntimeException {
        Wrong(String message) {
            super(message);
        }
    }

    public static void main(String[] args) throws IOException {
        Properties build = new Properties();
        build.load(Admin.class.getResourceAsStream("/kafka/kafka-version.properties"));
        System.out.println("client kafka-clients " + build.getProperty("version"));
        Compat compat = new Compat();
        try {
            compat.steps();
        } catch (Wrong stop) {
            // Already reported: the first wrong answer ends the run.
        }
        System.out.println(compat.passed + " passed, " + compat.failed + " failed");
        compat.admin.close(Duration.ZERO);
        System.exit(compat.failed == 0 ? 0 : 1);
    }

    void steps() {
        step("create-topic", this::createTopic);
        step("describe-topic", this::describeTopic);
        step("alter-config", this::alterConfig);
        step("create-partitions", this::createPartitions);
        step("list-topics", this::listTopics);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            step("produce-" + codec, () -> produce(codec, Map.of("compression.type", codec, "acks", "all")));
            step("consume-" + codec, () -> consume(codec));
        }
        step("produce-acks1", () -> produce("acks1", Map.of("acks", "1", "enable.idempotence", "false")));
        step("consume-acks1", () -> consume("acks1"));
        step("produce-acks0", () -> produce("acks0", Map.of("acks", "0", "enable.idempotence", "false")));
        step("consume-acks0", () -> consume("acks0"));
        step("seek", this::seek);
        step("watermarks", this::watermarks);
        step("offset-earliest", () -> offset(OffsetSpec.earliest(), 0, "earliest"));
        step("offset-latest", () -> offset(OffsetSpec.latest(), COUNT / PARTITIONS, "latest"));
        step("offset-by-time", this::offsetByTime);
        step("offset-max-timestamp", () -> offset(OffsetSpec.maxTimestamp(), LATEST / PARTITIONS, "max timestamp"));
        step("error-unknown-topic", this::unknownTopic);
        step("error-too-large", this::tooLarge);
        step("error-invalid-timestamp", this::invalidTimestamp);
        step("error-out-of-range", this::outOfRange);
        step("error-unsupported-version", Compat::unsupportedVersion);
        step("error-unknown-api", Compat::unknownApi);
        step("error-topic-exists", this::topicExists);
        step("error-invalid-partitions", this::invalidPartitions);
        step("error-invalid-replication", this::invalidReplication);
        step("error-invalid-name", this::invalidName);
        step("error-bad-config", this::badConfig);
        step("delete-records", this::deleteRecords);
        step("delete-topics", this::deleteTopics);
        step("error-deleted-topic", this::deletedTopic);
    }

    void step(String name, Step step) {
        try {
            step.run();
            passed++;
            System.out.println("ok " + name);
        } catch (Exception wrong) {
            failed++;
            System.out.println("FAIL " + name + ": " + oneLine(wrong));
            if (!KEEP_GOING) {
                throw new Wrong(name);
            }
        }
    }

    static String oneLine(Throwable wrong) {
        String text = wrong instanceof Wrong ? wrong.getMessage() : wrong.toString();
        return text.replaceAll("\\s+", " ");
    }

    // Topics

    void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        created.add(topic);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
    }

    TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    /** Metadata may trail the controller's answer; the change itself must come. */
    void until(String what, Object expected, Supplier<Object> actual) throws Exception {
        long end = System.nanoTime() + DEADLINE.toNanos();
        Object last = actual.get();
        while (!expected.equals(last) && System.nanoTime() < end) {
            Thread.sleep(20);
            last = actual.get();
        }
        equal(what, expected, last);
    }

    Object quietly(Failing value) {
        try {
            return value.run();
        } catch (Exception error) {
            return cause(error).getClass().getSimpleName();
        }
    }

    void createTopic() throws Exception {
        create(main, PARTITIONS, Map.of("retention.ms", "7200000", "max.message.bytes", "200000", "cleanup.policy", "delete"));
    }

    void describeTopic() throws Exception {
        until("partitions of " + main, PARTITIONS, () -> quietly(() -> describe(main).partitions().size()));
        TopicDescription topic = describe(main);
        for (int i = 0; i < PARTITIONS; i++) {
            equal("partition number", i, topic.partitions().get(i).partition());
            equal("replicas", 1, topic.partitions().get(i).replicas().size());
            equal("in-sync replicas", 1, topic.partitions().get(i).isr().size());
            require(topic.partitions().get(i).leader() != null, "partition " + i + " has no leader");
        }
        equal("internal", false, topic.isInternal());
        equal("configs", Map.of("retention.ms", "7200000", "max.message.bytes", "200000", "cleanup.policy", "delete"),
            topicConfigs(main));
        ConfigEntry segment = config(main, "segment.bytes");
        equal("segment.bytes", "1073741824", segment.value());
        equal("segment.bytes is a default", true, segment.isDefault());
    }

    ConfigEntry config(String topic, String key) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigEntry entry = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key);
        require(entry != null, "DescribeConfigs does not name " + key);
        return entry;
    }

    Map<String, String> topicConfigs(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().stream()
            .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
            .collect(Collectors.toMap(ConfigEntry::name, ConfigEntry::value));
    }

    void alter(String topic, AlterConfigOp... ops) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Map.of(resource, (Collection<AlterConfigOp>) List.of(ops))).all().get();
    }

    static AlterConfigOp op(AlterConfigOp.OpType type, String key, String value) {
        return new AlterConfigOp(new ConfigEntry(key, value), type);
    }

    void alterConfig() throws Exception {
        alter(main, op(AlterConfigOp.OpType.SET, "retention.ms", "10800000"),
            op(AlterConfigOp.OpType.DELETE, "max.message.bytes", ""),
            op(AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact"));
        until("configs after altering", Map.of("retention.ms", "10800000", "cleanup.policy", "delete,compact"),
            () -> quietly(() -> topicConfigs(main)));
        equal("max.message.bytes", "1048588", config(main, "max.message.bytes").value());
        alter(main, op(AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "compact"));
        until("cleanup.policy", "delete", () -> quietly(() -> config(main, "cleanup.policy").value()));
    }

    void createPartitions() throws Exception {
        admin.createPartitions(Map.of(main, NewPartitions.increaseTo(PARTITIONS + 2))).all().get();
        until("partitions after growing", PARTITIONS + 2, () -> quietly(() -> describe(main).partitions().size()));
    }

    void listTopics() throws Exception {
        until("the topic is listed", true, () -> quietly(() -> admin.listTopics().names().get().contains(main)));
    }

    // Records

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] key(int i) {
        return switch (i % 10) {
            case 0 -> null;
            case 1 -> new byte[0];
            default -> bytes("key-é-" + i);
        };
    }

    static byte[] value(int i) {
        if (i % 10 == 7) {
            return null;
        }
        byte[] value = new byte[i % 10 == 5 ? 0 : i * 37 % 1500];
        for (int j = 0; j < value.length; j++) {
            value[j] = (byte) (i * 7 + j);
        }
        return value;
    }

    static List<Header> headers(int i) {
        return switch (i % 4) {
            case 1 -> List.of(new RecordHeader("n", bytes(Integer.toString(i))));
            case 2 -> List.of(new RecordHeader("twice", bytes("1")), new RecordHeader("twice", bytes("2")));
            case 3 -> List.of(new RecordHeader("bin", new byte[] {0, (byte) 0xff, (byte) 0x80}),
                new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null));
            default -> List.of();
        };
    }

    static long timestamp(int i) {
        return BASE_MS + (i == LATEST ? 5_000 : i);
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> settings) {
        Properties all = new Properties();
        all.put("bootstrap.servers", BOOTSTRAP);
        all.put("linger.ms", "5");
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String reset) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", BOOTSTRAP, "auto.offset.reset", reset,
            "allow.auto.create.topics", "false", "enable.auto.commit", "false"),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    void produce(String kind, Map<String, String> settings) throws Exception {
        String topic = run + "-" + kind;
        create(topic, PARTITIONS, Map.of());
        until("partitions of " + topic, PARTITIONS, () -> quietly(() -> describe(topic).partitions().size()));
        // The leaders serve their partitions a little after metadata names them; the admin client tries until they do.
        admin.listOffsets(partitions(topic).stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()))).all().get();
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < COUNT; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, i % PARTITIONS, timestamp(i), key(i), value(i), headers(i))));
            }
            producer.flush();
            for (int i = 0; i < COUNT; i++) {
                // With acks=0 nobody tells the producer an offset.
                long expected = kind.equals("acks0") ? -1 : i / PARTITIONS;
                equal("offset of record " + i, expected, sent.get(i).get().offset());
                equal("timestamp of record " + i, timestamp(i), sent.get(i).get().timestamp());
            }
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(topic, p)).toList();
    }

    List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (records.size() < count && System.nanoTime() < end) {
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        equal("records read", count, records.size());
        return records;
    }

    void consume(String kind) {
        String topic = run + "-" + kind;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("earliest")) {
            consumer.assign(partitions(topic));
            Map<Integer, Long> next = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : read(consumer, COUNT)) {
                int partition = record.partition();
                equal("offset order in partition " + partition, next.getOrDefault(partition, 0L), record.offset());
                next.put(partition, record.offset() + 1);
                same(record);
            }
            equal("records after the last", 0, consumer.poll(Duration.ofMillis(100)).count());
        }
    }

    /** Byte for byte what produce() wrote at that place. */
    static void same(ConsumerRecord<byte[], byte[]> record) {
        int i = (int) record.offset() * PARTITIONS + record.partition();
        equal("timestamp of record " + i, timestamp(i), record.timestamp());
        equal("timestamp type of record " + i, "CreateTime", record.timestampType().toString());
        equal("key of record " + i, hex(key(i)), hex(record.key()));
        equal("value of record " + i, hex(value(i)), hex(record.value()));
        equal("headers of record " + i, hex(headers(i)), hex(Arrays.asList(record.headers().toArray())));
    }

    static String hex(byte[] data) {
        return data == null ? "null" : HexFormat.of().formatHex(data);
    }

    static String hex(List<Header> headers) {
        return headers.stream().map(header -> header.key() + "=" + hex(header.value())).collect(Collectors.joining(","));
    }

    void seek() {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            TopicPartition partition = new TopicPartition(run + "-none", 1);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 42);
            List<ConsumerRecord<byte[], byte[]>> records = read(consumer, COUNT / PARTITIONS - 42);
            equal("first offset after seek", 42L, records.get(0).offset());
            records.forEach(Compat::same);
            equal("position", (long) COUNT / PARTITIONS, consumer.position(partition));
        }
    }

    void watermarks() {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            List<TopicPartition> all = partitions(run + "-zstd");
            for (TopicPartition partition : all) {
                equal("beginning of " + partition, 0L, consumer.beginningOffsets(all).get(partition));
                equal("end of " + partition, (long) COUNT / PARTITIONS, consumer.endOffsets(all).get(partition));
            }
        }
    }

    // Offsets by time, always of partition 0, which holds the record with the latest timestamp

    ListOffsetsResultInfo lookUp(OffsetSpec spec, String kind) throws Exception {
        TopicPartition partition = new TopicPartition(run + "-" + kind, 0);
        return admin.listOffsets(Map.of(partition, spec)).all().get().get(partition);
    }

    void offset(OffsetSpec spec, long expected, String what) throws Exception {
        for (String kind : List.of("none", "lz4")) {
            ListOffsetsResultInfo found = lookUp(spec, kind);
            equal("offset of the " + what, expected, found.offset());
            equal("leader epoch is told", true, found.leaderEpoch().orElse(-1) >= 0);
            equal("timestamp", spec instanceof OffsetSpec.MaxTimestampSpec ? timestamp(LATEST) : -1L, found.timestamp());
        }
    }

    void offsetByTime() throws Exception {
        for (String kind : List.of("none", "gzip", "zstd")) {
            equal("offset at a record's time", 10L, lookUp(OffsetSpec.forTimestamp(timestamp(30)), kind).offset());
            equal("offset between two records", 11L, lookUp(OffsetSpec.forTimestamp(timestamp(30) + 1), kind).offset());
            equal("timestamp found", timestamp(33), lookUp(OffsetSpec.forTimestamp(timestamp(30) + 1), kind).timestamp());
            equal("offset before all", 0L, lookUp(OffsetSpec.forTimestamp(1), kind).offset());
            equal("offset of the latest time", (long) LATEST / PARTITIONS,
                lookUp(OffsetSpec.forTimestamp(timestamp(LATEST)), kind).offset());
            equal("offset after all", -1L, lookUp(OffsetSpec.forTimestamp(timestamp(LATEST) + 1), kind).offset());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            TopicPartition partition = new TopicPartition(run + "-none", 0);
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timestamp(30))).get(partition);
            equal("the consumer's offset at a record's time", 10L, found.offset());
            equal("the consumer's timestamp", timestamp(30), found.timestamp());
        }
    }

    // Errors

    interface Failing {
        Object run() throws Exception;
    }

    static Throwable cause(Throwable error) {
        return error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
    }

    static <T extends Throwable> T fails(Class<T> expected, String what, Failing failing) {
        Object result;
        try {
            result = failing.run();
        } catch (Throwable error) {
            Throwable cause = cause(error);
            if (expected.isInstance(cause)) {
                return expected.cast(cause);
            }
            throw new Wrong(what + ": expected " + expected.getSimpleName() + ", got " + cause);
        }
        throw new Wrong(what + ": expected " + expected.getSimpleName() + ", got success " + result);
    }

    void unknownTopic() {
        String unknown = run + "-unknown";
        fails(UnknownTopicOrPartitionException.class, "describe", () -> describe(unknown));
        fails(UnknownTopicOrPartitionException.class, "delete", () -> admin.deleteTopics(List.of(unknown)).all().get());
        fails(UnknownTopicOrPartitionException.class, "describe configs", () -> config(unknown, "retention.ms"));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            equal("partitions of an unknown topic", 0, Optional.ofNullable(consumer.partitionsFor(unknown)).map(List::size).orElse(0));
        }
        fails(UnknownTopicOrPartitionException.class, "describe after looking", () -> describe(unknown));
    }

    void tooLarge() throws Exception {
        String topic = run + "-small";
        create(topic, 1, Map.of("max.message.bytes", "10000"));
        byte[] noise = new byte[20_000];
        new Random(1).nextBytes(noise);
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            fails(RecordTooLargeException.class, "20,000 bytes", () -> producer.send(new ProducerRecord<>(topic, noise)).get());
            equal("offset of the next record", 0L, producer.send(new ProducerRecord<>(topic, new byte[5_000])).get().offset());
        }
    }

    void invalidTimestamp() throws Exception {
        String topic = run + "-bounded";
        create(topic, 1, Map.of("message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000"));
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            long now = System.currentTimeMillis();
            for (long timestamp : List.of(now - 3_600_000, now + 3_600_000)) {
                fails(InvalidTimestampException.class, "timestamp " + (timestamp - now) + " ms from now",
                    () -> producer.send(new ProducerRecord<>(topic, 0, timestamp, null, bytes("x"))).get());
            }
            equal("offset of a record in time", 0L, producer.send(new ProducerRecord<>(topic, bytes("x"))).get().offset());
        }
    }

    void outOfRange() {
        TopicPartition partition = new TopicPartition(run + "-none", 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100_000);
            OffsetOutOfRangeException error = fails(OffsetOutOfRangeException.class, "read at 100000", () -> pollUntil(consumer));
            equal("partitions out of range", Set.of(partition), error.partitions());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("latest")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 100_000);
            consumer.poll(Duration.ofSeconds(1));
            equal("position after a reset", (long) COUNT / PARTITIONS, consumer.position(partition));
        }
    }

    static Object pollUntil(KafkaConsumer<byte[], byte[]> consumer) {
        long end = System.nanoTime() + DEADLINE.toNanos();
        int count = 0;
        while (count == 0 && System.nanoTime() < end) {
            count = consumer.poll(Duration.ofMillis(200)).count();
        }
        return count + " records";
    }

    void topicExists() {
        fails(TopicExistsException.class, "create again",
            () -> admin.createTopics(List.of(new NewTopic(main, 1, (short) 1))).all().get());
    }

    void invalidPartitions() {
        fails(InvalidPartitionsException.class, "create with no partitions",
            () -> admin.createTopics(List.of(new NewTopic(run + "-p0", 0, (short) 1))).all().get());
        for (int count : List.of(1, PARTITIONS + 2)) {
            fails(InvalidPartitionsException.class, "grow to " + count,
                () -> admin.createPartitions(Map.of(main, NewPartitions.increaseTo(count))).all().get());
        }
    }

    void invalidReplication() {
        fails(InvalidReplicationFactorException.class, "create with 99 replicas",
            () -> admin.createTopics(List.of(new NewTopic(run + "-r99", 1, (short) 99))).all().get());
    }

    void invalidName() {
        for (String name : List.of("a b", "ä", "x".repeat(250))) {
            fails(InvalidTopicException.class, "create " + name,
                () -> admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get());
        }
    }

    void badConfig() {
        Map<String, String> bad = Map.of("retention.ms", "soon", "cleanup.policy", "burn", "no.such.config", "1",
            "compression.type", "rar", "min.insync.replicas", "0");
        bad.forEach((key, value) -> {
            fails(InvalidConfigurationException.class, "create with " + key + "=" + value, () -> admin.createTopics(
                List.of(new NewTopic(run + "-bad", 1, (short) 1).configs(Map.of(key, value)))).all().get());
            fails(InvalidConfigurationException.class, "alter to " + key + "=" + value, () -> {
                alter(main, op(AlterConfigOp.OpType.SET, key, value));
                return null;
            });
        });
    }

    // Deleting

    void deleteRecords() throws Exception {
        TopicPartition partition = new TopicPartition(run + "-none", 0);
        equal("low watermark", 20L, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(20)))
            .lowWatermarks().get(partition).get().lowWatermark());
        equal("earliest offset", 20L, lookUp(OffsetSpec.earliest(), "none").offset());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 19);
            fails(OffsetOutOfRangeException.class, "read below the start", () -> pollUntil(consumer));
            consumer.seek(partition, 20);
            List<ConsumerRecord<byte[], byte[]>> records = read(consumer, COUNT / PARTITIONS - 20);
            equal("first offset kept", 20L, records.get(0).offset());
            records.forEach(Compat::same);
        }
        fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, "delete beyond the end",
            () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(100_000))).all().get());
    }

    void deleteTopics() throws Exception {
        admin.deleteTopics(created).all().get();
    }

    void deletedTopic() throws Exception {
        until("describing a deleted topic", "UnknownTopicOrPartitionException", () -> quietly(() -> describe(main)));
        Set<String> left = admin.listTopics().names().get();
        equal("topics left", List.of(), left.stream().filter(name -> name.startsWith(run)).toList());
    }

    // What no client sends

    static byte[] exchange(DataOutputStream out, DataInputStream in, byte[] request) throws IOException {
        out.writeInt(request.length);
        out.write(request);
        out.flush();
        byte[] response = new byte[in.readInt()];
        in.readFully(response);
        return response;
    }

    static Socket connect() throws IOException {
        String[] address = BOOTSTRAP.split(",")[0].split(":");
        Socket socket = new Socket(address[0], Integer.parseInt(address[1]));
        socket.setSoTimeout(10_000);
        return socket;
    }

    /** ApiVersions v99: error 35 in the body of v0, and the connection stays usable. */
    static void unsupportedVersion() throws IOException {
        byte[] v99 = {0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 0, 2, 'x', 2, '1', 0};
        byte[] v0 = {0, 18, 0, 0, 0, 0, 0, 8, 0, 1, 'x'};
        try (Socket socket = connect()) {
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = exchange(out, in, v99);
            equal("correlation id and error", "0000000700" + "23", hex(Arrays.copyOf(answer, 6)));
            int keys = java.nio.ByteBuffer.wrap(answer).getInt(6);
            require(keys > 0, "no API keys listed");
            equal("length of the v0 body", 10 + 6 * keys, answer.length);
            equal("correlation id and error of v0", "000000080000", hex(Arrays.copyOf(exchange(out, in, v0), 6)));
        }
    }

    static void unknownApi() throws IOException {
        byte[] request = {0x27, 0x0f, 0, 0, 0, 0, 0, 7, 0, 1, 'x'};
        try (Socket socket = connect()) {
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = exchange(out, in, request);
            throw new Wrong("API key 9999: expected a closed connection, got " + hex(answer));
        } catch (EOFException | SocketException closed) {
            // As it should be.
        }
    }

    static void equal(String what, Object expected, Object actual) {
        require(expected.equals(actual), what + ": expected " + expected + ", got " + actual);
    }

    static void require(boolean holds, String message) {
        if (!holds) {
            throw new Wrong(message);
        }
    }
}
