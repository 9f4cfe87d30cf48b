/** What messages of Catch and Complete nodes, and errors that nodes log, say. Pure. */
import { TicklakeError } from "../errors";

interface AboutNode { readonly [key: string]: unknown }

/** The node whose error or completion a message tells of. */
export function sourceOf(message: AboutNode, kind: "complete" | "error"): string | undefined {
  const about = message[kind] as { source?: { id?: unknown } } | undefined;
  const id = about?.source?.id;
  return typeof id === "string" ? id : undefined;
}

/** The text of the error that a Catch node received. */
export function errorText(message: AboutNode): string {
  const text = (message["error"] as { message?: unknown } | undefined)?.message;
  return typeof text === "string" ? text : "error";
}

/** Whatever a node handed to `done` or to the log, as an error. */
export function asError(error: unknown): Error { return error instanceof Error ? error : new TicklakeError("DELIVERY_FAILED", String(error)); }
