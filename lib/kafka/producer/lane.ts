import { TicklakeError } from "../../errors";
import { backoffMs, pause } from "../../retry";
import { place } from "../cluster";
import { KAFKA_ERRORS } from "../error-codes";
import { KafkaCode, kafkaCodeOf, kafkaError } from "../errors";
import type { LogLevel } from "../log";
import type { RefusedRecord } from "../protocol/produce";
import type { ProducerIdentity } from "../requests/transactions";
import type { Compression, Produced, RecordBatch, TopicPartition } from "../types";
import type { BatchSender, Outcome } from "./sender";
import { onAbort } from "./signals";
import { halves, only } from "./split";

/** A topic that is not known is waited for: brokers learn of new topics and leaders one after the other. */
const UNKNOWN_TOPIC_MS = 30_000;
/** A batch whose checksum the broker finds wrong so often was not damaged on its way. */
const CORRUPT_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const LAST_EPOCH = 32_766;

/**
 * Answers after which a batch may be in the log all the same. A leader that is replaced while it waits for its replicas says so (NOT_LEADER_OR_FOLLOWER,
 * FENCED_LEADER_EPOCH), and what they have by then stays.
 */
const MAYBE_WRITTEN: ReadonlySet<number> = new Set([
  KafkaCode.unknownServerError, KafkaCode.notLeaderOrFollower, KafkaCode.requestTimedOut, 13, KafkaCode.notEnoughReplicasAfterAppend, 56, 74,
]);
/** Answers by which a broker says that it does not follow our numbering (any more). */
const OUT_OF_STEP: ReadonlySet<number> = new Set([KafkaCode.outOfOrderSequenceNumber, KafkaCode.unknownProducerId, KafkaCode.invalidProducerEpoch, KafkaCode.invalidProducerIdMapping]);
const TOO_LARGE: ReadonlySet<number> = new Set([KafkaCode.messageTooLarge, KafkaCode.recordListTooLarge]);
const REFUSED: ReadonlySet<number> = new Set([KafkaCode.invalidRecord, KafkaCode.invalidTimestamp]);
/** Answers of a transaction that has to be aborted, or of an owner that was replaced. */
const TRANSACTION_OVER: ReadonlySet<number> = new Set([KafkaCode.invalidTxnState, KafkaCode.transactionAbortable, KafkaCode.producerFenced]);

/** The clock of a producer. */
export interface ProducerClock {
  now(): number;
  pause(ms: number, signal?: AbortSignal): Promise<void>;
  random(): number;
}

export const REAL_CLOCK: ProducerClock = { now: Date.now, pause, random: Math.random };

export interface LaneOptions {
  readonly compression: Compression;
  readonly sender: BatchSender;
  readonly clock: ProducerClock;
  /** A producer id that was never used; undefined: not idempotent, or numbered by `renumber`. Repeated when it fails. */
  readonly identify: (() => Promise<ProducerIdentity>) | undefined;
  readonly transactional: boolean;
  readonly retrying?: ((error: Error, waitMs: number) => void) | undefined;
  readonly log?: ((level: LogLevel, text: string) => void) | undefined;
}

/** A call of `send`; a batch that was split counts as one. */
interface Sending {
  readonly count: number;
  readonly refused: { readonly index: number; readonly error: TicklakeError }[];
  written: number;
  /** Of its first record; undefined where the broker did not say, or it went out in pieces, which need not lie side by side. */
  baseOffset: bigint | undefined;
  /** Parts of it that are not decided. */
  open: number;
  settled: boolean;
  resolve(produced: Produced): void;
  reject(error: TicklakeError): void;
}

/** A batch on its way, or part of one. */
interface Piece {
  readonly sending: Sending;
  readonly batch: RecordBatch;
  /** Index of its record k in the batch that was handed in. */
  readonly index: (k: number) => number;
  /** Bytes, kept until the outcome is known: a repetition sends exactly these. */
  encoded: Buffer | undefined;
  /** It may be in the log already. */
  maybeWritten: boolean;
  corrupt: number;
}

