import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs a script of Kafka's command lines in one JVM, and prints for each what it wrote and the code it ended with.
 *
 * <p>A line is `NAME: TOOL ARGUMENT…`; lines below that begin with `  < ` are its input. The tools get --bootstrap-server, and @dir@ is a
 * scratch folder. `file F` writes its input to @dir@/F; `member GROUP TOPIC [PROTOCOL]` joins a group and stays; `leave GROUP` ends that.
 */
public final class Tools {
    private static final Map<String, String> MAINS = Map.ofEntries(
        Map.entry("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
        Map.entry("kafka-configs", "kafka.admin.ConfigCommand"),
        Map.entry("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
        Map.entry("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
        Map.entry("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
        Map.entry("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
        Map.entry("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
        Map.entry("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
        Map.entry("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
        Map.entry("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
        Map.entry("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
        Map.entry("kafka-client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
        Map.entry("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
        Map.entry("kafka-features", "org.apache.kafka.tools.FeatureCommand"));

    /** Of the command that runs: what it wrote, and how it ended if it did. */
    private static ByteArrayOutputStream written;
    private static String writtenAtExit;
    private static Integer exitCode;

    private final String bootstrap;
    private final Path dir;
    private final PrintStream transcript = System.out;
    private final Map<String, Joined> members = new HashMap<>();

    /** Ends a tool where its process would have ended. Some tools catch even that and go on: what they do then is not part of it. */
    private static final class Exited extends Error {}

    private record Command(String name, List<String> words, List<String> input) {}

    private Tools(String bootstrap, Path dir) {
        this.bootstrap = bootstrap;
        this.dir = dir;
    }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        // What a tool would do at the end of its process: this one goes on.
        Exit.setShutdownHookAdder((name, hook) -> {});
        Tools tools = new Tools(args[0], Path.of(args[2]));
        for (Command command : script(Path.of(args[1]))) {
            tools.run(command);
        }
        Runtime.getRuntime().halt(0);
    }

    private static void exit(int code) {
        if (exitCode == null) {
            exitCode = code;
            writtenAtExit = written.toString(StandardCharsets.UTF_8);
        }
        throw new Exited();
    }

    private static List<Command> script(Path path) throws IOException {
        List<Command> commands = new ArrayList<>();
        for (String line : Files.readAllLines(path)) {
            if (line.startsWith("  < ")) {
                commands.get(commands.size() - 1).input().add(line.substring(4));
            } else if (!line.isBlank() && !line.startsWith("#")) {
                int colon = line.indexOf(": ");
                commands.add(new Command(line.substring(0, colon), words(line.substring(colon + 2)), new ArrayList<>()));
            }
        }
        return commands;
    }

    /** Split at blanks; "double quotes" keep one. */
    private static List<String> words(String line) {
        List<String> words = new ArrayList<>();
        Matcher word = Pattern.compile("\"([^\"]*)\"|(\\S+)").matcher(line);
        while (word.find()) {
            words.add(word.group(1) != null ? word.group(1) : word.group(2));
        }
        return words;
    }

    private void run(Command command) throws IOException {
        written = new ByteArrayOutputStream();
        exitCode = null;
        PrintStream out = new PrintStream(written, true, StandardCharsets.UTF_8);
        System.setOut(out);
        System.setErr(out);
        System.setIn(new ByteArrayInputStream((String.join("\n", command.input()) + "\n").getBytes(StandardCharsets.UTF_8)));
        try {
            perform(command);
            exit(0);
        } catch (Exited exited) {
            // As a tool should.
        } catch (Throwable thrown) {
            if (exitCode == null) {
                out.println("thrown: " + thrown);
                exitCode = 1;
                writtenAtExit = written.toString(StandardCharsets.UTF_8);
            }
        }
        transcript.println("$ " + command.name() + " " + String.join(" ", command.words()));
        for (String line : writtenAtExit.split("\n")) {
            transcript.println("  " + line);
        }
        transcript.println("  exit code " + exitCode);
        transcript.flush();
    }

    private void perform(Command command) throws Throwable {
        List<String> words = command.words().stream().map(word -> word.replace("@dir@", dir.toString())).toList();
        switch (words.get(0)) {
            case "file" -> Files.write(dir.resolve(words.get(1)), command.input());
            case "member" -> members.put(words.get(1),
                new Joined(bootstrap, words.get(1), words.get(2), words.size() > 3 ? words.get(3) : "classic"));
            case "leave" -> members.remove(words.get(1)).leave();
            default -> tool(words);
        }
    }

    private void tool(List<String> words) throws Throwable {
        String main = MAINS.get(words.get(0));
        if (main == null) {
            throw new IllegalArgumentException("no tool " + words.get(0));
        }
        List<String> arguments = new ArrayList<>(words.subList(1, words.size()));
        // kafka-cluster and kafka-features have commands of their own before the options.
        arguments.addAll(words.get(0).equals("kafka-features") ? 0 : arguments.size(), List.of("--bootstrap-server", bootstrap));
        try {
            Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) arguments.toArray(String[]::new));
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        }
    }

    /** A member that holds its partitions on a thread of its own and reads on. */
    private static final class Joined {
        private volatile boolean leaving;
        private volatile boolean assigned;
        private final Thread thread;

        Joined(String bootstrap, String group, String topic, String protocol) throws InterruptedException {
            Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group, "client.id", "member",
                "auto.offset.reset", "earliest", "enable.auto.commit", "false", "group.protocol", protocol));
            KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic));
            thread = new Thread(() -> {
                while (!leaving) {
                    consumer.poll(Duration.ofMillis(100));
                    assigned = !consumer.assignment().isEmpty();
                }
                consumer.close();
            });
            thread.setDaemon(true);
            thread.start();
            long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (!assigned) {
                if (System.nanoTime() > end) {
                    throw new IllegalStateException("no partitions in 30 s");
                }
                Thread.sleep(20);
            }
        }

        void leave() throws InterruptedException {
            leaving = true;
            thread.join(30_000);
        }
    }
}
