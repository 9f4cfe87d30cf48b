import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import { openCatalog } from "../../lib/iceberg/catalog/open";
import type { Table } from "../../lib/iceberg/catalog/types";
import { ColumnAccumulator } from "../../lib/iceberg/columns";
import { append, type CommittedAppend } from "../../lib/iceberg/commit";
import { writeDataFiles } from "../../lib/iceberg/data-files";
import { currentSchema, defaultSpec } from "../../lib/iceberg/metadata";
import { encodeBatch } from "../../lib/iceberg/parquet";
import { TRADES_SCHEMA } from "../../lib/iceberg/schema";
import { parsePartitionBy } from "../../lib/iceberg/transforms";
import type { Codec, Schema } from "../../lib/iceberg/types";

export type TestCatalog = ReturnType<typeof openCatalog>;

/** A hadoop catalog in a temporary folder. */
export async function temporaryCatalog(name = "local"): Promise<{ catalog: TestCatalog; folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "ticklake-test-"));
  return {
    catalog: openCatalog({ catalogName: name, warehouse: folder }, folder),
    folder,
    // DuckDB or a reader process may be slow to let go on some systems.
    remove: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Creates a table, by default the documented one for trades. */
export function createTable(catalog: TestCatalog, name: string, options: { schema?: Schema; partitionBy?: string; properties?: Record<string, string> } = {}): Promise<Table> {
  const { schema = TRADES_SCHEMA, partitionBy = schema === TRADES_SCHEMA ? "truncate[86400000](timestamp)" : "", properties } = options;
  return catalog.createTable(parseIdentifier(name, catalog.name), { schema, spec: parsePartitionBy(partitionBy, schema), ...(properties ? { properties } : {}) });
}

/** Appends rows in one commit, through our own columns, Parquet and commit. No row may be rejected. */
export async function appendRows(table: Table, rows: readonly unknown[], codec: Codec = "snappy"): Promise<CommittedAppend> {
  const { metadata } = await table.refresh();
  const [schema, spec] = [currentSchema(metadata), defaultSpec(metadata)];
  const columns = new ColumnAccumulator(schema);
  const { from, to } = columns.append(rows, (row, index, reason) => assert.fail(`row ${index}: ${reason}: ${JSON.stringify(row)}`));
  const files = encodeBatch({ batch: columns.take([[from, to]]), schema, spec, codec });
  return append(table, { files: await writeDataFiles(table, files, spec["spec-id"]) });
}

/** 2024-11-01T00:00:00Z, Unix ms. */
export const FIRST_DAY = 1_730_419_200_000;
export const DAY_MS = 86_400_000;

/** Flattened trades of one day: ids beyond 2^53, text beyond ASCII, nulls. */
export function dayOfTrades(day: number, count = 10): Record<string, unknown>[] {
  const symbols = ["AAPL", "BRK.B", "Ünïcödé ✓ 😀", null];
  return Array.from({ length: count }, (_, n) => ({
    T: "t", S: symbols[n % 4], i: String(9_007_199_254_740_993n + BigInt(n + day * 100)), x: "V", p: 100 + day * 10 + n, s: 100 * (n + 1),
    timestamp: FIRST_DAY + day * DAY_MS + n * 1000, c: n % 2 ? ["@", null, "I"] : null, z: "C",
  }));
}
