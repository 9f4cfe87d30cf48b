// Node types of the delivery tests: a scripted source, a parking sink with a file as its table, and nodes that misbehave.
// They print what happens as lines `@@{...}`.
const { existsSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { followFlows, openSink, openSource, sourceOptions, withToken } = require("../../../nodes/shared/delivery");

const say = (ev, facts) => process.stdout.write("@@" + JSON.stringify({ ev, ...facts }) + "\n");

module.exports = (RED) => {
  followFlows(RED);
  const file = (name) => join(RED.settings.userDir, name);
  const read = (name, fallback) => (existsSync(file(name)) ? JSON.parse(readFileSync(file(name), "utf8")) : fallback);
  const write = (name, value) => {
    writeFileSync(file(name + ".tmp"), JSON.stringify(value));
    renameSync(file(name + ".tmp"), file(name));
  };

  RED.events.on("node-status", (e) => { if (e.status?.text?.includes("did not start")) say("status", { node: e.id, text: e.status.text }); });

  const constructor = (build) => function TestNode(config) {
    RED.nodes.createNode(this, config);
    build(this, config);
  };

  /**
   * A log of `batches` batches of `perBatch` rows in each of `partitions` partitions. Row ids are `<partition>:<offset>`. What is
   * delivered is remembered in a file (the "group offset"), where a restart goes on.
   */
  RED.nodes.registerType("test-source", constructor((node, config) => {
    const { batches = 10, perBatch = 2, partitions = 1, everyMs = 0, backoffMs = 30, props = {} } = config;
    const store = `offsets-${config.store ?? node.id}.json`;
    const committed = read(store, {});
    const next = {};
    for (let p = 0; p < partitions; p++) next[p] = committed[p] ?? 0;
    const held = new Set();
    let timer, closed = false;

    const source = openSource(RED, node, sourceOptions({ ...config }), {
      start() { say("start", { node: node.id }); pump(); },
      suspend() { say("suspend", { node: node.id }); clearTimeout(timer); },
      delivered(d) {
        committed[d.partition] = Number(d.lineage.nextOffset);
        write(store, committed);
        say("delivered", { node: node.id, partition: d.partition, offset: Number(d.lineage.firstOffset), epoch: d.epoch });
      },
      failed(f) {
        say("failed", { node: node.id, partition: f.partition, offset: Number(f.failed.lineage.firstOffset), aborted: f.aborted.length, in: f.node, code: f.error.code, message: f.error.message, cutAt: f.cutAt === undefined ? undefined : Number(f.cutAt) });
        next[f.partition] = Number(f.aborted[0].lineage.firstOffset);
        held.add(f.partition);
        setTimeout(() => { held.delete(f.partition); pump(); }, backoffMs);
      },
      room() { pump(); },
      heldUp(h) { say("heldUp", { node: node.id, by: h?.node, parts: h?.parts }); },
    });

    function pump() {
      clearTimeout(timer);
      for (let more = true; more && !closed && source.sending;) {
        more = false;
        for (let p = 0; p < partitions; p++) {
          if (held.has(String(p)) || next[p] >= batches * perBatch || !source.hasRoom()) continue;
          const first = next[p], end = Math.min(first + perBatch, batches * perBatch);
          next[p] = end;
          const payload = [];
          for (let o = first; o < end; o++) payload.push({ id: `${p}:${o}`, n: o });
          source.send({
            partition: String(p), records: payload.length, bytes: 100 * payload.length,
            lineage: { cluster: "c", group: "g", topic: "t", partition: p, firstOffset: BigInt(first), lastOffset: BigInt(end - 1), lastTimestamp: 1, nextOffset: BigInt(end) },
            context: { first },
          }, { topic: `t${p}`, payload, ...props });
          if (everyMs > 0) { timer = setTimeout(pump, everyMs); return; }
          more = true;
        }
      }
    }

    node.on("close", async (done) => {
      closed = true;
      clearTimeout(timer);
      await source.drain(10_000);
      say("closed", { node: node.id, committed, ...source.stats() });
      source.close();
      done();
    });
  }));

  /**
   * Parks rows and commits them, every `intervalMs`, on pressure and in `close`, to a file with the watermark of each
   * partition, as an Iceberg table has it. `failTimes`: that many messages with a row of id `failId` fail for good.
   */
  RED.nodes.registerType("test-sink", constructor((node, config) => {
    const store = `table-${config.store ?? node.id}.json`;
    const { intervalMs = 30, commitMs = 5, failId, useWatermarks = true, rejectId } = config;
    let failTimes = config.failTimes ?? 0;
    const rows = new Map();
    let loose = [];
    let committing;

    const ledger = openSink(RED, node, {
      pressure() { say("pressure", { node: node.id }); commit(); },
      aborted(parts) { for (const part of parts) rows.delete(part); say("aborted", { node: node.id, parts: parts.length }); },
    });

    function commit() {
      return committing ??= (async () => {
        const runs = ledger.handle.take();
        const unprotected = loose;
        loose = [];
        if (runs.length > 0 || unprotected.length > 0) {
          await new Promise((r) => setTimeout(r, commitMs));
          const table = read(store, { rows: [], watermarks: {} });
          const taken = [...new Set(runs.flatMap((r) => r.parts)), ...unprotected];
          for (const part of taken) table.rows.push(...(rows.get(part)?.ids ?? []));
          for (const r of runs) table.watermarks[r.partition] = Number(r.lineage.nextOffset);
          write(store, table);
          ledger.handle.committed(runs);
          for (const part of taken) {
            const of = rows.get(part);
            rows.delete(part);
            if (of) of.send({ payload: { rows: of.ids.length, result: true }, ...(of.link ? { _linkSource: of.link, _msgid: of.msgid } : {}) });
            part.done();
          }
          say("commit", { node: node.id, parts: taken.length, runs: runs.map((r) => [r.partition, Number(r.lineage.firstOffset), Number(r.lineage.nextOffset)]) });
        }
      })().finally(() => { committing = undefined; });
    }
    const timer = intervalMs > 0 ? setInterval(commit, intervalMs) : undefined;
    RED.httpAdmin.post(`/test-sink/${node.id}/commit`, (_q, a) => { commit().then(() => a.json({})); });

    node.on("input", (msg, send, done) => {
      const part = ledger.accept(msg, send, done);
      if (part.state === "dropped") { say("dropped", { node: node.id }); return; }
      const payload = [msg.payload].flat(3);
      const ids = payload.map((r) => r?.id).filter((id) => id !== undefined);
      if (failTimes > 0 && ids.includes(failId)) { failTimes--; part.fail(new Error(`cannot write ${failId}`)); return; }
      const watermarks = read(store, { watermarks: {} }).watermarks;
      const below = useWatermarks && part.deliveries.length > 0 && part.deliveries.every((d) => Number(d.lineage.nextOffset) <= (watermarks[d.partition] ?? 0));
      if (below) { say("duplicate", { node: node.id, ids }); part.park(); part.done(); return; }
      if (rejectId !== undefined && ids.includes(rejectId)) send([null, withToken({ payload: { rejected: rejectId, id: `reject-${rejectId}` } }, msg)]);
      rows.set(part, { ids, send, link: msg._linkSource, msgid: msg._msgid });
      if (part.deliveries.length === 0) loose.push(part);
      say("parked", { node: node.id, ids, ties: part.deliveries.length });
      part.park();
    });
    node.on("close", async (done) => {
      clearInterval(timer);
      await committing;
      await commit();
      ledger.close();
      say("sinkClosed", { node: node.id });
      done();
    });
  }));

  /** Nodes as users have them. */
  RED.nodes.registerType("test-odd", constructor((node, config) => {
    let times = config.times ?? Infinity;
    const odd = () => times-- > 0;
    switch (config.mode) {
      case "never-done": node.on("input", (msg, send, done) => { if (!odd()) { send(msg); done(); } }); break;
      case "throws": node.on("input", (msg, send, done) => { if (odd()) throw new Error("thrown by the handler"); send(msg); done(); }); break;
      case "twice": node.on("input", (msg, send, done) => { send(msg); send(msg); done(); done(); }); break;
      case "no-done": node.on("input", function (msg) { node.send(msg); }); break;
      case "no-done-new": node.on("input", function (msg) { node.send({ payload: msg.payload }); }); break;
      case "late": node.on("input", (msg, send, done) => { done(); setTimeout(() => send({ payload: msg.payload, _msgid: msg._msgid, delivery: msg.delivery }), config.ms ?? 100); }); break;
      case "count": node.on("input", (msg, send, done) => { say("seen", { node: node.id, token: msg.delivery !== undefined, payload: msg.payload, complete: msg.complete?.source?.id, error: msg.error?.message }); send(msg); done(); }); break;
      default: throw new Error(`mode ${config.mode}`);
    }
  }));

  /**
   * Sends messages through the flow back into itself and measures. POST /test-bench/<id>?count=..&mode=..: `off` without hooks,
   * `on` with hooks (a source is open) and messages without a token, `token` with a delivery per message.
   */
  RED.nodes.registerType("test-bench", constructor((node) => {
    let arrived;
    node.on("input", (msg, send, done) => { done(); arrived(); });
    RED.httpAdmin.post(`/test-bench/${node.id}`, async (request, answer) => {
      const { mode } = request.query, count = Number(request.query.count);
      let started;
      const running = new Promise((r) => { started = r; });
      const source = mode === "off" ? undefined : openSource(RED, node, sourceOptions({ maxInFlight: 1e9 }), { start: () => started(), suspend() {}, delivered() {}, failed(f) { throw f.error; } });
      if (source) await running;
      globalThis.gc?.();
      const cpu = process.cpuUsage(), begun = performance.now();
      let left = count, sent = 0;
      await new Promise((finished) => {
        const next = () => {
          sent++;
          const msg = { topic: "t", payload: { n: sent } };
          if (mode === "token") source.send({ partition: "0", records: 1, bytes: 1, context: 0 }, msg);
          else node.send(msg);
        };
        arrived = () => { if (sent < count) next(); if (--left === 0) finished(); };
        // A window, as a flow at work has it.
        for (let i = 0; i < 100; i++) next();
      });
      const ms = performance.now() - begun, used = process.cpuUsage(cpu);
      source?.close();
      answer.json({ ms, cpuMs: (used.user + used.system) / 1000 });
    });
  }));
};
