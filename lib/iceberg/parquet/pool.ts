/** Parquet encoding off the main thread. */
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { TicklakeError } from "../../errors";
import { receivedError, startThread } from "../../threads";
import type { EncodedFile, EncodeJob } from "./encode";
import type { JobMessage, ReplyMessage } from "./worker";

export type { EncodedFile, EncodeJob } from "./encode";

export interface EncoderPoolOptions {
  /** Threads at the most (1). They start with the first jobs. */
  readonly workers?: number;
  /** Starts a thread that speaks the protocol of worker.ts; for tests. */
  readonly startWorker?: () => Worker;
}

interface Waiting { readonly job: EncodeJob; readonly resolve: (files: EncodedFile[]) => void; readonly reject: (error: Error) => void }
interface Thread { readonly worker: Worker; current: (Waiting & { readonly id: number }) | undefined }

/**
 * Encodes batches of columns in worker threads, in the order of the calls where there is one thread.
 *
 * The columns of a batch are shared memory: nothing is copied or moved, and the caller keeps the batch. A job that failed with WORKER_FAILED
 * can be given again as it is. An idle pool does not keep the process alive.
 */
export class EncoderPool {
  private readonly limit: number;
  private readonly start: () => Worker;
  private readonly threads = new Set<Thread>();
  private readonly queue: Waiting[] = [];
  private nextId = 1;
  private closed = false;

  constructor(options: EncoderPoolOptions = {}) {
    this.limit = Math.max(1, options.workers ?? 1);
    this.start = options.startWorker ?? (() => startThread(join(__dirname, "worker"), "ticklake-parquet"));
  }

  /**
   * One file per partition of the batch, rows in their order.
   *
   * @throws TicklakeError WORKER_FAILED when the thread died (retryable), CONFIG_INVALID for a codec that this Node lacks, STOPPED after `close`
   */
  encode(job: EncodeJob): Promise<EncodedFile[]> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(stopped());
      this.queue.push({ job, resolve, reject });
      this.assign();
    });
  }

  /** Starts a thread ahead of the first job: its start keeps the event loop for some 10 ms, which a deploy does not mind and a stream might. */
  warm(): void {
    if (!this.closed && this.threads.size === 0) this.open();
  }

  /** Ends the threads. Jobs under way and waiting fail with STOPPED. */
  async close(): Promise<void> {
    this.closed = true;
    for (const { reject } of this.queue.splice(0)) reject(stopped());
    const threads = [...this.threads];
    this.threads.clear();
    for (const { current } of threads) current?.reject(stopped());
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  private assign(): void {
    while (this.queue.length > 0) {
      const thread = [...this.threads].find((t) => !t.current) ?? (this.threads.size < this.limit ? this.open() : undefined);
      if (!thread) return;
      const waiting = this.queue.shift()!;
      const id = this.nextId++;
      thread.current = { ...waiting, id };
      thread.worker.ref();
      try {
        thread.worker.postMessage({ id, job: waiting.job } satisfies JobMessage);
      } catch (error) {
        thread.current = undefined;
        thread.worker.unref();
        waiting.reject(new TicklakeError("INTERNAL", `The batch cannot be handed to the Parquet encoder: ${(error as Error).message}`, { cause: error }));
      }
    }
  }

  private open(): Thread {
    const worker = this.start();
    const thread: Thread = { worker, current: undefined };
    this.threads.add(thread);
    worker.unref();
    worker.on("message", (reply: ReplyMessage) => this.settle(thread, reply));
    worker.on("error", (error) => this.lost(thread, error instanceof Error ? error.message : String(error), error));
    // A reply that cannot be read leaves its job without an end: the thread goes, the job runs again.
    worker.on("messageerror", (error) => {
      this.lost(thread, error.message, error);
      void worker.terminate();
    });
    worker.on("exit", (code) => this.lost(thread, `exit code ${code}`));
    return thread;
  }

  private settle(thread: Thread, reply: ReplyMessage): void {
    const { current } = thread;
    if (current?.id !== reply.id) return;
    thread.current = undefined;
    thread.worker.unref();
    if ("files" in reply) current.resolve(reply.files);
    else current.reject(receivedError(reply.error));
    this.assign();
  }

  /** The thread is gone: its job fails, the next one gets a new thread. */
  private lost(thread: Thread, why: string, cause?: unknown): void {
    if (!this.threads.delete(thread)) return;
    thread.current?.reject(new TicklakeError("WORKER_FAILED", `The Parquet encoder's thread ended (${why}). The batch is unharmed; it is written again.`, { cause }));
    thread.current = undefined;
    if (!this.closed) this.assign();
  }
}

const stopped = (): TicklakeError => new TicklakeError("STOPPED", "The Parquet encoder was stopped.");
