/**
 * What differs between the configuration that is wanted and the one that is there, and how to get from one to the other. A controller gives back more
 * than it was sent (its defaults), so only what is wanted is compared, and the parts that our settings decide alone. Pure.
 */
import { fieldsOf, type TableConfig } from "./config";
import { isObject, merged, mergedObject } from "./merge";
import type { JsonObject } from "./settings";

/** One difference. Secrets (a password for Kafka) are masked. */
export interface Difference {
  /** `segmentsConfig.retentionTimeValue`, `schema.price`. */
  readonly path: string;
  /** What is there; undefined for nothing. */
  readonly is: unknown;
  /** What is wanted; undefined for nothing. */
  readonly wanted: unknown;
}

/** Decided by settings: absent where a setting says so. */
const DECIDED = ["tableIndexConfig.starTreeIndexConfigs", "ingestionConfig.transformConfigs"] as const;
const SECRET = /jaas|password|secret|token|credential|\.key$/i;
const MASK = "***";

/** The differences of schema and table. Empty: nothing to do. */
export function differences(wanted: TableConfig, is: TableConfig): Difference[] {
  return [...schemaDifferences(wanted.schema, is.schema), ...tableDifferences(wanted.table, is.table)].map(mask);
}

/** Columns that others added are theirs. */
export function schemaDifferences(wanted: JsonObject, is: JsonObject): Difference[] {
  const there = new Map(fieldsOf(is).map((field) => [String(field["name"]), field]));
  return fieldsOf(wanted).flatMap((field) => {
    const found = there.get(String(field["name"]));
    return found && columnText(found) === columnText(field) ? [] : [{ path: `schema.${String(field["name"])}`, is: found && columnText(found), wanted: columnText(field) }];
  });
}

function columnText(field: JsonObject): string {
  const format = field["format"] === undefined ? "" : ` ${formatText(String(field["format"]))}`;
  return `${String(field["list"]).replace("FieldSpecs", "")} ${String(field["dataType"])}${field["singleValueField"] === false ? "[]" : ""}${format}`;
}

/** `EPOCH|MILLISECONDS|1` is what `1:MILLISECONDS:EPOCH` is called since 1.0. */
const formatText = (format: string): string => format.replace(/^(\d+):(\w+):EPOCH$/, "EPOCH|$2|$1");

/** A table that names its stream in the old place is compared, and changed, there: both places at once are refused. */
export function placed(wanted: JsonObject, is: JsonObject): JsonObject {
  const old = (is["tableIndexConfig"] as JsonObject | undefined)?.["streamConfigs"];
  if (!isObject(old)) return wanted;
  const { streamIngestionConfig, ...ingestion } = wanted["ingestionConfig"] as JsonObject;
  const maps = (streamIngestionConfig as JsonObject | undefined)?.["streamConfigMaps"] as JsonObject[] | undefined;
  return { ...wanted, ingestionConfig: ingestion, tableIndexConfig: { ...wanted["tableIndexConfig"] as JsonObject, streamConfigs: maps?.[0] ?? {} } };
}

function tableDifferences(wanted: JsonObject, is: JsonObject): Difference[] {
  const { tableName: _, ...rest } = placed(wanted, is);
  const found = compare(rest, is, "");
  for (const path of DECIDED) {
    const there = valueAt(is, path);
    if (valueAt(rest, path) === undefined && Array.isArray(there) && there.length > 0) found.push({ path, is: there, wanted: undefined });
  }
  return found;
}

function compare(wanted: unknown, is: unknown, path: string): Difference[] {
  if (isObject(wanted)) {
    if (!isObject(is)) return Object.keys(wanted).length === 0 ? [] : [{ path, is, wanted }];
    return Object.entries(wanted).flatMap(([name, value]) => compare(value, is[name], path === "" ? name : `${path}.${name}`));
  }
  if (Array.isArray(wanted) && Array.isArray(is) && wanted.length === is.length) {
    if (wanted.every(isObject)) return wanted.flatMap((value, at) => compare(value, is[at], `${path}[${at}]`));
    return same(wanted, is) ? [] : [{ path, is, wanted }];
  }
  return same(wanted, is) ? [] : [{ path, is, wanted }];
}

/** Numbers and booleans come back as text, or the other way round; Pinot takes `lowLevel` in any case. */
function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, at) => same(value, b[at]));
  if (a === undefined || b === undefined) return a === b;
  return String(a) === String(b) || (/^lowlevel$/i.test(String(a)) && /^lowlevel$/i.test(String(b)));
}

const valueAt = (value: unknown, path: string): unknown => path.split(".").reduce<unknown>((at, name) => (isObject(at) ? at[name] : undefined), value);

/** The table that is there with what is wanted in it; what others set stays. */
export function changedTable(wanted: JsonObject, is: JsonObject): JsonObject {
  const { tableName, ...rest } = placed(wanted, is);
  const laid = mergedObject(is, rest) as Record<string, unknown>;
  for (const path of DECIDED) {
    const [outer, inner] = path.split(".") as [string, string];
    // A list of transforms is merged by name: others' stay, unless none is wanted.
    if (valueAt(rest, path) === undefined && isObject(laid[outer])) laid[outer] = mergedObject(laid[outer], { [inner]: null });
  }
  return { ...laid, tableName };
}

/** The schema that is there with the columns that are wanted; others' columns stay. */
export const changedSchema = (wanted: JsonObject, is: JsonObject): JsonObject => merged(is, wanted) as JsonObject;

function mask({ path, is, wanted }: Difference): Difference {
  return SECRET.test(path) ? { path, is: is === undefined ? is : MASK, wanted: wanted === undefined ? wanted : MASK } : { path, is: masked(is), wanted: masked(wanted) };
}

/** A configuration for people: values that are secrets are not shown. */
export function masked<T>(value: T): T {
  if (Array.isArray(value)) return value.map((one: unknown) => masked(one)) as T;
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, SECRET.test(name) && typeof one !== "object" ? MASK : masked(one)])) as T;
}

/** The secrets of a configuration: values under such names, and the passwords within them (`... password="x";` of JAAS). */
export function secretsIn(value: unknown, name = ""): string[] {
  if (typeof value === "string") return SECRET.test(name) ? [value, ...[...value.matchAll(/"([^"]+)"/g)].map(([, quoted]) => quoted!)] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([inner, one]) => secretsIn(one, inner));
}
