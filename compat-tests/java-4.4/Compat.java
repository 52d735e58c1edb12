import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.apache.kafka.clients.admin.AdminClient;

/** The common list of steps (README.md one folder up) with Kafka's own Java clients. One program for all their versions. */
public final class Compat {
    private final Cluster cluster = new Cluster();

    public static void main(String[] args) throws IOException {
        Properties build = new Properties();
        build.load(AdminClient.class.getResourceAsStream("/kafka/kafka-version.properties"));
        System.out.println("client kafka-clients " + build.getProperty("version"));
        try {
            new Compat().steps();
        } catch (Check.Wrong stop) {
            // Already reported: the first wrong answer ends the run.
        }
        System.out.println(Check.passed + " passed, " + Check.failed + " failed, " + Check.skipped + " skipped");
        System.exit(Check.failed == 0 ? 0 : 1);
    }

    private void steps() {
        TopicSteps topics = new TopicSteps(cluster);
        topicsAndRecords(topics);
        errors();
        groups();
        admin();
        Check.step("delete-topics", topics::deleteAll);
        Check.step("error-deleted-topic", topics::deletedAreGone);
    }

    private void topicsAndRecords(TopicSteps topics) {
        Check.step("create-topic", topics::create);
        Check.step("describe-topic", topics::describe);
        Check.step("alter-config", topics::alterConfig);
        Check.step("create-partitions", topics::createPartitions);
        Check.step("list-topics", topics::list);
        RecordSteps records = new RecordSteps(cluster);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Check.step("produce-" + codec, () -> records.produce(codec, Map.of("compression.type", codec)));
            Check.step("consume-" + codec, () -> records.consume(codec));
        }
        for (String acks : List.of("1", "0")) {
            Check.step("produce-acks" + acks,
                () -> records.produce("acks" + acks, Map.of("acks", acks, "enable.idempotence", "false")));
            Check.step("consume-acks" + acks, () -> records.consume("acks" + acks));
        }
        Check.step("seek", records::seek);
        Check.step("watermarks", records::watermarks);
        Check.step("offset-earliest", records::earliest);
        Check.step("offset-latest", records::latest);
        Check.step("offset-by-time", records::byTime);
        Check.step("offset-max-timestamp", records::maxTimestamp);
    }

    private void errors() {
        ErrorSteps errors = new ErrorSteps(cluster);
        Check.step("error-unknown-topic", errors::unknownTopic);
        Check.step("error-too-large", errors::tooLarge);
        Check.step("error-invalid-timestamp", errors::invalidTimestamp);
        Check.step("error-out-of-range", errors::outOfRange);
        Check.step("error-unsupported-version", RawSteps::unsupportedVersion);
        Check.step("error-unknown-api", RawSteps::unknownApi);
        Check.step("error-topic-exists", errors::topicExists);
        Check.step("error-invalid-partitions", errors::invalidPartitions);
        Check.step("error-invalid-replication", errors::invalidReplication);
        Check.step("error-invalid-name", errors::invalidName);
        Check.step("error-bad-config", errors::badConfig);
    }

    private void groups() {
        // The broker gives up a member of the new protocol after 45 s: that runs beside all other steps.
        CompletableFuture<Void> crash = Api.HAS_NEXT_GENERATION
            ? background(() -> new GroupSteps(cluster, "consumer", "next-crash").crash()) : null;
        GroupSteps classic = new GroupSteps(cluster, "classic", "group");
        Check.step("group-consume", classic::consume);
        Check.step("group-resume", classic::resume);
        groups("group-", "error-", classic);
        Check.step("group-crash", new GroupSteps(cluster, "classic", "group-crash")::crash);
        GroupSteps next = new GroupSteps(cluster, "consumer", "next");
        Check.step("group-next-generation", next::nextGeneration);
        if (Api.HAS_NEXT_GENERATION) {
            groups("next-", "next-error-", next);
            Check.step("next-crash", () -> join(crash));
        }
    }

    /** The steps of a group that has one member. */
    private static void groups(String prefix, String error, GroupSteps group) {
        Check.step(prefix + "commit-metadata", group::commitMetadata);
        if (prefix.equals("group-")) {
            Check.step("group-join", group::join);
            Check.step("group-leave", group::leave);
        }
        Check.step(prefix + "seek-time", group::seekTime);
        Check.step(prefix + "static", group::staticMember);
        Check.step(prefix + "pattern", group::pattern);
        Check.step(prefix + "describe", group::describe);
        Check.step(prefix + "alter-offsets", group::alterOffsets);
        Check.step(prefix + "delete-offsets", group::deleteOffsets);
        Check.step(prefix + "delete", group::delete);
        Check.step(error + "no-offset", group::noOffset);
        Check.step(error + "fenced-member", group::fencedMember);
    }

    private void admin() {
        AdminSteps admin = new AdminSteps(cluster);
        Check.step("admin-log-dirs", admin::logDirs);
        Check.step("admin-list-offsets", admin::listOffsets);
        Check.step("admin-configs", admin::configs);
        Check.step("admin-quotas", admin::quotas);
        // After admin-list-offsets, as it moves the start of a log.
        Check.step("delete-records", new ErrorSteps(cluster)::deleteRecords);
    }

    private static CompletableFuture<Void> background(Check.Step step) {
        return CompletableFuture.runAsync(() -> {
            try {
                step.run();
            } catch (RuntimeException error) {
                throw error;
            } catch (Exception error) {
                throw new CompletionException(error);
            }
        });
    }

    private static void join(CompletableFuture<Void> step) throws Exception {
        step.get();
    }
}
