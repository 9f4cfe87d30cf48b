/**
 * The procedures that CALL runs, with the arguments, their order and the result columns of Spark with Iceberg 1.12
 * (https://iceberg.apache.org/docs/latest/spark-procedures/). Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import type { OperationName } from "../iceberg/operations";
import type { CallArgument, CallValue } from "./call-parser";
import type { ResultColumn } from "./results";
import { timeText } from "./times";

type Kind = "text" | "time" | "whole" | "flag" | "ids" | "map" | "any";

interface Parameter {
  readonly name: string;
  readonly kind: Kind;
  readonly required?: true;
  /** Ours and not Spark's: only by its name, so that the order stays Spark's. */
  readonly ours?: true;
  /** Taken and checked, and without effect here: it tunes how Spark works. */
  readonly ignored?: true;
  /** Why it cannot be given; `unless` it is this very value. */
  readonly refused?: string;
  readonly unless?: unknown;
}

export interface Procedure {
  readonly operation: OperationName;
  readonly parameters: readonly Parameter[];
  readonly columns: readonly ResultColumn[];
  /** Options of the operation that the procedure itself means. */
  readonly fixed?: Readonly<Record<string, unknown>>;
}

/** What a CALL asks for: options by Spark's names, as the operation takes them. */
export interface BoundCall { readonly table: string; readonly options: Readonly<Record<string, unknown>> }

const table: Parameter = { name: "table", kind: "text", required: true };
const dryRun: Parameter = { name: "dry_run", kind: "flag", ours: true };
const offsets: Parameter = { name: "offsets", kind: "text", ours: true };
const ignored = (name: string, kind: Kind): Parameter => ({ name, kind, ignored: true });
const refused = (name: string, why: string, unless?: unknown): Parameter => ({ name, kind: "any", refused: why, ...(unless === undefined ? {} : { unless }) });
const longs = (...names: readonly string[]): ResultColumn[] => names.map((name) => ({ name, type: "BIGINT" }));
const integers = (...names: readonly string[]): ResultColumn[] => names.map((name) => ({ name, type: "INTEGER" }));

const MOVED = longs("previous_snapshot_id", "current_snapshot_id");

export const PROCEDURES: Readonly<Record<string, Procedure>> = {
  expire_snapshots: {
    operation: "expire-snapshots",
    parameters: [
      table, { name: "older_than", kind: "time" }, { name: "retain_last", kind: "whole" }, ignored("max_concurrent_deletes", "whole"), ignored("stream_results", "flag"), { name: "snapshot_ids", kind: "ids" },
      refused("clean_expired_metadata", "schemas and partition specs that no snapshot uses stay", false), dryRun,
    ],
    columns: longs("deleted_data_files_count", "deleted_position_delete_files_count", "deleted_equality_delete_files_count", "deleted_manifest_files_count", "deleted_manifest_lists_count", "deleted_statistics_files_count"),
  },
  remove_orphan_files: {
    operation: "remove-orphan-files",
    parameters: [
      table, { name: "older_than", kind: "time" }, { name: "location", kind: "text" }, { name: "dry_run", kind: "flag" }, ignored("max_concurrent_deletes", "whole"),
      refused("file_list_view", "it names a view of a Spark session, and files are listed here"), refused("equal_schemes", "s3, s3a and s3n are equal here"), refused("equal_authorities", "choose prefix_mismatch_mode instead"),
      { name: "prefix_mismatch_mode", kind: "text" }, ignored("prefix_listing", "flag"), ignored("stream_results", "flag"), { name: "force", kind: "flag", ours: true },
    ],
    columns: [{ name: "orphan_file_location", type: "VARCHAR" }],
  },
  rewrite_manifests: {
    operation: "rewrite-manifests",
    parameters: [table, ignored("use_caching", "flag"), { name: "spec_id", kind: "whole" }, refused("sort_by", "manifests are clustered by all partition fields"), dryRun],
    columns: integers("rewritten_manifests_count", "added_manifests_count"),
  },
  rewrite_data_files: {
    operation: "compact",
    parameters: [table, { name: "strategy", kind: "text" }, { name: "sort_order", kind: "text" }, { name: "options", kind: "map" }, { name: "where", kind: "text" }, refused("branch", "only the branch main is rewritten", "main"), dryRun],
    columns: [...integers("rewritten_data_files_count", "added_data_files_count"), ...longs("rewritten_bytes_count"), ...integers("failed_data_files_count", "removed_delete_files_count")],
  },
  rollback_to_snapshot: { operation: "rollback", parameters: [table, { name: "snapshot_id", kind: "whole", required: true }, offsets, dryRun], columns: MOVED },
  rollback_to_timestamp: { operation: "rollback", parameters: [table, { name: "timestamp", kind: "time", required: true }, offsets, dryRun], columns: MOVED },
  set_current_snapshot: { operation: "rollback", parameters: [table, { name: "snapshot_id", kind: "whole" }, { name: "ref", kind: "text" }, offsets, dryRun], columns: MOVED, fixed: { any_snapshot: true } },
};

