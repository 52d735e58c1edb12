"use strict";
// The steps of consumer groups. Beside join (members.js) a client brings:
//
//   committed(group, topic)         { partition: { offset, metadata } } of those that are committed
//   listGroups()                    { group: { state, type } }, undefined where the client does not show it
//   describeGroup(group)            { state, protocol, members: { clientId: { host, owned } } }
//   alterOffsets(group, topic, offsets), deleteOffsets(group, topic, partition), deleteGroup(group)
const { Wrong, equal, until } = require("./checks");
const { EACH, LATEST } = require("./records");
const raw = require("./raw");
const { Crew, SESSION_TIMEOUT_MS, at, place } = require("./members");

const ILLEGAL_GENERATION = 22;
const UNKNOWN_MEMBER = 25;
const NON_EMPTY_GROUP = 68;
const GROUP_NOT_FOUND = 69;
const SUBSCRIBED_TO_TOPIC = 86;

// These mostly wait: for a session to end, for metadata to age.
const WAITING = ["group-crash", "group-static", "group-pattern", "group-alter-offsets", "group-delete-offsets", "group-delete",
  "error-no-offset", "group-next-generation"];

function groupSteps(s) {
  return s.beside([
    ["group-consume", () => consume(s, "consume")],
    ["group-resume", () => resume(s, "resume")],
    ["group-commit-metadata", () => commitMetadata(s)],
    ["group-join", () => Crew.withPair(s, "join", (crew, a, b) => crew.produceAndRead("both", 30, 60, a, b))],
    ["group-leave", () => leave(s, "leave")],
    ["group-crash", () => crash(s)],
    ["group-static", () => staticMember(s)],
    ["group-seek-time", () => seekTime(s)],
    ["group-pattern", () => pattern(s)],
    ["group-describe", () => describe(s)],
    ["group-alter-offsets", () => alterOffsets(s)],
    ["group-delete-offsets", () => deleteOffsets(s)],
    ["group-delete", () => deleteGroup(s)],
    ["error-no-offset", () => noOffset(s)],
    ["error-fenced-member", () => fencedMember(s)],
    ["group-next-generation", () => nextGeneration(s)],
  ], WAITING);
}

function consume(s, kind, how) {
  return Crew.with(s, kind, 300, async (crew) => {
    const member = await crew.join();
    await crew.reads("all records", 0, 300, member);
    await member.commit();
    await crew.committed("committed offsets", EACH, EACH, EACH);
  }, how);
}

function resume(s, kind, how) {
  return Crew.with(s, kind, 30, async (crew) => {
    const first = await crew.join();
    await crew.reads("first member", 0, 30, first);
    await first.commit();
    await crew.leave(first);
    await crew.produce(30, 60);
    await crew.reads("second member", 30, 60, await crew.join());
  }, how);
}

function commitMetadata(s) {
  return Crew.withOne(s, "metadata", async (crew, member) => {
    await member.commitAt(crew.topic, 1, 7, "käse ✓ 1");
    await crew.committedAt(1, { offset: 7, metadata: "käse ✓ 1" });
  });
}

function leave(s, kind, how) {
  return Crew.withPair(s, kind, async (crew, a, b) => {
    await crew.produceAndRead("both", 30, 60, a, b);
    await a.commit();
    await b.commit();
    const start = Date.now();
    await crew.leave(b);
    await crew.owns(SESSION_TIMEOUT_MS - (Date.now() - start), a);
    await crew.produceAndRead("the one left", 60, 90, a);
  }, how);
}

/** Records 30 to 60 are committed by both, 60 to 90 only by the one that stays: it reads again what the other did not commit. */
function crash(s) {
  return Crew.withPair(s, "crash", async (crew, a, b) => {
    await crew.produceAndRead("both", 30, 60, a, b);
    await a.commit();
    await b.commit();
    await crew.produceAndRead("both again", 60, 90, a, b);
    await a.commit();
    const lost = b.owned();
    const start = Date.now();
    await crew.cut(b);
    await crew.owns(undefined, a);
    const tookMs = Date.now() - start;
    if (tookMs < SESSION_TIMEOUT_MS / 2) throw new Wrong(`a crashed member lost its partitions after ${tookMs} ms, before its session was over`);
    await crew.produce(90, 120);
    await readsAgain(crew, a, lost, 60, 90, 120);
  }, {}, { victim: true });
}

/** Of the places lost the records from start, of the others those from middle, up to end. */
async function readsAgain(crew, member, lost, start, middle, end) {
  const again = crew.suite.records(start, middle).filter((record) => lost.includes(place(crew.topic, record.partition)));
  const wanted = [...again, ...crew.suite.records(middle, end)].map((record) => at({ ...record, topic: crew.topic })).sort();
  const read = [];
  await until("read after the crash", wanted, () => {
    read.push(...member.inbox.take().map(at));
    return [...read].sort();
  });
}

/** Where a member that is closed leaves, static or not, it is killed instead: it is back before its session is over. */
function staticMember(s) {
  return Crew.with(s, "static", 30, async (crew) => {
    const coming = () => (s.client.staticLeaves ? crew.joinVictim({ instance: `${crew.group}-b` }) : crew.join({ instance: `${crew.group}-b` }));
    const a = await crew.join({ instance: `${crew.group}-a` });
    const b = await coming();
    await crew.share(a, b);
    await crew.reads("both", 0, 30, a, b);
    await a.commit();
    await b.commit();
    const [before, { generation }] = [[...b.owned()].sort(), await a.who()];
    await (s.client.staticLeaves ? crew.cut(b) : crew.leave(b));
    const back = await coming();
    await until("assignment after coming back", before, () => [...back.owned()].sort());
    await crew.produceAndRead("both again", 30, 60, a, back);
    equal("generation", generation, (await a.who()).generation);
  });
}

