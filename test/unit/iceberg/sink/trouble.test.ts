import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { TicklakeError } from "../../../../lib/errors";
import { append } from "../../../../lib/iceberg/commit";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { currentSnapshot } from "../../../../lib/iceberg/metadata";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { readWatermarks } from "../../../../lib/iceberg/watermarks";
import { lineage, range, ScriptedSource, tick, trade, trades, until, World, type TestSink } from "./harness";

const parked = (...sinks: TestSink[]): Promise<void> => until("everything is parked or over", () => sinks.every((sink) => sink.parts.every((p) => p.state !== "held")));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const within = async (ms: number, what: string, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((_, reject) => { timer = setTimeout(() => { reject(new Error(`${what}: not within ${ms} ms`)); }, ms); })]);
  clearTimeout(timer);
};

/** A store in whose `method` (for locations that end so) something happens before it is done. */
const before = (method: keyof FileIO, ending: string, happen: () => Promise<void> | void) => (io: FileIO): FileIO =>
  new Proxy(io, {
    get(target, key: keyof FileIO) {
      const original = target[key] as (...args: unknown[]) => unknown;
      if (key !== method) return original.bind(target);
      return async (location: string, ...more: unknown[]) => {
        if (location.endsWith(ending)) await happen();
        return original.call(target, location, ...more);
      };
    },
  });

