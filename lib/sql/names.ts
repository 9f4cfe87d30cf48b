/**
 * Case-sensitive identifiers on an engine that folds case.
 *
 * DuckDB compares identifiers without regard to case (ASCII letters only), so a table with columns `S` and `s` cannot
 * be queried with it. Every identifier of a query and every column of a table is therefore given an internal name that
 * differs wherever the original differs: upper-case letters are written as a mask behind a marker. Scopes, aliases,
 * CTEs and lateral references then follow DuckDB's own rules, and stay exact. Pure; no I/O.
 */

/** Starts the mask. A private-use character: never typed, and one that a name holds already is escaped by a mask of its own. */
const MARK = "\ue0f0";
const INTERNAL = /\ue0f0[0-9a-f]+/g;

/** The internal name of an identifier: itself, unless it has upper-case ASCII letters (or the marker). */
export function internalName(name: string): string {
  if (!/[A-Z\ue0f0]/.test(name)) return name;
  let mask = 0n;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code >= 65 && code <= 90) mask |= 1n << BigInt(i);
  }
  return `${name}${MARK}${mask.toString(16)}`;
}

/** The identifier that an internal name stands for. */
export function originalName(name: string): string {
  const at = name.lastIndexOf(MARK);
  return at < 0 ? name : name.slice(0, at);
}

/** A text (an error of the engine) with every internal name in it put back. */
export function restoreNames(text: string): string {
  return text.replace(INTERNAL, "");
}

/** An identifier in double quotes. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text in single quotes. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Names of a result's columns, made unique so that each can be a property of a row: `a, a` becomes `a, a_1`. */
export function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set(names);
  const used = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let n = 1; used.has(unique); n++) {
      const next = `${name}_${n}`;
      unique = taken.has(next) ? unique : next;
    }
    used.add(unique);
    return unique;
  });
}
