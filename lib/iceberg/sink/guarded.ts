import type { TableSinkEvents } from "./contract";

/**
 * Events whose exceptions cost the sink nothing: rows that are committed stay committed, and no message is left half handled, whatever a listener
 * throws. It is told as a warning.
 */
export function guarded(events: TableSinkEvents): TableSinkEvents {
  const guard = <A extends unknown[]>(tell: (...args: A) => void) => (...args: A): void => {
    try {
      tell(...args);
    } catch (error) {
      try { events.warn(`Telling of it failed: ${error instanceof Error ? error.message : String(error)}`); } catch { /* nobody is left to tell */ }
    }
  };
  return {
    committed: guard((...args) => { events.committed(...args); }),
    unwritten: guard((...args) => { events.unwritten(...args); }),
    rejected: guard((...args) => { events.rejected(...args); }),
    retrying: guard((...args) => { events.retrying(...args); }),
    failed: guard((...args) => { events.failed(...args); }),
    warn: guard((...args) => { events.warn(...args); }),
    changed: guard((...args) => { events.changed(...args); }),
  };
}
