import io.apicurio.registry.resolver.config.SchemaResolverConfig;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes and reads orders in Avro, whose schemas are in the registry and nowhere else:
 * {@code Avro produce|consume BOOTSTRAP REGISTRY TOPIC FIRST END SCHEMA}, where SCHEMA is 1, 2 or 3: how many fields an order has
 * beside its number. A wrong record ends the program with what was wrong.
 */
public final class Avro {
    private static final String[] FIELDS = {"number", "customer", "city", "country"};

    public static void main(String[] args) throws Exception {
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", args[1], SchemaResolverConfig.REGISTRY_URL, args[2]));
        int first = Integer.parseInt(args[4]), end = Integer.parseInt(args[5]);
        if (args[0].equals("produce")) {
            config.put(SchemaResolverConfig.AUTO_REGISTER_ARTIFACT, true);
            config.put(SchemaResolverConfig.AUTO_REGISTER_ARTIFACT_IF_EXISTS, "FIND_OR_CREATE_VERSION");
            produce(config, args[3], first, end, Integer.parseInt(args[6]));
        } else {
            config.put("auto.offset.reset", "none");
            consume(config, args[3], first, end, Integer.parseInt(args[6]));
        }
    }

    private static Schema schema(int version) {
        var fields = SchemaBuilder.record("Order").namespace("compat").fields().requiredInt("number");
        // Later versions can read earlier ones: what is new has a default.
        for (int field = 1; field <= version; field++) fields.name(FIELDS[field]).type().stringType().stringDefault("-");
        return fields.endRecord();
    }

    private static void produce(Map<String, Object> config, String topic, int first, int end, int version) throws Exception {
        Schema schema = schema(version);
        try (Producer<String, GenericRecord> producer = new KafkaProducer<>(config, new StringSerializer(), serializer(config))) {
            Future<RecordMetadata> last = null;
            for (int number = first; number < end; number++) {
                last = producer.send(new ProducerRecord<>(topic, 0, "order " + number, order(schema, number)));
            }
            producer.flush();
            if (last != null) last.get();
        }
    }

    private static GenericRecord order(Schema schema, int number) {
        var order = new GenericData.Record(schema);
        order.put("number", number);
        for (Schema.Field field : schema.getFields()) {
            if (field.pos() > 0) order.put(field.pos(), field.name() + " of " + number);
        }
        return order;
    }

    /** The schema's version of each record is told by the range: `version` is what the last of them has. */
    private static void consume(Map<String, Object> config, String topic, int first, int end, int version) {
        try (Consumer<String, GenericRecord> consumer = new KafkaConsumer<>(config, new StringDeserializer(), deserializer(config))) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, first);
            int next = first;
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (next < end) {
                if (System.nanoTime() > deadline) throw new IllegalStateException("read " + next + " of " + end + " within 60 s");
                for (ConsumerRecord<String, GenericRecord> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (next < end) check(record, next++, version);
                }
            }
        }
    }

    private static void check(ConsumerRecord<String, GenericRecord> record, int number, int version) {
        GenericRecord expected = order(schema(version), number);
        if (record.offset() != number || !record.value().toString().equals(expected.toString())) {
            throw new IllegalStateException("expected " + expected + " at " + number + ", got " + record.value() + " at "
                + record.offset());
        }
    }

    private static AvroKafkaSerializer<GenericRecord> serializer(Map<String, Object> config) {
        var serializer = new AvroKafkaSerializer<GenericRecord>();
        serializer.configure(config, false);
        return serializer;
    }

    private static AvroKafkaDeserializer<GenericRecord> deserializer(Map<String, Object> config) {
        var deserializer = new AvroKafkaDeserializer<GenericRecord>();
        deserializer.configure(config, false);
        return deserializer;
    }
}