function seekTime(s) {
  return Crew.with(s, "seek", 300, async (crew) => {
    const member = await crew.join();
    await crew.reads("all records", 0, 300, member);
    // The record of the latest timestamp stands before the middle in its partition, and would be found first.
    const next = {};
    for (const partition of [0, 1, 2]) next[partition] = (await s.client.lookUp(crew.topic, partition, s.timestamp(LATEST + 31))).offset;
    equal("offsets by time", { 0: LATEST / 3, 1: 60, 2: 60 }, next);
    await member.seek(crew.topic, next);
    await until("offsets after the seek", { 0: EACH, 1: EACH, 2: EACH }, () => {
      for (const record of member.inbox.take()) equal(`offset in partition ${record.partition}`, next[record.partition]++, record.offset);
      return next;
    });
  });
}

async function pattern(s) {
  await Crew.with(s, "pattern-first", 30, async (crew) => {
    const member = await crew.join({ topics: undefined, pattern: `${s.run}-group-pattern-.*` });
    await crew.reads("the first topic", 0, 30, member);
    await member.commit();
    await Crew.with(s, "pattern-later", 30, (other) => other.reads("the topic created later", 0, 30, member));
  });
}

function describe(s) {
  return Crew.withPair(s, "describe", async (crew, a, b) => {
    const listed = (await s.client.listGroups())[crew.group];
    if (!listed) throw new Wrong("the group is not listed");
    if (listed.state !== undefined) equal("state in the listing", "stable", listed.state.toLowerCase());
    if (listed.type !== undefined) equal("type in the listing", "classic", listed.type.toLowerCase());
    const { state, protocol, members } = await s.client.describeGroup(crew.group);
    equal("state", "stable", state.toLowerCase());
    if (!protocol) throw new Wrong("the protocol has no name");
    for (const member of [a, b]) {
      const found = members[member.clientId];
      equal(`assignment of ${member.clientId}`, [...member.owned()].sort(), [...(found?.owned ?? [])].sort());
      if (!found.host.includes("127.0.0.1")) throw new Wrong(`host of ${member.clientId}: expected 127.0.0.1, got ${found.host}`);
    }
    equal("members", 2, Object.keys(members).length);
  });
}

function alterOffsets(s) {
  return Crew.withOne(s, "alter", async (crew, member) => {
    const alter = () => s.client.alterOffsets(crew.group, crew.topic, { 0: 5, 1: 5, 2: 5 });
    await s.refused("altering an active group", alter, UNKNOWN_MEMBER, NON_EMPTY_GROUP);
    await crew.committed("offsets after a refusal", 10, 10, 10);
    await crew.leave(member);
    await alter();
    await crew.committed("offsets after altering", 5, 5, 5);
    await crew.reads("a member after altering", 15, 30, await crew.join());
  });
}

function deleteOffsets(s) {
  return Crew.withOne(s, "offsets", async (crew, member) => {
    const remove = () => s.client.deleteOffsets(crew.group, crew.topic, 1);
    await s.refused("of a subscribed topic", remove, SUBSCRIBED_TO_TOPIC);
    await crew.leave(member);
    await remove();
    await crew.committed("offsets after deleting one", 10, -1, 10);
  });
}

function deleteGroup(s) {
  return Crew.withOne(s, "delete", async (crew, member) => {
    const remove = () => s.client.deleteGroup(crew.group);
    await s.refused("a group with a member", remove, NON_EMPTY_GROUP);
    await crew.leave(member);
    await remove();
    await s.refused("again", remove, GROUP_NOT_FOUND);
    equal("the group is listed", false, crew.group in (await s.client.listGroups()));
  });
}

function noOffset(s) {
  return Crew.with(s, "no-offset", 30, async (crew) => {
    const member = await crew.join();
    await until("an error is seen", true, () => {
      equal("records read without a place to start", [], member.inbox.take());
      return member.inbox.errors.length > 0;
    });
  }, { noReset: true });
}

function fencedMember(s) {
  return Crew.withOne(s, "fenced", async (crew, member) => {
    const late = async () => {
      // Until the next heartbeat it has no way to notice.
      await member.heartbeat?.();
      await raw.leaveGroup(crew.group, (await member.who()).id);
      return member.commitAt(crew.topic, 0, 3, "");
    };
    await s.refused("a commit of a member that was removed", late, ILLEGAL_GENERATION, UNKNOWN_MEMBER);
    await crew.committed("offsets after the refusal", 10, 10, 10);
  }, { noRetry: true });
}

async function nextGeneration(s) {
  const how = { nextGeneration: true };
  await consume(s, "next-consume", how);
  await resume(s, "next-resume", how);
  await leave(s, "next-leave", how);
  await Crew.withPair(s, "next-list", async (crew, a, b) => {
    const listed = (await s.client.listGroups())[crew.group];
    if (!listed) throw new Wrong("the group is not listed");
    if (listed.type !== undefined) equal("type in the listing", "consumer", listed.type.toLowerCase());
    await crew.produceAndRead("both", 30, 60, a, b);
  }, how);
}

module.exports = { groupSteps };
