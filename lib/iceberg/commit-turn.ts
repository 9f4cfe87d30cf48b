/**
 * Who commits next, among the commits of one process to one table. A courtesy: it saves attempts, and whether a commit stands is the catalog's to decide as ever.
 *
 * A commit that takes long to build (a compaction beside appends in quick succession) would lose to the quick ones again and again: once it has lost twice, the others of this
 * process let it go first.
 */
import { pause } from "../retry";

const PATIENCE = 2;
/** The longest that anybody waits for others: one that hangs holds up nobody for longer. */
const MAX_WAIT_MS = 2000;

/** Attempts under way at one table. */
interface Turns { first: Promise<unknown> | undefined; readonly running: Set<Promise<unknown>> }

/** By the table's uuid, while there are any. */
const tables = new Map<string, Turns>();

/**
 * Makes one attempt when it is its turn.
 *
 * @param table its uuid
 * @param lost attempts of this commit that lost
 */
export async function inTurn<T>(table: string, lost: number, signal: AbortSignal | undefined, attempt: () => Promise<T>, maxWaitMs = MAX_WAIT_MS): Promise<T> {
  let turns = tables.get(table);
  if (!turns) tables.set(table, turns = { first: undefined, running: new Set() });
  const wait = (others: readonly Promise<unknown>[]): Promise<void> => settled(others, maxWaitMs, signal);
  if (turns.first) await wait([turns.first]);
  const others = [...turns.running];
  const mine = lost < PATIENCE ? attempt() : wait(others).then(attempt);
  turns.running.add(mine);
  if (lost >= PATIENCE) turns.first = mine;
  try {
    return await mine;
  } finally {
    turns.running.delete(mine);
    if (turns.first === mine) turns.first = undefined;
    if (turns.running.size === 0 && tables.get(table) === turns) tables.delete(table);
  }
}

/** Waits until all are over, whatever the outcome, or it has taken too long, or the waiting is called off. */
async function settled(others: readonly Promise<unknown>[], maxWaitMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (others.length === 0 || signal?.aborted) return;
  const over = new AbortController();
  const end = (): void => over.abort();
  signal?.addEventListener("abort", end, { once: true });
  void Promise.allSettled(others).then(end);
  await pause(maxWaitMs, over.signal);
  signal?.removeEventListener("abort", end);
}
