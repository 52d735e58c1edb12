import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records every client writes, each known by its number alone, and reading them back. */
final class Records {
    static final int COUNT = 300;
    /** The record that carries the latest timestamp; it is neither the last of its partition nor of the topic. */
    static final int LATEST = 150;
    static final long BASE_MS = System.currentTimeMillis() - 600_000;

    private Records() {}

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] key(int i) {
        return switch (i % 10) {
            case 0 -> null;
            case 1 -> new byte[0];
            default -> bytes("key-é-" + i);
        };
    }

    static byte[] value(int i) {
        if (i % 10 == 7) {
            return null;
        }
        byte[] value = new byte[i % 10 == 5 ? 0 : i * 37 % 1500];
        for (int j = 0; j < value.length; j++) {
            value[j] = (byte) (i * 7 + j);
        }
        return value;
    }

    static List<Header> headers(int i) {
        return switch (i % 4) {
            case 1 -> List.of(new RecordHeader("n", bytes(Integer.toString(i))));
            case 2 -> List.of(new RecordHeader("twice", bytes("1")), new RecordHeader("twice", bytes("2")));
            case 3 -> List.of(new RecordHeader("bin", new byte[] {0, (byte) 0xff, (byte) 0x80}),
                new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null));
            default -> List.of();
        };
    }

    static long timestamp(int i) {
        return BASE_MS + (i == LATEST ? 5_000 : i);
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int i) {
        return new ProducerRecord<>(topic, i % Cluster.PARTITIONS, timestamp(i), key(i), value(i), headers(i));
    }

    /** Byte for byte what was written at that place. */
    static void same(ConsumerRecord<byte[], byte[]> record) {
        int i = (int) record.offset() * Cluster.PARTITIONS + record.partition();
        Check.equal("timestamp of record " + i, timestamp(i), record.timestamp());
        Check.equal("timestamp type of record " + i, "CreateTime", record.timestampType().toString());
        Check.equal("key of record " + i, hex(key(i)), hex(record.key()));
        Check.equal("value of record " + i, hex(value(i)), hex(record.value()));
        Check.equal("headers of record " + i, hex(headers(i)), hex(Arrays.asList(record.headers().toArray())));
    }

    static String hex(byte[] data) {
        return data == null ? "null" : HexFormat.of().formatHex(data);
    }

    static String hex(List<Header> headers) {
        return headers.stream().map(header -> header.key() + "=" + hex(header.value())).collect(Collectors.joining(","));
    }

    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long end = System.nanoTime() + Check.DEADLINE.toNanos();
        while (records.size() < count && System.nanoTime() < end) {
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        Check.equal("records read", count, records.size());
        return records;
    }

    /** How many records came at once, or an error. */
    static int poll(KafkaConsumer<?, ?> consumer) {
        long end = System.nanoTime() + Check.DEADLINE.toNanos();
        int count = 0;
        while (count == 0 && System.nanoTime() < end) {
            count = consumer.poll(Duration.ofMillis(200)).count();
        }
        return count;
    }
}
