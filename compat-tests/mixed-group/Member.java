// The Java member of the mixed group; mixed.py says what it must print.
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Member {
    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of(
            "bootstrap.servers", args[0], "group.id", args[1], "group.protocol", "consumer", "client.id", "java",
            "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        AtomicBoolean leaving = new AtomicBoolean();
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    leaving.set(true);
                }
            } catch (java.io.IOException closed) {
                leaving.set(true);
            }
        });
        input.setDaemon(true);
        input.start();
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[2]));
            Set<Integer> said = null;
            while (!leaving.get()) {
                var records = consumer.poll(Duration.ofMillis(100));
                records.forEach(record -> System.out.println("read " + record.partition() + " " + record.offset()));
                if (!records.isEmpty()) {
                    consumer.commitSync();
                }
                Set<Integer> owned = consumer.assignment().stream().map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new));
                if (!owned.equals(said)) {
                    System.out.println("owns " + owned.stream().map(String::valueOf).collect(Collectors.joining(" ")));
                    said = owned;
                }
            }
        } catch (RuntimeException wrong) {
            System.out.println("failed " + wrong);
            System.exit(1);
        }
    }
}
