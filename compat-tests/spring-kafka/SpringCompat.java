import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.kafka.config.KafkaListenerEndpointRegistry;
import org.springframework.kafka.core.KafkaAdmin;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.support.SendResult;

/** The steps with Spring for Apache Kafka: the application of Listeners and Settings is started once and looked at from outside. */
public final class SpringCompat {
    private static final int COUNT = 300;

    private final AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
    private final Admin admin = Admin.create(Map.of("bootstrap.servers", Settings.BOOTSTRAP));
    private Listeners listeners;
    private KafkaTemplate<String, String> template;

    public static void main(String[] args) {
        System.out.println("client spring-kafka " + KafkaTemplate.class.getPackage().getImplementationVersion());
        SpringCompat compat = new SpringCompat();
        try {
            compat.steps();
        } catch (Check.Wrong stop) {
            // Already reported: the first wrong answer ends the run.
        }
        System.out.println(Check.passed + " passed, " + Check.failed + " failed");
        System.exit(Check.failed == 0 ? 0 : 1);
    }

    private void steps() {
        Check.step("spring-start", this::start);
        Check.step("spring-admin", this::topics);
        Check.step("spring-template", this::send);
        Check.step("spring-concurrency", this::concurrency);
        Check.step("spring-batch", this::batch);
        Check.step("spring-manual-ack", this::manualAck);
        Check.step("spring-error-seek", this::errorSeek);
        Check.step("spring-retry-topic", this::retryTopic);
        Check.step("spring-reply", this::reply);
        Check.step("spring-next-generation", this::nextGeneration);
        Check.step("spring-stop", this::stop);
    }

    @SuppressWarnings("unchecked")
    private void start() {
        System.setProperty("run", Settings.RUN);
        context.register(Settings.class);
        context.refresh();
        listeners = context.getBean(Listeners.class);
        template = (KafkaTemplate<String, String>) context.getBean("kafkaTemplate");
    }

    /** KafkaAdmin created the topics when the context started, those of the retries too. */
    private void topics() throws Exception {
        List<String> names = List.of("concurrent", "failing", "retried", "retried-retry-300", "retried-retry-600", "retried-dlt");
        Map<String, TopicDescription> topics = context.getBean(KafkaAdmin.class)
            .describeTopics(names.stream().map(Settings::topic).toArray(String[]::new));
        for (String name : names) {
            Check.equal("partitions of " + name, name.equals("failing") ? 1 : Settings.PARTITIONS,
                topics.get(Settings.topic(name)).partitions().size());
        }
    }

