/** The operations on tables by their names, as flows and CALL run them. */
import { z } from "zod";
import { TicklakeError } from "../../errors";
import type { Catalog, Table } from "../catalog/types";
import { checkIdentifier, parseIdentifier } from "../catalog/identifier";
import type { Predicate } from "../scan/predicate";
import { addColumn, dropColumn, moveColumn, type Position, renameColumn, widenColumn } from "../schema-edit";
import type { TableIdentifier } from "../types";
import { alterColumns } from "./alter-columns";
import { compactTable } from "./compact";
import { type OperationContext } from "./context";
import { createTableOperation, dropTableOperation } from "./create";
import { describeTable } from "./describe";
import { expireSnapshots } from "./expire-snapshots";
import { listOffsets, resetOffsets } from "./offsets";
import * as o from "./options";
import { removeOrphanFiles } from "./remove-orphan-files";
import { rewriteManifests } from "./rewrite-manifests";
import { rollback } from "./rollback";
import { setProperties } from "./set-properties";

/** The names, in the order in which the dialog offers them. */
export const OPERATIONS = [
  "describe", "create", "drop", "add-column", "rename-column", "move-column", "drop-column", "widen-column", "set-properties", "expire-snapshots", "remove-orphan-files", "rewrite-manifests", "compact",
  "rollback", "offsets", "reset-offsets",
] as const;

export type OperationName = (typeof OPERATIONS)[number];

/** Those that change or delete what cannot be had again: no two of them may run on one table at once in a process. */
export const DESTRUCTIVE: ReadonlySet<OperationName> = new Set<OperationName>(["drop", "drop-column", "expire-snapshots", "remove-orphan-files", "rewrite-manifests", "compact", "rollback", "reset-offsets"]);

export interface OperationRequest {
  readonly catalog: Catalog;
  /** `db.flattened_stocks`, with the catalog's name in front or not; or its parts. */
  readonly table: string | TableIdentifier;
  readonly operation: string;
  readonly options?: unknown;
  /** `compact`: only files that may hold matching rows. */
  readonly where?: Predicate;
}

/** What every operation tells; what else it tells stands beside, under the names of its own result. */
export interface OperationResult extends Record<string, unknown> { readonly operation: OperationName; readonly table: string; readonly dryRun: boolean; readonly ms: number }

type Run = (target: { catalog: Catalog; identifier: TableIdentifier; load: () => Promise<Table>; where?: Predicate }, options: unknown, context: OperationContext) => Promise<object>;

const { dryRun } = { dryRun: o.flag };

/** The operation that a name means. @throws TicklakeError CONFIG_INVALID */
export function operationName(value: unknown): OperationName {
  const name = typeof value === "string" ? value.trim().toLowerCase().replaceAll("_", "-") : "";
  if ((OPERATIONS as readonly string[]).includes(name)) return name as OperationName;
  throw new TicklakeError("CONFIG_INVALID", `There is no operation "${String(value)}". Choose one of ${OPERATIONS.join(", ")}.`);
}

/**
 * Runs an operation.
 *
 * @throws TicklakeError CONFIG_INVALID (options), TABLE_NAME_INVALID, TABLE_NOT_FOUND, TABLE_BUSY (another destructive operation runs on the table), STOPPED, and what the operation throws
 */
export async function runOperation(request: OperationRequest, context: OperationContext = {}): Promise<OperationResult> {
  const { catalog, table, where } = request;
  const operation = operationName(request.operation);
  const identifier = typeof table === "string" ? parseIdentifier(table, catalog.name) : checkIdentifier(table);
  const began = performance.now();
  const dry = isDryRun(request.options);
  const work = (): Promise<object> => RUNS[operation]({ catalog, identifier, load: () => catalog.loadTable(identifier), ...(where ? { where } : {}) }, request.options, context);
  const found = DESTRUCTIVE.has(operation) && !dry ? await alone(`${catalog.tableLocation(identifier)}`, operation, work) : await work();
  return { operation, table: `${catalog.name}.${[...identifier.namespace, identifier.name].join(".")}`, dryRun: dry, ...found, ms: Math.round(performance.now() - began) };
}

