import assert from "node:assert/strict";
import fc from "fast-check";
import { TicklakeError } from "../../../lib/errors";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { type AppendTools, beginAppend, type CommittedAppend, type CommitPoint } from "../../../lib/iceberg/commit";
import { snapshotById } from "../../../lib/iceberg/metadata";
import type { FileIO } from "../../../lib/iceberg/io/types";
import { expireSnapshots } from "../../../lib/iceberg/operations/expire-snapshots";
import { assertSound, dataFile, liveEntries, SCHEMA, SPEC } from "../../support/iceberg";
import { MemoryIO } from "../../support/memory-io";
import { type Fault, ScriptedIO, turns } from "../../support/scripted-io";

const ID = { namespace: ["db"], name: "t" };
const PROPERTIES = { "commit.manifest.min-count-to-merge": "4" };
/** No waiting: other work gets a few turns instead. */
const TOOLS: AppendTools = { sleep: () => turns(3) };

async function open(io: FileIO): Promise<Table> {
  return new HadoopCatalog({ warehouse: "mem:/wh", io }).loadTable(ID);
}

async function newTable(memory: MemoryIO): Promise<Table> {
  return new HadoopCatalog({ warehouse: "mem:/wh", io: memory }).createTable(ID, { schema: SCHEMA, spec: SPEC, properties: PROPERTIES });
}

/** What a sink does: the same append is run again while its outcome is unknown; a definite failure that repetition can mend starts a new one with the same files. */
async function insist(table: Table, file: string, tries = 1000): Promise<CommittedAppend> {
  let pending = beginAppend(table, { files: [dataFile(file)] }, TOOLS);
  for (let i = 0; ; i++) {
    try {
      return await pending.run();
    } catch (error) {
      if (!(error instanceof TicklakeError) || i >= tries) throw error;
      if (error.code === "COMMIT_UNKNOWN") assert.equal(pending.unknown, true);
      else if (error.retryable) pending = beginAppend(table, { files: [dataFile(file)] }, TOOLS);
      else throw error;
      await turns(1);
    }
  }
}

/** Every file that a snapshot of the table refers to is there. */
async function assertComplete(table: Table, memory: MemoryIO): Promise<void> {
  await liveEntries(table);
  for (const snapshot of table.state.metadata.snapshots) assert.ok(memory.files.has(snapshot["manifest-list"]), `${snapshot["manifest-list"]} is gone`);
}

