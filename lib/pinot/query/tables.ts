/**
 * Which tables a cluster has and what they hold, for dialogs.
 */
import { TicklakeError } from "../../errors";
import type { ResultColumn } from "../../sql/results";
import { type PinotHttp, statusOf } from "../http";

type Ask = Pick<PinotHttp, "send">;

/** Names of the cluster's tables, without their types. */
export async function tableNames(http: Ask, signal?: AbortSignal): Promise<string[]> {
  const { body } = await http.send("controller", { method: "GET", path: "/tables", ...(signal ? { signal } : {}) });
  const { tables } = (body ?? {}) as { tables?: unknown };
  return Array.isArray(tables) ? [...new Set(tables.map(String))].sort() : [];
}

interface FieldSpec { name?: unknown; dataType?: unknown; singleValueField?: unknown }

/**
 * Columns of a table by its schema; multi-value ones have `_ARRAY` behind their type, as in results.
 *
 * @throws TicklakeError TABLE_NOT_FOUND, and what PinotHttp.send throws
 */
export async function tableColumns(http: Ask, table: string, signal?: AbortSignal): Promise<ResultColumn[]> {
  try {
    const { body } = await http.send("controller", { method: "GET", path: `/tables/${encodeURIComponent(table)}/schema`, ...(signal ? { signal } : {}) });
    const schema = (body ?? {}) as Record<string, unknown>;
    return ["dimensionFieldSpecs", "metricFieldSpecs", "dateTimeFieldSpecs"].flatMap((kind) => {
      const specs = schema[kind];
      return Array.isArray(specs) ? (specs as FieldSpec[]).map(({ name, dataType, singleValueField }) => ({ name: String(name), type: `${String(dataType)}${singleValueField === false ? "_ARRAY" : ""}` })) : [];
    });
  } catch (caught) {
    if (statusOf(caught) !== 404) throw caught;
    throw new TicklakeError("TABLE_NOT_FOUND", `Pinot has no table ${table}.`, { cause: caught });
  }
}