/** What runs on which table. */
const running = new Map<string, OperationName>();

async function alone<T>(location: string, operation: OperationName, work: () => Promise<T>): Promise<T> {
  const other = running.get(location);
  if (other) throw new TicklakeError("TABLE_BUSY", `${other} is running on this table; ${operation} has to wait until it is done. Send it again then.`);
  running.set(location, operation);
  try {
    return await work();
  } finally {
    running.delete(location);
  }
}

function isDryRun(options: unknown): boolean {
  if (typeof options !== "object" || options === null) return false;
  const value = (options as Record<string, unknown>)["dryRun"] ?? (options as Record<string, unknown>)["dry_run"];
  return value === true || String(value).trim().toLowerCase() === "true";
}

const position = z.preprocess((value) => (value === "" || value === null ? undefined : value), z.enum(["first", "last"], { error: "must be first or last (or give after or before)" }).optional());
const place = { position, after: o.text, before: o.text };

function positionOf({ position: fixed, after, before }: { position?: "first" | "last" | undefined; after?: string | undefined; before?: string | undefined }): Position | undefined {
  if ([fixed, after, before].filter((value) => value !== undefined).length > 1) throw new TicklakeError("CONFIG_INVALID", "Only one of position, after and before says where the column goes.");
  return after !== undefined ? { after } : before !== undefined ? { before } : fixed;
}

/** The context with the operation's own dryRun. */
function dryContext(context: OperationContext, dryRunOption: boolean | undefined): OperationContext {
  return { ...context, dryRun: dryRunOption ?? false };
}

/** Leaves out what was not given. */
function given<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}

