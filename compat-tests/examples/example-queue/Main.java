import java.io.Console;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/** The queue from a command line: run without arguments, it says how. */
public final class Main {
    private static final String USAGE = """
        BOOTSTRAP=HOST:PORT example-queue COMMAND
          add USER                registers a user; the password is asked for, or read from standard input
          login USER              says whether the password is the user's
          put TOPIC USER TEXT     writes an entry
          get TOPIC USER          the newest entry
          all USER                all entries of a user""";

    private Main() {}

    public static void main(String[] args) throws IOException {
        List<String> words = List.of(args);
        String command = words.isEmpty() ? "" : words.get(0) + " " + (words.size() - 1);
        if (!List.of("add 1", "login 1", "put 3", "get 2", "all 1").contains(command)) {
            System.err.println(USAGE);
            System.exit(2);
        }
        String bootstrap = Optional.ofNullable(System.getenv("BOOTSTRAP")).orElse("127.0.0.1:9092");
        try (ExampleQueue queue = ExampleQueue.open(bootstrap, Optional.ofNullable(System.getenv("PREFIX")).orElse("example-queue"))) {
            boolean done = switch (words.get(0)) {
                case "add" -> say(queue.add(words.get(1), password()), "registered", "the name is taken");
                case "login" -> say(queue.login(words.get(1), password()), "welcome", "no such user and password");
                case "put" -> say(queue.put(words.get(1), words.get(2), words.get(3)));
                case "get" -> queue.get(words.get(1), words.get(2)).map(Main::say).orElse(false);
                default -> {
                    queue.all(words.get(1)).values().forEach(entries -> entries.forEach(Main::say));
                    yield true;
                }
            };
            System.exit(done ? 0 : 1);
        } catch (IllegalArgumentException refused) {
            System.err.println(refused.getMessage());
            System.exit(1);
        }
    }

    private static boolean say(boolean yes, String good, String bad) {
        System.out.println(yes ? good : bad);
        return yes;
    }

    private static boolean say(ExampleQueue.Entry entry) {
        System.out.println(entry.topic() + " " + entry.partition() + ":" + entry.offset() + " " + entry.text());
        return true;
    }

    /** Never from the command line, which other users of the machine can see. */
    private static String password() throws IOException {
        Console console = System.console();
        return console == null ? new String(System.in.readAllBytes(), StandardCharsets.UTF_8).strip()
            : new String(console.readPassword("password: "));
    }
}
