/** How two configurations become one. Pure. */
import type { JsonObject } from "./settings";

export const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);

/** Lists whose elements are found by a name; the others are replaced as a whole. */
const KEYS: Readonly<Record<string, string>> = { dimensionFieldSpecs: "name", metricFieldSpecs: "name", dateTimeFieldSpecs: "name", transformConfigs: "columnName" };
/** One map per stream, in order. */
const BY_PLACE = "streamConfigMaps";

/** `over` laid over `base`: objects are merged, lists replaced (but columns and transforms by their name, streams by their place), null takes away. Neither is changed. */
export function merged(base: unknown, over: unknown, name = ""): unknown {
  if (isObject(base) && isObject(over)) return mergedObject(base, over);
  if (Array.isArray(base) && Array.isArray(over)) {
    const key = KEYS[name];
    if (key !== undefined) return byKey(base, over, key);
    if (name === BY_PLACE) return over.map((value, at) => (at < base.length ? merged(base[at], value) : value) as unknown);
  }
  return over;
}

export function mergedObject(base: JsonObject, over: JsonObject): JsonObject {
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(over)) {
    if (value === null) delete result[name];
    else result[name] = name in base ? merged(base[name], value, name) : value;
  }
  return result;
}

function byKey(base: readonly unknown[], over: readonly unknown[], key: string): unknown[] {
  const result = [...base];
  for (const value of over) {
    const at = result.findIndex((one) => isObject(one) && isObject(value) && one[key] === value[key]);
    if (at < 0) result.push(value); else result[at] = merged(result[at], value);
  }
  return result;
}
