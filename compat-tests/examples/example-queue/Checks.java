import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** What run.sh asks of the library, a process for each question: anything wrong ends it with an exception. */
public final class Checks {
    private static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    private static final String PREFIX = "example-queue";
    private static final int USERS = 20;
    private static final List<String> TOPICS = List.of("letters", "orders");

    private Checks() {}

    public static void main(String[] args) {
        try (ExampleQueue queue = ExampleQueue.open(BOOTSTRAP, PREFIX)) {
            switch (args[0]) {
                case "register" -> register(queue);
                case "hashed" -> hashed();
                case "put" -> put(queue, Integer.parseInt(args[1]), Integer.parseInt(args[2]));
                case "read" -> read(queue, Integer.parseInt(args[1]));
                case "get" -> get(queue, Integer.parseInt(args[1]));
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
    }

    private static String user(int i) {
        return "user-é-" + i % USERS;
    }

    /** Every other user has the same password. */
    private static String password(int i) {
        return i % 2 == 0 ? "correct horse" : "pass wörd " + i;
    }

    private static String topic(int i) {
        return TOPICS.get(i / USERS % TOPICS.size());
    }

    private static void register(ExampleQueue queue) {
        for (int i = 0; i < USERS; i++) {
            equal("adding " + user(i), true, queue.add(user(i), password(i)));
        }
        equal("adding a name again", false, queue.add(user(3), "other"));
        equal("the right password", true, queue.login(user(3), password(3)));
        equal("the password of the second who came", false, queue.login(user(3), "other"));
        equal("the password of another user", false, queue.login(user(3), password(5)));
        equal("no such user", false, queue.login("nobody", password(3)));
    }

    /** Reads what is on the broker with a consumer of its own. */
    private static void hashed() {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", BOOTSTRAP),
                new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(PREFIX + ".users").stream()
                .map(info -> new TopicPartition(info.topic(), info.partition())).collect(Collectors.toList());
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            }
        }
        equal("registrations", USERS, records.size());
        for (ConsumerRecord<String, String> record : records) {
            IntStream.range(0, USERS).forEach(i -> equal("a password in a record", false, record.value().contains(password(i))));
            equal("scheme", true, record.value().matches("pbkdf2-sha512\\$[0-9]+\\$[^$]{24}\\$[^$]{44}"));
        }
        equal("different hashes", (long) USERS, records.stream().map(ConsumerRecord::value).distinct().count());
    }

    private static void put(ExampleQueue queue, int from, int to) {
        for (int i = from; i < to; i++) {
            queue.put(topic(i), user(i), "entry " + i);
            System.out.println("put");
        }
    }

    /** Every user has just the entries put, each once and in order. */
    private static void read(ExampleQueue queue, int count) {
        for (int u = 0; u < USERS; u++) {
            Map<String, List<ExampleQueue.Entry>> all = queue.all(user(u));
            for (String topic : TOPICS) {
                int number = u;
                List<String> expected = IntStream.range(0, count).filter(i -> i % USERS == number && topic(i).equals(topic))
                    .mapToObj(i -> "entry " + i).toList();
                equal("entries of " + user(u) + " in " + topic, expected,
                    all.getOrDefault(topic, List.of()).stream().map(ExampleQueue.Entry::text).toList());
            }
        }
        equal("entries of nobody", Map.of(), queue.all("nobody"));
        equal("login", true, queue.login(user(7), password(7)));
    }

    private static void get(ExampleQueue queue, int count) {
        for (int i = count - USERS * TOPICS.size(); i < count; i++) {
            equal("newest entry", "entry " + i, queue.get(topic(i), user(i)).orElseThrow().text());
        }
        equal("newest entry of nobody", true, queue.get(TOPICS.get(0), "nobody").isEmpty());
        try {
            queue.put(TOPICS.get(0), "nobody", "text");
        } catch (IllegalArgumentException refused) {
            return;
        }
        throw new IllegalStateException("a user who is not registered put an entry");
    }

    private static void equal(String what, Object expected, Object actual) {
        if (!expected.equals(actual)) {
            throw new IllegalStateException(what + ": expected " + expected + ", got " + actual);
        }
    }
}
