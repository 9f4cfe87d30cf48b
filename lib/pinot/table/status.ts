/**
 * How a table is: partition by partition, its segments, its size, what went wrong.
 */
import { asTicklakeError, type TicklakeError } from "../../errors";
import { orElse } from "./api";
import type { TableContext } from "./context";
import { type PartitionStatus, partitionsOf, totalLag, withKafkaLag } from "./lag";
import { isObject } from "./merge";
import type { JsonObject } from "./settings";

export interface TableStatus {
  readonly operation: "status";
  readonly table: string;
  /** Of the controller. */
  readonly version: string;
  readonly state: "consuming" | "paused" | "pausing" | "starting" | "failing";
  readonly partitions: readonly PartitionStatus[];
  /** Over all partitions; a part that is not known is left out. */
  readonly lag: { readonly records?: number; readonly ms?: number };
  /** Who told it: Pinot itself, or Kafka's offsets; undefined where nobody did. */
  readonly lagFrom?: "pinot" | "kafka";
  readonly segments: { readonly consuming: number; readonly sealed: number };
  /** Of sealed segments on the servers, all replicas; undefined while no server tells. */
  readonly sizeBytes?: number;
  /** Pinot's own judgement, and what went wrong. */
  readonly ingestion: { readonly state: string; readonly errors: readonly string[] };
  /** What could not be asked, and why. */
  readonly unknown: readonly string[];
}

/** @throws TicklakeError TABLE_NOT_FOUND; what requests throw */
export async function tableStatus(context: TableContext): Promise<TableStatus> {
  const { api, cluster, settings } = context;
  const [version, config] = await Promise.all([cluster.version(context.signal), api.existing()]);
  const unknown: string[] = [];
  const note = (message: string): void => { unknown.push(message); };
  const [consuming, paused, size, segments, debug] = await Promise.all([
    orElse(api.consuming(), note), orElse(api.pauseStatus(), note), orElse(api.size(), note), orElse(api.segments(), note), orElse(api.debug(), note),
  ]);
  const told = partitionsOf(consuming);
  const { partitions, lagFrom } = await lags(context, config, told, note);
  const names = segmentNames(segments);
  const open = new Set(partitions.map((one) => one.segment));
  const errors = ingestionErrors(debug);
  const isPaused = isObject(paused) && paused["pauseFlag"] === true;
  const held = isObject(paused) && Array.isArray(paused["consumingSegments"]) ? paused["consumingSegments"].length : 0;
  return {
    operation: "status", table: settings.table, version: version.text,
    state: isPaused ? (held > 0 ? "pausing" : "paused") : stateOf(partitions, errors),
    partitions, lag: totalLag(partitions), ...(lagFrom ? { lagFrom } : {}),
    segments: { consuming: partitions.filter((one) => one.state === "CONSUMING").length, sealed: names.filter((name) => !open.has(name) && !isBegun(name, consuming)).length },
    ...sizeOf(size), ingestion: { state: ingestionState(debug), errors }, unknown,
  };
}

/** Of segments that hold rows already; those that a server is only about to begin are none of them. */
function isBegun(name: string, consuming: unknown): boolean {
  return isObject(consuming) && isObject(consuming["_segmentToConsumingInfoMap"]) && name in consuming["_segmentToConsumingInfoMap"];
}

function stateOf(partitions: readonly PartitionStatus[], errors: readonly string[]): TableStatus["state"] {
  if (partitions.some((one) => one.state === "NOT_CONSUMING") || (errors.length > 0 && partitions.every((one) => one.state !== "CONSUMING"))) return "failing";
  return partitions.length > 0 && partitions.every((one) => one.state === "CONSUMING") ? "consuming" : "starting";
}

async function lags(context: TableContext, config: JsonObject, told: readonly PartitionStatus[], note: (message: string) => void): Promise<{ partitions: readonly PartitionStatus[]; lagFrom?: "pinot" | "kafka" }> {
  const open = told.filter((one) => one.offset !== undefined);
  if (open.length === 0) return { partitions: told };
  if (open.every((one) => one.recordsLag !== undefined)) return { partitions: told, lagFrom: "pinot" };
  const { topic, brokers } = streamOf(config);
  if (!context.kafka || topic === "" || brokers === "") { note("This Pinot does not tell how far it is behind its topic, and Kafka was not asked."); return { partitions: told }; }
  const kafka = context.kafka(brokers);
  try {
    return { partitions: await withKafkaLag(told, topic, kafka, context.now()), lagFrom: "kafka" };
  } catch (caught) {
    const { message }: TicklakeError = asTicklakeError(caught, "KAFKA_FAILED");
    note(`This Pinot does not tell how far it is behind its topic, and Kafka, whose offsets would tell it, does not answer Node-RED at ${brokers} (the address that Pinot uses): ${message}`);
    return { partitions: told };
  } finally {
    await kafka.close().catch(() => undefined);
  }
}

/** Where a table reads, in either place of its configuration. */
export function streamOf(config: JsonObject): { topic: string; brokers: string } {
  const ingestion = isObject(config["ingestionConfig"]) ? config["ingestionConfig"]["streamIngestionConfig"] : undefined;
  const maps = isObject(ingestion) && Array.isArray(ingestion["streamConfigMaps"]) ? ingestion["streamConfigMaps"] as unknown[] : [];
  const index = config["tableIndexConfig"];
  const stream = [maps[0], isObject(index) ? index["streamConfigs"] : undefined].find(isObject) ?? {};
  return { topic: String(stream["stream.kafka.topic.name"] ?? ""), brokers: String(stream["stream.kafka.broker.list"] ?? "") };
}

function segmentNames(body: unknown): string[] {
  return (Array.isArray(body) ? body : []).filter(isObject).flatMap((one) => (Array.isArray(one["REALTIME"]) ? one["REALTIME"] as unknown[] : [])).map(String);
}

/** Segments that a server has not sealed yet are reported with -1. */
function sizeOf(body: unknown): { sizeBytes?: number } {
  const real = isObject(body) ? body["realtimeSegments"] : undefined;
  const bytes = isObject(real) ? Number(real["reportedSizeInBytes"]) : NaN;
  return bytes >= 0 ? { sizeBytes: bytes } : {};
}

const debugged = (body: unknown): JsonObject[] => (Array.isArray(body) ? body : []).filter(isObject);

function ingestionState(body: unknown): string {
  const status = debugged(body).map((one) => one["ingestionStatus"]).find(isObject);
  return String(status?.["ingestionState"] ?? "UNKNOWN");
}

/** What the servers and Pinot's own judgement complain about, each once. */
function ingestionErrors(body: unknown): string[] {
  const found = new Set<string>();
  const collect = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(collect);
    else if (isObject(value)) for (const [name, one] of Object.entries(value)) { if (name === "errorMessage" && typeof one === "string" && one.trim() !== "") found.add(one.trim()); else collect(one); }
  };
  collect(debugged(body));
  return [...found];
}
