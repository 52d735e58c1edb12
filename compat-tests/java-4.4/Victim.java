import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;

/** A member in a process of its own, so that it can end as a crash ends: killed, its connections cut, no word to the group. */
final class Victim implements AutoCloseable {
    private final Process process;
    private final PrintStream orders;
    private final List<String> said = new CopyOnWriteArrayList<>();

    Victim(String protocol, String group, String topic) throws IOException {
        process = new ProcessBuilder(ProcessHandle.current().info().command().orElse("java"), "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", System.getProperty("java.class.path"),
            Victim.class.getName(), protocol, group, topic).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        orders = new PrintStream(process.getOutputStream(), true);
        Thread reader = new Thread(() -> new BufferedReader(new InputStreamReader(process.getInputStream())).lines().forEach(said::add));
        reader.setDaemon(true);
        reader.start();
    }

    /** The partitions it owns, as it last said. */
    Set<Integer> owned() {
        Set<Integer> owned = new TreeSet<>();
        said.stream().filter(line -> line.startsWith("owns")).reduce((before, last) -> last).ifPresent(line -> {
            for (String number : line.substring("owns".length()).trim().split(" ")) {
                if (!number.isEmpty()) {
                    owned.add(Integer.parseInt(number));
                }
            }
        });
        return owned;
    }

    long read() {
        return said.stream().filter(line -> line.equals("read")).count();
    }

    void commit() throws InterruptedException {
        orders.println("commit");
        Check.until("the other process committed", true, () -> said.contains("committed"));
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }

    /** The other process: says what it owns and reads, and commits when told. */
    public static void main(String[] args) throws Exception {
        Member member = new Member("victim", args[0], args[1], Member.to(args[2]));
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        Set<Integer> owned = Set.of();
        int read = 0;
        // It ends with the process that started it, should that be gone without killing it.
        while (ProcessHandle.current().parent().map(ProcessHandle::isAlive).orElse(false)) {
            if (!owned.equals(member.owned())) {
                owned = member.owned();
                StringBuilder line = new StringBuilder("owns");
                owned.forEach(partition -> line.append(' ').append(partition));
                System.out.println(line);
            }
            for (; read < member.read().size(); read++) {
                System.out.println("read");
            }
            if (orders.ready() && "commit".equals(orders.readLine())) {
                member.commit();
                System.out.println("committed");
            }
            Thread.sleep(20);
        }
    }
}