/**
 * The batches for one partition: one outstanding at a time, each under its sequence number. While the outcome of a batch is not known
 * nothing else goes out, and what goes out first is the same bytes under the same number, by which the broker recognises it. (kafkajs
 * counts back after an error and gives the number to whatever comes next: an append that was not acknowledged then hides another batch
 * of the same size.)
 */
export class Lane {
  private readonly queue: Piece[] = [];
  private identity: ProducerIdentity | undefined;
  private sequence = 0;
  private running = false;
  private closed: TicklakeError | undefined;
  private unknownSince: number | undefined;
  private idle: (() => void)[] = [];
  /** Ends the pause before the next attempt. */
  private wake: AbortController | undefined;

  constructor(private readonly at: TopicPartition, private readonly options: LaneOptions) {}

  /** Nothing is queued or under way. */
  get isIdle(): boolean { return !this.running; }

  send(batch: RecordBatch, signal?: AbortSignal): Promise<Produced> {
    return new Promise((resolve, reject) => {
      if (this.closed || signal?.aborted) { reject(this.closed ?? stopped()); return; }
      const sending: Sending = { count: batch.count, refused: [], written: 0, baseOffset: undefined, open: 1, settled: false, resolve, reject };
      this.queue.push({ sending, batch, index: (k) => k, encoded: undefined, maybeWritten: false, corrupt: 0 });
      if (signal) {
        // Whoever stops does not wait for an answer; this lane does, so that the next batch finds a known number.
        const after = onAbort(signal, () => { this.settle(sending, stopped()); this.wake?.abort(); });
        sending.resolve = (produced) => { after(); resolve(produced); };
        sending.reject = (error) => { after(); reject(error); };
      }
      if (!this.running) void this.run();
    });
  }

  /** When everything that was handed in is decided. */
  drained(): Promise<void> {
    return this.running ? new Promise((resolve) => this.idle.push(resolve)) : Promise.resolve();
  }

  /** Numbering begins anew with another identity (after a transaction was aborted). Only while idle. */
  renumber(identity: ProducerIdentity): void {
    this.identity = identity;
    this.sequence = 0;
  }

  /** Whatever waits or is under way fails with `error`; what is handed in later too. */
  fail(error: TicklakeError): void {
    this.closed ??= error;
    for (const piece of this.queue) this.settle(piece.sending, error);
    this.wake?.abort();
  }

  private async run(): Promise<void> {
    this.running = true;
    for (let piece = this.queue[0]; piece; piece = this.queue[0]) {
      if (piece.sending.settled) { this.queue.shift(); continue; }
      try {
        await this.deliver(piece);
      } catch (error) {
        this.leave(piece, error instanceof TicklakeError ? error : new TicklakeError("INTERNAL", `Writing to ${place(this.at)} failed: ${String(error)}`, { cause: error }));
      }
    }
    this.running = false;
    for (const resolve of this.idle.splice(0)) resolve();
  }

