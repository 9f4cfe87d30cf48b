/**
 * What can be said of a query before it runs, for dialogs. Pure; no I/O.
 */
import { asTicklakeError } from "../../errors";
import { planLimit } from "./limit";
import { parseDefaults } from "./options";
import { parameterNames } from "./parameters";

export interface QueryCheck {
  /** Pinot would cut the answer at ten rows. */
  limitMissing: boolean;
  /** Then: the same with a LIMIT. */
  withLimit?: string;
  /** Parameters that have no value yet. */
  unset: string[];
  /** Why it cannot run, where that is known already. */
  problem?: string;
}

/** @param given `params`: values that the dialog has, as JSON text */
export function checkQuery(given: { sql?: unknown; params?: unknown }, limit = 1000): QueryCheck {
  const sql = typeof given.sql === "string" ? given.sql : "";
  try {
    const { missing } = planLimit(sql, { maxRows: limit });
    const defaults = parseDefaults(given.params);
    const unset = parameterNames(sql).filter((name) => !Object.hasOwn(defaults, name));
    return { limitMissing: missing, unset, ...(missing ? { withLimit: planLimit(sql, { maxRows: limit - 1, addLimit: true }).sql } : {}) };
  } catch (caught) {
    return { limitMissing: false, unset: [], problem: asTicklakeError(caught).message };
  }
}
