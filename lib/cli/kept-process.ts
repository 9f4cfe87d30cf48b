/** A process that is started again until its work is done. Starting, waiting and telling are handed in. */
import { TicklakeError } from "../errors";
import { backoffMs } from "../retry";

/** A process under way. */
export interface Underway {
  readonly pid: number | undefined;
  /** How it ended: its exit code, or null where a signal ended it; and its last words. */
  readonly ended: Promise<{ readonly code: number | null; readonly words: string }>;
  kill(signal: NodeJS.Signals): void;
}

export interface KeptProcessDeps {
  start(): Underway;
  say(text: string): void;
  pause(ms: number, signal?: AbortSignal): Promise<void>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}

/** So often in a row a process may end by itself, each time so soon after its start: what it says is meant then. */
const MOST_FAILURES = 4, SOON_MS = 30_000;
/** How long it may take to end after SIGINT. */
const STOP_MS = 40_000;
/** A command line that cannot be meant so: no repetition mends it. */
const USAGE = 2;

/** Starts a process again whenever it ends before its work is done, be it killed or failing. */
export class KeptProcess {
  /** How often it was started. */
  starts = 0;
  private current: Underway | undefined;
  private readonly stopping = new AbortController();

  constructor(readonly name: string, private readonly deps: KeptProcessDeps) {}

  /**
   * Resolves when it ended with code 0, or after `stop`.
   *
   * @throws TicklakeError WORKER_FAILED with its last words, when it fails again and again right after its start
   */
  async run(): Promise<void> {
    const { deps } = this;
    for (let failures = 0; !this.stopping.signal.aborted;) {
      const began = deps.now();
      this.current = deps.start();
      this.starts++;
      deps.say(`${this.name}: process ${this.current.pid ?? "?"}`);
      const { code, words } = await this.current.ended;
      this.current = undefined;
      if (this.stopping.signal.aborted || code === 0) return;
      if (code === null) { failures = 0; deps.say(`${this.name} was killed; it is started again`); continue; }
      failures = deps.now() - began > SOON_MS ? 1 : failures + 1;
      if (code === USAGE || failures >= MOST_FAILURES) throw new TicklakeError("WORKER_FAILED", `${this.name} does not run: it ended ${failures} time${failures === 1 ? "" : "s"} with code ${code}. It said:\n${words}`);
      deps.say(`${this.name} ended with code ${code}; it is started again`);
      await deps.pause(backoffMs(failures), this.stopping.signal);
    }
  }

  /** Ends it, with what it has written; after a while without. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.stopping.abort();
    const { current } = this;
    if (!current) return;
    current.kill("SIGINT");
    const over = new AbortController();
    void this.deps.pause(STOP_MS, over.signal).then(() => { if (!over.signal.aborted) current.kill("SIGKILL"); });
    await current.ended;
    over.abort();
  }
}
