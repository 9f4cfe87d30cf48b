/** What stands under a sink. Pure. */
import type { TicklakeError } from "../../errors";
import { formatCount } from "../../trades/generator-rate";

export interface SinkFacts {
  /** Records acknowledged so far, acknowledged a second now, and waiting. */
  readonly written: number;
  readonly rate: number;
  readonly waiting: number;
  /** Trouble that is not over: tried again in so many seconds, or (undefined) messages have failed. */
  readonly trouble?: { readonly error: TicklakeError | Error; readonly nextTryS?: number };
}

/** What is in the way, for the errors that mend themselves. */
const TROUBLE: { readonly [code: string]: string | undefined } = { KAFKA_UNREACHABLE: "broker down", KAFKA_FAILED: "Kafka refuses at present" };


export function describeSink({ written, rate, waiting, trouble }: SinkFacts): { kind: "ok" | "idle" | "warn" | "fail"; text: string } {
  if (trouble?.nextTryS !== undefined) {
    const { code } = trouble.error as TicklakeError;
    return { kind: "warn", text: `${TROUBLE[code] ?? code ?? "retrying"}, ${formatCount(waiting)} waiting, next try in ${trouble.nextTryS} s` };
  }
  if (trouble) return { kind: "fail", text: trouble.error.message };
  if (rate > 0) return { kind: "ok", text: `${formatCount(rate)}/s${waiting > 0 ? `, ${formatCount(waiting)} waiting` : ""}` };
  if (waiting > 0) return { kind: "ok", text: `${formatCount(waiting)} waiting` };
  return written > 0 ? { kind: "ok", text: `${formatCount(written)} sent` } : { kind: "idle", text: "ready" };
}
