import assert from "node:assert/strict";
import { TicklakeError } from "../../lib/errors";
import { openCatalog } from "../../lib/iceberg/catalog/open";
import type { Catalog, Table } from "../../lib/iceberg/catalog/types";
import { beginAppend, type CommittedAppend, type CommitProbe, type Watermark } from "../../lib/iceberg/commit";
import { readWatermarks } from "../../lib/iceberg/watermarks";
import { CatalogTables } from "../../lib/sql/catalog-tables";
import { SqlEngine } from "../../lib/sql/engine";
import type { ChildCatalog } from "./append-child";
import { runWriter } from "./append-processes";
import { assertSound, dataFile, SCHEMA, SPEC } from "./iceberg";

const ID = { namespace: ["db"], name: "t" };
const WRITERS = 8;

/** A catalog whose commit requests fail as a test says. */
export interface FaultyCatalog {
  readonly catalog: Catalog;
  /** What the next commit requests meet, in their order; after that they pass. */
  readonly script: string[];
  stop(): Promise<void>;
}

/** One kind of catalog with what can go wrong with its commits. */
export interface LakeUnderTest {
  /** An empty warehouse, as any process opens it. */
  place(): Promise<ChildCatalog>;
  /** Opens a place behind something that fails. */
  faulty(place: ChildCatalog): Promise<FaultyCatalog>;
  /** Names of faults. */
  readonly faults: readonly string[];
}

const mark = (nextOffset: number): Watermark => ({ writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: BigInt(nextOffset), lastOffset: BigInt(nextOffset - 1), lastTimestamp: 5 });
const open = (place: ChildCatalog): Catalog => openCatalog(place.settings, process.cwd(), { credentials: place.credentials ?? {} });

/**
 * What a sink does with record `n`: an append whose outcome is unknown is asked again; after a definite failure the watermark says whether there is anything left to do.
 *
 * @returns undefined when the watermark said that it is there
 */
async function deliver(table: Table, n: number, at?: CommitProbe): Promise<CommittedAppend | undefined> {
  const begin = (): ReturnType<typeof beginAppend> => beginAppend(table, { files: [dataFile(`/d/mine-${n}`)], watermarks: [mark(n + 1)], ...(at ? { at } : {}) });
  let pending = begin();
  for (let tries = 0; ; tries++) {
    try {
      return await pending.run();
    } catch (error) {
      if (!(error instanceof TicklakeError) || tries >= 50) throw error;
      if (pending.unknown) continue;
      if (!error.retryable && error.code !== "WATERMARK_MOVED") throw error;
      const reached = readWatermarks((await table.refresh()).metadata).watermarks[0]?.nextOffset ?? 0n;
      if (reached > BigInt(n)) return undefined;
      pending = begin();
    }
  }
}

/** Commits on a kind of catalog: many writers, and every way in which a commit's answer can be wrong or missing. */
export function commitConformance(name: string, under: LakeUnderTest): void {
  describe(`${name}: commits`, function () {
    this.timeout(180_000);

    it(`of ${WRITERS} processes at once: no row lost, none twice, watermarks right`, async () => {
      const place = await under.place();
      const END = 10, BATCH = 2;
      await Promise.all(Array.from({ length: WRITERS }, (_, partition) => runWriter({ catalog: place, writer: `w${partition}`, partition, end: END, batch: BATCH })));
      const catalog = open(place);
      const { metadata } = (await catalog.loadTable(ID)).state;
      assert.deepEqual(metadata.snapshots.map((snapshot) => snapshot["sequence-number"]), Array.from({ length: WRITERS * END / BATCH }, (_, i) => i + 1), "every commit is a snapshot of one line");
      assert.deepEqual(readWatermarks(metadata).watermarks.map((one) => [one.writer, Number(one.nextOffset)]).sort(), Array.from({ length: WRITERS }, (_, n) => [`w${n}`, END]));
      const engine = new SqlEngine();
      try {
        const { rows } = await engine.query({ sql: "SELECT id FROM db.t ORDER BY id", tables: new CatalogTables().resolver(catalog, [catalog]) });
        assert.deepEqual(rows.map((row) => row["id"]), Array.from({ length: WRITERS }, (_, n) => Array.from({ length: END }, (__, i) => n * 1_000_000 + i)).flat());
      } finally {
        await engine.close();
      }
    });

    for (const fault of under.faults) {
      it(`${fault}: every row once, beside another writer`, async () => {
        const place = await under.place();
        const rival = await open(place).createTable(ID, { schema: SCHEMA, spec: SPEC });
        const { catalog, script, stop } = await under.faulty(place);
        try {
          const table = await catalog.loadTable(ID);
          const files: string[] = [];
          /** Once in a commit, between its reading the table and its request. */
          const overtaken = (file: string): CommitProbe => async (point) => {
            if (point !== "before-metadata" || files.includes(file)) return;
            files.push(file);
            await beginAppend(rival, { files: [dataFile(file)] }).run();
          };
          // It fails alone; twice in a row; after a rival was first; the next commit is one of another process that knows nothing of it.
          const turns: { faults: string[]; overtaken?: boolean; fresh?: boolean }[] = [{ faults: [] }, { faults: [fault] }, { faults: [fault, fault] }, { faults: [fault], overtaken: true }, { faults: [fault], fresh: true }, { faults: [] }];
          for (const [n, turn] of turns.entries()) {
            script.push(...turn.faults);
            const using = turn.fresh ? await catalog.loadTable(ID) : table;
            await deliver(using, n, turn.overtaken ? overtaken(`/d/theirs-${n}`) : undefined);
            files.push(`/d/mine-${n}`);
            if (turn.faults.length > 0) assert.ok(script.length < turn.faults.length, "the commit met the fault");
            script.length = 0;
          }
          const healthy = await open(place).loadTable(ID);
          await assertSound(healthy, files);
          assert.deepEqual(readWatermarks(healthy.state.metadata).watermarks, [mark(turns.length)]);
        } finally {
          await stop();
        }
      });
    }
  });
}
