/** The rewriting thread: one group at a time. Started by thread.ts. */
import { parentPort } from "node:worker_threads";
import { sentError, type SentError } from "../../threads";
import type { EncodedFile } from "../parquet/encode";
import { rewriteGroup, type RewriteJob, type RewriteResult } from "./job";

/** `taken`: the file that was sent is written, the next may come. */
export type ToWorker = { readonly job: RewriteJob } | { readonly taken: true } | { readonly abort: true } | { readonly end: true };
export type FromWorker =
  | { readonly file: EncodedFile }
  | { readonly result: RewriteResult }
  | { readonly error: SentError };

let taken: (() => void) | undefined;
let stop: AbortController | undefined;

const send = (message: FromWorker, memory: ArrayBuffer[] = []): void => parentPort!.postMessage(message, memory);

async function run(job: RewriteJob): Promise<void> {
  stop = new AbortController();
  try {
    const result = await rewriteGroup(job, (file) => new Promise<void>((resolve) => {
      taken = resolve;
      send({ file }, [file.bytes.buffer as ArrayBuffer]);
    }), stop.signal);
    send({ result });
  } catch (caught) {
    send({ error: sentError(caught) });
  }
}

parentPort?.on("message", (message: ToWorker) => {
  if ("job" in message) void run(message.job);
  else if ("taken" in message) taken?.();
  else if ("abort" in message) {
    stop?.abort();
    taken?.();
  } else parentPort!.close();
});
