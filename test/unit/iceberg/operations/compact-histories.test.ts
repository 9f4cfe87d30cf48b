/** Any history of appends, compactions and expiries of others, on storage that fails, against a model: every kept snapshot reads exactly the rows that it had. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { TicklakeError } from "../../../../lib/errors";
import { HadoopCatalog } from "../../../../lib/iceberg/catalog/hadoop";
import type { Table } from "../../../../lib/iceberg/catalog/types";
import { readManifest, readManifestList } from "../../../../lib/iceberg/manifests";
import { compactTable } from "../../../../lib/iceberg/operations/compact";
import type { EncodedFile } from "../../../../lib/iceberg/parquet";
import { rewriteGroup } from "../../../../lib/iceberg/rewrite/job";
import type { Rewriter } from "../../../../lib/iceberg/rewrite/thread";
import { parsePartitionBy } from "../../../../lib/iceberg/transforms";
import { DELETED, type Schema } from "../../../../lib/iceberg/types";
import { MemoryIO } from "../../../support/memory-io";
import { canonicalRows } from "../../../support/parquet-read";
import { type Fault, ScriptedIO, turns } from "../../../support/scripted-io";
import { appendRows } from "../../../support/tables";

const ID = { namespace: ["db"], name: "t" };
const ROWS: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "id", required: false, type: "long" }, { id: 2, name: "S", required: false, type: "string" }] };
const TOOLS = { sleep: () => turns(3) };
/** In this thread: a test that fails calls by their number wants nothing beside them. */
const here: Rewriter = { rewrite: (job, take, signal) => rewriteGroup(job, (file: EncodedFile) => take(file), signal), close: () => Promise.resolve() };

async function newTable(io: MemoryIO): Promise<Table> {
  return new HadoopCatalog({ warehouse: "mem:/wh", io }).createTable(ID, { schema: ROWS, spec: parsePartitionBy("bucket[2](S)", ROWS), properties: { "commit.manifest.min-count-to-merge": "4" } });
}
const open = (io: ScriptedIO | MemoryIO): Promise<Table> => new HadoopCatalog({ warehouse: "mem:/wh", io }).loadTable(ID);

/** Ids of the rows of every listed snapshot. */
async function rowsOfSnapshots(table: Table): Promise<Map<bigint, string[]>> {
  const { metadata } = await table.refresh(), found = new Map<bigint, string[]>();
  for (const snapshot of metadata.snapshots) {
    const ids: string[] = [];
    for (const manifest of await readManifestList(table.io, snapshot)) {
      for (const entry of await readManifest(table.io, manifest, metadata)) {
        if (entry.status === DELETED) continue;
        for (const row of await canonicalRows(ROWS, await table.io.read(entry.file.filePath))) ids.push(String((row as { id: string }).id));
      }
    }
    found.set(snapshot["snapshot-id"], ids.sort());
  }
  return found;
}

describe("compaction in any history", function () {
  this.timeout(120_000);

  it("leaves in every snapshot exactly the rows that it had", async () => {
    const step = fc.oneof({ weight: 4, arbitrary: fc.record({ rows: fc.integer({ min: 1, max: 5 }) }) }, { weight: 1, arbitrary: fc.record({ minInputFiles: fc.constantFrom(2, 5), sorted: fc.boolean(), partial: fc.boolean() }) });
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const table = await newTable(new MemoryIO());
      const model = new Map<bigint, string[]>();
      let next = 0, all: string[] = [];
      for (const doing of steps) {
        if ("rows" in doing) {
          const rows = Array.from({ length: doing.rows }, () => ({ id: next, S: `s${next++ % 7}` }));
          await appendRows(table, rows);
          all = [...all, ...rows.map((row) => String(row.id))].sort();
        } else {
          await compactTable(table, { rewriter: here, threads: 1, ...(doing.sorted ? { sortOrder: "id DESC" } : {}), options: { "min-input-files": doing.minInputFiles, "partial-progress.enabled": doing.partial } });
        }
        for (const { "snapshot-id": id } of table.state.metadata.snapshots) if (!model.has(id)) model.set(id, all);
      }
      assert.deepEqual(await rowsOfSnapshots(table), model);
    }), { numRuns: Number(process.env["TICKLAKE_FAULT_RUNS"] ?? 6), endOnFailure: true });
  });

  it("storage that fails at any call, in any way: no row lost, none twice, no file deleted that a snapshot needs", async () => {
    const template = new MemoryIO();
    const table = await newTable(template);
    for (let n = 0; n < 5; n++) await appendRows(table, [{ id: n * 2, S: "a" }, { id: n * 2 + 1, S: "a" }]);
    const expected = Array.from({ length: 10 }, (_, n) => String(n)).sort();
    const recorded = new ScriptedIO(template.clone());
    const healthy = await open(recorded), first = recorded.log.length;
    await compactTable(healthy, { rewriter: here, threads: 1, tools: TOOLS });
    const calls = recorded.log.length - first;
    assert.ok(calls > 15, `${calls} calls`);
    for (let n = 0; n < calls; n++) {
      for (const fault of ["before", "after", "lost", "landed", "late"] as Fault[]) {
        // What reads has only one way to fail.
        if (fault !== "before" && /read|stat|list/i.test(recorded.log[first + n]!.operation)) continue;
        const memory = template.clone(), io = new ScriptedIO(memory), failing = await open(io), start = io.log.length;
        io.plan = (call) => (call.n === start + n ? fault : undefined);
        const outcome = await compactTable(failing, { rewriter: here, threads: 1, tools: TOOLS }).catch((error: unknown) => error);
        await io.settled();
        assert.ok(!(outcome instanceof Error) || outcome instanceof TicklakeError, String(outcome));
        const where = `call ${n} (${recorded.log[first + n]!.operation} ${recorded.log[first + n]!.location}) ${fault}`;
        const after = await open(memory);
        for (const [id, rows] of await rowsOfSnapshots(after).catch((error: unknown) => { throw new Error(where, { cause: error }); })) {
          if (id === after.state.metadata["current-snapshot-id"]) assert.deepEqual(rows, expected, where);
        }
        await compactTable(after, { rewriter: here, threads: 1 });
        await appendRows(after, [{ id: 99, S: "a" }]);
        assert.equal((await rowsOfSnapshots(after)).get(after.state.metadata["current-snapshot-id"]!)!.length, 11, where);
      }
    }
  });
});