describe("iceberg sink in trouble", () => {
  const encoder = new EncoderPool();
  let world: World;
  beforeEach(async () => { world = await World.create(encoder); });
  afterEach(() => world.end());
  after(() => encoder.close());

  /** A table that holds 0-10 of partition 0, and a new process. */
  async function restartedAt10(): Promise<void> {
    const first = world.sink("w");
    new ScriptedSource(world.ledger).send(trades(0, 10), [first], { lineage: lineage(0, 10) });
    await parked(first);
    await first.close();
    world.restart();
  }

  it("passes a filtered batch across the watermark: nothing of it came here, so there is nothing to cut", async () => {
    await restartedAt10();
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send([], [], { lineage: lineage(5, 15), hold: false });
    const other = world.sink("keeps-it-open");
    source.send(trades(15, 20), [sink, other], { lineage: lineage(15, 20) });
    await parked(sink, other);
    await within(5000, "the commit", sink.sink.flush());
    assert.deepEqual(await world.ids(), [...range(0, 10), ...range(15, 20)]);
    assert.equal(sink.results.length, 1);
  });

  it("passes a filtered batch across the watermark while an earlier one is still open elsewhere", async () => {
    await restartedAt10();
    const sink = world.sink("w");
    const slow = world.sink("slow");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 5), [slow], { lineage: lineage(0, 5) });
    source.send(trades(900, 901), [slow], { lineage: lineage(5, 15) });
    source.send(trades(15, 20), [sink], { lineage: lineage(15, 20) });
    await parked(sink, slow);
    await within(5000, "the commit", sink.sink.flush());
    assert.equal(sink.results.length, 1);
    const marks = readWatermarks((await world.table()).state.metadata).watermarks.filter((mark) => mark.writer === "w");
    assert.deepEqual(marks.map((mark) => mark.nextOffset), [20n]);
  });

  it("sends the rejects of a batch that is in the table already again: they may have died with the process that wrote it", async () => {
    const first = world.sink("w");
    const rows = [...trades(0, 9), trade(9, { s: 1.5 })];
    new ScriptedSource(world.ledger).send(rows, [first], { lineage: lineage(0, 10) });
    await parked(first);
    await first.close();
    world.restart();
    const second = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(rows, [second], { lineage: lineage(0, 10) });
    await until("done", () => source.delivered.length === 1);
    assert.deepEqual(second.rejects.map(({ row }) => (row as { i: number }).i), [9]);
    source.send(trades(10, 11), [second], { lineage: lineage(10, 11) });
    await parked(second);
    await second.sink.flush();
    assert.equal(second.results[0]!.duplicates, 9, "what is in the table");
    assert.deepEqual(await world.ids(), [...range(0, 9), 10]);
  });

  it("does not take an aborted batch into the watermark, even one of which nothing came here", async () => {
    let intrude: (() => void) | undefined;
    const own = await World.create(encoder, before("write", ".parquet", async () => { intrude?.(); intrude = undefined; await tick(); await tick(); }));
    try {
      const sink = own.sink("w");
      const branch = own.sink("branch");
      const source = new ScriptedSource(own.ledger);
      source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
      source.send(trades(10, 20), [branch], { lineage: lineage(10, 20) });
      await parked(sink, branch);
      intrude = () => { branch.parts[0]!.fail(new Error("the other branch failed")); };
      await sink.sink.flush();
      const marks = readWatermarks((await own.table()).state.metadata).watermarks.filter((mark) => mark.writer === "w");
      assert.deepEqual(marks.map((mark) => mark.nextOffset), [10n], "10-20 is read again and may come here then");
    } finally {
      await own.end();
    }
  });

  it("blames the first message alone when no columns can be drawn from it", async () => {
    const sink = world.sink("w", { schema: "infer", partitionBy: "" });
    const [bad, good] = [sink.receive([1, 2]), sink.receive([{ i: 1 }])];
    await parked(sink);
    assert.equal(bad.state, "failed");
    assert.equal(good.state, "parked", "the next one draws them");
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [1]);
  });

  it("rejects objects without fields when columns are to be drawn from them: sent again they would have none either", async () => {
    const sink = world.sink("w", { schema: "infer", partitionBy: "" });
    const [empty, good] = [sink.receive([{}, {}]), sink.receive([{ i: 1, note: null }])];
    await parked(sink);
    assert.deepEqual([empty.state, good.state, sink.rejects.length], ["done", "parked", 2]);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [1]);
  });

  it("rejects a row whose field cannot be read, and keeps the columns of all others in step", async () => {
    const sink = world.sink("w", { schema: "infer", partitionBy: "" });
    const evil = { i: 2, get v(): number { throw new Error("no"); } };
    const deep = { i: 3, v: 3, list: [{ get a(): number { throw new Error("no"); } }] };
    sink.receive([{ i: 1, v: 1, list: [{ a: 1 }] }]);
    sink.receive([{ i: 4, v: 4, list: [{ a: 4 }, { a: 5 }] }, evil, deep, { i: 6, v: 6, list: [] }]);
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(sink.rejects.map(({ reason }) => reason), ["v: cannot be read (no)", "list: cannot be read (no)"]);
    assert.deepEqual(await world.ids(), [1, 4, 6]);
  });

  it("keeps its place when a listener throws: rows are committed once, and every message is done", async () => {
    const sink = world.sink("w");
    const { results, rejects } = sink;
    results.push = () => { throw new Error("a listener"); };
    rejects.push = () => { throw new Error("a listener"); };
    const part = sink.receive([trade(0), trade(1, { s: 1.5 }), trade(2)]);
    await parked(sink);
    await sink.sink.flush();
    assert.equal(part.state, "done");
    assert.deepEqual(sink.failed, []);
    assert.ok(sink.warnings.some((text) => text.includes("a listener")));
    sink.receive(trades(3, 5));
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [0, 2, 3, 4]);
  });

  it("makes a table that was dropped anew when its rows are sent again", async () => {
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    await sink.sink.flush();
    await rm(join(world.warehouse, "db"), { recursive: true });
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await sink.sink.flush();
    await until("the source hears of it", () => source.failures.length === 1);
    assert.equal((source.failures[0]!.error as TicklakeError).code, "TABLE_NOT_FOUND");
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(10, 20));
  });

  it("ends a flush when what was settled is committed, however much comes behind it", async () => {
    const sink = world.sink("w", { maxRows: 5 });
    const source = new ScriptedSource(world.ledger);
    let on = true;
    let sent = 0;
    const stream = (async () => { while (on) { source.send(trades(sent, sent += 5), [sink]); await pause(0); } })();
    await until("it flows", () => sink.results.length > 2);
    await within(5000, "the flush", sink.sink.flush());
    on = false;
    await stream;
    await sink.sink.flush();
    await until("all is delivered", () => source.delivered.length === sent / 5);
    assert.deepEqual(await world.ids(), range(0, sent));
  });

  it("keeps its pace while a batch of another partition is held up in the flow", async () => {
    const sink = world.sink("w", { commitInterval: "120ms" });
    const source = new ScriptedSource(world.ledger);
    source.send(trades(9000, 9001), [sink], { partition: "stuck", hold: true });
    await pause(150);
    const began = Date.now();
    let sent = 0;
    while (sent < 40) { source.send(trades(sent, ++sent), [sink], { partition: "flows" }); await pause(10); }
    const intervals = (Date.now() - began) / 120;
    assert.ok(sink.results.length <= intervals + 2, `${sink.results.length} commits in ${intervals.toFixed(1)} intervals`);
    await until("all that flows is delivered", () => source.delivered.length === 40);
  });

  it("closes at once when nothing waits, although the storage is away", async () => {
    const away = await World.create(encoder, before("read", "", () => { throw new TicklakeError("STORAGE_FAILED", "away"); }));
    const sink = away.sink("w");
    sink.sink.warm();
    await until("it tries again", () => sink.retries.length > 0);
    await within(1000, "close", sink.sink.close(12_000));
    assert.deepEqual(sink.failed, []);
    await away.end();
  });

  for (const [what, method, ending] of [["while it opens", "read", ""], ["in the encoder's file", "write", ".parquet"], ["in the manifest", "write", ".avro"], ["in the metadata", "create", "v2.metadata.json"]] as const) {
    it(`closes in time when the storage goes away ${what}: every message is over, and sent again where it can be`, async () => {
      let gone = false;
      const away = await World.create(encoder, before(method, ending, () => { if (gone) throw new TicklakeError("STORAGE_FULL", "full"); }));
      const sink = away.sink("w");
      const source = new ScriptedSource(away.ledger);
      if (ending === "") gone = true;
      source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
      const alone = sink.receive(trades(10, 20));
      if (ending !== "") await parked(sink);
      gone = true;
      void sink.sink.flush();
      await until("it tries again", () => sink.retries.length > 0);
      await within(2000, "close", sink.sink.close(300));
      await until("all parts are over", () => sink.parts.every((part) => part.state === "failed"), 3000);
      assert.equal((sink.ended[0] as TicklakeError | undefined)?.code ?? "STOPPED", "STOPPED");
      assert.equal(alone.state, "failed");
      await until("the source reads it again", () => source.failures.length === 1);
      gone = false;
      away.restart();
      const next = away.sink("w");
      new ScriptedSource(away.ledger).send(trades(0, 10), [next], { lineage: lineage(0, 10) });
      await parked(next);
      await next.sink.flush();
      assert.deepEqual(await away.ids(), range(0, 10));
      await away.end();
    });
  }

  it("finds out, when it is stopped before the answer came, what became of its commit: the next process goes on behind it", async () => {
    let lost = false;
    const deaf = await World.create(encoder, (io) => new Proxy(io, {
      get(target, key: keyof FileIO) {
        const original = target[key] as (...args: unknown[]) => unknown;
        return async (...args: unknown[]) => {
          if (lost && key !== "delete") throw new TicklakeError("STORAGE_FAILED", "away");
          const result = await original.apply(target, args);
          if (key === "create" && String(args[0]).endsWith("v2.metadata.json")) { lost = true; throw new TicklakeError("COMMIT_UNKNOWN", "the answer was lost"); }
          return result;
        };
      },
    }));
    const sink = deaf.sink("w");
    const source = new ScriptedSource(deaf.ledger);
    source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    void sink.sink.flush();
    await until("the answer is lost", () => lost);
    await within(3000, "close", sink.sink.close(200));
    await until("the source reads it again", () => source.failures.length === 1);
    lost = false;
    deaf.restart();
    const next = deaf.sink("w");
    const again = new ScriptedSource(deaf.ledger);
    again.send(trades(0, 10), [next], { lineage: lineage(0, 10) });
    await until("it is there already", () => again.delivered.length === 1);
    assert.deepEqual(await deaf.ids(), range(0, 10), "its files were not deleted");
    await deaf.end();
  });

  it("writes a batch again when the encoder's thread dies under it", async () => {
    let deaths = 2;
    const dying = new EncoderPool({
      startWorker: () => {
        if (deaths-- > 0) return new Worker(`require("node:worker_threads").parentPort.on("message", () => process.exit(1))`, { eval: true });
        const [loader, file] = [require.resolve("tsx/cjs"), require.resolve("../../../../lib/iceberg/parquet/worker")];
        return new Worker(`require(${JSON.stringify(loader)}); require(${JSON.stringify(file)});`, { eval: true });
      },
    });
    const own = await World.create(dying);
    const sink = own.sink("w");
    const source = new ScriptedSource(own.ledger);
    source.send(trades(0, 5000), [sink], { lineage: lineage(0, 5000) });
    await parked(sink);
    const flushed = sink.sink.flush();
    // What comes meanwhile must not get into memory that is still to be read.
    source.send(trades(5000, 9000), [sink], { lineage: lineage(5000, 9000) });
    await flushed;
    await sink.sink.flush();
    assert.equal(sink.retries[0]!.code, "WORKER_FAILED");
    assert.deepEqual(await own.ids(), range(0, 9000));
    await own.end();
    await dying.close();
  });

  it("writes again what comes again after the table was rolled back: watermarks that are known may be those of rows that are gone", async () => {
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    for (const at of [0, 10, 20]) {
      source.send(trades(at, at + 10), [sink], { lineage: lineage(at, at + 10) });
      await parked(sink);
      await sink.sink.flush();
    }
    const table = await world.table();
    await table.commit(table.state, [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": table.state.metadata.snapshots[0]!["snapshot-id"] }]);
    // Somebody set the group back to where the table is.
    for (const at of [10, 20]) source.send(trades(at, at + 10), [sink], { lineage: lineage(at, at + 10), partition: "again" });
    await until("all of it has its place", () => sink.parts.every((part) => part.state !== "held"));
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 30));
  });

  it("follows a table that another writer gave more columns, and still writes what was laid out before", async () => {
    const sink = world.sink("w", { schema: "infer", partitionBy: "" });
    sink.receive([{ i: 1 }]);
    await parked(sink);
    await sink.sink.flush();
    sink.receive([{ i: 2, more: "lost" }]);
    await parked(sink);
    const table = await world.table();
    const schema = table.state.metadata.schemas[0]!;
    await table.commit(table.state, [
      { action: "add-schema", schema: { ...schema, "schema-id": 1, fields: [...schema.fields, { id: 50, name: "more", required: false, type: "string" }] } },
      { action: "set-current-schema", "schema-id": -1 },
    ]);
    await sink.sink.flush();
    sink.receive([{ i: 3, more: "kept" }]);
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [1, 2, 3]);
    assert.equal(sink.failed.length, 0);
  });

  it("counts rows without delivery right, whatever becomes of them", async () => {
    const sink = world.sink("w", { maxRows: 10, createTable: false });
    for (let k = 0; k < 10; k++) {
      const part = sink.receive(trades(0, 30));
      await until("refused: there is no table", () => part.state === "failed");
      assert.equal((sink.ended.at(-1) as TicklakeError).code, "TABLE_NOT_FOUND");
    }
    const writing = world.sink("x", { maxRows: 10 });
    for (let k = 0; k < 6; k++) {
      writing.receive([...trades(k * 30, k * 30 + 20), ...range(0, 10).map((i) => trade(i, { s: 0.5 })), ...range(0, 10).map((i) => ({ none: i }))]);
      await parked(writing);
      await writing.sink.flush();
    }
    assert.equal(writing.results.reduce((sum, { rows }) => sum + rows, 0), 120);
    assert.ok(writing.ended.every((error) => error === undefined), "none was refused");
  });

  it("lets go of a table that nothing waits for, and opens it again for the next row", async () => {
    const sink = world.sink("w");
    sink.receive(trades(0, 10));
    assert.equal(sink.sink.rest(), false, "a row waits");
    await parked(sink);
    assert.equal(sink.sink.rest(), false);
    await sink.sink.flush();
    assert.equal(sink.sink.rest(), true);
    assert.equal(sink.sink.isOpen, false);
    sink.receive(trades(10, 20));
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 20));
  });

  it("goes on with rows of another engine's snapshot in between", async () => {
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    await sink.sink.flush();
    await append(await world.table(), { files: [], summary: { "engine-name": "other" } });
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 20));
    assert.equal(currentSnapshot((await world.table()).state.metadata)!["sequence-number"], 3);
    assert.deepEqual(sink.warnings, []);
  });
});
