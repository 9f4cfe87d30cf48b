import { TicklakeError } from "../../lib/errors";
import type { OperationContext } from "../../lib/iceberg/operations/context";
import { plainResult, summaryText } from "../../lib/iceberg/operations/summary";
import { runCall } from "../../lib/sql/call";
import { isCall } from "../../lib/sql/call-parser";
import type { QueryRequest } from "../../lib/sql/engine";
import type { ResultColumn } from "../../lib/sql/results";
import { deployedCatalogs, type OpenCatalog } from "../iceberg-catalog/catalogs";
import type { useEngine } from "./shared-engine";

export type Query = Pick<QueryRequest, "sql" | "snapshotId" | "asOf" | "maxRows">;

export interface Asked extends Pick<ReturnType<typeof useEngine>, "engine" | "tables"> { query: Query; allowCalls: boolean; catalog: OpenCatalog }

/** Rows, what there is to tell of them, and that in a few words. */
export interface Answer { rows: Record<string, unknown>[]; columns: ResultColumn[]; facts: { ms: number } & Record<string, unknown>; summary: string }

/** Runs a query, or a CALL where that is allowed. */
export async function runSql(asked: Asked, context: Pick<OperationContext, "signal" | "progress"> = {}): Promise<Answer> {
  const { query, engine, tables, catalog } = asked;
  if (isCall(query.sql)) return call(asked, context);
  const { rows, columns, ...facts } = await engine.query({ ...query, tables: tables.resolver(catalog, deployedCatalogs()), ...(context.signal ? { signal: context.signal } : {}) });
  return { rows, columns, facts: { ...facts }, summary: `${rows.length}${facts.truncated ? "+" : ""} row${rows.length === 1 ? "" : "s"}` };
}

async function call({ query, allowCalls, engine, tables, catalog }: Asked, context: Pick<OperationContext, "signal" | "progress">): Promise<Answer> {
  if (!allowCalls) throw new TicklakeError("CONFIG_INVALID", "CALL changes tables and deletes files, and this node only reads. Tick \"Allow CALL\" in its dialog if it may, or use iceberg-table.");
  if (query.snapshotId !== undefined || query.asOf !== undefined) throw new TicklakeError("CONFIG_INVALID", "A CALL works on the table as it is now: leave Snapshot and As of empty.");
  const { sql, maxRows } = query;
  const { rows, columns, truncated, procedure, operation } = await runCall({ sql, own: catalog, others: deployedCatalogs(), engine, tables, ...(maxRows === undefined ? {} : { maxRows }) }, context);
  // The files are rows already.
  const { orphan_file_location: _, ...facts } = plainResult(operation);
  return { rows, columns, facts: { procedure, ...facts, ms: operation.ms, truncated }, summary: summaryText(operation) };
}
