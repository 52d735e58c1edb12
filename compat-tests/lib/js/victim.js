"use strict";
// A member in a process of its own, which can end without a word to the broker.
const { fork } = require("node:child_process");
const { Wrong, within } = require("./checks");

class Victim {
  constructor(how, inbox) {
    this.partitions = [];
    this.committed = () => {};
    this.process = fork(process.argv[1], ["victim"], { serialization: "advanced" });
    this.process.on("message", ({ records, owned, error, committed }) => {
      const bytes = (data) => data && Buffer.from(data);
      inbox.add(...records.map((record) => ({ ...record, key: bytes(record.key), value: bytes(record.value),
        headers: record.headers.map(([name, data]) => [name, bytes(data)]) })));
      this.partitions = owned;
      if (error) inbox.fail(new Wrong(`the other process: ${error}`));
      if (committed) this.committed();
    });
    this.process.send({ join: how });
  }

  owned() {
    return this.partitions;
  }

  commit() {
    const done = new Promise((resolve) => (this.committed = resolve));
    this.process.send({ commit: true });
    return within("the other process commits", done);
  }

  cut() {
    return new Promise((resolve) => {
      this.process.once("exit", resolve);
      this.process.kill("SIGKILL");
    });
  }

  leave() {
    return this.cut();
  }
}

/** The other side: tells all news until it is killed or nobody asks any more. */
function serveVictim(client) {
  const { Inbox } = require("./members");
  const inbox = new Inbox();
  let member = null;
  const tell = (more) => {
    process.send({ records: inbox.take(), owned: member ? member.owned() : [], error: inbox.errors[0] && String(inbox.errors[0]), ...more });
  };
  process.on("disconnect", () => process.exit(0));
  process.on("message", async ({ join, commit }) => {
    try {
      if (join) {
        member = await client.join(join, inbox);
        setInterval(tell, 20);
      }
      if (commit) {
        await member.commit();
        tell({ committed: true });
      }
    } catch (error) {
      inbox.fail(error);
      tell();
    }
  });
}

module.exports = { Victim, serveVictim };
