/** The encoder's thread: one job at a time, files go back without being copied. Started by pool.ts. */
import { parentPort } from "node:worker_threads";
import { sentError, type SentError } from "../../threads";
import { encodeBatch, type EncodedFile, type EncodeJob } from "./encode";

export interface JobMessage { readonly id: number; readonly job: EncodeJob }
export type ReplyMessage =
  | { readonly id: number; readonly files: EncodedFile[] }
  | { readonly id: number; readonly error: SentError };

parentPort?.on("message", ({ id, job }: JobMessage) => {
  let reply: ReplyMessage;
  let memory: ArrayBuffer[] = [];
  try {
    const files = encodeBatch(job);
    reply = { id, files };
    memory = files.map((file) => file.bytes.buffer as ArrayBuffer);
  } catch (error) {
    reply = { id, error: sentError(error) };
  }
  parentPort!.postMessage(reply, memory);
});