describe("commits on failing storage", () => {
  /** The calls of one commit that merges manifests and trims versions, so that every kind of step is in it. */
  const files = Array.from({ length: 23 }, (_, i) => `/d/${i}`);
  const template = new MemoryIO();
  before(async () => {
    const table = await newTable(template);
    for (const file of files) await insist(table, file);
  });

  it("an error at any call, of any kind: no row lost, none twice, the table is readable and goes on", async function () {
    this.timeout(60_000);
    const recorded = new ScriptedIO(template.clone());
    const table = await open(recorded);
    const first = recorded.log.length;
    await insist(table, "/d/probe");
    const calls = recorded.log.length - first;
    assert.deepEqual([...new Set(recorded.log.slice(first).map((call) => call.operation))].sort(), ["create", "delete", "read", "replace", "stat", "write"]);
    assert.ok(calls > 15, `a commit makes ${calls} calls`);

    for (let n = 0; n < calls; n++) {
      for (const fault of ["before", "after", "lost", "landed", "late"] as Fault[]) {
        const memory = template.clone();
        const io = new ScriptedIO(memory);
        const failing = await open(io);
        const start = io.log.length;
        io.plan = (call) => (call.n === start + n ? fault : undefined);
        await insist(failing, "/d/mine");
        await io.settled();
        const where = `call ${n} (${io.log[start + n]?.operation} ${io.log[start + n]?.location}) ${fault}`;
        const healthy = await open(memory);
        await assertSound(healthy, [...files, "/d/mine"]).catch((error: unknown) => { throw new Error(where, { cause: error }); });
        await assertComplete(healthy, memory);
        await insist(healthy, "/d/next");
        await assertSound(await open(memory), [...files, "/d/mine", "/d/next"]);
      }
    }
  });

  it("many writers, faults everywhere, late landings, in any order: every commit is there exactly once", async function () {
    this.timeout(120_000);
    await fc.assert(fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 4 }), fc.double({ min: 0.01, max: 0.25, noNaN: true }), async (seed, writers, rate) => {
      const memory = new MemoryIO();
      const table = await newTable(memory);
      const random = mulberry(seed);
      const faults: Fault[] = ["before", "after", "lost", "landed", "late"];
      const files: string[] = [];
      const stores: ScriptedIO[] = [];
      await Promise.all(Array.from({ length: writers }, async (_, writer) => {
        const io = new ScriptedIO(memory);
        stores.push(io);
        const mine = await open(io);
        io.plan = () => (random() < rate ? faults[Math.floor(random() * faults.length)] : undefined);
        for (let i = 0; i < 6; i++) {
          await turns(Math.floor(random() * 4));
          const file = `/d/${writer}-${i}`;
          files.push(file);
          await insist(mine, file);
        }
        io.plan = () => undefined;
      }));
      await Promise.all(stores.map((store) => store.settled()));
      const healthy = await open(memory);
      await assertSound(healthy, files);
      await assertComplete(healthy, memory);
      await insist(healthy, "/d/last");
      await assertSound(await open(memory), [...files, "/d/last"]);
      assert.equal(table.location, healthy.location);
    }), { numRuns: Number(process.env["TICKLAKE_FAULT_RUNS"] ?? 30) });
  });

  it("an outcome that stays unknown is said, its files stay, and the same append finds out later", async () => {
    const memory = new MemoryIO();
    await newTable(memory);
    const io = new ScriptedIO(memory);
    const table = await open(io);
    const stop = new AbortController();
    let down = false;
    // The answer to the commit is lost, and from then on nothing answers.
    io.plan = ({ operation }) => {
      if (down) return "before";
      if (operation !== "create") return undefined;
      down = true;
      return "landed";
    };
    const pending = beginAppend(table, { files: [dataFile("/d/1")], signal: stop.signal }, { sleep: async () => { stop.abort(); } });
    const before = io.log.length;
    await assert.rejects(pending.run(), (error: TicklakeError) => error.code === "COMMIT_UNKNOWN" && error.retryable === false && /is not known yet/.test(error.message));
    assert.equal(pending.unknown, true);
    assert.equal(io.log.slice(before).some((call) => call.operation === "delete" && call.location.endsWith(".avro")), false, "files of an unknown commit are never deleted");
    down = false;
    io.plan = () => undefined;
    const found = await pending.run({});
    assert.equal(found.sequenceNumber, 1);
    assert.equal(pending.unknown, false);
    await assertSound(table, ["/d/1"]);
  });

  it("stopped while the outcome was unknown, it looks once more before it gives up", async () => {
    const memory = new MemoryIO();
    await newTable(memory);
    const io = new ScriptedIO(memory);
    const table = await open(io);
    const stop = new AbortController();
    let lost = false;
    io.plan = ({ operation }) => {
      if (operation !== "create" || lost) return undefined;
      lost = true;
      stop.abort();
      return "landed";
    };
    assert.equal((await beginAppend(table, { files: [dataFile("/d/1")], signal: stop.signal }, TOOLS).run()).sequenceNumber, 1);
    await assertSound(table, ["/d/1"]);
  });

  it("an unknown outcome that did not happen is committed by the next attempt, once", async () => {
    const memory = new MemoryIO();
    await newTable(memory);
    const io = new ScriptedIO(memory);
    const table = await open(io);
    let lost = 2;
    io.plan = ({ operation }) => (operation === "create" && lost-- > 0 ? "lost" : undefined);
    const result = await insist(table, "/d/1");
    assert.deepEqual([result.conflicts, result.version], [0, 2]);
    await assertSound(table, ["/d/1"]);
    assert.equal([...memory.files.keys()].filter((name) => name.endsWith(".avro")).length, 2, "lists of the attempts that were lost are gone");
  });

  /** The answer to a commit is lost; before the writer looks again, others have built on it and expired its snapshot. */
  async function expiredMeanwhile(lands: boolean, meanwhile: (other: Table) => Promise<void>): Promise<{ memory: MemoryIO; table: Table; run: () => Promise<CommittedAppend> }> {
    const memory = new MemoryIO();
    await insist(await newTable(memory), "/d/0");
    const io = new ScriptedIO(memory);
    const table = await open(io);
    let lost = false;
    io.plan = ({ operation }) => {
      if (operation !== "create" || lost) return undefined;
      lost = true;
      return lands ? "landed" : "lost";
    };
    let waited = false;
    const sleep = async (): Promise<void> => {
      if (waited) return;
      waited = true;
      const other = await open(memory);
      await insist(other, "/d/2");
      await meanwhile(other);
    };
    return { memory, table, run: () => beginAppend(table, { files: [dataFile("/d/1")] }, { sleep }).run() };
  }
  const livePaths = async (table: Table): Promise<string[]> => (await liveEntries(table)).map((entry) => entry.file.filePath).sort();
  const expireAll = (other: Table): Promise<unknown> => expireSnapshots(other, { olderThanMs: Date.now() + 60_000, retainLast: 1 });

  it("landed without an answer and expired before the writer looked: its files tell, and it is in the table once", async () => {
    const { table, run } = await expiredMeanwhile(true, async (other) => { await expireAll(other); });
    const result = await run();
    assert.equal(result.sequenceNumber, 2);
    assert.equal(table.state.metadata.snapshots.length, 1, "its snapshot is gone");
    assert.deepEqual(await livePaths(table), ["/d/0", "/d/1", "/d/2"]);
  });

  it("not landed, and the number that it wanted was given to another: it is committed behind", async () => {
    const { table, run } = await expiredMeanwhile(false, async () => undefined);
    assert.equal((await run()).sequenceNumber, 3);
    await assertSound(table, ["/d/0", "/d/1", "/d/2"]);
  });

  it("where the snapshot that took its number was expired too, nothing can tell: it says so at once, and deletes nothing", async () => {
    const { memory, table, run } = await expiredMeanwhile(false, async (other) => { await insist(other, "/d/3"); await expireAll(other); });
    await assert.rejects(run(), (error: TicklakeError) => error.code === "COMMIT_UNKNOWN" && /cannot be told any more/.test(error.message) && /older_than/.test(error.message));
    assert.deepEqual(await livePaths(table), ["/d/0", "/d/2", "/d/3"]);
    const known = table.state.metadata.snapshots.map((snapshot) => snapshot["manifest-list"]);
    assert.equal([...memory.files.keys()].filter((name) => /\/snap-/.test(name) && !known.includes(name)).length, 1, "what may belong to a lost snapshot is kept");
  });

  it("a check that stops the append while an attempt may still land says so instead of passing for a failure", async () => {
    const memory = new MemoryIO();
    await newTable(memory);
    const io = new ScriptedIO(memory);
    const table = await open(io);
    io.plan = ({ operation }) => (operation === "create" ? "late" : undefined);
    let checks = 0;
    const pending = beginAppend(table, { files: [dataFile("/d/1")], checkBase: () => { if (++checks > 1) throw new TicklakeError("WATERMARK_MOVED", "moved"); } }, { sleep: () => Promise.resolve() });
    await assert.rejects(pending.run(), { code: "COMMIT_UNKNOWN" });
    await io.settled();
    io.plan = () => undefined;
    assert.equal((await pending.run()).sequenceNumber, 1);
    await assertSound(table, ["/d/1"]);
  });

  it("a full disk is a definite failure that leaves nothing of the append", async () => {
    const memory = new MemoryIO();
    await newTable(memory);
    const before = [...memory.files.keys()].sort();
    const table = await open(memory);
    for (const failing of ["write", "create"] as const) {
      const original = memory[failing].bind(memory) as (location: string, bytes: Uint8Array) => Promise<void>;
      let calls = 0;
      memory[failing] = ((location: string, bytes: Uint8Array) => (++calls === (failing === "write" ? 2 : 1) ? Promise.reject(new TicklakeError("STORAGE_FULL", "full")) : original(location, bytes))) as never;
      await assert.rejects(beginAppend(table, { files: [dataFile("/d/1")] }, TOOLS).run(), { code: "STORAGE_FULL" });
      memory[failing] = original as never;
      assert.deepEqual([...memory.files.keys()].sort(), before);
    }
  });

  it("a missing old manifest does not stop appends: it is just not merged", async () => {
    const memory = new MemoryIO();
    const table = await newTable(memory);
    for (const file of ["/d/1", "/d/2"]) await insist(table, file);
    const manifest = [...memory.files.keys()].find((name) => name.endsWith("-m0.avro"))!;
    const bytes = memory.files.get(manifest)!;
    memory.files.delete(manifest);
    for (const file of ["/d/3", "/d/4", "/d/5"]) await insist(table, file);
    memory.files.set(manifest, bytes);
    await insist(table, "/d/6");
    await assertSound(table, ["/d/1", "/d/2", "/d/3", "/d/4", "/d/5", "/d/6"]);
  });

  it("probes see the steps in their order", async () => {
    const table = await newTable(new MemoryIO());
    const points: CommitPoint[] = [];
    const result = await beginAppend(table, { files: [dataFile("/d/1")], at: (point) => void points.push(point) }).run();
    assert.deepEqual(points, ["after-manifest", "after-manifest-list", "before-metadata", "after-temp-metadata", "after-link", "before-hint", "after-hint", "after-trim"]);
    assert.ok(snapshotById(table.state.metadata, result.snapshotId));
  });

  for (const point of ["after-manifest", "after-manifest-list", "before-metadata", "after-temp-metadata", "after-link", "before-hint", "after-hint", "after-trim"] as CommitPoint[]) {
    it(`what fails ${point.replace("-", " ")} neither loses nor doubles`, async () => {
      const memory = new MemoryIO();
      const table = await newTable(memory);
      let failed = false;
      const at = (now: CommitPoint): void => {
        if (now !== point || failed) return;
        failed = true;
        throw new TicklakeError("STORAGE_FAILED", "scripted");
      };
      const pending = beginAppend(table, { files: [dataFile("/d/1")], at }, TOOLS);
      const first = await pending.run().then(() => "done", (error: TicklakeError) => error.code);
      const early = ["after-manifest", "after-manifest-list", "before-metadata", "after-temp-metadata"].includes(point);
      assert.equal(first, early ? "STORAGE_FAILED" : "done");
      if (early) await insist(table, "/d/1");
      await insist(table, "/d/2");
      await assertSound(await open(memory), ["/d/1", "/d/2"]);
    });
  }
});

/** A small seeded generator: the runs of a failing case repeat. */
function mulberry(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
