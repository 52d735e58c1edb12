import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.TopicDescription;

/** Creating, describing, altering, growing, listing and deleting topics. */
final class TopicSteps {
    private final Cluster cluster;
    private final String main;

    TopicSteps(Cluster cluster) {
        this.cluster = cluster;
        main = cluster.run + "-main";
    }

    void create() throws Exception {
        cluster.create(main, Cluster.PARTITIONS,
            Map.of("retention.ms", "7200000", "max.message.bytes", "200000", "cleanup.policy", "delete"));
    }

    void describe() throws Exception {
        TopicDescription topic = Api.describe(cluster.admin, main);
        for (int i = 0; i < Cluster.PARTITIONS; i++) {
            Check.equal("partition number", i, topic.partitions().get(i).partition());
            Check.equal("replicas", 1, topic.partitions().get(i).replicas().size());
            Check.equal("in-sync replicas", 1, topic.partitions().get(i).isr().size());
            Check.require(topic.partitions().get(i).leader() != null, "partition " + i + " has no leader");
        }
        Check.equal("internal", false, topic.isInternal());
        Check.equal("configs", Map.of("retention.ms", "7200000", "max.message.bytes", "200000", "cleanup.policy", "delete"),
            cluster.topicConfigs(main));
        ConfigEntry segment = cluster.config(Cluster.topic(main), "segment.bytes");
        Check.equal("segment.bytes", "1073741824", segment.value());
        Check.equal("segment.bytes is a default", true, segment.isDefault());
    }

    void alterConfig() throws Exception {
        Api.alter(cluster.admin, Cluster.topic(main), new Change(Change.Kind.SET, "retention.ms", "10800000"),
            new Change(Change.Kind.DELETE, "max.message.bytes", ""), new Change(Change.Kind.APPEND, "cleanup.policy", "compact"));
        Check.until("configs after altering", Map.of("retention.ms", "10800000", "cleanup.policy", "delete,compact"),
            () -> cluster.topicConfigs(main));
        Check.equal("max.message.bytes", "1048588", cluster.config(Cluster.topic(main), "max.message.bytes").value());
        Api.alter(cluster.admin, Cluster.topic(main), new Change(Change.Kind.SUBTRACT, "cleanup.policy", "compact"));
        Check.until("cleanup.policy", "delete", () -> cluster.config(Cluster.topic(main), "cleanup.policy").value());
    }

    void createPartitions() throws Exception {
        cluster.admin.createPartitions(Map.of(main, NewPartitions.increaseTo(Cluster.PARTITIONS + 2))).all().get();
        Check.until("partitions after growing", Cluster.PARTITIONS + 2,
            () -> Api.describe(cluster.admin, main).partitions().size());
    }

    void list() throws Exception {
        Check.until("the topic is listed", true, () -> cluster.admin.listTopics().names().get().contains(main));
    }

    void deleteAll() throws Exception {
        cluster.admin.deleteTopics(cluster.created).all().get();
    }

    void deletedAreGone() throws Exception {
        Check.until("describing a deleted topic", "UnknownTopicOrPartitionException", () -> Api.describe(cluster.admin, main));
        Set<String> left = cluster.admin.listTopics().names().get();
        Check.equal("topics left", List.of(), left.stream().filter(name -> name.startsWith(cluster.run)).collect(Collectors.toList()));
    }
}
