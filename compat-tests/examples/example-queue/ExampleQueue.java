import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Users and their entries, kept in topics of a Kafka broker and nowhere else.
 *
 * <p>A registration is a record of the topic `PREFIX.users`, an entry one of `PREFIX.entries.TOPIC`; the key is the user's name, so all that
 * a user wrote to a topic is in one partition, in order. What is in memory is a view of those topics: every question first reads on
 * to their ends, and therefore sees what was acknowledged before, by whichever program. A new program reads them from the start.
 *
 * <p>For one thread. Every call fails with a KafkaException when the broker stays away for longer than the client's timeouts.
 */
public final class ExampleQueue implements AutoCloseable {
    private static final int PARTITIONS = 3;
    private static final Duration POLL = Duration.ofMillis(200);
    /** How long a question waits for a broker that is away; writing waits as long (delivery.timeout.ms). */
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    private final String prefix;
    private final Admin admin;
    private final KafkaProducer<String, String> producer;
    private final KafkaConsumer<String, String> consumer;
    private final Map<String, String> hashes = new HashMap<>();
    /** By topic, then by user. */
    private final Map<String, Map<String, List<Entry>>> entries = new TreeMap<>();

    /** One entry: where it stands in its topic, and its text. */
    public record Entry(String topic, String username, int partition, long offset, String text) {}

    private ExampleQueue(String bootstrap, String prefix) {
        this.prefix = prefix;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        // acks=all and idempotence are the producer's defaults: what is acknowledged is stored, and once.
        producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "delivery.timeout.ms", (int) PATIENCE.toMillis(),
            "max.block.ms", PATIENCE.toMillis(), "linger.ms", 0), new StringSerializer(), new StringSerializer());
        consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "auto.offset.reset", "none",
            "allow.auto.create.topics", false, "default.api.timeout.ms", (int) PATIENCE.toMillis()),
            new StringDeserializer(), new StringDeserializer());
    }

    /** Opens the queue whose topics begin with a prefix, and makes it if it is not there. */
    public static ExampleQueue open(String bootstrap, String prefix) {
        ExampleQueue queue = new ExampleQueue(bootstrap, prefix);
        queue.create(queue.users());
        return queue;
    }

    /** Registers a user; false if the name is taken. Of two programs that add one name, the one whose record is first has it. */
    public boolean add(String username, String password) {
        catchUp();
        if (hashes.containsKey(username)) {
            return false;
        }
        String hash = Passwords.hash(password);
        write(users(), username, hash);
        catchUp();
        return hashes.get(username).equals(hash);
    }

    /** Whether there is such a user and this is the password. */
    public boolean login(String username, String password) {
        catchUp();
        return hashes.containsKey(username) && Passwords.matches(password, hashes.get(username));
    }

    /** Writes an entry of a registered user to a topic, which is created with its first entry; returns when it is stored. */
    public Entry put(String topic, String username, String text) {
        if (!hashes.containsKey(username)) {
            catchUp();
        }
        if (!hashes.containsKey(username)) {
            throw new IllegalArgumentException("no user " + username);
        }
        if (!entries.containsKey(topic)) {
            create(entriesOf(topic));
            entries.put(topic, new HashMap<>());
        }
        RecordMetadata stored = write(entriesOf(topic), username, text);
        return new Entry(topic, username, stored.partition(), stored.offset(), text);
    }

    /** The newest entry of a user in a topic. */
    public Optional<Entry> get(String topic, String username) {
        List<Entry> all = all(topic, username);
        return all.isEmpty() ? Optional.empty() : Optional.of(all.get(all.size() - 1));
    }

    /** All entries of a user in a topic, oldest first. */
    public List<Entry> all(String topic, String username) {
        catchUp();
        return List.copyOf(entries.getOrDefault(topic, Map.of()).getOrDefault(username, List.of()));
    }

    /** All entries of a user: by topic, and oldest first in each. */
    public Map<String, List<Entry>> all(String username) {
        catchUp();
        Map<String, List<Entry>> all = new LinkedHashMap<>();
        entries.forEach((topic, byUser) -> {
            if (byUser.containsKey(username)) {
                all.put(topic, List.copyOf(byUser.get(username)));
            }
        });
        return all;
    }

    @Override
    public void close() {
        producer.close();
        consumer.close();
        admin.close();
    }

    private String users() {
        return prefix + ".users";
    }

    private String entriesOf(String topic) {
        return prefix + ".entries." + topic;
    }

    private void create(String name) {
        // Nothing here is ever too old.
        NewTopic topic = new NewTopic(name, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1"));
        try {
            admin.createTopics(List.of(topic)).all().get();
        } catch (ExecutionException failed) {
            if (!(failed.getCause() instanceof TopicExistsException)) {
                throw new IllegalStateException("topic " + name + " cannot be created", failed.getCause());
            }
        } catch (InterruptedException interrupted) {
            throw stop(interrupted);
        }
    }

    private RecordMetadata write(String topic, String key, String value) {
        try {
            return producer.send(new ProducerRecord<>(topic, key, value)).get();
        } catch (ExecutionException failed) {
            throw new IllegalStateException("nothing could be written to " + topic, failed.getCause());
        } catch (InterruptedException interrupted) {
            throw stop(interrupted);
        }
    }

    private static IllegalStateException stop(InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        return new IllegalStateException("interrupted", interrupted);
    }

    /** Reads all topics of this queue on to where they end now. */
    private void catchUp() {
        List<TopicPartition> partitions = partitions();
        Map<TopicPartition, Long> positions = consumer.assignment().stream().collect(Collectors.toMap(p -> p, consumer::position));
        if (!positions.keySet().containsAll(partitions)) {
            consumer.assign(partitions);
            partitions.forEach(partition -> consumer.seek(partition, positions.getOrDefault(partition, 0L)));
        }
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("the ends " + ends + " were not reached in " + PATIENCE);
            }
            consumer.poll(POLL).forEach(this::take);
        }
    }

    private List<TopicPartition> partitions() {
        List<TopicPartition> all = new ArrayList<>();
        consumer.listTopics().forEach((topic, partitions) -> {
            if (topic.equals(users()) || topic.startsWith(entriesOf(""))) {
                for (PartitionInfo partition : partitions) {
                    all.add(new TopicPartition(topic, partition.partition()));
                }
            }
        });
        return all;
    }

    private void take(ConsumerRecord<String, String> record) {
        if (record.topic().equals(users())) {
            hashes.putIfAbsent(record.key(), record.value());
            return;
        }
        String topic = record.topic().substring(entriesOf("").length());
        entries.computeIfAbsent(topic, name -> new HashMap<>()).computeIfAbsent(record.key(), name -> new ArrayList<>())
            .add(new Entry(topic, record.key(), record.partition(), record.offset(), record.value()));
    }
}
