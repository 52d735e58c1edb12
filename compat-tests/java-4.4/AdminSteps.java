import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What an operator asks of a broker: its disks, quotas, offsets and own configs. */
final class AdminSteps {
    private final Cluster cluster;

    AdminSteps(Cluster cluster) {
        this.cluster = cluster;
    }

    private int broker() throws Exception {
        return cluster.admin.describeCluster().controller().get().id();
    }

    void logDirs() throws Exception {
        Map<TopicPartition, Long> sizes = Api.sizes(cluster.admin, broker());
        for (TopicPartition partition : Cluster.partitions(cluster.run + "-none")) {
            Check.require(sizes.getOrDefault(partition, 0L) > 0, "the size of " + partition + " is " + sizes.get(partition));
        }
    }

    void listOffsets() throws Exception {
        Map<TopicPartition, Long> expected = new HashMap<>();
        Cluster.partitions(cluster.run + "-none").forEach(p -> expected.put(p, (long) Records.COUNT / Cluster.PARTITIONS));
        Check.equal("ends of all partitions", expected, Api.ends(cluster.admin, expected.keySet()));
    }

    void configs() throws Exception {
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(broker()));
        String key = "log.retention.ms";
        Check.require(cluster.configs(broker).entries().size() > 50, "a broker has more configs than "
            + cluster.configs(broker).entries().size());
        ConfigEntry listeners = cluster.config(broker, "listeners");
        Check.require(listeners.value().contains("PLAINTEXT"), "listeners: " + listeners.value());
        Api.alter(cluster.admin, broker, new Change(Change.Kind.SET, key, "500000000"));
        Check.until(key, "500000000 DYNAMIC_BROKER_CONFIG", () -> valueAndSource(broker, key));
        // A topic without a value of its own takes the broker's.
        Check.until("retention.ms of a topic", "500000000 DYNAMIC_BROKER_CONFIG",
            () -> valueAndSource(Cluster.topic(cluster.run + "-none"), "retention.ms"));
        Api.alter(cluster.admin, broker, new Change(Change.Kind.DELETE, key, ""));
        Check.until("source of " + key, false,
            () -> cluster.config(broker, key).source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG);
        Check.until("retention.ms of a topic", "604800000 DEFAULT_CONFIG",
            () -> valueAndSource(Cluster.topic(cluster.run + "-none"), "retention.ms"));
    }

    private String valueAndSource(ConfigResource resource, String key) throws Exception {
        ConfigEntry entry = cluster.config(resource, key);
        return entry.value() + " " + entry.source();
    }

    void quotas() throws Exception {
        String client = cluster.run + "-client";
        Api.quota(cluster.admin, client, "producer_byte_rate", 1_000_000.0);
        Api.quota(cluster.admin, client, "request_percentage", 50.0);
        Check.until("quotas", Map.of("producer_byte_rate", 1_000_000.0, "request_percentage", 50.0),
            () -> Api.quotas(cluster.admin, client));
        Api.quota(cluster.admin, client, "request_percentage", null);
        Check.until("quotas after removing one", Map.of("producer_byte_rate", 1_000_000.0), () -> Api.quotas(cluster.admin, client));
        Api.quota(cluster.admin, client, "producer_byte_rate", null);
        Check.until("quotas after removing the other", Map.of(), () -> Api.quotas(cluster.admin, client));
    }
}
