/**
 * Loaded into a Node-RED under test (NODE_OPTIONS=--require), so that it dies or stands still at a named point. Nothing of the product knows of it.
 *
 *   TICKLAKE_TEST_KILL_AT=commit/after-manifest/2   SIGKILL at the second time that a table's commit gets there (points: lib/iceberg/catalog/types.ts)
 *   TICKLAKE_TEST_KILL_AT=before/8/3                before the third request with key 8 (OffsetCommit) of Kafka's protocol leaves
 *   TICKLAKE_TEST_KILL_AT=after/26/1                when the first EndTxn has left (the broker gets it, nobody hears the answer)
 *   TICKLAKE_TEST_STOP_AT=...                       SIGSTOP instead, after printing @@{"ev":"standing"}
 *   TICKLAKE_TEST_SESSION_MS=6000                   session time-out of consumer groups, so that a test need not wait half a minute
 *
 * Points of the protocol are met on the socket: whatever client writes there.
 */
"use strict";
const { writeSync } = require("node:fs");
const Module = require("node:module");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");

const parse = (text) => { const [where, what, count] = (text ?? "").split("/"); return where ? { where, what, count: Number(count), seen: 0 } : undefined; };
const kill = parse(process.env.TICKLAKE_TEST_KILL_AT);
const stop = parse(process.env.TICKLAKE_TEST_STOP_AT);

function reached(where, what) {
  for (const [point, signal] of [[kill, "SIGKILL"], [stop, "SIGSTOP"]]) {
    if (!point || point.where !== where || point.what !== what || ++point.seen !== point.count) continue;
    writeSync(1, `@@${JSON.stringify({ ev: signal === "SIGKILL" ? "dying" : "standing", where, what })}\n`);
    process.kill(process.pid, signal);
  }
}

if (isMainThread && (kill || stop)) {
  // The key of a request stands behind its length; clients write a request with its head in one piece.
  const write = net.Socket.prototype.write;
  net.Socket.prototype.write = function patched(data, ...rest) {
    const key = Buffer.isBuffer(data) && data.length >= 14 && data.readInt32BE(0) >= data.length - 4 && data.readInt32BE(0) < 200e6 ? String(data.readInt16BE(4)) : undefined;
    if (key !== undefined) reached("before", key);
    const result = write.call(this, data, ...rest);
    if (key !== undefined) reached("after", key);
    return result;
  };

  const load = Module._load;
  Module._load = function patched(request, ...rest) {
    const exported = load.call(this, request, ...rest);
    if (/(^|[\\/])sink[\\/]table-sink(\.js)?$|^\.\/table-sink$/.test(request) && exported.TableSink && !exported.TableSink.underTest) {
      const Original = exported.TableSink;
      class TableSink extends Original {
        static underTest = true;
        constructor(deps) { super({ ...deps, at: (point) => reached("commit", point) }); }
      }
      exported.TableSink = TableSink;
    }
    return exported;
  };
}