/** The procedure of a name, of any case. @throws TicklakeError SQL_INVALID listing those that there are */
export function procedureOf(name: string): { name: string; procedure: Procedure } {
  const lower = name.toLowerCase();
  if (Object.hasOwn(PROCEDURES, lower)) return { name: lower, procedure: PROCEDURES[lower]! };
  throw new TicklakeError("SQL_INVALID", `There is no procedure ${name}. CALL runs ${Object.keys(PROCEDURES).join(", ")}.`);
}

/**
 * Gives each argument its parameter, by name or by order, and checks its type.
 *
 * @throws TicklakeError SQL_INVALID naming the argument that is unknown, missing, given twice or of the wrong type
 */
export function bindArguments(name: string, { parameters, fixed }: Procedure, given: readonly CallArgument[]): BoundCall {
  const fail = (message: string): TicklakeError => new TicklakeError("SQL_INVALID", `${name}: ${message}`);
  const spark = parameters.filter((parameter) => !parameter.ours);
  const named = given.filter((argument) => argument.name !== undefined).length;
  if (named > 0 && named < given.length) throw fail("arguments are given by name or by order, not both. Name all of them.");
  const values = new Map<string, unknown>();
  for (const [index, argument] of given.entries()) {
    const parameter = argument.name === undefined ? spark[index] : parameters.find((candidate) => candidate.name === argument.name!.toLowerCase());
    if (!parameter) throw fail(`${argument.name === undefined ? `takes ${spark.length} arguments by order, not ${given.length}` : `there is no argument ${argument.name}`}. It takes ${parameters.map((one) => one.name).join(", ")}.`);
    if (values.has(parameter.name)) throw fail(`${parameter.name} is given twice.`);
    values.set(parameter.name, valueOf(parameter, argument.value, fail));
  }
  const missing = parameters.filter((parameter) => parameter.required && values.get(parameter.name) === undefined);
  if (missing.length > 0) throw fail(`${missing.map((one) => one.name).join(" and ")} ${missing.length > 1 ? "are" : "is"} needed, such as ${name}(${missing.map((one) => `${one.name} => ${SAMPLE[one.kind]}`).join(", ")}).`);
  const effective = [...values].filter(([key, value]) => value !== undefined && key !== "table" && !isWithoutEffect(parameters, key));
  return { table: values.get("table") as string, options: { ...Object.fromEntries(effective), ...fixed } };
}

function isWithoutEffect(parameters: readonly Parameter[], name: string): boolean {
  return parameters.some((parameter) => parameter.name === name && (parameter.ignored ?? parameter.refused !== undefined));
}

const SAMPLE: Record<Kind, string> = {
  text: "'db.flattened_stocks'", time: "TIMESTAMP '2024-11-01 00:00:00'", whole: "1", flag: "true", ids: "array(1, 2)", map: "map('min-input-files', '2')", any: "null",
};
const MEANT: Record<Kind, string> = {
  text: "a text in quotes", time: "a time (TIMESTAMP '2024-11-01 00:00:00') or an age in quotes ('5 days')", whole: "a whole number", flag: "true or false", ids: "an array of snapshot ids: array(1, 2)",
  map: "a map of texts: map('min-input-files', '2')", any: "null",
};

/** An argument's value as the operation takes it; undefined for null, which Spark takes for not given. */
function valueOf({ name, kind, refused: why, unless }: Parameter, given: CallValue, fail: (message: string) => TicklakeError): unknown {
  if (given.kind === "null") return undefined;
  if (why !== undefined) {
    if (unless !== undefined && given.value === unless) return undefined;
    throw fail(`${name} is not supported: ${why}. Leave it out.`);
  }
  const value = converted(kind, given);
  if (value === undefined) throw fail(`${name} must be ${MEANT[kind]}.`);
  return value;
}

function converted(kind: Kind, given: CallValue): unknown {
  switch (kind) {
    case "text": return given.kind === "text" ? given.value : undefined;
    case "flag": return given.kind === "flag" ? given.value : undefined;
    case "whole": return wholeOf(given);
    case "time": return timeOf(given);
    case "ids": return given.kind === "array" && given.value.length > 0 ? allOf(given.value.map(wholeOf)) : undefined;
    case "map": return given.kind === "map" ? mapOf(given.value) : undefined;
    case "any": return undefined;
  }
}

/** Numbers are refused: seconds and milliseconds look alike. A text is a time, or an age that the operation reads ('5 days'). */
function timeOf(given: CallValue): number | string | undefined {
  if (given.kind === "time") return given.value;
  if (given.kind !== "text" || /^\s*\d*\s*$/.test(given.value)) return undefined;
  return timeText(given.value) ?? given.value;
}

/** A whole number; ids may come as text, which messages hold them as. */
function wholeOf(given: CallValue): bigint | undefined {
  if (given.kind === "number" && typeof given.value === "bigint") return given.value;
  return given.kind === "text" && /^\d{1,19}$/.test(given.value) ? BigInt(given.value) : undefined;
}

function allOf<T>(values: readonly (T | undefined)[]): readonly T[] | undefined {
  return values.every((value) => value !== undefined) ? values : undefined;
}

function mapOf(pairs: readonly (readonly [CallValue, CallValue])[]): Record<string, string> | undefined {
  const entries = pairs.map(([key, value]) => (key.kind === "text" && (value.kind === "text" || value.kind === "number" || value.kind === "flag") ? [key.value, String(value.value)] as const : undefined));
  const all = allOf(entries);
  return all && Object.fromEntries(all);
}
