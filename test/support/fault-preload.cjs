/**
 * Loaded into a Node-RED under test (NODE_OPTIONS=--require), so that it dies or stands still at a named point. Nothing of the product knows of it.
 *
 *   TICKLAKE_TEST_FAULTS=/some/file   {"where", "what", "count", "signal"} in that file arms it, at any time (the file goes when it is read):
 *     {"where": "commit", "what": "after-manifest", "count": 2, "signal": "SIGKILL"}   the second time from now that a table's commit gets there
 *                                                                                       (points: lib/iceberg/catalog/types.ts)
 *     {"where": "before", "what": "8", ...}    before a request with key 8 (OffsetCommit) of Kafka's protocol leaves
 *     {"where": "after", "what": "26", ...}    when an EndTxn has left: the broker gets it, nobody hears the answer
 *     signal SIGSTOP: stands still, after printing @@{"ev":"standing"}
 *   TICKLAKE_TEST_SESSION_MS=3000     session time-out of consumer groups, so that a test need not wait half a minute for the group of a dead process
 *
 * Points of the protocol are met on the socket: whatever client writes there.
 */
"use strict";
const { readFileSync, rmSync, writeSync } = require("node:fs");
const Module = require("node:module");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");

const file = process.env.TICKLAKE_TEST_FAULTS;
const sessionMs = Number(process.env.TICKLAKE_TEST_SESSION_MS ?? 0);
let fault;

function armed() {
  if (fault) return fault;
  try {
    fault = { seen: 0, ...JSON.parse(readFileSync(file, "utf8")) };
    rmSync(file);
  } catch { /* nothing is planned, or it is being written just now */ }
  return fault;
}

function reached(where, what) {
  const planned = armed();
  if (!planned || planned.where !== where || planned.what !== what || ++planned.seen < planned.count) return;
  fault = undefined;
  // Synchronously: what is written through the stream would die with the process.
  writeSync(1, `@@${JSON.stringify({ ev: planned.signal === "SIGSTOP" ? "standing" : "dying", where, what })}\n`);
  process.kill(process.pid, planned.signal);
}

/** Wraps what a module of ours exports when it is loaded. */
function onLoad(pattern, wrap) {
  const load = Module._load;
  Module._load = function patched(request, ...rest) {
    const exported = load.call(this, request, ...rest);
    if (pattern.test(request)) wrap(exported);
    return exported;
  };
}

if (isMainThread && file) {
  // The key of a request stands behind its length, and a client writes a request with its head in one piece.
  const write = net.Socket.prototype.write;
  net.Socket.prototype.write = function patched(data, ...rest) {
    const key = Buffer.isBuffer(data) && data.length >= 14 && data.readInt32BE(0) >= data.length - 4 && data.readInt32BE(0) < 200e6 ? String(data.readInt16BE(4)) : undefined;
    if (key !== undefined) reached("before", key);
    const result = write.call(this, data, ...rest);
    if (key !== undefined) reached("after", key);
    return result;
  };

  onLoad(/(^|[\\/])table-sink(\.js)?$/, (exported) => {
    if (!exported.TableSink || exported.TableSink.underTest) return;
    exported.TableSink = class TableSink extends exported.TableSink {
      static underTest = true;
      constructor(deps) { super({ ...deps, at: (point) => reached("commit", point) }); }
    };
  });
}

if (isMainThread && sessionMs > 0) {
  onLoad(/kafka[\\/]client(\.js)?$/, (exported) => {
    const open = exported.openKafka;
    if (!open || open.underTest) return;
    exported.openKafka = Object.assign((...args) => {
      const client = open(...args);
      const consumer = client.consumer.bind(client);
      client.consumer = (options, events) => consumer({ ...options, sessionTimeoutMs: sessionMs }, events);
      return client;
    }, { underTest: true });
  });
}
