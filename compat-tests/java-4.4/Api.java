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
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;

/** What the clients 3.9 and 4.4 have in common and 2.1 does otherwise or not at all: java-2.1 has its own. */
final class Api {
    /** A consumer that looks for a topic can be told not to create it (KIP-361). */
    static final boolean LOOKS_WITHOUT_CREATING = true;
    static final boolean TELLS_LEADER_EPOCHS = true;
    static final boolean HAS_NEXT_GENERATION = true;

    private Api() {}

    static TopicDescription describe(AdminClient admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    static void alter(AdminClient admin, ConfigResource resource, Change... changes) throws Exception {
        Collection<AlterConfigOp> ops = Arrays.stream(changes)
            .map(c -> new AlterConfigOp(new ConfigEntry(c.key(), c.value()), AlterConfigOp.OpType.valueOf(c.kind().name())))
            .collect(Collectors.toList());
        admin.incrementalAlterConfigs(Map.of(resource, ops)).all().get();
    }

    // Offsets of partitions

    private static Found lookUp(AdminClient admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        ListOffsetsResultInfo found = admin.listOffsets(Map.of(partition, spec)).all().get().get(partition);
        return new Found(found.offset(), found.timestamp(), found.leaderEpoch());
    }

    static Found earliest(AdminClient admin, TopicPartition partition) throws Exception {
        return lookUp(admin, partition, OffsetSpec.earliest());
    }

    static Found latest(AdminClient admin, TopicPartition partition) throws Exception {
        return lookUp(admin, partition, OffsetSpec.latest());
    }

    static Found maxTimestamp(AdminClient admin, TopicPartition partition) throws Exception {
        return lookUp(admin, partition, OffsetSpec.maxTimestamp());
    }

    static Found atTime(AdminClient admin, TopicPartition partition, long timestampMs) throws Exception {
        return lookUp(admin, partition, OffsetSpec.forTimestamp(timestampMs));
    }

    /** The ends of all partitions by one call of the admin client. */
    static Map<TopicPartition, Long> ends(AdminClient admin, Collection<TopicPartition> partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> specs = partitions.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()));
        Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(specs).all().get().forEach((partition, found) -> ends.put(partition, found.offset()));
        return ends;
    }

    // Groups

    static Map<TopicPartition, OffsetAndMetadata> committed(Consumer<?, ?> consumer, Set<TopicPartition> partitions) {
        return consumer.committed(partitions);
    }

    static void needsStaticMembers() {}

    static int generation(Consumer<?, ?> consumer) {
        return consumer.groupMetadata().generationId();
    }

    /** By an expression that the broker evaluates, where the client has that (4.0, KIP-848); otherwise by one of its own. */
    static void subscribe(Consumer<?, ?> consumer, String expression, boolean atBroker) throws Exception {
        Class<?> ofBroker;
        try {
            ofBroker = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern");
        } catch (ClassNotFoundException old) {
            ofBroker = null;
        }
        if (atBroker && ofBroker != null) {
            // By name, as this source is compiled with 3.9 too.
            Consumer.class.getMethod("subscribe", ofBroker)
                .invoke(consumer, ofBroker.getConstructor(String.class).newInstance(expression));
        } else {
            consumer.subscribe(Pattern.compile(expression));
        }
    }

    /** State and type of a group as the listing says, asked for once without and once with filters. */
    static List<String> listed(AdminClient admin, String group) throws Exception {
        List<String> plain = listed(admin, group, new ListConsumerGroupsOptions());
        for (GroupType type : List.of(GroupType.CLASSIC, GroupType.CONSUMER)) {
            List<String> filtered = listed(admin, group, new ListConsumerGroupsOptions().withTypes(Set.of(type)));
            boolean wanted = plain.contains(type.toString());
            Check.equal("listed under type " + type, wanted ? plain : List.of(), filtered);
        }
        return plain;
    }

    private static List<String> listed(AdminClient admin, String group, ListConsumerGroupsOptions options) throws Exception {
        Optional<ConsumerGroupListing> listing = admin.listConsumerGroups(options).all().get().stream()
            .filter(each -> each.groupId().equals(group)).findAny();
        return listing.map(l -> List.of(l.state().orElseThrow().toString(), l.type().orElseThrow().toString())).orElse(List.of());
    }

    /** What a listing should say, as far as this client's shows it. */
    static List<String> listing(String state, String type) {
        return List.of(state, type);
    }

    static String state(ConsumerGroupDescription group) {
        return group.state().toString();
    }

    static void alterOffset(AdminClient admin, String group, TopicPartition partition, long offset) throws Exception {
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(offset))).all().get();
    }

    static void deleteOffset(AdminClient admin, String group, TopicPartition partition) throws Exception {
        admin.deleteConsumerGroupOffsets(group, Set.of(partition)).partitionResult(partition).get();
    }

    // The rest

    /** Offsets that a transaction is to commit for a member's group, with all that the member knows of itself (KIP-447). */
    static void sendOffsets(Producer<?, ?> producer, Map<TopicPartition, OffsetAndMetadata> offsets, Member member, String group)
            throws Exception {
        ConsumerGroupMetadata metadata = member.ask(Consumer::groupMetadata);
        producer.sendOffsetsToTransaction(offsets, metadata);
    }

    /** The sizes in bytes of the partitions on a broker's log directories. */
    static Map<TopicPartition, Long> sizes(AdminClient admin, int broker) throws Exception {
        Map<TopicPartition, Long> sizes = new HashMap<>();
        admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values()
            .forEach(dir -> dir.replicaInfos().forEach((partition, info) -> sizes.put(partition, info.size())));
        return sizes;
    }

    /** Sets a quota of a client id, or removes it with null. */
    static void quota(AdminClient admin, String clientId, String key, Double value) throws Exception {
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, clientId));
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op(key, value)))))
            .all().get();
    }

    static Map<String, Double> quotas(AdminClient admin, String clientId) throws Exception {
        ClientQuotaFilter filter = ClientQuotaFilter.containsOnly(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, clientId)));
        return admin.describeClientQuotas(filter).entities().get().values().stream().findAny().orElse(Map.of());
    }
}
