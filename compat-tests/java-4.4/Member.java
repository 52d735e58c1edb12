import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group that polls on a thread of its own, as an application does; the steps look at what it owns and has read. */
final class Member implements AutoCloseable {
    /** The settings of a member; the new protocol leaves the session to the broker. */
    static Map<String, Object> settings(String protocol, String group) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", Cluster.BOOTSTRAP, "group.id", group,
            "auto.offset.reset", "earliest", "enable.auto.commit", "false", "metadata.max.age.ms", "500"));
        if (protocol.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.putAll(Map.of("session.timeout.ms", "6000", "heartbeat.interval.ms", "1000"));
        }
        return settings;
    }

    static KafkaConsumer<String, String> consumer(Map<String, Object> settings) {
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    interface Use<T> {
        T of(Consumer<String, String> consumer) throws Exception;
    }

    final String clientId;
    private final KafkaConsumer<String, String> consumer;
    private final ConcurrentLinkedQueue<Runnable> asked = new ConcurrentLinkedQueue<>();
    private final List<ConsumerRecord<String, String>> read = new CopyOnWriteArrayList<>();
    private final Thread thread;
    private volatile Set<TopicPartition> owned = Set.of();
    private volatile boolean leaving;
    private volatile Exception error;

    /** A member with a client id, what it subscribes to, and settings in pairs. */
    Member(String clientId, String protocol, String group, Use<Object> subscribe, String... more) throws Exception {
        this.clientId = clientId;
        Map<String, Object> settings = settings(protocol, group);
        settings.put("client.id", clientId);
        for (int i = 0; i < more.length; i += 2) {
            settings.put(more[i], more[i + 1]);
        }
        consumer = consumer(settings);
        subscribe.of(consumer);
        thread = new Thread(this::poll, clientId);
        thread.setDaemon(true);
        thread.start();
    }

    static Use<Object> to(String topic) {
        return consumer -> {
            consumer.subscribe(List.of(topic));
            return null;
        };
    }

    private void poll() {
        try {
            while (!leaving) {
                consumer.poll(Duration.ofMillis(100)).forEach(read::add);
                owned = Set.copyOf(consumer.assignment());
                for (Runnable task = asked.poll(); task != null; task = asked.poll()) {
                    task.run();
                }
            }
        } catch (Exception failed) {
            error = failed;
        } finally {
            owned = Set.of();
            consumer.close();
        }
    }

    /** The partitions it owns, in order. */
    Set<Integer> owned() throws Exception {
        if (error != null) {
            throw error;
        }
        return owned.stream().map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new));
    }

    List<ConsumerRecord<String, String>> read() {
        return read;
    }

    /** Does something with the consumer on its own thread, as it allows no other. */
    <T> T ask(Use<T> use) throws Exception {
        CompletableFuture<T> answer = new CompletableFuture<>();
        asked.add(() -> {
            try {
                answer.complete(use.of(consumer));
            } catch (Exception failed) {
                answer.completeExceptionally(failed);
            }
        });
        if (error != null) {
            throw error;
        }
        return answer.get(Check.DEADLINE.toSeconds(), TimeUnit.SECONDS);
    }

    void commit() throws Exception {
        ask(consumer -> {
            consumer.commitSync();
            return null;
        });
    }

    /** Leaves the group in order. */
    @Override
    public void close() throws InterruptedException {
        leaving = true;
        thread.join(Check.DEADLINE.toMillis());
    }
}
