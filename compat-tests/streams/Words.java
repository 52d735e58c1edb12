import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.ThreadMetadata;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * One instance of the application under test: {@code Words BOOTSTRAP RUN STATE-DIR GUARANTEE}.
 *
 * <p>It reads the lines of a package index from RUN-text (key: the package) and each package's section from RUN-sections, and writes,
 * with every single update: RUN-counts, how often a word was seen; RUN-windows, how many lines a section had in ten minutes of the
 * records' time; RUN-joined, each dependency of one package on another that is within five minutes of it. streams.py computes the same
 * without Kafka. The process ends in order when its standard input does.
 */
public final class Words {
    static final Duration WINDOW = Duration.ofMinutes(10);
    static final Duration NEAR = Duration.ofMinutes(5);
    /** Longer than the whole text: nothing is ever late, so the result does not depend on the order of partitions. */
    static final Duration GRACE = Duration.ofDays(1);

    private static volatile boolean ended;
    private static final Pattern WORD = Pattern.compile("[A-Za-z0-9]+");
    private static final Pattern PACKAGE = Pattern.compile("(?:^|[,|]) *([a-z0-9][a-z0-9+.-]*)");

    public static void main(String[] args) throws InterruptedException {
        var streams = new KafkaStreams(topology(args[1]).build(), config(args[0], args[1], args[2], args[3]));
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("thread died: " + error);
            error.printStackTrace(System.out);
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        var input = new Thread(Words::awaitEndOfInput);
        input.setDaemon(true);
        input.start();
        streams.start();
        String last = "";
        while (!ended) {
            String tasks = tasks(streams);
            if (!tasks.equals(last)) System.out.println(last = tasks);
            Thread.sleep(50);
        }
        System.out.println(streams.close(Duration.ofSeconds(60)) ? "closed" : "not closed within 60 s");
    }

    private static void awaitEndOfInput() {
        try {
            while (System.in.read() >= 0) {}
        } catch (IOException gone) {
            // As good as its end.
        }
        ended = true;
    }

    private static String tasks(KafkaStreams streams) {
        int active = 0, standby = 0;
        for (ThreadMetadata thread : streams.metadataForLocalThreads()) {
            active += thread.activeTasks().size();
            standby += thread.standbyTasks().size();
        }
        return "tasks " + active + " " + standby;
    }

    private static Properties config(String bootstrap, String run, String stateDir, String guarantee) {
        var config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        config.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        config.put(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, 1);
        // Every update goes out, so that the numbers 1, 2, 3 … of each key show what was lost or done twice.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6000);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 1500);
        return config;
    }

    private static StreamsBuilder topology(String run) {
        var builder = new StreamsBuilder();
        KStream<String, String> text = builder.stream(run + "-text");
        KTable<String, String> sections = builder.table(run + "-sections", Materialized.as("sections"));

        text.flatMapValues(Words::words)
            .groupBy((name, word) -> word, Grouped.as("words"))
            .count(Materialized.as("counts"))
            .toStream().mapValues(String::valueOf).to(run + "-counts");

        text.join(sections, (line, section) -> section, Joined.as("with-section"))
            .groupBy((name, section) -> section, Grouped.as("by-section"))
            .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
            .count(Materialized.as("windows"))
            .toStream((window, count) -> window.key() + "@" + window.window().start())
            .mapValues(String::valueOf).to(run + "-windows");

        KStream<String, String> versions = text.filter((name, line) -> line.startsWith("Version: "))
            .mapValues(line -> line.substring("Version: ".length()));
        text.filter((name, line) -> line.startsWith("Depends: "))
            .flatMap(Words::dependencies)
            .repartition(Repartitioned.as("dependencies"))
            .join(versions, (from, version) -> from + " " + version, JoinWindows.ofTimeDifferenceAndGrace(NEAR, GRACE),
                StreamJoined.<String, String, String>as("near").withName("near"))
            .to(run + "-joined");
        return builder;
    }

    private static List<String> words(String line) {
        var words = new ArrayList<String>();
        for (Matcher word = WORD.matcher(line); word.find();) words.add(word.group().toLowerCase(Locale.ROOT));
        return words;
    }

    private static List<KeyValue<String, String>> dependencies(String name, String line) {
        var dependencies = new ArrayList<KeyValue<String, String>>();
        Matcher dependency = PACKAGE.matcher(line.substring("Depends: ".length()));
        while (dependency.find()) dependencies.add(KeyValue.pair(dependency.group(1), name));
        return dependencies;
    }
}
