/** What the sink of Kafka topics needs and what it tells. */
import type { LogPosition, Part, SinkHandle, TargetPosition } from "../../delivery/types";
import type { TicklakeError } from "../../errors";
import type { pause } from "../../retry";
import type { KafkaClient } from "../types";
import type { KafkaSinkOptions } from "./options";
import type { TransactionRegistry } from "./transactional-sink";

/** What became of a message (the contract's result). */
export interface KafkaSinkResult {
  readonly topic: string;
  /** Kafka messages that were written for it. */
  readonly count: number;
  /** Their bytes before compression. */
  readonly bytes: number;
  /** From arrival to acknowledgement. */
  readonly ms: number;
  /** Last offset per partition: a number, beyond 2^53 text of its digits. */
  readonly partitions: Readonly<Record<string, number | string>>;
}

export interface KafkaSinkEvents {
  /** Kafka has all of a message. Its part is completed right after this returns. */
  acked(result: KafkaSinkResult, part: Part): void;
  /** Nothing of a message needed writing: empty, or in the topic already. It is completed right after this returns. */
  unwritten(topic: string, part: Part): void;
  /** Something that a repetition can mend: tried again after `waitMs`. */
  retrying(error: Error, waitMs: number): void;
  /** Messages were failed. */
  failed(error: TicklakeError): void;
  /** Something that the user should know, once. */
  warn(text: string): void;
  /** Counts changed (for the status). */
  changed(): void;
}

/** A message as it came. `payload` may be one that nobody has read yet (lib/trades/lazy). */
export interface SinkMessage { payload?: unknown; deadLetter?: unknown }

export interface KafkaSinkDeps {
  readonly client: KafkaClient;
  readonly options: KafkaSinkOptions;
  readonly ledger: SinkHandle;
  readonly events: KafkaSinkEvents;
  /** How people know this sink, for messages that name it. */
  readonly name: string;
  /** Unix ms. */
  readonly now?: () => number;
  readonly random?: () => number;
  readonly pause?: typeof pause;
  /** The other transactional sinks of this process; by default there is one for all. */
  readonly registry?: TransactionRegistry;
}

/** A sink of Kafka topics. */
export interface KafkaSink {
  /** Takes a message in. Completes, parks or fails the part; never throws. */
  add(message: SinkMessage, topic: string, part: Part): void;
  /** Looks a topic up, or creates it, ahead of the first message. */
  warm(topic: string): void;
  /** The ledger: something became committable. */
  settled(): void;
  /** The ledger: these were aborted; what of them was not sent yet is not sent. */
  aborted(parts: readonly Part[]): void;
  positions(at: LogPosition): TargetPosition[];
  forget(at: LogPosition): string[];
  /** Records that wait for their acknowledgement, and those acknowledged so far. */
  readonly waiting: number;
  /** Records that were taken in. */
  readonly received: number;
  readonly written: number;
  /** Waits for acknowledgements, fails what has none after `timeoutMs`, and closes its producers. */
  close(timeoutMs: number): Promise<void>;
}
