import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.kafka.annotation.BackOff;
import org.springframework.kafka.annotation.DltHandler;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.annotation.RetryableTopic;
import org.springframework.kafka.support.Acknowledgment;
import org.springframework.messaging.handler.annotation.SendTo;

/** The application: a listener for each way to be given records, and what each was given. */
class Listeners {
    /** The partitions each thread of the concurrent listener was given records of. */
    final Map<String, Set<Integer>> threads = new ConcurrentHashMap<>();
    final List<String> concurrent = new CopyOnWriteArrayList<>();
    final List<List<String>> batches = new CopyOnWriteArrayList<>();
    final List<String> manual = new CopyOnWriteArrayList<>();
    final List<String> failing = new CopyOnWriteArrayList<>();
    final List<String> deadLetters = new CopyOnWriteArrayList<>();
    final List<String> retried = new CopyOnWriteArrayList<>();
    final List<String> givenUp = new CopyOnWriteArrayList<>();
    final List<String> next = new CopyOnWriteArrayList<>();

    private static String place(ConsumerRecord<String, String> record) {
        return record.partition() + ":" + record.offset();
    }

    @KafkaListener(id = "concurrent", topics = "${run}-concurrent", groupId = "${run}-concurrent", concurrency = "3")
    void concurrent(ConsumerRecord<String, String> record) {
        threads.computeIfAbsent(Thread.currentThread().getName(), name -> ConcurrentHashMap.newKeySet()).add(record.partition());
        concurrent.add(place(record));
    }

    @KafkaListener(topics = "${run}-batch", groupId = "${run}-batch", containerFactory = "batch")
    void batch(List<ConsumerRecord<String, String>> records) {
        batches.add(records.stream().map(Listeners::place).toList());
    }

    /** Takes the first ten in and leaves the others open. */
    @KafkaListener(id = "manual", topics = "${run}-manual", groupId = "${run}-manual", containerFactory = "manual")
    void manual(ConsumerRecord<String, String> record, Acknowledgment acknowledgment) {
        manual.add(place(record));
        if (record.offset() < 10) {
            acknowledgment.acknowledge();
        }
    }

    /** `twice` succeeds at the third attempt, `never` not at all. */
    @KafkaListener(topics = "${run}-failing", groupId = "${run}-failing", containerFactory = "failing")
    void failing(ConsumerRecord<String, String> record) {
        failing.add(record.value());
        long attempts = failing.stream().filter(record.value()::equals).count();
        if (record.value().equals("never") || record.value().equals("twice") && attempts < Settings.ATTEMPTS) {
            throw new IllegalStateException("attempt " + attempts);
        }
    }

    @KafkaListener(topics = "${run}-failing-dlt", groupId = "${run}-failing-dlt")
    void deadLetters(ConsumerRecord<String, String> record) {
        deadLetters.add(record.value());
    }

    /** A failing record goes through topics of its own, so that those behind it need not wait. */
    @RetryableTopic(attempts = "3", backOff = @BackOff(delay = 300, multiplier = 2), numPartitions = "3")
    @KafkaListener(topics = "${run}-retried", groupId = "${run}-retried")
    void retried(ConsumerRecord<String, String> record) {
        retried.add(record.topic().substring(Settings.RUN.length() + 1) + " " + record.value());
        if (record.value().equals("never")) {
            throw new IllegalStateException("never");
        }
    }

    @DltHandler
    void givenUp(ConsumerRecord<String, String> record) {
        givenUp.add(record.topic().substring(Settings.RUN.length() + 1) + " " + record.value());
    }

    @KafkaListener(topics = "${run}-next", groupId = "${run}-next", containerFactory = "next", concurrency = "2")
    void next(ConsumerRecord<String, String> record) {
        next.add(place(record));
    }

    @KafkaListener(topics = "${run}-requests", groupId = "${run}-requests")
    @SendTo
    String answer(String question) {
        return question.toUpperCase();
    }
}
