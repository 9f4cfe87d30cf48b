/** The encoder's thread: one job at a time, files go back without being copied. Started by pool.ts. */
import { parentPort } from "node:worker_threads";
import { asTicklakeError } from "../../errors";
import { encodeBatch, type EncodedFile, type EncodeJob } from "./encode";

export interface JobMessage { readonly id: number; readonly job: EncodeJob }
export type ReplyMessage =
  | { readonly id: number; readonly files: EncodedFile[] }
  | { readonly id: number; readonly error: { code: string; message: string; stack: string | undefined } };

parentPort?.on("message", ({ id, job }: JobMessage) => {
  let reply: ReplyMessage;
  let memory: ArrayBuffer[] = [];
  try {
    const files = encodeBatch(job);
    reply = { id, files };
    memory = files.map((file) => file.bytes.buffer as ArrayBuffer);
  } catch (error) {
    const known = asTicklakeError(error);
    reply = { id, error: { code: known.code, message: known.message, stack: known.stack } };
  }
  parentPort!.postMessage(reply, memory);
});
