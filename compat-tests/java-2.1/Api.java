import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The place of java-4.4's Api for clients of 2.1: what they do in an older way, and what they cannot do. */
final class Api {
    static final boolean LOOKS_WITHOUT_CREATING = false;
    static final boolean TELLS_LEADER_EPOCHS = false;
    static final boolean HAS_NEXT_GENERATION = false;

    private Api() {}

    static TopicDescription describe(AdminClient admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).all().get().get(topic);
    }

    /** AlterConfigs knows no single changes: it takes all that shall hold, and the rest falls back to its default. */
    static void alter(AdminClient admin, ConfigResource resource, Change... changes) throws Exception {
        Map<String, String> all = new HashMap<>();
        for (ConfigEntry entry : admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
            if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                || entry.source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG) {
                all.put(entry.name(), entry.value());
            }
        }
        for (Change change : changes) {
            List<String> list = new ArrayList<>(Arrays.asList(all.getOrDefault(change.key(), "").split(",")));
            switch (change.kind()) {
                case SET -> all.put(change.key(), change.value());
                case DELETE -> all.remove(change.key());
                case APPEND -> {
                    list.add(change.value());
                    all.put(change.key(), String.join(",", list));
                }
                case SUBTRACT -> {
                    list.remove(change.value());
                    all.put(change.key(), String.join(",", list));
                }
            }
        }
        List<ConfigEntry> entries = all.entrySet().stream().map(e -> new ConfigEntry(e.getKey(), e.getValue()))
            .collect(Collectors.toList());
        admin.alterConfigs(Map.of(resource, new Config(entries))).all().get();
    }

    // Offsets of partitions: only a consumer can ask for them

    static Found earliest(AdminClient admin, TopicPartition partition) {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            return new Found(consumer.beginningOffsets(List.of(partition)).get(partition), -1, Optional.empty());
        }
    }

    static Found latest(AdminClient admin, TopicPartition partition) {
        return new Found(ends(admin, List.of(partition)).get(partition), -1, Optional.empty());
    }

    static Found maxTimestamp(AdminClient admin, TopicPartition partition) {
        throw new Check.Skip("the largest timestamp can be asked for since 3.0");
    }

    static Found atTime(AdminClient admin, TopicPartition partition, long timestampMs) {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timestampMs)).get(partition);
            return found == null ? new Found(-1, -1, Optional.empty())
                : new Found(found.offset(), found.timestamp(), found.leaderEpoch());
        }
    }

    static Map<TopicPartition, Long> ends(AdminClient admin, Collection<TopicPartition> partitions) {
        try (KafkaConsumer<byte[], byte[]> consumer = Cluster.consumer("none")) {
            return consumer.endOffsets(partitions);
        }
    }

    // Groups

    static Map<TopicPartition, OffsetAndMetadata> committed(Consumer<?, ?> consumer, Set<TopicPartition> partitions) {
        return partitions.stream().collect(Collectors.toMap(partition -> partition, consumer::committed));
    }

    static void needsStaticMembers() {
        throw new Check.Skip("static members are known since 2.3");
    }

    static int generation(Consumer<?, ?> consumer) {
        throw new Check.Skip("a consumer shows its generation since 2.5");
    }

    static void subscribe(Consumer<?, ?> consumer, String expression, boolean atBroker) {
        consumer.subscribe(Pattern.compile(expression));
    }

    static List<String> listed(AdminClient admin, String group) throws Exception {
        return admin.listConsumerGroups().all().get().stream().anyMatch(each -> each.groupId().equals(group))
            ? List.of("listed") : List.of();
    }

    /** A listing shows neither state nor type. */
    static List<String> listing(String state, String type) {
        return List.of("listed");
    }

    static String state(ConsumerGroupDescription group) {
        return group.state().toString();
    }

    static void alterOffset(AdminClient admin, String group, TopicPartition partition, long offset) {
        throw new Check.Skip("the admin client alters offsets since 2.5");
    }

    static void deleteOffset(AdminClient admin, String group, TopicPartition partition) {
        throw new Check.Skip("the admin client deletes offsets since 2.4");
    }

    // The rest

    /** Offsets that a transaction is to commit for a group; that the member may have been replaced is nobody's question. */
    static void sendOffsets(Producer<?, ?> producer, Map<TopicPartition, OffsetAndMetadata> offsets, Member member, String group)
            throws Exception {
        producer.sendOffsetsToTransaction(offsets, group);
    }

    static Map<TopicPartition, Long> sizes(AdminClient admin, int broker) throws Exception {
        Map<TopicPartition, Long> sizes = new HashMap<>();
        admin.describeLogDirs(List.of(broker)).all().get().get(broker).values()
            .forEach(dir -> dir.replicaInfos.forEach((partition, info) -> sizes.put(partition, info.size)));
        return sizes;
    }

    static void quota(AdminClient admin, String clientId, String key, Double value) {
        throw new Check.Skip("the admin client knows quotas since 2.6");
    }

    static Map<String, Double> quotas(AdminClient admin, String clientId) {
        return Map.of();
    }
}
