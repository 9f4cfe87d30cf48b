import { TicklakeError } from "../../errors";
import type { PartitionLag, Reading } from "../../metrics/reading";
import { formatCount } from "../../trades/generator-rate";
import { formatWait } from "../../trades/pace";
import type { ConsumerState } from "../types";
import type { PartitionReader } from "./reader";

export interface SourceStatus { readonly kind: "ok" | "idle" | "warn" | "fail"; readonly text: string }

/** What a status says of a partition. */
export type StatusPartition = Pick<PartitionReader, "key" | "state" | "position" | "end" | "error" | "attempts" | "retryAt" | "userPaused" | "isolating">;

export interface StatusFacts {
  readonly state: ConsumerState | "idle";
  /** Why it is down. */
  readonly trouble: Error | undefined;
  readonly unknownTopics: string | undefined;
  readonly groupId: string;
  readonly partitions: readonly StatusPartition[];
  /** Records a second. */
  readonly rate: number;
  readonly inFlight: number;
  /** At its bound. */
  readonly full: boolean;
  readonly heldUpBy: string | undefined;
  readonly deadLetters: number;
  readonly undecodable: number;
  readonly paused: boolean;
  readonly now: number;
}

/** What to show under the node: what needs somebody first, then what mends itself, then rate, lag and what is in flight. */
export function describeSource(facts: StatusFacts): SourceStatus {
  const { state, trouble, partitions, now } = facts;
  const stopped = partitions.filter((one) => one.state === "stopped");
  if (stopped.length > 0) return { kind: "fail", text: `${stopped.length === partitions.length ? "stopped" : `${stopped.length} of ${partitions.length} stopped`}: ${reasonOf(stopped[0]!)}` };
  if (trouble) return { kind: "warn", text: `${codeOf(trouble) === "KAFKA_UNREACHABLE" || state === "down" ? "broker down" : "trouble"}: ${gist(trouble.message)}` };
  const damaged = partitions.find((one) => one.state === "damaged");
  if (damaged) return { kind: "fail", text: `${damaged.key} cannot be read at ${damaged.position}: ${damaged.error?.message ?? "damaged"}` };
  if (facts.unknownTopics !== undefined && partitions.length === 0) return { kind: "warn", text: `waiting for ${topicsIn(facts.unknownTopics)}` };
  if (state === "idle") return { kind: "idle", text: "not started" };
  if (state === "stopped") return { kind: "idle", text: "stopped" };
  if (state === "connecting") return { kind: "idle", text: "connecting" };
  if (state === "down") return { kind: "warn", text: "broker down, trying again" };
  if (state === "joining" && partitions.length === 0) return { kind: "idle", text: `joining group ${facts.groupId}` };
  if (partitions.length === 0) return { kind: "idle", text: facts.paused ? "paused" : "no partition assigned; other members have them" };
  if (partitions.every((one) => one.userPaused)) return { kind: "idle", text: `paused, ${lagOf(partitions)}` };
  const failing = partitions.filter((one) => one.state === "backing-off" && one.error);
  if (failing.length > 0) return { kind: "warn", text: `delivery failed, again${waitOf(failing, now)}: ${failing[0]!.error!.message}` };
  const isolating = partitions.find((one) => one.state === "isolating" || one.isolating);
  if (isolating) return { kind: "warn", text: `looking for the record that fails in ${isolating.key} from ${isolating.position}` };
  if (facts.heldUpBy !== undefined) return { kind: "warn", text: `at its bound, waiting for ${facts.heldUpBy}` };
  const text = `${formatCount(facts.rate)}/s, ${lagOf(partitions)}, ${formatCount(facts.inFlight)} in flight${extras(facts)}`;
  return { kind: facts.undecodable > 0 || facts.unknownTopics !== undefined ? "warn" : "ok", text };
}

