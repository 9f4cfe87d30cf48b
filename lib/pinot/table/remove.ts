/**
 * Deleting a table, pausing and resuming it.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import { statusOf } from "../http";
import { type TableContext, until } from "./context";
import { isObject } from "./merge";

export interface DeleteResult {
  readonly operation: "delete";
  readonly table: string;
  readonly deleted: true;
  readonly schemaDeleted: boolean;
  /** Why the schema was left. */
  readonly schemaKept?: string;
}

export interface PauseResult {
  readonly operation: "pause" | "resume";
  readonly table: string;
  readonly paused: boolean;
  /** Whether every consuming segment has been sealed (pause), or rows are taken again (resume). It goes on by itself otherwise. */
  readonly settled: boolean;
  readonly consumingSegments: readonly string[];
}

const SETTLE_MS = 60_000;
const GONE_MS = 30_000;
/** So many tables are asked at a time which schema they name. */
const AT_ONCE = 8;

/**
 * Deletes the real-time table with its segments, and its schema unless something else uses that.
 *
 * @param confirm true, or the table's name
 * @throws TicklakeError CONFIG_INVALID without it; TABLE_NOT_FOUND
 */
export async function deleteTable(context: TableContext, confirm: unknown): Promise<DeleteResult> {
  const { api, settings: { table } } = context;
  if (confirm !== true && confirm !== "true" && confirm !== table) {
    throw new TicklakeError("CONFIG_INVALID", `Deleting ${table} takes all its rows away for good. Send msg.confirm = true, or the table's name, or tick "confirm" in the node, to do it.`);
  }
  await api.existing();
  context.progress("deleting the table");
  await api.deleteTable();
  // Its segments go in the background, and a table of that name could not be made before they are gone.
  if (!await until(context, GONE_MS, async () => !(await api.config()))) context.warn(`Pinot still lists the table ${table} after ${GONE_MS / 1000} s.`);
  const schemaKept = await usedElsewhere(context);
  if (schemaKept !== undefined) return { operation: "delete", table, deleted: true, schemaDeleted: false, schemaKept };
  context.progress("deleting the schema");
  try {
    await api.deleteSchema();
    return { operation: "delete", table, deleted: true, schemaDeleted: true };
  } catch (caught) {
    if (statusOf(caught) === 404) return { operation: "delete", table, deleted: true, schemaDeleted: false, schemaKept: "there was none" };
    // Since 1.0 the controller looks, too.
    if (statusOf(caught) === 409) return { operation: "delete", table, deleted: true, schemaDeleted: false, schemaKept: asTicklakeError(caught).message };
    throw caught;
  }
}

/** Pinot 0.11 deletes a schema under a table that uses it: so we look. */
async function usedElsewhere({ api, settings: { table } }: TableContext): Promise<string | undefined> {
  if (await api.hasOffline()) return `the offline table ${table} uses it`;
  const others = await api.others();
  for (let from = 0; from < others.length; from += AT_ONCE) {
    const some = others.slice(from, from + AT_ONCE);
    const schemas = await Promise.all(some.map((other) => api.schemaOf(other)));
    const user = some.find((_, at) => schemas[at] === table);
    if (user !== undefined) return `the table ${user} uses it`;
  }
  return undefined;
}

/** Seals what is being consumed and reads no further; queries go on. @throws TicklakeError TABLE_NOT_FOUND */
export async function pauseTable(context: TableContext): Promise<PauseResult> {
  await context.api.existing();
  context.progress("pausing");
  await context.api.pause();
  return settle(context, "pause", ({ paused, consuming }) => paused && consuming.length === 0);
}

/** Reads on where it stopped. @throws TicklakeError TABLE_NOT_FOUND */
export async function resumeTable(context: TableContext): Promise<PauseResult> {
  await context.api.existing();
  context.progress("resuming");
  await context.api.resume();
  return settle(context, "resume", ({ paused, consuming }) => !paused && consuming.length > 0);
}

interface Standing { readonly paused: boolean; readonly consuming: readonly string[] }

async function settle(context: TableContext, operation: "pause" | "resume", isDone: (standing: Standing) => boolean): Promise<PauseResult> {
  let standing: Standing = { paused: operation === "pause", consuming: [] };
  const settled = await until(context, SETTLE_MS, async () => {
    const body = await context.api.pauseStatus();
    const segments = isObject(body) && Array.isArray(body["consumingSegments"]) ? body["consumingSegments"].map(String) : [];
    standing = { paused: isObject(body) && body["pauseFlag"] === true, consuming: segments };
    return isDone(standing);
  });
  if (!settled) context.warn(`Pinot has not finished to ${operation} ${context.settings.table} after ${SETTLE_MS / 1000} s; it goes on with that by itself. Ask its status.`);
  return { operation, table: context.settings.table, paused: standing.paused, settled, consumingSegments: standing.consuming };
}
