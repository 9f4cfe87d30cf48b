/**
 * Operations on a real-time table, by their name.
 */
import type { PinotCluster } from "../cluster";
import { TableApi } from "./api";
import { tableConfig } from "./config";
import type { TableContext } from "./context";
import { type CreateResult, createTable, type UpdateResult, updateTable } from "./create";
import { type Difference, differences, masked } from "./diff";
import type { LagSource } from "./lag";
import { type DeleteResult, deleteTable, type PauseResult, pauseTable, resumeTable } from "./remove";
import { type JsonObject, type TableOperation, type TableSettings } from "./settings";
import { type TableStatus, tableStatus } from "./status";

export { OPERATIONS, operationOf, parseTable, tableName, type TableOperation, type TableSettings } from "./settings";

export interface TableRequest {
  readonly cluster: PinotCluster;
  readonly operation: TableOperation;
  readonly settings: TableSettings;
  /** For delete: true, or the table's name. */
  readonly confirm?: unknown;
}

export interface TableOptions {
  readonly signal?: AbortSignal;
  readonly progress?: (text: string) => void;
  readonly warn?: (text: string) => void;
  /** Asks Kafka for the lag where Pinot does not tell it. */
  readonly kafka?: (brokers: string) => LagSource;
  readonly now?: () => number;
}

export interface DescribeResult {
  readonly operation: "describe";
  readonly table: string;
  readonly version: string;
  /** As the controller has them; secrets are masked. */
  readonly schema: JsonObject;
  readonly config: JsonObject;
  /** Against the node's settings. */
  readonly differences: readonly Difference[];
}

/** Of the whole cluster. */
export interface CaseResult { readonly operation: "case-sensitive"; readonly changed: boolean; readonly message: string }

export type TableResult = CreateResult | UpdateResult | DeleteResult | PauseResult | TableStatus | DescribeResult | CaseResult;

/** Runs one. @throws TicklakeError as the operations say */
export function runTableOperation({ cluster, operation, settings, confirm }: TableRequest, options: TableOptions = {}): Promise<TableResult> {
  const context: TableContext = {
    cluster, settings, api: new TableApi(cluster, settings.table, options.signal), progress: options.progress ?? (() => undefined), warn: options.warn ?? (() => undefined), now: options.now ?? Date.now,
    ...(options.signal ? { signal: options.signal } : {}), ...(options.kafka ? { kafka: options.kafka } : {}),
  };
  switch (operation) {
    case "create": return createTable(context);
    case "update": return updateTable(context);
    case "status": return tableStatus(context);
    case "describe": return describeTable(context);
    case "pause": return pauseTable(context);
    case "resume": return resumeTable(context);
    case "delete": return deleteTable(context, confirm);
    case "case-sensitive": return tellCase(context);
  }
}

async function describeTable({ api, cluster, settings, signal }: TableContext): Promise<DescribeResult> {
  const [version, config, schema = {}] = await Promise.all([cluster.version(signal), api.existing(), api.schema()]);
  return {
    operation: "describe", table: settings.table, version: version.text, schema, config: masked(config),
    differences: differences(tableConfig(settings, version), { schema, table: config }),
  };
}

async function tellCase({ cluster, signal }: TableContext): Promise<CaseResult> {
  if (!await cluster.foldsCase(signal)) return { operation: "case-sensitive", changed: false, message: "The cluster's setting is off already. If it still refuses S and s, restart controller and broker." };
  await cluster.tellCase(signal);
  return { operation: "case-sensitive", changed: true, message: "Switched off: enable.case.insensitive. It holds after a restart of controller and broker." };
}

/** One line that fits under a node. */
export function summaryText(result: TableResult): string {
  const changes = (found: readonly Difference[]): string => `${found.length} difference${found.length === 1 ? "" : "s"}`;
  switch (result.operation) {
    case "create": return result.created ? `created ${result.table}` : result.differences.length === 0 ? `${result.table} is there, no change` : `${result.table} is there, ${changes(result.differences)}`;
    case "update": return result.changed ? `changed ${result.table}, ${changes(result.differences)}` : `${result.table}: no change`;
    case "delete": return `deleted ${result.table}${result.schemaDeleted ? "" : ", schema kept"}`;
    case "pause": return result.settled ? "paused" : "pausing";
    case "resume": return result.settled ? "consuming" : "resuming";
    case "describe": return `${result.table}: ${result.differences.length === 0 ? "as the settings say" : changes(result.differences)}`;
    case "case-sensitive": return result.changed ? "case told apart after a restart" : "setting is off already";
    case "status": return statusText(result);
  }
}

function statusText({ state, lag, segments, sizeBytes, ingestion }: TableStatus): string {
  const behind = lag.records === undefined ? "lag unknown" : `lag ${lag.records}${lag.records > 0 && lag.ms !== undefined ? ` (${timeText(lag.ms)})` : ""}`;
  const size = sizeBytes === undefined ? "" : `, ${sizeBytes >= 1e6 ? `${(sizeBytes / 1e6).toFixed(1)} MB` : `${Math.ceil(sizeBytes / 1e3)} kB`}`;
  return `${state}, ${behind}, ${segments.sealed} sealed${size}${state === "failing" && ingestion.errors[0] ? `: ${ingestion.errors[0]}` : ""}`;
}

const timeText = (ms: number): string => (ms < 1000 ? `${ms} ms` : ms < 120_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`);
