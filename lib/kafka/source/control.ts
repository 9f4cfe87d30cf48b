import { TicklakeError } from "../../errors";
import { parseTime } from "./config";

/** Where a seek goes. */
export type SeekTarget = "earliest" | "latest" | { readonly offset: bigint } | { readonly timestamp: number };

/** Which partitions: of one topic, or all; one of them, or all. */
export interface Selection { readonly topic?: string; readonly partition?: number }

export type Control = Selection & (
  | { readonly command: "pause" | "resume" }
  | { readonly command: "seek"; readonly to: SeekTarget; /** Tables that are fed forget how far they are. */ readonly forget: boolean }
);

const HELP = 'Send "pause", "resume", or {command: "seek", offset: 0 | "earliest" | "latest", or timestamp: "2024-11-01T13:30:00Z"}, for one topic or partition with topic and partition.';

/**
 * Reads a control message: the properties of the message itself (`msg.command` ...) or of its payload, or a payload of one word.
 *
 * @throws TicklakeError CONTROL_INVALID
 */
export function parseControl(msg: Readonly<Record<string, unknown>>): Control {
  const { payload } = msg;
  if (typeof msg["command"] === "string") return control(msg);
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return control(payload as Record<string, unknown>);
  const word = typeof payload === "string" ? payload.trim().toLowerCase() : "";
  if (word === "pause" || word === "resume") return { command: word };
  throw invalid(`msg.payload is no control message. ${HELP}`);
}

function control(raw: Readonly<Record<string, unknown>>): Control {
  const command = typeof raw["command"] === "string" ? raw["command"].trim().toLowerCase() : raw["command"];
  const selection = { ...topicOf(raw["topic"]), ...partitionOf(raw["partition"]) };
  if (selection.partition !== undefined && selection.topic === undefined) throw invalid("partition: name the topic, too.");
  if (command === "pause" || command === "resume") return { command, ...selection };
  if (command !== "seek") throw invalid(`"${String(command)}" is no command. ${HELP}`);
  const forget = raw["forget"];
  if (forget !== undefined && typeof forget !== "boolean") throw invalid("forget: true or false.");
  return { command, ...selection, to: targetOf(raw), forget: forget ?? false };
}

function topicOf(topic: unknown): { topic?: string } {
  if (topic === undefined || topic === null || topic === "") return {};
  if (typeof topic !== "string") throw invalid("topic: a topic's name as text.");
  return { topic };
}

function partitionOf(partition: unknown): { partition?: number } {
  if (partition === undefined || partition === null || partition === "") return {};
  const number = Number(partition);
  if (!Number.isInteger(number) || number < 0) throw invalid(`partition: "${String(partition)}" is no partition's number.`);
  return { partition: number };
}

function targetOf({ offset, timestamp }: Readonly<Record<string, unknown>>): SeekTarget {
  if (offset !== undefined && timestamp !== undefined) throw invalid("Say either offset or timestamp, not both.");
  if (timestamp !== undefined) return { timestamp: timeOf(timestamp) };
  if (offset === "earliest" || offset === "latest") return offset;
  if (typeof offset === "bigint" && offset >= 0n) return { offset };
  if (typeof offset === "number" && Number.isSafeInteger(offset) && offset >= 0) return { offset: BigInt(offset) };
  if (typeof offset === "string" && /^\d{1,19}$/.test(offset.trim())) return { offset: BigInt(offset.trim()) };
  if (typeof offset === "string" && /^\d{4}-\d\d-/.test(offset.trim())) return { timestamp: timeOf(offset) };
  throw invalid(`offset: ${offset === undefined ? "missing" : `"${String(offset)}" is none`}. ${HELP}`);
}

function timeOf(value: unknown): number {
  try { return parseTime(value, "timestamp"); } catch (error) { throw invalid((error as Error).message); }
}

function invalid(message: string): TicklakeError { return new TicklakeError("CONTROL_INVALID", message); }
