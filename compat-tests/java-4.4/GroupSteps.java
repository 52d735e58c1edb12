import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;

/**
 * A group's life, told in order: one group whose members come, go and crash, and one that is there all the time for what an operator
 * asks of groups. The steps build on each other, so each leaves the group as the next needs it.
 */
final class GroupSteps {
    private static final Set<Integer> ALL = Set.of(0, 1, 2);
    private static final int ILLEGAL_GENERATION = 22;
    private static final int UNKNOWN_MEMBER = 25;

    private final Cluster cluster;
    private final String protocol;
    private final String group;
    private final String topic;
    /** What the new protocol's broker waits for a silent member is 45 s at least, the classic member says 6 s. */
    private final Duration sessionTimeout;
    private final Map<Integer, Long> ends = new TreeMap<>(Map.of(0, 0L, 1, 0L, 2, 0L));
    private Member first;
    private Member second;
    private Member third;

    GroupSteps(Cluster cluster, String protocol, String name) {
        this.cluster = cluster;
        this.protocol = protocol;
        group = cluster.run + "-" + name;
        topic = group;
        sessionTimeout = Duration.ofSeconds(protocol.equals("consumer") ? 45 : 6);
    }

    private Member member(String clientId, String group, String... more) throws Exception {
        return new Member(clientId, protocol, group, Member.to(topic), more);
    }

