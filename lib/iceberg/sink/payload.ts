import { TicklakeError } from "../../errors";
import { parseJson } from "../json";

/** Rows as they arrived: objects, or whatever else stood in their place (the accumulator rejects those one by one). */
export type Rows = readonly unknown[];

/**
 * The rows of a message: an array, one object, or JSON text of these in a string or Buffer (one document, or one
 * document a line). Integers beyond 2^53 in text arrive exact, as bigint. Of records of Kafka whose values are objects or lists, these are the rows.
 *
 * @throws TicklakeError RECORD_INVALID when there is nothing that could be a row
 */
export function rowsOf(payload: unknown): Rows {
  if (Array.isArray(payload)) return unwrapped(payload);
  if (typeof payload === "string") return rowsOfText(payload);
  if (Buffer.isBuffer(payload) || payload instanceof Uint8Array) return rowsOfText(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"));
  if (typeof payload === "object" && payload !== null) return [payload];
  throw new TicklakeError("RECORD_INVALID", `msg.payload is ${payload === null ? "null" : typeof payload}. Send an array of objects, one object, or JSON text of these.`);
}

const RECORD = new Set(["key", "value", "headers", "offset", "timestamp"]);

/** Whether a row is a record of Kafka as kafka-in sends it, and nothing else. */
export function isKafkaRecord(row: unknown): row is { readonly value: unknown } {
  if (typeof row !== "object" || row === null || !("value" in row && "offset" in row && "timestamp" in row)) return false;
  for (const name in row) if (!RECORD.has(name)) return false;
  return true;
}

/** What records hold, where that is objects or lists of them: a list's elements are rows of their own. */
function unwrapped(rows: Rows): Rows {
  if (!isKafkaRecord(rows[0])) return rows;
  const first = rows.find((row) => isKafkaRecord(row) && row.value !== null) as { value: unknown } | undefined;
  if (typeof first?.value !== "object" || ArrayBuffer.isView(first.value)) return rows;
  const out: unknown[] = [];
  for (const row of rows) {
    if (!isKafkaRecord(row)) out.push(row);
    else if (Array.isArray(row.value)) for (const element of row.value as unknown[]) out.push(element);
    // A record without value stays what it is: its reject says where it stood.
    else out.push(row.value ?? row);
  }
  return out;
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
