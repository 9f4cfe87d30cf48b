/** What a Kafka source needs and what it tells. Scripted fakes of these drive it in tests. */
import type { BatchSpec, Delivery, LogPosition, OpenPartition, TargetPosition } from "../../delivery/types";
import type { TicklakeError } from "../../errors";
import type { LazyPayload } from "../../trades/lazy";
import type { KafkaRecord } from "./decode";

/** Time, injected. */
export interface SourceClock {
  /** Unix ms. */
  now(): number;
  /** Calls back once after `ms`; the result cancels. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back in a later turn of the event loop. */
  later(callback: () => void): void;
}

/** What a delivery of ours remembers. */
export interface BatchContext {
  /** Partition's reader, and its session: a seek begins a new one, and what comes of an old one is ignored. */
  readonly reader: object;
  readonly session: number;
  readonly firstOffset: bigint;
  readonly nextOffset: bigint;
}

/** Where it came from, for `msg.kafka`. */
export interface BatchPlace {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number | string;
  readonly lastOffset: number | string;
}

/** A record that cannot be delivered, for output 2. */
export interface DeadLetter {
  /** The original one: key, headers, offset, timestamp, and its value as it was. */
  readonly record: KafkaRecord;
  readonly topic: string;
  readonly partition: number;
  readonly reason: string;
  /** Id of the node in which it failed; undefined for one that cannot be decoded. */
  readonly node?: string;
  /** How often its batch was tried; 0 for one that cannot be decoded. */
  readonly attempts: number;
}

/** The messages of one delivery: one on output 1 (none without records), one per dead letter on output 2. */
export interface OutgoingBatch {
  readonly records?: KafkaRecord[] | LazyPayload;
  readonly place: BatchPlace;
  readonly deadLetters: readonly DeadLetter[];
}

export interface HeldBatch {
  readonly delivery: Delivery<BatchContext>;
  send(batch: OutgoingBatch): void;
  fail(error: Error): void;
}

/** The ledger's side, and the node's outputs. See NodeSource. */
export interface SourcePort {
  /** Flows run. */
  readonly sending: boolean;
  /** Output 2 is wired. */
  readonly deadLettersWired: boolean;
  hasRoom(): boolean;
  send(spec: BatchSpec<BatchContext>, batch: OutgoingBatch): Delivery<BatchContext>;
  hold(spec: BatchSpec<BatchContext>): HeldBatch;
  abort(partition: string): void;
  press(): void;
  drain(timeoutMs: number): Promise<void>;
  offsetsCommittedBySink(partition: string): boolean;
  /** Sinks look whether their targets have lost something of a partition, before it is read. */
  assigned(partition: string, at: LogPosition): void;
  openPartitions(): OpenPartition[];
  positions(at: LogPosition): Promise<TargetPosition[]>;
  forget(at: LogPosition): Promise<string[]>;
  stats(): { readonly open: number; readonly records: number; readonly bytes: number };
}

/** What a source has to tell people. */
export interface SourceNews {
  error(error: TicklakeError): void;
  warn(text: string): void;
  /** The status may have changed. */
  changed(): void;
}
