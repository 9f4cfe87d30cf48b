/** Rows of two engines in one form, for comparing them. */

/** Values of either engine in one form: times as ISO text in UTC. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, canonical(item)]));
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z?$/.test(value)) return new Date(value.endsWith("Z") ? value : `${value}Z`).toISOString();
  return value;
}

/** Rows without regard to their order, with the names of their columns. */
export function comparable(columns: readonly string[], rows: readonly unknown[][]): unknown[] {
  return rows.map((row) => JSON.stringify(row.map((value, i) => [columns[i], canonical(value)]))).sort().map((text) => JSON.parse(text) as unknown);
}
