/** `${NAME}` and `${NAME:-default}` in a text. Pure. */

/** What became of a text. */
export interface Expanded {
  readonly text: string;
  /** Something came from the environment: it must not be shown. */
  readonly expanded: boolean;
  /** Variables without a default that are not set. */
  readonly unset: readonly string[];
  /** A `${` that begins no variable. */
  readonly malformed: boolean;
}

const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g;

/**
 * Puts in what the environment holds. `$${` is a plain `${`. As in a shell, the default serves where the variable is not set or empty; a variable
 * that is set to nothing is nothing. What is put in is not looked at again.
 */
export function expand(given: string, environment: Readonly<Record<string, string | undefined>>): Expanded {
  const unset: string[] = [];
  let expanded = false, malformed = false;
  const text = given.replace(REFERENCE, (all: string, name: string | undefined, standard: string | undefined) => {
    if (all === "$${") return "${";
    if (name === undefined) { malformed = true; return all; }
    expanded = true;
    const value = environment[name];
    if (standard !== undefined) return value || standard;
    if (value === undefined) unset.push(name);
    return value ?? "";
  });
  return { text, expanded, unset, malformed };
}
