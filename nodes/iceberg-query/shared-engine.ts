import { CatalogTables } from "../../lib/sql/catalog-tables";
import { SqlEngine } from "../../lib/sql/engine";

interface Shared { engine: SqlEngine; tables: CatalogTables }

let shared: Shared | undefined;
let users = 0;

/** The one SQL engine of this process, for as long as a node uses it. `release` once per call; the last one closes it. */
export function useEngine(): Shared & { release(): Promise<void> } {
  users++;
  const used = shared ??= { engine: new SqlEngine(), tables: new CatalogTables() };
  let released = false;
  return {
    ...used,
    async release() {
      if (released) return;
      released = true;
      if (--users > 0) return;
      shared = undefined;
      await used.engine.close();
    },
  };
}