    /** Writes records to the partitions in turn. */
    private void produce(String topic, int count) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = Cluster.producer(Map.of())) {
            for (int i = 0; i < count; i++) {
                long time = topic.equals(this.topic) ? timestamp(i % 3, ends.merge(i % 3, 1L, Long::sum) - 1) : Records.BASE_MS;
                producer.send(new ProducerRecord<>(topic, i % 3, time, null, Records.bytes("x")));
            }
        }
    }

    private static long timestamp(int partition, long offset) {
        return Records.BASE_MS + offset * 3 + partition;
    }

    private static List<String> places(Collection<ConsumerRecord<String, String>> records) {
        return records.stream().map(record -> record.partition() + ":" + record.offset()).sorted().collect(Collectors.toList());
    }

    /** The places of the last `each` records of some partitions. */
    private List<String> lastOf(Collection<Integer> partitions, int each) {
        List<String> places = new ArrayList<>();
        for (int partition : partitions) {
            for (long offset = ends.get(partition) - each; offset < ends.get(partition); offset++) {
                places.add(partition + ":" + offset);
            }
        }
        places.sort(null);
        return places;
    }

    /** What the members read since is just these records, each once. */
    private static void reads(List<String> expected, Member... members) throws Exception {
        List<ConsumerRecord<String, String>> read = new ArrayList<>();
        Check.until("records read", true, () -> {
            read.clear();
            for (Member member : members) {
                member.owned();
                read.addAll(member.read());
            }
            return read.size() >= expected.size();
        });
        Check.equal("the records read", expected, places(read));
        for (Member member : members) {
            member.read().clear();
        }
    }

    private static void owns(Member member, Set<Integer> partitions, Duration deadline) throws InterruptedException {
        Check.until("partitions owned by " + member.clientId, partitions, deadline, member::owned);
    }

    private static void share(Member one, Member other) throws Exception {
        Check.until("all partitions are owned, each member has one at least and none is owned twice", true, () ->
            !one.owned().isEmpty() && !other.owned().isEmpty() && one.owned().size() + other.owned().size() == ALL.size()
                && union(one.owned(), other.owned()).equals(ALL));
    }

    private static Set<Integer> union(Set<Integer> one, Set<Integer> other) {
        Set<Integer> both = new TreeSet<>(one);
        both.addAll(other);
        return both;
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return new HashMap<>(cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get());
    }

    private Map<Integer, Long> committedOffsets(String group) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        committed(group).forEach((partition, offset) -> offsets.put(partition.partition(), offset.offset()));
        return offsets;
    }

    // One group

    void consume() throws Exception {
        cluster.create(topic, Cluster.PARTITIONS, Map.of());
        produce(topic, Records.COUNT);
        first = member("first", group);
        reads(lastOf(ALL, 100), first);
        owns(first, ALL, Check.DEADLINE);
        first.commit();
        Check.equal("committed offsets, by the admin client", ends, committedOffsets(group));
        Map<TopicPartition, OffsetAndMetadata> own = first.ask(c -> Api.committed(c, Set.copyOf(Cluster.partitions(topic))));
        Cluster.partitions(topic).forEach(partition -> Check.equal("offset committed for " + partition,
            ends.get(partition.partition()), own.get(partition).offset()));
        first.close();
    }

    void resume() throws Exception {
        produce(topic, 30);
        first = member("first", group);
        reads(lastOf(ALL, 10), first);
        first.commit();
    }

    void commitMetadata() throws Exception {
        TopicPartition partition = new TopicPartition(topic, 1);
        OffsetAndMetadata expected = new OffsetAndMetadata(ends.get(1), "käse ✓ 1");
        first.ask(consumer -> {
            consumer.commitSync(Map.of(partition, expected));
            return null;
        });
        OffsetAndMetadata own = first.ask(consumer -> Api.committed(consumer, Set.of(partition)).get(partition));
        for (OffsetAndMetadata got : List.of(own, committed(group).get(partition))) {
            Check.equal("offset", expected.offset(), got.offset());
            Check.equal("metadata", expected.metadata(), got.metadata());
        }
    }

    void join() throws Exception {
        second = member("second", group);
        share(first, second);
        produce(topic, 30);
        reads(lastOf(ALL, 10), first, second);
        first.commit();
        second.commit();
    }

    void leave() throws Exception {
        second.close();
        owns(first, ALL, sessionTimeout);
        produce(topic, 30);
        reads(lastOf(ALL, 10), first);
        first.commit();
    }

    /** With a group of its own, so that other steps can be done meanwhile: the session of the new protocol takes 45 s. */
    void crash() throws Exception {
        cluster.create(topic, Cluster.PARTITIONS, Map.of());
        try (Member survivor = member("survivor", group); Victim victim = new Victim(protocol, group, topic)) {
            Check.until("the two share the partitions", true, () -> !survivor.owned().isEmpty() && !victim.owned().isEmpty()
                && survivor.owned().size() + victim.owned().size() == ALL.size()
                && union(survivor.owned(), victim.owned()).equals(ALL));
            Set<Integer> victims = victim.owned();
            produce(topic, 30);
            reads(lastOf(survivor.owned(), 10), survivor);
            Check.until("records the other process read", 10L * victims.size(), victim::read);
            survivor.commit();
            victim.commit();
            produce(topic, 30);
            Check.until("records the other process read", 20L * victims.size(), victim::read);
            reads(lastOf(survivor.owned(), 10), survivor);
            survivor.commit();
            long killed = System.nanoTime();
            victim.close();
            owns(survivor, ALL, sessionTimeout.plusSeconds(15));
            Duration taken = Duration.ofNanos(System.nanoTime() - killed);
            // Its last heartbeat was up to an interval before its end.
            Duration earliest = sessionTimeout.minusSeconds(protocol.equals("consumer") ? 6 : 2);
            Check.require(taken.compareTo(earliest) > 0, "the crashed member was given up after " + taken.toMillis() + " ms");
            reads(lastOf(victims, 10), survivor);
        }
    }

    void staticMember() throws Exception {
        Api.needsStaticMembers();
        String statics = group + "-static";
        Member one = member("one", statics, "group.instance.id", "one");
        Member two = member("two", statics, "group.instance.id", "two");
        share(one, two);
        int generation = one.ask(Api::generation);
        for (Member leaver : List.of(two, one)) {
            Set<Integer> before = leaver.owned();
            leaver.close();
            Member back = member(leaver.clientId, statics, "group.instance.id", leaver.clientId);
            owns(back, before, Check.DEADLINE);
            Member stayed = leaver == two ? one : two;
            if (leaver == two) {
                two = back;
            } else {
                one = back;
            }
            Check.equal("the generation of the member that was away", generation, back.ask(Api::generation));
            Check.equal("the generation of the member that stayed", generation, stayed.ask(Api::generation));
        }
        one.close();
        two.close();
    }

    void seekTime() throws Exception {
        first.read().clear();
        long middle = timestamp(0, 50) + 1;
        Set<String> expected = first.ask(consumer -> {
            Map<TopicPartition, Long> times = new HashMap<>();
            consumer.assignment().forEach(partition -> times.put(partition, middle));
            Set<String> places = new TreeSet<>();
            consumer.offsetsForTimes(times).forEach((partition, found) -> {
                consumer.seek(partition, found.offset());
                places.add(partition.partition() + ":" + found.offset());
            });
            return places;
        });
        Check.equal("the offsets at that time", Set.of("0:51", "1:50", "2:50"), expected);
        reads(since(Map.of(0, 51L, 1, 50L, 2, 50L)), first);
    }

    private List<String> since(Map<Integer, Long> starts) {
        List<String> places = new ArrayList<>();
        starts.forEach((partition, start) -> {
            for (long offset = start; offset < ends.get(partition); offset++) {
                places.add(partition + ":" + offset);
            }
        });
        places.sort(null);
        return places;
    }

    void pattern() throws Exception {
        String prefix = group + "-pattern-";
        cluster.create(prefix + "a", Cluster.PARTITIONS, Map.of());
        produce(prefix + "a", 3);
        Member member = new Member("pattern", protocol, group + "-pattern", consumer -> {
            Api.subscribe(consumer, prefix + ".*", protocol.equals("consumer"));
            return null;
        });
        reads(List.of("0:0", "1:0", "2:0"), member);
        member.commit();
        cluster.create(prefix + "b", Cluster.PARTITIONS, Map.of());
        produce(prefix + "b", 3);
        Check.until("records read from the topic created later", 3L,
            () -> member.read().stream().filter(record -> record.topic().equals(prefix + "b")).count());
        Check.equal("records read", 3, member.read().size());
        member.close();
    }

    // What an operator asks: `active` has two members all the time, the group of above is emptied

    private String active() {
        return group + "-active";
    }

    void describe() throws Exception {
        first.close();
        second = member("second", active());
        third = member("third", active());
        share(second, third);
        String type = protocol.equals("consumer") ? "Consumer" : "Classic";
        Check.until("the listing of the group", Api.listing("Stable", type), () -> Api.listed(cluster.admin, active()));
        ConsumerGroupDescription group = cluster.admin.describeConsumerGroups(List.of(active())).all().get().get(active());
        Check.equal("state", "Stable", Api.state(group));
        Check.equal("protocol", protocol.equals("consumer") ? "uniform" : "range", group.partitionAssignor());
        Map<String, Set<Integer>> assigned = new TreeMap<>();
        for (MemberDescription member : group.members()) {
            Check.require(member.host().matches("/[0-9.:a-f]+"), "the host of a member: " + member.host());
            Check.require(!member.consumerId().isEmpty(), "a member without an id");
            assigned.put(member.clientId(), member.assignment().topicPartitions().stream()
                .map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new)));
        }
        Check.equal("members", Map.of("second", second.owned(), "third", third.owned()), assigned);
    }

    void alterOffsets() throws Exception {
        TopicPartition partition = new TopicPartition(topic, 2);
        Check.fails("UnknownMemberIdException", "altering an active group", () -> {
            Api.alterOffset(cluster.admin, active(), partition, 7);
            return null;
        });
        Api.alterOffset(cluster.admin, group, partition, ends.get(2) - 5);
        Member member = member("resumes", group);
        reads(lastOf(List.of(2), 5), member);
        member.close();
    }

    void deleteOffsets() throws Exception {
        TopicPartition partition = new TopicPartition(topic, 0);
        Check.fails("GroupSubscribedToTopicException", "deleting offsets of an active group", () -> {
            Api.deleteOffset(cluster.admin, active(), partition);
            return null;
        });
        Check.equal("partitions with offsets", ALL, committedOffsets(group).keySet());
        Api.deleteOffset(cluster.admin, group, partition);
        Check.equal("partitions with offsets left", Set.of(1, 2), committedOffsets(group).keySet());
    }

    void delete() throws Exception {
        Check.fails(GroupNotEmptyException.class, "deleting an active group", () -> deleteGroup(active()));
        second.close();
        third.close();
        deleteGroup(group);
        Check.fails(GroupIdNotFoundException.class, "deleting it again", () -> deleteGroup(group));
        Check.equal("its listing", List.of(), Api.listed(cluster.admin, group));
        Check.equal("its offsets", Map.of(), committedOffsets(group));
    }

    private Object deleteGroup(String group) throws Exception {
        return cluster.admin.deleteConsumerGroups(List.of(group)).all().get();
    }

    // Errors

    void noOffset() throws Exception {
        Map<String, Object> settings = Member.settings(protocol, group + "-no-offset");
        settings.put("auto.offset.reset", "none");
        try (KafkaConsumer<String, String> consumer = Member.consumer(settings)) {
            consumer.subscribe(List.of(topic));
            Check.fails(NoOffsetForPartitionException.class, "reading without a committed offset", () -> Records.poll(consumer));
        }
    }

    /** A member that does not poll while another joins is out of the group after max.poll.interval.ms, the time to rebalance. */
    void fencedMember() throws Exception {
        String fenced = group + "-fenced";
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<String, Object> settings = Member.settings(protocol, fenced);
        settings.put("max.poll.interval.ms", "6000");
        settings.put("max.poll.records", "1");
        try (KafkaConsumer<String, String> idle = Member.consumer(settings)) {
            idle.subscribe(List.of(topic));
            Check.require(Records.poll(idle) > 0, "the first member reads nothing");
            idle.commitSync(Map.of(partition, new OffsetAndMetadata(1)));
            try (Member heir = member("heir", fenced)) {
                owns(heir, ALL, Check.DEADLINE);
                Check.fails(CommitFailedException.class, "a commit of the member that is out", () -> {
                    idle.commitSync(Map.of(partition, new OffsetAndMetadata(2)));
                    return null;
                });
                if (protocol.equals("classic")) {
                    String id = cluster.admin.describeConsumerGroups(List.of(fenced)).all().get().get(fenced).members()
                        .iterator().next().consumerId();
                    Check.equal("error of the past generation", ILLEGAL_GENERATION, RawSteps.commit(fenced, 1, id, partition, 3));
                    Check.equal("error of no member", UNKNOWN_MEMBER, RawSteps.commit(fenced, 2, "nobody", partition, 3));
                }
                Check.equal("the offset that stays", Map.of(0, 1L), committedOffsets(fenced));
            }
        }
    }

    // The new protocol, in one step

    void nextGeneration() throws Exception {
        if (!Api.HAS_NEXT_GENERATION) {
            throw new Check.Skip("this client knows no group.protocol");
        }
        consume();
        resume();
        Check.equal("the listing of the group", Api.listing("Stable", "Consumer"), Api.listed(cluster.admin, group));
        join();
        leave();
    }
}
