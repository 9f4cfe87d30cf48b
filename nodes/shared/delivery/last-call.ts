import { constants } from "node:os";

/**
 * The end of the process, held back until sources that nothing can read again have delivered what they hold.
 *
 * At a signal Node-RED stops all flows in one turn: nodes in between are gone at once, and what a source sends from its `close` reaches nobody. So while such a source is
 * deployed, the signal's listeners (Node-RED's among them) are called only after the sources are done, or after `HOLD_MS`. Flows run as ever
 * meanwhile. A second signal ends the wait.
 */

/** Says goodbye to its feed and resolves when all it holds is delivered. `aborted`: there is no more time. */
export type LastCall = (aborted: AbortSignal) => Promise<void>;

type Listener = (...args: unknown[]) => void;

/** How the end of a Node-RED process is asked for. Only signals that somebody listens to are held: for the others the process ends without any `close`. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"] as const satisfies readonly NodeJS.Signals[];
/** How long the end is held back, and when everything should be closed, ms after the signal. Node-RED itself gives `close` 15 s, Docker 10 s in all. */
const HOLD_MS = 8000, CLOSED_MS = 14_000;
/** However late: what `close` gets at least, ms. */
const LEAST_MS = 2000;

class End {
  private readonly calls = new Set<LastCall>();
  private readonly held = new Map<NodeJS.Signals, Listener[]>();
  private deadline: number | undefined;
  private holding: AbortController | undefined;

  add(call: LastCall): () => void {
    if (this.calls.size === 0) this.hold();
    this.calls.add(call);
    return () => { if (this.calls.delete(call) && this.calls.size === 0 && !this.holding) this.letGo(); };
  }

  budget(ms: number): number {
    const left = this.deadline === undefined ? Infinity : this.deadline - performance.now();
    // Nodes are closed before that: a process that lives on for all that has as much time as ever.
    return left < 0 ? ms : Math.min(ms, Math.max(LEAST_MS, left));
  }

  private hold(): void {
    for (const signal of SIGNALS) {
      const listeners = process.rawListeners(signal) as Listener[];
      if (listeners.length === 0) continue;
      this.held.set(signal, listeners);
      // Never without a listener: the signal would end the process there and then.
      process.on(signal, this.caught);
      for (const listener of listeners) process.off(signal, listener);
    }
  }

  private letGo(): void {
    for (const [signal, listeners] of this.held) {
      for (const listener of listeners) process.on(signal, listener);
      process.off(signal, this.caught);
    }
    this.held.clear();
  }

  private readonly caught = (signal: NodeJS.Signals): void => {
    if (this.holding) { this.holding.abort(); return; }
    this.deadline = performance.now() + CLOSED_MS;
    const holding = this.holding = new AbortController();
    const timer = setTimeout(() => holding.abort(), HOLD_MS);
    const over = new Promise<void>((resolve) => { holding.signal.addEventListener("abort", () => resolve(), { once: true }); });
    void Promise.race([over, Promise.allSettled([...this.calls].map((call) => call(holding.signal)))]).then(() => {
      clearTimeout(timer);
      holding.abort();
      this.holding = undefined;
      const listeners = this.held.get(signal) ?? [];
      this.letGo();
      for (const listener of listeners) listener.call(process, signal, constants.signals[signal]);
    });
  };
}

const KEY = Symbol.for("ticklake.end.1");

/** The one of this process, however often this module is loaded. */
function end(): End { return (globalThis as { [KEY]?: End })[KEY] ??= new End(); }

/** Asks to be called before the process ends by a signal. Returns what takes that back: call it in `close`. */
export function beforeEnd(call: LastCall): () => void { return end().add(call); }

/** How long a `close` may take: `ms`, or less when the process ends and has used up some of its time. */
export function closeBudget(ms: number): number { return end().budget(ms); }
