/**
 * How far a table is behind its topic. Pinot tells that itself since 0.12; before, the offsets it has read are compared with those of Kafka.
 */
import { isObject } from "./merge";
import type { JsonObject } from "./settings";

/** One partition of the topic, as the table reads it. */
export interface PartitionStatus {
  readonly partition: number;
  /** The segment that takes its rows now; undefined while none does. */
  readonly segment?: string;
  /** `CONSUMING`, `NOT_CONSUMING`; `STARTING` while no server tells of it. */
  readonly state: string;
  /** The next record that is read (a number; text of its digits beyond 2^53). */
  readonly offset?: number | string;
  /** Records that are in the topic and not in the table yet; undefined where that is not known. */
  readonly recordsLag?: number;
  /** How long the oldest of them has waited, ms; 0 without a lag; undefined where that is not known. */
  readonly lagMs?: number;
}

/** What is asked of Kafka. */
export interface LagSource {
  /** Next offset of each partition, in the order asked for. @throws TicklakeError where Kafka cannot be reached */
  ends(topic: string, partitions: readonly number[]): Promise<bigint[]>;
  /** Unix ms of the record at an offset, or undefined. */
  timestamp(topic: string, partition: number, offset: bigint): Promise<number | undefined>;
  close(): Promise<void>;
}

/** `trades__0__12__20261123T0708Z`: table, partition, sequence number, when it was begun. */
export function segmentParts(name: string): { partition: number; sequence: number } | undefined {
  const [, partition, sequence] = /__(\d+)__(\d+)__[^_]+$/.exec(name) ?? [];
  return partition === undefined ? undefined : { partition: Number(partition), sequence: Number(sequence) };
}

/**
 * The partitions by what servers say of their consuming segments.
 *
 * @param body what `consumingSegmentsInfo` answers. Of several segments of a partition the newest that a server tells of counts, of several replicas the
 *   one that is behind most.
 */
export function partitionsOf(body: unknown): PartitionStatus[] {
  const map = isObject(body) && isObject(body["_segmentToConsumingInfoMap"]) ? body["_segmentToConsumingInfoMap"] : {};
  const newest = new Map<number, { sequence: number; told: boolean; status: PartitionStatus }>();
  for (const [segment, replicas] of Object.entries(map)) {
    const parts = segmentParts(segment);
    if (!parts) continue;
    const { partition, sequence } = parts;
    const infos = (Array.isArray(replicas) ? replicas : []).filter(isObject);
    const before = newest.get(partition);
    const told = infos.length > 0;
    if (before && (before.told !== told ? before.told : before.sequence > sequence)) continue;
    newest.set(partition, { sequence, told, status: told ? slowest(infos.map((info) => replica(info, partition, segment))) : { partition, segment, state: "STARTING" } });
  }
  return [...newest.values()].map(({ status }) => status).sort((a, b) => a.partition - b.partition);
}

function replica(info: JsonObject, partition: number, segment: string): PartitionStatus {
  const offsets = isObject(info["partitionOffsetInfo"]) ? info["partitionOffsetInfo"] : {};
  const at = (map: unknown): unknown => (isObject(map) ? map[String(partition)] : undefined);
  const offset = at(offsets["currentOffsetsMap"]) ?? at(info["partitionToOffsetMap"]);
  // NOT_CALCULATED and the like, where a server cannot tell.
  const records = wholeOf(at(offsets["recordsLagMap"])), ms = wholeOf(at(offsets["availabilityLagMsMap"]));
  return {
    partition, segment, state: String(info["consumerState"] ?? "STARTING"), ...(offset === undefined ? {} : { offset: plain(offset) }),
    ...(records === undefined ? {} : { recordsLag: records }), ...(records === 0 ? { lagMs: 0 } : ms === undefined ? {} : { lagMs: ms }),
  };
}

function slowest(replicas: readonly PartitionStatus[]): PartitionStatus {
  return replicas.reduce((a, b) => ((b.recordsLag ?? -1) > (a.recordsLag ?? -1) || (a.state === "CONSUMING" && b.state !== "CONSUMING") ? b : a));
}

function wholeOf(value: unknown): number | undefined {
  return /^\d+$/.test(String(value)) ? Number(value) : undefined;
}

function plain(value: unknown): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

const FEW = 32n;

/** The partitions with the lag that follows from Kafka's own offsets, where Pinot told none. */
export async function withKafkaLag(partitions: readonly PartitionStatus[], topic: string, kafka: LagSource, now: number): Promise<PartitionStatus[]> {
  const asked = partitions.filter((one) => one.recordsLag === undefined && one.offset !== undefined);
  const ends = await kafka.ends(topic, asked.map((one) => one.partition));
  const measured = new Map(await Promise.all(asked.map(async (one, at): Promise<[number, PartitionStatus]> => {
    const offset = BigInt(one.offset!);
    const behind = ends[at]! - offset;
    if (behind <= 0n) return [one.partition, { ...one, recordsLag: 0, lagMs: 0 }];
    // Marks of transactions' ends take offsets, and are no records. Among few it is looked which of them hold one; among many they do not count.
    if (behind <= FEW) {
      const times = (await Promise.all(Array.from({ length: Number(behind) }, (_, k) => kafka.timestamp(topic, one.partition, offset + BigInt(k))))).filter((time) => time !== undefined);
      return [one.partition, { ...one, recordsLag: times.length, lagMs: times.length === 0 ? 0 : Math.max(0, now - times[0]!) }];
    }
    const waiting = await kafka.timestamp(topic, one.partition, offset);
    return [one.partition, { ...one, recordsLag: Number(behind), ...(waiting === undefined ? {} : { lagMs: Math.max(0, now - waiting) }) }];
  })));
  return partitions.map((one) => measured.get(one.partition) ?? one);
}

/** The lag of the whole table: records added up, the longest wait; undefined where a partition's is not known. */
export function totalLag(partitions: readonly PartitionStatus[]): { readonly records?: number; readonly ms?: number } {
  const records = known(partitions.map((one) => one.recordsLag)), ms = known(partitions.map((one) => one.lagMs));
  return { ...(records ? { records: records.reduce((sum, one) => sum + one, 0) } : {}), ...(ms ? { ms: Math.max(...ms) } : {}) };
}

/** All values, or undefined when one is missing or there is none. */
function known(values: readonly (number | undefined)[]): number[] | undefined {
  const there = values.filter((value) => value !== undefined);
  return there.length > 0 && there.length === values.length ? there : undefined;
}
