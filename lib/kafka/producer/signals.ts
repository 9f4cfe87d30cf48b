/** What is to be called when a signal aborts. Hundreds of batches share a signal, and Node warns of a leak at the eleventh listener: one listener serves them all. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `work` when `signal` aborts (never at once: the caller has looked). @returns takes it back */
export function onAbort(signal: AbortSignal, work: () => void): () => void {
  const set = waiting.get(signal) ?? listen(signal);
  set.add(work);
  return () => { set.delete(work); };
}

function listen(signal: AbortSignal): Set<() => void> {
  const set = new Set<() => void>();
  waiting.set(signal, set);
  signal.addEventListener("abort", () => { for (const work of [...set]) work(); }, { once: true });
  return set;
}
