"use strict";
// Members of consumer groups. A client brings:
//
//   join(how, inbox)                a member, at once; it hands what it reads, and its errors, to the inbox. It starts at the
//                                   earliest record where nothing is committed, and never commits by itself.
//                                   how: { group, clientId, instance, topics, pattern, nextGeneration, noReset, noRetry };
//                                   noRetry: what is refused is not repeated, where it lets its user choose
//
// and the member:
//
//   owned()                         the partitions it may read now, as place() writes them (not async)
//   who()                           { id, generation }, what the client shows of it: any number that changes with it
//   commit()                        what it has handed over
//   commitAt(topic, partition, offset, metadata)
//   heartbeat()                     resolved when it has just had a heartbeat answered; left out where the client does not show it
//   seek(topic, offsets)            { partition: offset }
//   leave()                         as the client does in order: a static member stays in the group
const { DEADLINE_MS, Wrong, equal, sleep, until } = require("./checks");
const { PARTITIONS } = require("./records");
const { IDEMPOTENT } = require("./log");
const { Victim } = require("./victim");

const SESSION_TIMEOUT_MS = 6_000;
const HEARTBEAT_MS = 1_000;
const METADATA_MAX_AGE_MS = 1_000;

const place = (topic, partition) => `${topic}/${partition}`;
const at = (record) => `${place(record.topic, record.partition)}@${record.offset}`;

/** What a member has read, and what went wrong with it. */
class Inbox {
  constructor() {
    this.records = [];
    this.errors = [];
  }

  add(...records) {
    this.records.push(...records);
  }

  fail(error) {
    this.errors.push(error);
  }

  take() {
    return this.records.splice(0);
  }
}

/** Keeps, for a member, the offset after the last record it has handed over. */
class Positions {
  constructor() {
    this.next = new Map();
  }

  passed({ topic, partition, offset }) {
    this.next.set(place(topic, partition), { topic, partition, offset: offset + 1 });
  }

  of(owned) {
    return owned.filter((one) => this.next.has(one)).map((one) => this.next.get(one));
  }
}

/** A group on a topic of its own. */
class Crew {
  /** Makes a topic and writes records to it; the group is there when somebody joins. */
  static async of(suite, kind, records, how = {}) {
    const crew = new Crew(suite, await suite.make(`group-${kind}`), how);
    await crew.produce(0, records);
    return crew;
  }

  /** A crew for one step, of which nothing is left running. */
  static async with(suite, kind, records, use, how = {}) {
    const crew = await Crew.of(suite, kind, records, how);
    try {
      return await use(crew);
    } finally {
      await Promise.all(crew.members.map((member) => member.leave().catch(() => {})));
    }
  }

  /** The same with two members that have read and committed 30 records, and share the partitions. */
  static withPair(suite, kind, use, how = {}, { victim = false } = {}) {
    return Crew.with(suite, kind, 30, async (crew) => {
      const a = await crew.join();
      await crew.reads("alone", 0, 30, a);
      await a.commit();
      const b = victim ? await crew.joinVictim() : await crew.join();
      await crew.share(a, b);
      return use(crew, a, b);
    }, how);
  }

  /** The same with one member that has read and committed 30 records. */
  static withOne(suite, kind, use, how = {}) {
    return Crew.with(suite, kind, 30, async (crew) => {
      const member = await crew.join();
      await crew.reads("alone", 0, 30, member);
      await member.commit();
      return use(crew, member);
    }, how);
  }

  constructor(suite, topic, how) {
    this.suite = suite;
    this.topic = topic;
    this.group = topic;
    this.how = { group: this.group, topics: [topic], ...how };
    this.members = [];
    this.joined = 0;
  }

  produce(start, end) {
    return this.suite.fill(this.topic, IDEMPOTENT, start, end);
  }

  async add(make, more) {
    const inbox = new Inbox();
    const how = { ...this.how, clientId: `compat-${this.joined++}`, ...more };
    const member = await make(how, inbox);
    member.inbox = inbox;
    member.clientId = how.clientId;
    this.members.push(member);
    return member;
  }

  join(more = {}) {
    return this.add((how, inbox) => this.suite.client.join(how, inbox), more);
  }

  joinVictim(more = {}) {
    return this.add((how, inbox) => new Victim(how, inbox), more);
  }

  forget(member) {
    this.members = this.members.filter((other) => other !== member);
  }

  async leave(member) {
    this.forget(member);
    await member.leave();
  }

  async cut(member) {
    this.forget(member);
    await member.cut();
  }

  places(start, end) {
    return new Set(this.suite.records(start, end).map((record) => at({ ...record, topic: this.topic })));
  }

  /** Waits until the members together have read the records from start to end, each once and nothing else. */
  async reads(what, start, end, ...members) {
    const missing = this.places(start, end);
    for (const limit = Date.now() + DEADLINE_MS; ; await sleep(5)) {
      for (const member of members) {
        for (const record of member.inbox.take()) {
          if (!missing.delete(at(record))) throw new Wrong(`${what}: ${at(record)} read twice or out of turn by ${member.clientId}`);
          this.suite.same(record);
        }
        if (member.inbox.errors.length) throw new Wrong(`${what}: ${member.clientId}: ${member.inbox.errors[0]}`);
      }
      if (missing.size === 0) return;
      if (Date.now() > limit) throw new Wrong(`${what}: ${missing.size} of ${end - start} records are missing`);
    }
  }

  async produceAndRead(what, start, end, ...members) {
    await this.produce(start, end);
    await this.reads(what, start, end, ...members);
  }

  all() {
    return Array.from({ length: PARTITIONS }, (_, partition) => place(this.topic, partition));
  }

  owns(limitMs, member) {
    return until(`partitions of ${member.clientId}`, this.all(), () => [...member.owned()].sort(), limitMs);
  }

  /** Waits until two members own all partitions, each some and none twice. */
  share(a, b) {
    return until(`partitions of both members of ${this.group}`, this.all(), () => {
      const [mine, theirs] = [a.owned(), b.owned()];
      return mine.length && theirs.length ? [...mine, ...theirs].sort() : [mine, theirs];
    });
  }

  /** The committed offset of each partition, -1 where there is none. */
  committed(what, ...offsets) {
    return until(what, offsets, async () => {
      const found = await this.suite.client.committed(this.group, this.topic);
      return offsets.map((_, partition) => found[partition]?.offset ?? -1);
    });
  }

  async committedAt(partition, expected) {
    equal("committed", expected, (await this.suite.client.committed(this.group, this.topic))[partition]);
  }
}

module.exports = { Crew, HEARTBEAT_MS, Inbox, METADATA_MAX_AGE_MS, Positions, SESSION_TIMEOUT_MS, at, place };
