import { TicklakeError } from "../../errors";
import { parseJson } from "../json";

/** Rows as they arrived: objects, or whatever else stood in their place (the accumulator rejects those one by one). */
export type Rows = readonly unknown[];

/**
 * The rows of a message: an array, one object, or JSON text of these in a string or Buffer (one document, or one
 * document a line). Integers beyond 2^53 in text arrive exact, as bigint.
 *
 * @throws TicklakeError RECORD_INVALID when there is nothing that could be a row
 */
export function rowsOf(payload: unknown): Rows {
  if (Array.isArray(payload)) return payload;
  if (typeof payload === "string") return rowsOfText(payload);
  if (Buffer.isBuffer(payload) || payload instanceof Uint8Array) return rowsOfText(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"));
  if (typeof payload === "object" && payload !== null) return [payload];
  throw new TicklakeError("RECORD_INVALID", `msg.payload is ${payload === null ? "null" : typeof payload}. Send an array of objects, one object, or JSON text of these.`);
}

function rowsOfText(text: string): Rows {
  const trimmed = text.trim();
  if (trimmed === "") throw new TicklakeError("RECORD_INVALID", "msg.payload is empty text. Send JSON.");
  try {
    return asRows(parseJson(trimmed));
  } catch (cause) {
    // One document a line is what tools print and topics hold; a line that is broken is rejected alone.
    const lines = trimmed.split("\n").filter((line) => line.trim() !== "");
    if (lines.length > 1) {
      const rows = lines.map((line) => { try { return parseJson(line); } catch { return line; } });
      if (rows.some((row) => typeof row === "object")) return rows;
    }
    throw new TicklakeError("RECORD_INVALID", `msg.payload is text, but not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function asRows(value: unknown): Rows {
  return Array.isArray(value) ? value : [value];
}