  /** Until the piece is decided: written, refused, split, or given up. */
  private async deliver(piece: Piece): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (piece.sending.settled) { this.leave(piece); return; }
      const problem = await this.attempt(piece);
      if (!problem) return;
      if (problem.code === "STOPPED") { this.leave(piece, problem); return; }
      const wait = backoffMs(attempt, { firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS, random: this.options.clock.random });
      this.options.retrying?.(problem, wait);
      this.wake = new AbortController();
      await this.options.clock.pause(wait, this.wake.signal);
      this.wake = undefined;
    }
  }

  /** One attempt. @returns why it is to be tried again; undefined when the piece is decided */
  private async attempt(piece: Piece): Promise<TicklakeError | undefined> {
    if (this.options.identify && !this.identity) {
      try {
        this.identity = await this.options.identify();
        this.sequence = 0;
      } catch (error) {
        return this.judge(piece, error as TicklakeError);
      }
    }
    const { compression, transactional } = this.options;
    piece.encoded ??= await piece.batch.encode({
      compression, ...(this.identity ? { producer: { ...this.identity, sequence: this.sequence } } : {}), ...(transactional ? { transactional } : {}),
    });
    if (this.closed) return this.closed;
    return this.decide(piece, await this.options.sender.send(this.at, piece.encoded));
  }

  private async decide(piece: Piece, outcome: Outcome): Promise<TicklakeError | undefined> {
    if (outcome.kind !== "answer") {
      if (outcome.kind === "unknown") piece.maybeWritten = true;
      this.options.sender.forgetLeader(this.at);
      return this.judge(piece, outcome.error);
    }
    const code = outcome.errorCode;
    if (code === KafkaCode.none || code === KafkaCode.duplicateSequenceNumber) { this.written(piece, outcome.baseOffset); return undefined; }
    const error = kafkaError(code, { doing: `Writing to ${place(this.at)}`, details: { ...this.at } }, outcome.message ? { brokerMessage: outcome.message } : undefined);
    if (MAYBE_WRITTEN.has(code)) piece.maybeWritten = true;
    if (TRANSACTION_OVER.has(code) || (OUT_OF_STEP.has(code) && this.options.transactional)) { this.leave(piece, error); return undefined; }
    if (OUT_OF_STEP.has(code)) return this.restep(piece, code, error);
    if (TOO_LARGE.has(code) || REFUSED.has(code)) { await this.refuse(piece, error, outcome.refused); return undefined; }
    if (code === KafkaCode.corruptMessage && ++piece.corrupt >= CORRUPT_ATTEMPTS) { await this.refuse(piece, new TicklakeError("KAFKA_RECORD_REFUSED", error.message, { details: { ...error.details } })); return undefined; }
    this.options.sender.forgetLeader(this.at);
    return this.judge(piece, error);
  }

  /** What repetition can mend is repeated; a topic that stays unknown, and what only a changed setting mends, ends the piece. */
  private judge(piece: Piece, error: TicklakeError): TicklakeError | undefined {
    if (kafkaCodeOf(error) === KafkaCode.unknownTopicOrPartition) {
      this.unknownSince ??= this.options.clock.now();
      if (this.options.clock.now() - this.unknownSince < UNKNOWN_TOPIC_MS) return error;
      // Everything that waits would wait for the same; what comes later is tried anew, once.
      for (const waiting of [...this.queue]) if (waiting !== piece) this.settle(waiting.sending, error);
      this.leave(piece, error);
      return undefined;
    }
    if (error.code !== "STOPPED") this.unknownSince = undefined;
    if (error.retryable && error.code !== "STOPPED" && error.code !== "KAFKA_FENCED") return error;
    this.leave(piece, error);
    return undefined;
  }

  private written(piece: Piece, baseOffset: bigint): void {
    this.queue.shift();
    this.unknownSince = undefined;
    this.sequence = (this.sequence + piece.batch.count) % 2 ** 31;
    const { sending } = piece;
    sending.written += piece.batch.count;
    sending.baseOffset = piece.batch.count === sending.count && baseOffset >= 0n ? baseOffset : undefined;
    this.close(sending);
  }

  /**
   * The broker does not know our numbers (any more): a new epoch numbers from 0, as the Java client does it (KIP-360). The broker refused
   * this batch, so sending it again doubles nothing, unless an earlier attempt of it may have been written: then it is written all the
   * same, and said.
   */
  private restep(piece: Piece, code: number, error: TicklakeError): TicklakeError {
    const told = piece.maybeWritten
      ? new TicklakeError("KAFKA_FAILED", `${place(this.at)} has lost track of this producer (${KAFKA_ERRORS.get(code)?.name}) while the outcome of a batch of ${piece.batch.count} records was not known; it is written again and these records may be doubled.`,
        { cause: error, details: { ...error.details, possiblyDoubled: piece.batch.count } })
      : error;
    this.options.log?.("warn", told.message);
    this.nextEpoch(code === KafkaCode.invalidProducerEpoch || code === KafkaCode.invalidProducerIdMapping);
    piece.encoded = undefined;
    piece.maybeWritten = false;
    return told;
  }

  private nextEpoch(another = false): void {
    const { identity } = this;
    this.sequence = 0;
    this.identity = !identity || another || identity.epoch >= LAST_EPOCH ? undefined : { id: identity.id, epoch: identity.epoch + 1 };
  }

  /**
   * The broker takes nothing of a batch that holds one such record. Where it names them, the others go out in the batch's place; else
   * halves of it do, until single records are left.
   */
  private async refuse(piece: Piece, error: TicklakeError, named: readonly RefusedRecord[] = []): Promise<void> {
    const { sending, batch, index } = piece;
    // Its number is used only if it may have been written under it. In a transaction that is for the coordinator to mend.
    if (piece.maybeWritten && this.options.transactional) {
      this.leave(piece, new TicklakeError("KAFKA_FAILED", error.message, { cause: error, details: { ...error.details } }));
      return;
    }
    if (piece.maybeWritten) this.nextEpoch();
    const part = (of: RecordBatch, at: (k: number) => number): Piece => ({ sending, batch: of, index: at, encoded: undefined, maybeWritten: false, corrupt: 0 });
    const all = Array.from({ length: batch.count }, (_, k) => k);
    const bad = new Set(batch.count === 1 || !piece.encoded ? all : named.map((record) => record.index).filter((k) => k >= 0 && k < batch.count));
    if (bad.size === 0) {
      const [first, second] = await halves(piece.encoded as Buffer);
      sending.open++;
      this.queue.splice(0, 1, part(first, index), part(second, (k) => index(first.count + k)));
      return;
    }
    for (const k of bad) sending.refused.push({ index: index(k), error });
    const good = all.filter((k) => !bad.has(k));
    if (good.length > 0) {
      const rest = await only(piece.encoded as Buffer, good);
      this.queue.splice(0, 1, part(rest, (k) => index(good[k] as number)));
      return;
    }
    this.queue.shift();
    this.close(sending);
  }

  private close(sending: Sending): void {
    if (--sending.open > 0 || sending.settled) return;
    const [first] = sending.refused;
    if (!first) {
      sending.settled = true;
      sending.resolve({ ...this.at, baseOffset: sending.baseOffset ?? -1n, count: sending.count });
      return;
    }
    const refused = sending.refused.map(({ index }) => index).sort((a, b) => a - b);
    const many = sending.count === 1 ? "" : sending.written === 0 ? ` This is so for all ${sending.count} records of the batch.` : ` This is so for ${refused.length} of ${sending.count} records of the batch; the others were written.`;
    this.settle(sending, new TicklakeError(first.error.code, `${first.error.message}${many}`, { cause: first.error, details: { ...first.error.details, refused, written: sending.written } }));
  }

  /** The piece goes without being written, as far as we know. A number that may be used in the log is not given to another batch. */
  private leave(piece: Piece, error?: TicklakeError): void {
    if (this.queue[0] === piece) this.queue.shift();
    if (piece.maybeWritten && !this.options.transactional) this.nextEpoch();
    if (!error) return;
    const { written, count } = piece.sending;
    const maybe = piece.maybeWritten && error.code !== "STOPPED";
    const note = written > 0 ? ` (${written} of ${count} records of the batch were written.)` : maybe ? " (An attempt before it had no answer: the batch may have been written.)" : "";
    this.settle(piece.sending, note === "" ? error : new TicklakeError(error.code, error.message + note, { cause: error, details: { ...error.details, written, maybeWritten: maybe } }));
  }

  private settle(sending: Sending, error: TicklakeError): void {
    if (sending.settled) return;
    sending.settled = true;
    sending.reject(error);
  }
}

export function stopped(): TicklakeError {
  return new TicklakeError("STOPPED", "The node stopped before Kafka had acknowledged this; whether it was written is not known.");
}
