"use strict";
// What no client sends, byte by byte.
const net = require("node:net");
const { BOOTSTRAP, Wrong } = require("./checks");

const LEAVE_GROUP = 13;
const API_VERSIONS = 18;
const TIMEOUT_MS = 10_000;

function string(text) {
  const data = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeInt16BE(data.length);
  return Buffer.concat([length, data]);
}

/** A request with header v1; ApiVersions v99 gets the tail that later headers have by itself. */
function request(key, version, body) {
  const head = Buffer.alloc(8);
  head.writeInt16BE(key, 0);
  head.writeInt16BE(version, 2);
  head.writeInt32BE(7, 4);
  const bytes = Buffer.concat([head, string("compat-tests"), body]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

class Closed extends Error {}

class Connection {
  static open() {
    const [host, port] = BOOTSTRAP.split(",")[0].split(/:(?=\d+$)/);
    return new Promise((resolve, reject) => {
      const socket = net.connect(Number(port), host, () => resolve(new Connection(socket)));
      socket.on("error", reject);
      socket.setTimeout(TIMEOUT_MS);
    });
  }

  constructor(socket) {
    this.socket = socket;
  }

  /** The body of the response, or an error: Closed if the connection was closed without one. */
  exchange(key, version, body) {
    return new Promise((resolve, reject) => {
      let data = Buffer.alloc(0);
      const whole = (chunk) => {
        data = Buffer.concat([data, chunk]);
        if (data.length >= 4 && data.length >= 4 + data.readInt32BE(0)) resolve(data.subarray(8));
      };
      this.socket.removeAllListeners();
      this.socket.on("data", whole);
      this.socket.on("close", () => reject(new Closed("the connection is closed")));
      this.socket.on("error", (error) => reject(error.code === "ECONNRESET" ? new Closed(String(error)) : error));
      this.socket.on("timeout", () => reject(new Wrong(`API key ${key} v${version}: no answer, and the connection stays open`)));
      this.socket.write(request(key, version, body));
    });
  }

  close() {
    this.socket.removeAllListeners();
    this.socket.on("error", () => {});
    this.socket.destroy();
  }
}

async function connected(use) {
  const connection = await Connection.open();
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

/** ApiVersions v99: error 35 in the body of v0, and the connection stays usable. */
function unsupportedVersion() {
  return connected(async (connection) => {
    const answer = await connection.exchange(API_VERSIONS, 99, Buffer.from("\0\x0dcompat-tests\x021\0", "latin1"));
    if (answer.readInt16BE(0) !== 35) throw new Wrong(`ApiVersions v99: expected error 35, got ${answer.readInt16BE(0)}`);
    const keys = answer.readInt32BE(2);
    if (keys === 0 || answer.length !== 6 + 6 * keys) {
      throw new Wrong(`ApiVersions v99: ${keys} API keys in a v0 body of ${answer.length} bytes`);
    }
    const again = await connection.exchange(API_VERSIONS, 0, Buffer.alloc(0));
    if (again.readInt16BE(0) !== 0) throw new Wrong(`ApiVersions v0 after v99: error ${again.readInt16BE(0)}`);
  });
}

function unknownApi() {
  return connected(async (connection) => {
    try {
      await connection.exchange(9999, 0, Buffer.alloc(0));
    } catch (error) {
      if (error instanceof Closed) return;
      throw error;
    }
    throw new Wrong("API key 9999: answered, expected a closed connection");
  });
}

/** Removes a member as its own last word would, while it knows nothing of it. */
function leaveGroup(group, member) {
  return connected(async (connection) => {
    const answer = await connection.exchange(LEAVE_GROUP, 0, Buffer.concat([string(group), string(member)]));
    if (answer.readInt16BE(0) !== 0) throw new Wrong(`LeaveGroup ${group}: error ${answer.readInt16BE(0)}`);
  });
}

module.exports = { leaveGroup, unknownApi, unsupportedVersion };