const RUNS: Record<OperationName, Run> = {
  "describe": async ({ load }, options) => {
    o.readOptions("describe", {}, options);
    return describeTable(await load());
  },
  "create": async ({ catalog, identifier }, options, context) => {
    const { dryRun: dry, ...rest } = o.readOptions("create", { schema: z.unknown().optional(), partitionBy: o.text, properties: o.properties, ifNotExists: o.flag, dryRun }, options);
    // An empty partitionBy is meant: not partitioned.
    const none = typeof options === "object" && options !== null && (options as { partitionBy?: unknown }).partitionBy === "";
    return createTableOperation(catalog, identifier, { ...given(rest), ...(none ? { partitionBy: "" } : {}) }, dryContext(context, dry));
  },
  "drop": async ({ catalog, load }, options, context) => {
    const { purge, dryRun: dry } = o.readOptions("drop", { purge: o.flag, dryRun }, options);
    return dropTableOperation(catalog, await load(), given({ purge }), dryContext(context, dry));
  },
  "add-column": async ({ load }, options, context) => {
    const { column, type, doc, dryRun: dry, ...where } = o.readOptions("add-column", { column: o.requiredText, type: z.unknown(), doc: o.text, ...place, dryRun }, options);
    if (type === undefined || type === "") throw new TicklakeError("CONFIG_INVALID", "add-column: type is needed, such as string, long, double, timestamptz.");
    const at = positionOf(where);
    return alterColumns(await load(), (metadata) => addColumn(metadata, { column, type, ...given({ doc, position: at }) }), dryContext(context, dry));
  },
  "rename-column": async ({ load }, options, context) => {
    const { column, name, dryRun: dry } = o.readOptions("rename-column", { column: o.requiredText, name: o.requiredText, dryRun }, options);
    return alterColumns(await load(), (metadata) => renameColumn(metadata, column, name), dryContext(context, dry));
  },
  "move-column": async ({ load }, options, context) => {
    const { column, dryRun: dry, ...where } = o.readOptions("move-column", { column: o.requiredText, ...place, dryRun }, options);
    const at = positionOf(where);
    if (at === undefined) throw new TicklakeError("CONFIG_INVALID", "move-column: say where to: position (first or last), after, or before.");
    return alterColumns(await load(), (metadata) => moveColumn(metadata, column, at), dryContext(context, dry));
  },
  "drop-column": async ({ load }, options, context) => {
    const { column, dryRun: dry } = o.readOptions("drop-column", { column: o.requiredText, dryRun }, options);
    return alterColumns(await load(), (metadata) => dropColumn(metadata, column), dryContext(context, dry));
  },
  "widen-column": async ({ load }, options, context) => {
    const { column, type, dryRun: dry } = o.readOptions("widen-column", { column: o.requiredText, type: o.requiredText, dryRun }, options);
    return alterColumns(await load(), (metadata) => widenColumn(metadata, column, type), dryContext(context, dry));
  },
  "set-properties": async ({ load }, options, context) => {
    const { set, remove, dryRun: dry } = o.readOptions("set-properties", { set: o.properties, remove: o.nameList, dryRun }, options);
    if (!set && !remove?.length) throw new TicklakeError("CONFIG_INVALID", "set-properties: give set ({\"name\": \"value\"}), remove ([\"name\"]), or both.");
    return setProperties(await load(), given({ set, remove }), dryContext(context, dry));
  },
  "expire-snapshots": async ({ load }, options, context) => {
    const read = o.readOptions("expire-snapshots", { olderThan: o.time(clock(context)), retainLast: o.count, snapshotIds: o.snapshotIds, dryRun }, options);
    return expireSnapshots(await load(), given({ olderThanMs: read.olderThan, retainLast: read.retainLast, snapshotIds: read.snapshotIds }), dryContext(context, read.dryRun));
  },
  "remove-orphan-files": async ({ load }, options, context) => {
    const mode = z.preprocess((value) => (typeof value === "string" && value !== "" ? value.toLowerCase() : undefined), z.enum(["error", "ignore", "delete"], { error: "must be error, ignore or delete" }).optional());
    const read = o.readOptions("remove-orphan-files", { olderThan: o.time(clock(context)), location: o.text, force: o.flag, prefixMismatchMode: mode, dryRun }, options);
    return removeOrphanFiles(await load(), given({ olderThanMs: read.olderThan, location: read.location, force: read.force, prefixMismatchMode: read.prefixMismatchMode }), dryContext(context, read.dryRun));
  },
  "rewrite-manifests": async ({ load }, options, context) => {
    const read = o.readOptions("rewrite-manifests", { specId: o.index, targetSizeBytes: o.count, dryRun }, options);
    return rewriteManifests(await load(), given({ specId: read.specId, targetSizeBytes: read.targetSizeBytes }), dryContext(context, read.dryRun));
  },
  "compact": async ({ load, where }, options, context) => {
    const strategy = z.preprocess((value) => (value === "" || value === null ? undefined : value), z.enum(["binpack", "sort"], { error: "must be binpack or sort" }).optional());
    const read = o.readOptions("compact", { strategy, sortOrder: o.text, options: z.record(z.string(), z.unknown()).optional(), dryRun }, options);
    const { signal, at, tools, progress } = context;
    return compactTable(await load(), given({
      strategy: read.strategy, sortOrder: read.sortOrder, options: read.options, where, dryRun: read.dryRun, signal, at, tools,
      progress: progress && ((done: { groups: number; of: number }) => { progress(`${done.groups} of ${done.of} groups rewritten`); }),
    }));
  },
  "rollback": async ({ load }, options, context) => {
    const offsets = z.preprocess((value) => (value === "" || value === null ? undefined : value), z.enum(["keep", "rewind"], { error: "must be keep or rewind" }).optional());
    const read = o.readOptions("rollback", { snapshotId: o.snapshotId, timestamp: o.time(clock(context)), offsets, anySnapshot: o.flag, dryRun }, options);
    return rollback(await load(), given({ snapshotId: read.snapshotId, timestampMs: read.timestamp, offsets: read.offsets, anySnapshot: read.anySnapshot }), dryContext(context, read.dryRun));
  },
  "offsets": async ({ load }, options) => {
    o.readOptions("offsets", {}, options);
    return listOffsets(await load());
  },
  "reset-offsets": async ({ load }, options, context) => {
    const { dryRun: dry, ...filter } = o.readOptions("reset-offsets", { writer: o.text, cluster: o.text, group: o.text, topic: o.text, partition: o.index, dryRun }, options);
    return resetOffsets(await load(), given(filter), dryContext(context, dry));
  },
};

function clock({ tools }: OperationContext): () => number {
  return tools?.now ?? Date.now;
}