    private void send() throws Exception {
        List<CompletableFuture<SendResult<String, String>>> sent = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            ProducerRecord<String, String> record =
                new ProducerRecord<>(Settings.topic("concurrent"), i % Settings.PARTITIONS, "key-" + i, "value-é-" + i);
            record.headers().add("number", Integer.toString(i).getBytes());
            sent.add(template.send(record));
        }
        for (int i = 0; i < COUNT; i++) {
            Check.equal("offset of record " + i, (long) i / Settings.PARTITIONS,
                sent.get(i).get(30, TimeUnit.SECONDS).getRecordMetadata().offset());
        }
        ConsumerRecord<String, String> got = template.receive(Settings.topic("concurrent"), 1, 42, Check.DEADLINE);
        Check.equal("key", "key-127", got.key());
        Check.equal("value", "value-é-127", got.value());
        Check.equal("header", "127", new String(got.headers().lastHeader("number").value()));
    }

    private static List<String> places(int partitions, long from, long to) {
        List<String> places = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            int number = partition;
            LongStream.range(from, to).forEach(offset -> places.add(number + ":" + offset));
        }
        places.sort(null);
        return places;
    }

    /** Waits for as many as there should be, and says whether they are the right ones. */
    private static void reads(String what, List<String> expected, Collection<String> actual) throws Exception {
        Check.until(what, true, () -> actual.size() >= expected.size());
        Check.equal(what, expected, actual.stream().sorted().collect(Collectors.toList()));
    }

    private void committed(String group, Map<Integer, Long> expected) throws Exception {
        Check.until("committed offsets of " + group, expected, () -> {
            Map<TopicPartition, OffsetAndMetadata> offsets = admin.listConsumerGroupOffsets(Settings.topic(group))
                .partitionsToOffsetAndMetadata().get();
            return offsets.entrySet().stream().collect(Collectors.toMap(e -> e.getKey().partition(), e -> e.getValue().offset()));
        });
    }

    private void concurrency() throws Exception {
        reads("records of the concurrent listener", places(Settings.PARTITIONS, 0, 100), listeners.concurrent);
        Check.equal("threads of the concurrent listener", 3, listeners.threads.size());
        listeners.threads.forEach((thread, partitions) -> Check.equal("partitions of " + thread, 1, partitions.size()));
        committed("concurrent", Map.of(0, 100L, 1, 100L, 2, 100L));
    }

    private void fill(String topic, int partitions, int count) throws Exception {
        List<CompletableFuture<?>> sent = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            sent.add(template.send(Settings.topic(topic), i % partitions, null, "value-" + i));
        }
        CompletableFuture.allOf(sent.toArray(CompletableFuture[]::new)).get(30, TimeUnit.SECONDS);
    }

    private void batch() throws Exception {
        fill("batch", Settings.PARTITIONS, COUNT);
        Check.until("records in batches", true, () -> listeners.batches.stream().mapToInt(List::size).sum() >= COUNT);
        Check.equal("records in batches", places(Settings.PARTITIONS, 0, 100),
            listeners.batches.stream().flatMap(List::stream).sorted().collect(Collectors.toList()));
        Check.require(listeners.batches.stream().anyMatch(batch -> batch.size() > 1), "every batch is one record");
        committed("batch", Map.of(0, 100L, 1, 100L, 2, 100L));
    }

    /** Ten of twenty are acknowledged: a listener that is stopped and started again gets the other ten once more. */
    private void manualAck() throws Exception {
        fill("manual", 1, 20);
        reads("records before", places(1, 0, 20), listeners.manual);
        committed("manual", Map.of(0, 10L));
        KafkaListenerEndpointRegistry registry = context.getBean(KafkaListenerEndpointRegistry.class);
        registry.getListenerContainer("manual").stop();
        listeners.manual.clear();
        registry.getListenerContainer("manual").start();
        reads("records after", places(1, 10, 20), listeners.manual);
    }

    private void errorSeek() throws Exception {
        for (String value : List.of("a", "twice", "b", "never", "c")) {
            template.send(Settings.topic("failing"), value).get(30, TimeUnit.SECONDS);
        }
        List<String> expected = List.of("a", "twice", "twice", "twice", "b", "never", "never", "never", "c");
        Check.until("deliveries", expected, () -> List.copyOf(listeners.failing));
        Check.until("dead letters", List.of("never"), () -> List.copyOf(listeners.deadLetters));
        committed("failing", Map.of(0, 5L));
    }

    private void retryTopic() throws Exception {
        for (String value : List.of("a", "never", "b")) {
            template.send(Settings.topic("retried"), value).get(30, TimeUnit.SECONDS);
        }
        Check.until("what was given up", List.of("retried-dlt never"), () -> List.copyOf(listeners.givenUp));
        Check.equal("deliveries", List.of("retried a", "retried b", "retried never", "retried-retry-300 never", "retried-retry-600 never"),
            listeners.retried.stream().sorted().collect(Collectors.toList()));
    }

    @SuppressWarnings("unchecked")
    private void reply() throws Exception {
        ReplyingKafkaTemplate<String, String, String> replying = context.getBean(ReplyingKafkaTemplate.class);
        replying.start();
        Check.require(replying.waitForAssignment(Check.DEADLINE), "the replies' container got no partitions");
        for (String question : List.of("one", "two")) {
            ConsumerRecord<String, String> answer = replying.sendAndReceive(
                new ProducerRecord<>(Settings.topic("requests"), question), Duration.ofSeconds(30)).get();
            Check.equal("answer", question.toUpperCase(), answer.value());
        }
    }

    private void nextGeneration() throws Exception {
        fill("next", Settings.PARTITIONS, COUNT);
        reads("records of the group of the new protocol", places(Settings.PARTITIONS, 0, 100), listeners.next);
        committed("next", Map.of(0, 100L, 1, 100L, 2, 100L));
        Check.equal("type", "Consumer", admin.describeConsumerGroups(List.of(Settings.topic("next"))).all().get()
            .get(Settings.topic("next")).type().toString());
    }

    /** Containers leave their groups when the context closes; the topics go. */
    private void stop() throws Exception {
        context.close();
        Check.until("members of the group", 0, () -> admin.describeConsumerGroups(List.of(Settings.topic("concurrent"))).all().get()
            .get(Settings.topic("concurrent")).members().size());
        List<String> left = admin.listTopics().names().get().stream().filter(name -> name.startsWith(Settings.RUN)).toList();
        admin.deleteTopics(left).all().get();
    }
}
