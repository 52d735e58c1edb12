import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
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
        transactions();
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

    /** Groups mostly wait for their brokers: those of the new protocol live beside those of the classic one, and are told of after them. */
    private void groups() {
        GroupSteps next = new GroupSteps(cluster, "consumer", "next");
        CompletableFuture<List<Check.Outcome>> nextGeneration = CompletableFuture.supplyAsync(() -> attempt(nextGeneration(next)));
        CompletableFuture<List<Check.Outcome>> crash = CompletableFuture.supplyAsync(() -> attempt(!Api.HAS_NEXT_GENERATION ? Map.of()
            : Map.of("next-crash", new GroupSteps(cluster, "consumer", "next-crash")::crash)));
        GroupSteps classic = new GroupSteps(cluster, "classic", "group");
        Check.step("group-consume", classic::consume);
        Check.step("group-resume", classic::resume);
        Check.step("group-commit-metadata", classic::commitMetadata);
        Check.step("group-join", classic::join);
        Check.step("group-leave", classic::leave);
        groups("group-", "error-", classic).forEach(Check::step);
        Check.step("group-crash", new GroupSteps(cluster, "classic", "group-crash")::crash);
        nextGeneration.join().forEach(Check::report);
        crash.join().forEach(Check::report);
    }

    private static Map<String, Check.Step> nextGeneration(GroupSteps next) {
        Map<String, Check.Step> steps = new LinkedHashMap<>(Map.of("group-next-generation", next::nextGeneration));
        if (Api.HAS_NEXT_GENERATION) {
            steps.put("next-commit-metadata", next::commitMetadata);
            steps.putAll(groups("next-", "next-error-", next));
        }
        return steps;
    }

    /** The steps of a group that has one member, in order. */
    private static Map<String, Check.Step> groups(String prefix, String error, GroupSteps group) {
        Map<String, Check.Step> steps = new LinkedHashMap<>();
        steps.put(prefix + "seek-time", group::seekTime);
        steps.put(prefix + "static", group::staticMember);
        steps.put(prefix + "pattern", group::pattern);
        steps.put(prefix + "describe", group::describe);
        steps.put(prefix + "alter-offsets", group::alterOffsets);
        steps.put(prefix + "delete-offsets", group::deleteOffsets);
        steps.put(prefix + "delete", group::delete);
        steps.put(error + "no-offset", group::noOffset);
        steps.put(error + "fenced-member", group::fencedMember);
        return steps;
    }

    private static List<Check.Outcome> attempt(Map<String, Check.Step> steps) {
        List<Check.Outcome> outcomes = new ArrayList<>();
        steps.forEach((name, step) -> outcomes.add(Check.attempt(name, step)));
        return outcomes;
    }

    private void transactions() {
        TransactionSteps transactions = new TransactionSteps(cluster);
        Check.step("transaction-commit", transactions::commit);
        Check.step("transaction-abort", transactions::abort);
        Check.step("transaction-offsets", () -> transactions.offsets("classic"));
        Check.step("transaction-fenced", transactions::fenced);
        if (Api.HAS_NEXT_GENERATION) {
            Check.step("next-transaction-offsets", () -> transactions.offsets("consumer"));
        }
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
}
