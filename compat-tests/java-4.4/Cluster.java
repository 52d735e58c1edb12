import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The broker under test as the steps see it: an admin client, the topics of this run, and clients in their usual settings. */
final class Cluster {
    static final String BOOTSTRAP = Optional.ofNullable(System.getenv("BOOTSTRAP")).orElse("127.0.0.1:9092");
    static final int PARTITIONS = 3;

    /** The prefix of every topic and group of this run. */
    final String run = "compat-java-" + Long.toString(System.nanoTime(), 36);
    final List<String> created = Collections.synchronizedList(new ArrayList<>());
    final AdminClient admin = AdminClient.create(Map.<String, Object>of("bootstrap.servers", BOOTSTRAP));

    /** Returns when the leaders serve the partitions, which is a little after metadata names them. */
    void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        created.add(topic);
        Check.until("partitions of " + topic, partitions, () -> Api.describe(admin, topic).partitions().size());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("none")) {
            consumer.endOffsets(partitions(topic, partitions));
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return partitions(topic, PARTITIONS);
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList());
    }

    static ConfigResource topic(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    Config configs(ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    ConfigEntry config(ConfigResource resource, String key) throws Exception {
        ConfigEntry entry = configs(resource).get(key);
        Check.require(entry != null, "DescribeConfigs of " + resource + " does not name " + key);
        return entry;
    }

    /** The configs set on the topic itself. */
    Map<String, String> topicConfigs(String topic) throws Exception {
        return configs(topic(topic)).entries().stream()
            .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
            .collect(Collectors.toMap(ConfigEntry::name, ConfigEntry::value));
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", BOOTSTRAP, "linger.ms", "5", "acks", "all",
            "enable.idempotence", "true"));
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String reset) {
        return consumer(reset, "read_uncommitted");
    }

    static KafkaConsumer<byte[], byte[]> consumer(String reset, String isolation) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", BOOTSTRAP, "auto.offset.reset", reset,
            "isolation.level", isolation, "allow.auto.create.topics", "false", "enable.auto.commit", "false"),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
