"use strict";
// The records of every step: what stands at offset i/3 of partition i%3.
const PARTITIONS = 3;
const COUNT = 300;
const EACH = COUNT / PARTITIONS;
// The record that carries the latest timestamp; it is neither the last of its partition nor of the topic.
const LATEST = 150;

function key(i) {
  if (i % 10 === 0) return null;
  return Buffer.from(i % 10 === 1 ? "" : `key-é-${i}`);
}

function value(i) {
  if (i % 10 === 7) return null;
  return Buffer.from(Array.from({ length: i % 10 === 5 ? 0 : (i * 37) % 1500 }, (_, j) => (i * 7 + j) % 256));
}

function headers(i) {
  return [
    [],
    [["n", Buffer.from(String(i))]],
    [["twice", Buffer.from("1")], ["twice", Buffer.from("2")]],
    [["bin", Buffer.from([0, 0xff, 0x80])], ["empty", Buffer.alloc(0)], ["null", null]],
  ][i % 4];
}

module.exports = { COUNT, EACH, LATEST, PARTITIONS, headers, key, value };
