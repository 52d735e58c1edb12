import java.time.Duration;
import java.util.concurrent.ExecutionException;

/** What the steps are written in: expectations, waiting, and the lines that report them. */
final class Check {
    static final Duration DEADLINE = Duration.ofSeconds(30);
    static final boolean KEEP_GOING = "1".equals(System.getenv("KEEP_GOING"));
    static int passed;
    static int failed;
    static int skipped;

    interface Step {
        void run() throws Exception;
    }

    interface Value {
        Object get() throws Exception;
    }

    /** An answer that is not the expected one. */
    static final class Wrong extends RuntimeException {
        Wrong(String message) {
            super(message);
        }
    }

    /** This version of the client cannot do the step. */
    static final class Skip extends RuntimeException {
        Skip(String reason) {
            super(reason);
        }
    }

    private Check() {}

    /** How a step ended; `error` is null if it is as it should be. */
    record Outcome(String name, Exception error) {}

    static void step(String name, Step step) {
        report(attempt(name, step));
    }

    static Outcome attempt(String name, Step step) {
        try {
            step.run();
            return new Outcome(name, null);
        } catch (Exception error) {
            return new Outcome(name, error);
        }
    }

    static void report(Outcome outcome) {
        if (outcome.error() == null) {
            passed++;
            System.out.println("ok " + outcome.name());
        } else if (outcome.error() instanceof Skip skip) {
            skipped++;
            System.out.println("skip " + outcome.name() + ": " + skip.getMessage());
        } else {
            failed++;
            System.out.println("FAIL " + outcome.name() + ": " + oneLine(cause(outcome.error())));
            if (!KEEP_GOING) {
                throw new Wrong(outcome.name());
            }
        }
    }

    private static String oneLine(Throwable wrong) {
        String text = wrong instanceof Wrong ? wrong.getMessage() : wrong.toString();
        return text.replaceAll("\\s+", " ");
    }

    static void equal(String what, Object expected, Object actual) {
        require(expected.equals(actual), what + ": expected " + expected + ", got " + actual);
    }

    static void require(boolean holds, String message) {
        if (!holds) {
            throw new Wrong(message);
        }
    }

    /** Metadata and rebalances trail the answers that cause them; the change itself must come. */
    static void until(String what, Object expected, Value actual) throws InterruptedException {
        until(what, expected, DEADLINE, actual);
    }

    static void until(String what, Object expected, Duration deadline, Value actual) throws InterruptedException {
        long end = System.nanoTime() + deadline.toNanos();
        Object last = quietly(actual);
        while (!expected.equals(last) && System.nanoTime() < end) {
            Thread.sleep(20);
            last = quietly(actual);
        }
        equal(what, expected, last);
    }

    /** The value, or the name of the error that came instead. */
    private static Object quietly(Value value) {
        try {
            return value.get();
        } catch (Exception error) {
            return cause(error).getClass().getSimpleName();
        }
    }

    private static Throwable cause(Throwable error) {
        return error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
    }

    static <T extends Throwable> T fails(Class<T> expected, String what, Value failing) {
        return expected.cast(fails(expected.getSimpleName(), what, failing));
    }

    /** By the error's name, for those that not every version of the client has a class for. */
    static Throwable fails(String expected, String what, Value failing) {
        Object result;
        try {
            result = failing.get();
        } catch (Skip skip) {
            throw skip;
        } catch (Throwable error) {
            Throwable cause = cause(error);
            require(expected.equals(cause.getClass().getSimpleName()), what + ": expected " + expected + ", got " + cause);
            return cause;
        }
        throw new Wrong(what + ": expected " + expected + ", got success " + result);
    }
}
