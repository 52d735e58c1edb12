import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Primary;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.EnableKafkaRetryTopic;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.config.TopicBuilder;
import org.springframework.kafka.core.ConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaAdmin;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.scheduling.TaskScheduler;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.util.backoff.FixedBackOff;

/** The beans an application has in its configuration; Spring Boot would make most of them. */
@Configuration
@EnableKafka
@EnableKafkaRetryTopic
class Settings {
    static final String BOOTSTRAP = Optional.ofNullable(System.getenv("BOOTSTRAP")).orElse("127.0.0.1:9092");
    static final int PARTITIONS = 3;
    /** The prefix of this run's topics and groups; the listeners' annotations read it as ${run}. */
    static final String RUN = "compat-spring-" + Long.toString(System.nanoTime(), 36);
    /** How often a failing record is given to the listener: once, and twice again after a seek back to it. */
    static final int ATTEMPTS = 3;

    static String topic(String name) {
        return RUN + "-" + name;
    }

    @Bean
    KafkaAdmin kafkaAdmin() {
        KafkaAdmin admin = new KafkaAdmin(Map.of("bootstrap.servers", BOOTSTRAP));
        admin.setFatalIfBrokerNotAvailable(true);
        return admin;
    }

    @Bean
    KafkaAdmin.NewTopics topics() {
        List<NewTopic> topics = Stream.of("concurrent", "batch", "manual", "failing", "failing-dlt", "retried", "next", "requests", "replies")
            .map(name -> TopicBuilder.name(topic(name)).partitions(name.startsWith("failing") || name.equals("manual") ? 1 : PARTITIONS)
                .replicas(1).config("retention.ms", "7200000").build())
            .collect(Collectors.toList());
        return new KafkaAdmin.NewTopics(topics.toArray(NewTopic[]::new));
    }

    @Bean
    ProducerFactory<String, String> producerFactory() {
        return new DefaultKafkaProducerFactory<>(Map.of("bootstrap.servers", BOOTSTRAP, "linger.ms", "5"),
            new StringSerializer(), new StringSerializer());
    }

    /** The one to inject: the replying template is one too. */
    @Bean
    @Primary
    KafkaTemplate<String, String> kafkaTemplate(ProducerFactory<String, String> producers, ConsumerFactory<String, String> consumers) {
        KafkaTemplate<String, String> template = new KafkaTemplate<>(producers);
        template.setConsumerFactory(consumers);
        return template;
    }

    @Bean
    ConsumerFactory<String, String> consumerFactory() {
        return consumers(Map.of("session.timeout.ms", "6000", "heartbeat.interval.ms", "1000"));
    }

    private static ConsumerFactory<String, String> consumers(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", BOOTSTRAP, "auto.offset.reset", "earliest"));
        settings.putAll(more);
        return new DefaultKafkaConsumerFactory<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static ConcurrentKafkaListenerContainerFactory<String, String> containers(ConsumerFactory<String, String> consumers) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = new ConcurrentKafkaListenerContainerFactory<>();
        factory.setConsumerFactory(consumers);
        return factory;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory(ConsumerFactory<String, String> consumerFactory,
            KafkaTemplate<String, String> template) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = containers(consumerFactory);
        factory.setReplyTemplate(template);
        return factory;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> batch(ConsumerFactory<String, String> consumerFactory) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = containers(consumerFactory);
        factory.setBatchListener(true);
        return factory;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> manual(ConsumerFactory<String, String> consumerFactory) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = containers(consumerFactory);
        factory.getContainerProperties().setAckMode(ContainerProperties.AckMode.MANUAL_IMMEDIATE);
        return factory;
    }

    /** Seeks back to a record that failed, and gives it up to the dead letter topic after the last attempt. */
    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> failing(ConsumerFactory<String, String> consumerFactory,
            KafkaTemplate<String, String> template) {
        ConcurrentKafkaListenerContainerFactory<String, String> factory = containers(consumerFactory);
        factory.setCommonErrorHandler(
            new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(50, ATTEMPTS - 1)));
        return factory;
    }

    /** The group protocol of KIP-848. */
    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> next() {
        return containers(consumers(Map.of("group.protocol", "consumer")));
    }

    /** Waits for what is due in retry topics. */
    @Bean
    TaskScheduler taskScheduler() {
        return new ThreadPoolTaskScheduler();
    }

    @Bean
    ReplyingKafkaTemplate<String, String, String> replying(ProducerFactory<String, String> producers,
            ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory) {
        ConcurrentMessageListenerContainer<String, String> replies = kafkaListenerContainerFactory.createContainer(topic("replies"));
        replies.getContainerProperties().setGroupId(topic("replies"));
        replies.setAutoStartup(false);
        return new ReplyingKafkaTemplate<>(producers, replies);
    }

    @Bean
    Listeners listeners() {
        return new Listeners();
    }
}
