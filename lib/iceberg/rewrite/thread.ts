/** Rewriting off the main thread. */
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { asTicklakeError, TicklakeError } from "../../errors";
import { receivedError, startThread } from "../../threads";
import type { EncodedFile } from "../parquet/encode";
import type { RewriteJob, RewriteResult } from "./job";
import type { FromWorker, ToWorker } from "./worker";

/** Takes a finished file, before the next one is begun. What it throws ends the job. */
export type TakeFile = (file: EncodedFile) => Promise<void>;

/** Rewrites groups of data files. */
export interface Rewriter {
  /** @throws TicklakeError of `rewriteGroup`, WORKER_FAILED, STOPPED, whatever `take` threw */
  rewrite(job: RewriteJob, take: TakeFile, signal?: AbortSignal): Promise<RewriteResult>;
  close(): Promise<void>;
}

/**
 * A thread that rewrites one group at a time. It is never terminated (the engine in it is native code and must not be torn away from its work): it is told to
 * stop, and ends by itself.
 */
export class RewriteThread implements Rewriter {
  #worker: Worker | undefined;
  #ended: Promise<void> = Promise.resolve();

  async rewrite(job: RewriteJob, take: TakeFile, signal?: AbortSignal): Promise<RewriteResult> {
    if (signal?.aborted) throw new TicklakeError("STOPPED", "The compaction was stopped.");
    const worker = this.#worker ??= this.#start();
    const tell = (message: ToWorker): void => worker.postMessage(message);
    const abort = (): void => tell({ abort: true });
    let failed: TicklakeError | undefined;
    let heard: ((message: FromWorker) => void) | undefined, lost: ((why: unknown) => void) | undefined;
    signal?.addEventListener("abort", abort, { once: true });
    worker.ref();
    try {
      return await new Promise<RewriteResult>((resolve, reject) => {
        heard = (message) => {
          if ("result" in message) { if (failed) reject(failed); else resolve(message.result); }
          else if ("error" in message) reject(failed ?? receivedError(message.error));
          else if (failed) tell({ taken: true });
          else {
            take(message.file).then(() => tell({ taken: true }), (caught: unknown) => {
              failed = asTicklakeError(caught, "STORAGE_FAILED");
              abort();
            });
          }
        };
        lost = (why) => {
          if (this.#worker === worker) this.#worker = undefined;
          const text = why instanceof Error ? why.message : `exit code ${String(why)}`;
          reject(new TicklakeError("WORKER_FAILED", `The thread that rewrites data files ended (${text}). Nothing was changed; it is tried again.`, { cause: why }));
        };
        worker.on("message", heard).on("error", lost).on("exit", lost);
        tell({ job });
      });
    } finally {
      signal?.removeEventListener("abort", abort);
      worker.off("message", heard!).off("exit", lost!).off("error", lost!);
      worker.unref();
    }
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    // Waited for, so it keeps the process alive again.
    worker?.ref();
    worker?.postMessage({ end: true } satisfies ToWorker);
    await this.#ended;
  }

  #start(): Worker {
    const worker = startThread(join(__dirname, "worker"), "ticklake-rewrite");
    const gone = (): void => { if (this.#worker === worker) this.#worker = undefined; };
    this.#ended = new Promise((resolve) => worker.once("exit", () => { gone(); resolve(); }));
    // Between two jobs nobody else listens: an error would end the process, and a job handed to a thread that is gone would wait for ever.
    worker.on("error", gone);
    return worker;
  }
}