/** The lag of each partition whose end is known, and of all these together. */
export function lagFigures(readers: readonly Pick<PartitionReader, "topic" | "partition" | "position" | "end" | "state">[]): Pick<Reading, "lag" | "partitions"> {
  const partitions = readers.flatMap((reader): PartitionLag[] => {
    const lag = behind(reader);
    return lag === undefined ? [] : [{ topic: reader.topic, partition: reader.partition, lag }];
  });
  return { partitions, ...(partitions.length > 0 ? { lag: partitions.reduce((sum, { lag }) => sum + lag, 0) } : {}) };
}

/** Records that are in the log and not read yet; undefined while the end, or where reading begins, is not known. */
function behind({ position, end, state }: Pick<StatusPartition, "position" | "end" | "state">): number | undefined {
  if (end === undefined || state === "starting") return undefined;
  return end > position ? Number(end - position) : 0;
}

/** Over all partitions whose end is known. */
export function lagOf(partitions: readonly Pick<StatusPartition, "position" | "end" | "state">[]): string {
  return `lag ${formatCount(partitions.reduce((sum, one) => sum + (behind(one) ?? 0), 0))}`;
}

/**
 * Why it cannot read what is there, in the words of the status; undefined while it can. Waiting for a slow flow, being paused, and having no partition because other
 * members have them all are no reasons.
 */
export function notReadyOf(facts: StatusFacts): string | undefined {
  const { state, trouble, partitions, unknownTopics } = facts;
  const waits = state === "idle" || state === "connecting" || state === "down" || (state === "joining" && partitions.length === 0);
  const broken = trouble !== undefined || partitions.some((one) => one.state === "stopped" || one.state === "damaged");
  return waits || broken || (unknownTopics !== undefined && partitions.length === 0) ? describeSource(facts).text : undefined;
}

function extras({ full, deadLetters, undecodable, paused, partitions, unknownTopics }: StatusFacts): string {
  const pausedCount = partitions.filter((one) => one.userPaused).length;
  return `${full ? ", at its bound" : ""}${deadLetters > 0 ? `, ${formatCount(deadLetters)} dead letter${deadLetters === 1 ? "" : "s"}` : ""}${undecodable > 0 ? `, ${formatCount(undecodable)} undecodable` : ""}`
    + `${!paused && pausedCount > 0 ? `, ${pausedCount} paused` : ""}${unknownTopics === undefined ? "" : `; waiting for ${topicsIn(unknownTopics)}`}`;
}

function reasonOf({ key, error }: StatusPartition): string { return `${key}: ${error?.message ?? "failures"}`; }

function waitOf(failing: readonly StatusPartition[], now: number): string {
  const next = Math.min(...failing.map((one) => one.retryAt ?? now));
  return next > now + 500 ? ` in ${formatWait(next - now)}` : "";
}

/** Topics "a", "b" cannot be read (...) -> topics a, b; There is no topic "a" at ... -> topic a */
function topicsIn(message: string): string {
  const names = [...(/^Topics? ("[^"]*"(?:, "[^"]*")*)/.exec(message)?.[1] ?? /"[^"]*"/.exec(message)?.[0] ?? message).matchAll(/"([^"]*)"/g)].map((match) => match[1]!);
  return names.length === 0 ? `a topic: ${message}` : `topic${names.length > 1 ? "s" : ""} ${names.join(", ")}`;
}

/**
 * What fits under a node: "Group "g": None of the brokers answers. Connecting to the cluster failed: nothing listens at a:9092. Check ..." is
 * "nothing listens at a:9092".
 */
function gist(message: string): string {
  const text = message.replace(/^Group "[^"]*": /, "").replace(/^None of the brokers answers\. /, "").replace(/^[^:.(]* failed: /, "");
  return /^(.*?[^.])\.(?: |$)/.exec(text)?.[1] ?? text;
}

function codeOf(error: Error): string | undefined { return error instanceof TicklakeError ? error.code : undefined; }
