import { TicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import type { KafkaCluster } from "../cluster";
import { isCoordinatorGone, place, type CoordinatorKind } from "../cluster";
import { KafkaCode, isConnectionFailure, kafkaCodeOf, kafkaError } from "../errors";
import type { Broker } from "../kafkajs";
import {
  INIT_PRODUCER_ID_BUMP, addOffsetsCall, addPartitionsCall, endTransactionCall, initProducerIdCall, transactionOffsetsCall, type OffsetsOwner, type ProducerIdentity,
} from "../requests/transactions";
import type { PartitionOffset, Produced, RecordBatch, TopicPartition, TransactionalOptions, TransactionalProducer } from "../types";
import { Lane, REAL_CLOCK, stopped } from "./lane";
import type { ProducerDeps } from "./producer";
import { ClusterSender } from "./sender";
import { onAbort } from "./signals";

const API = { initProducerId: 22, addPartitions: 24, addOffsets: 25, endTransaction: 26, commitOffsets: 28 } as const;
const TIMEOUT_MS = 60_000;
/** A topic that is not known is waited for as long as for sending to it. */
const UNKNOWN_TOPIC_MS = 30_000;
const FENCED: ReadonlySet<number> = new Set([KafkaCode.producerFenced, KafkaCode.fencedInstanceId]);

/**
 * `open`: between begin and commit or abort; `failed`: something of it failed, only abort helps; `unsettled`: commit was asked for and its
 * outcome is not known; `fenced`: another process owns the transactional id, for good.
 */
type State = "new" | "ready" | "open" | "failed" | "unsettled" | "fenced" | "closed";

/**
 * One transaction at a time for one transactional id; see the contract in types.ts. Needs Kafka 2.5 or newer: only since then can a producer
 * raise its own epoch without fencing whoever replaced it, and offsets carry the member and generation that commit them.
 */
export class Transactions implements TransactionalProducer {
  private state: State = "new";
  private identity: ProducerIdentity | undefined;
  private failure: TicklakeError | undefined;
  private readonly lanes = new Map<string, Lane>();
  /** Partitions of this transaction: being added or added. */
  private readonly added = new Map<string, Promise<void>>();
  private readonly groups = new Set<string>();
  /** Partitions to be added with the next request. */
  private adding: { partitions: TopicPartition[]; done: Promise<void> } | undefined;
  /** Something of this transaction may be known to the coordinator. */
  private touched = false;
  /** Ends what the current transaction still asks for. What an earlier one does late says nothing about this one: it is told by this object. */
  private transaction = new AbortController();
  private readonly sending = new Set<Promise<unknown>>();
  private readonly sender: ClusterSender;
  private readonly closing = new AbortController();

  constructor(private readonly deps: ProducerDeps, private readonly options: TransactionalOptions) {
    this.sender = new ClusterSender(deps.cluster, options.transactionalId);
  }

  async init(signal?: AbortSignal): Promise<void> {
    this.expect("Initialising", ["new", "ready"]);
    await this.initialise(undefined, signal);
  }

  begin(): void {
    this.expect("Beginning a transaction", ["ready"]);
    this.state = "open";
  }

  async send(to: TopicPartition, batch: RecordBatch, signal?: AbortSignal): Promise<Produced> {
    this.expect("Writing in a transaction", ["open"]);
    const lane = this.lane(to);
    return this.within(async () => {
      await this.addPartition(to);
      return lane.send(batch, signal);
    });
  }

  /** What belongs to the transaction that is open: commit waits for it, and its failure is the transaction's. */
  private async within<T>(work: () => Promise<T>): Promise<T> {
    const { transaction } = this;
    const done = work();
    this.sending.add(done);
    try {
      return await done;
    } catch (caught) {
      throw transaction === this.transaction ? this.failed(caught as TicklakeError) : caught;
    } finally {
      this.sending.delete(done);
    }
  }

  async sendOffsets(group: OffsetsOwner, offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void> {
    this.expect("Committing offsets in a transaction", ["open"]);
    if (offsets.length === 0) return;
    const { transactionalId } = this.options;
    const identity = this.identity as ProducerIdentity;
    const doing = `Committing offsets of group "${group.groupId}" in transaction "${transactionalId}"`;
    await this.within(async () => {
      if (!this.groups.has(group.groupId)) {
        this.touched = true;
        await this.ask("transaction", transactionalId, async (broker, cluster) => {
          const error = await cluster.send(broker, addOffsetsCall(transactionalId, identity, group.groupId, cluster.version(broker, API.addOffsets)), doing);
          if (error !== KafkaCode.none) throw kafkaError(error, { doing });
        }, [signal, this.transaction.signal]);
        this.groups.add(group.groupId);
      }
      await this.ask("group", group.groupId, async (broker, cluster) => {
        const answers = await cluster.send(broker, transactionOffsetsCall(transactionalId, identity, group, offsets, cluster.version(broker, API.commitOffsets)), doing);
        const wrong = answers.find(({ error }) => error !== KafkaCode.none);
        if (wrong) throw kafkaError(wrong.error, { doing, details: { topic: wrong.topic, partition: wrong.partition, group: group.groupId } });
      }, [signal, this.transaction.signal]);
    });
  }

  async commit(signal?: AbortSignal): Promise<void> {
    if (this.state === "failed") throw this.failure as TicklakeError;
    this.expect("Committing a transaction", ["open", "unsettled"]);
    await Promise.allSettled([...this.sending]);
    this.expect("Committing a transaction", ["open", "unsettled"]);
    if (!this.touched) { this.reset(); return; }
    // Called again after STOPPED, it asks for the outcome of the same transaction again.
    let unanswered = this.state === "unsettled";
    this.state = "unsettled";
    try {
      await this.end(true, signal, () => { unanswered = true; });
      this.reset();
    } catch (caught) {
      const error = caught as TicklakeError;
      if (error.code === "STOPPED") throw error;
      throw this.failed(error, unanswered);
    }
  }

  async abort(signal?: AbortSignal): Promise<void> {
    if (this.state === "ready") return;
    this.expect("Aborting a transaction", ["open", "failed", "unsettled"]);
    if (!this.touched) { this.reset(); return; }
    const unsettled = this.state === "unsettled";
    const why = new TicklakeError("KAFKA_FAILED", `Transaction "${this.options.transactionalId}" was aborted.`);
    for (const lane of this.lanes.values()) lane.fail(why);
    this.transaction.abort();
    await Promise.allSettled([...this.sending, ...[...this.lanes.values()].map((lane) => lane.drained())]);
    let late: TicklakeError | undefined;
    try {
      await this.end(false, signal);
    } catch (caught) {
      const error = caught as TicklakeError;
      if (error.code === "STOPPED" || error.code === "KAFKA_FENCED") throw this.failed(error, unsettled);
      // The coordinator has ended it already (its time-out), or has forgotten it: the new epoch below ends whatever is left.
      late = error;
    }
    // A new epoch: whatever of the aborted transaction is still on its way is refused, and numbering begins anew.
    await this.initialise(this.identity, signal);
    if (unsettled && late) {
      throw new TicklakeError("COMMIT_UNKNOWN", `Transaction "${this.options.transactionalId}" could not be aborted: a commit of it that had no answer may have been carried out. What the group has committed tells.`, { cause: late });
    }
  }

  async close(): Promise<void> {
    if (this.state === "closed") return;
    this.state = "closed";
    const error = stopped();
    this.closing.abort();
    for (const lane of this.lanes.values()) lane.fail(error);
    await this.deps.cluster.close();
    await Promise.all([...this.lanes.values()].map((lane) => lane.drained()));
  }

  private get clock() { return this.deps.clock ?? REAL_CLOCK; }

  private expect(doing: string, states: readonly State[]): void {
    if (states.includes(this.state)) return;
    if (this.state === "closed") throw stopped();
    if ((this.state === "fenced" || this.state === "failed") && this.failure) throw this.failure;
    const needs = this.state === "new" ? "the producer is not initialised" : `its state is "${this.state}"`;
    throw new TicklakeError("INTERNAL", `${doing} is not possible: ${needs}.`);
  }

  private lane(to: TopicPartition): Lane {
    const key = `${to.topic} ${to.partition}`;
    let lane = this.lanes.get(key);
    if (!lane) {
      lane = new Lane({ topic: to.topic, partition: to.partition }, {
        compression: this.options.compression, sender: this.sender, clock: this.clock, transactional: true, identify: undefined,
        retrying: this.options.retrying, log: this.deps.cluster.options.log,
      });
      lane.renumber(this.identity as ProducerIdentity);
      this.lanes.set(key, lane);
    }
    return lane;
  }

  /** Once per partition and transaction; partitions that come in the same turn share a request. */
  private addPartition(at: TopicPartition): Promise<void> {
    const key = `${at.topic} ${at.partition}`;
    let known = this.added.get(key);
    if (!known) {
      this.touched = true;
      if (this.adding) this.adding.partitions.push({ topic: at.topic, partition: at.partition });
      else {
        const partitions = [{ topic: at.topic, partition: at.partition }];
        const { transaction } = this;
        const identity = this.identity as ProducerIdentity;
        this.adding = { partitions, done: new Promise((resolve) => setImmediate(resolve)).then(() => {
          this.adding = undefined;
          return this.addPartitions(partitions, identity, transaction.signal);
        }) };
        this.adding.done.catch(() => {});
      }
      known = this.adding.done;
      this.added.set(key, known);
    }
    return known;
  }

  private async addPartitions(partitions: readonly TopicPartition[], identity: ProducerIdentity, signal: AbortSignal): Promise<void> {
    const { transactionalId } = this.options;
    const doing = `Adding partitions to transaction "${transactionalId}"`;
    await this.ask("transaction", transactionalId, async (broker, cluster) => {
      const answers = await cluster.send(broker, addPartitionsCall(transactionalId, identity, partitions, cluster.version(broker, API.addPartitions)), doing);
      // OPERATION_NOT_ATTEMPTED says only that another partition of the request failed.
      const wrong = answers.find(({ error }) => error !== KafkaCode.none && error !== KafkaCode.operationNotAttempted) ?? answers.find(({ error }) => error !== KafkaCode.none);
      if (wrong) throw kafkaError(wrong.error, { doing: `Adding ${place(wrong)} to transaction "${transactionalId}"`, details: { topic: wrong.topic, partition: wrong.partition } });
    }, [signal]);
  }

  private async end(commit: boolean, signal: AbortSignal | undefined, unanswered?: () => void): Promise<void> {
    const { transactionalId } = this.options;
    const doing = `${commit ? "Committing" : "Aborting"} transaction "${transactionalId}"`;
    await this.ask("transaction", transactionalId, async (broker, cluster) => {
      const error = await cluster.send(broker, endTransactionCall(transactionalId, this.identity as ProducerIdentity, commit, cluster.version(broker, API.endTransaction)), doing);
      if (error !== KafkaCode.none) throw kafkaError(error, { doing });
    }, [signal], unanswered);
  }

  /** @param current raises this epoch, and fails with KAFKA_FENCED when it is not the newest; none: takes the transactional id over */
  private async initialise(current: ProducerIdentity | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { transactionalId, timeoutMs = TIMEOUT_MS } = this.options;
    const doing = `Initialising transactional id "${transactionalId}"`;
    try {
      this.identity = await this.ask("transaction", transactionalId, async (broker, cluster) => {
        const version = cluster.version(broker, API.initProducerId);
        if (version < INIT_PRODUCER_ID_BUMP) throw new TicklakeError("KAFKA_UNSUPPORTED", `Transactions need Kafka 2.5 or newer; ${broker.brokerAddress} is older. Switch transactions off.`);
        const { error, id, epoch } = await cluster.send(broker, initProducerIdCall({ transactionalId, timeoutMs, current }, version), doing);
        if (error !== KafkaCode.none) throw kafkaError(error, { doing });
        return { id, epoch };
      }, [signal]);
    } catch (caught) {
      throw this.failed(caught as TicklakeError);
    }
    this.lanes.clear();
    this.reset();
  }

  /** Asks a coordinator, as often as it takes. `unanswered`: a request left and no answer came. */
  private async ask<T>(
    kind: CoordinatorKind, id: string, call: (broker: Broker, cluster: KafkaCluster) => Promise<T>, signals: readonly (AbortSignal | undefined)[], unanswered?: () => void,
  ): Promise<T> {
    const { cluster } = this.deps;
    let unknownSince: number | undefined;
    const stop = new AbortController();
    const end = (): void => stop.abort();
    const given = [...signals, this.closing.signal].filter((signal) => signal !== undefined);
    if (given.some(({ aborted }) => aborted)) end();
    const forget = given.map((signal) => onAbort(signal, end));
    const ended = new Promise<never>((_, reject) => stop.signal.addEventListener("abort", () => reject(stopped()), { once: true }));
    ended.catch(() => {});
    let asked = false;
    try {
      for (let attempt = 1; ; attempt++) {
        if (stop.signal.aborted) throw stopped();
        asked = false;
        try {
          return await Promise.race([cluster.coordinator(kind, id).then((broker) => { asked = true; return call(broker, cluster); }), ended]);
        } catch (caught) {
          const error = caught as TicklakeError;
          if (asked && (isConnectionFailure(error) || error.code === "STOPPED")) unanswered?.();
          if (isCoordinatorGone(error)) cluster.forgetCoordinator(kind, id);
          const code = kafkaCodeOf(error);
          if (code === KafkaCode.unknownTopicOrPartition) {
            unknownSince ??= this.clock.now();
            if (this.clock.now() - unknownSince >= UNKNOWN_TOPIC_MS) throw error;
          } else if (!mends(error)) throw error;
          // The transaction before this one is being ended: that takes milliseconds.
          const quick = code === KafkaCode.concurrentTransactions || code === KafkaCode.operationNotAttempted;
          const wait = backoffMs(attempt, { firstMs: quick ? 20 : 100, maxMs: quick ? 500 : 5_000, random: this.clock.random });
          if (!quick || attempt > 20) this.options.retrying?.(error, wait);
          await this.clock.pause(wait, stop.signal);
        }
      }
    } finally {
      for (const each of forget) each();
    }
  }

  /** Notes that the transaction cannot go on; `fenced` is for good. `unanswered`: whether it was committed is not known. */
  private failed(error: TicklakeError, unanswered = false): TicklakeError {
    if (this.state === "closed") return error.code === "STOPPED" ? error : stopped();
    const code = kafkaCodeOf(error);
    if (code !== undefined && FENCED.has(code)) {
      this.state = "fenced";
      const outcome = unanswered ? "Whether its last transaction was committed is not known; what the group has committed tells." : "Nothing of its open transaction is visible to readers of committed records.";
      this.failure = new TicklakeError("KAFKA_FENCED", `Another process has taken over transactional id "${this.options.transactionalId}", or the broker ended a transaction of it that lasted too long. This producer must not go on. ${outcome}`,
        { cause: error, details: { ...error.details, transactionalId: this.options.transactionalId, outcomeUnknown: unanswered } });
      return this.failure;
    }
    // A record that was refused spoils nothing that was written; the caller decides whether the transaction goes on without it.
    if (error.code === "KAFKA_RECORD_TOO_LARGE" || error.code === "KAFKA_RECORD_REFUSED") return error;
    // At a data partition an old epoch does not tell whether another process took over or the transaction timed out: the coordinator, asked when it is aborted, does.
    const told = code === KafkaCode.invalidProducerEpoch
      ? new TicklakeError("KAFKA_FAILED", `The broker has ended transaction "${this.options.transactionalId}" (INVALID_PRODUCER_EPOCH): it lasted too long, or another process took over.`, { cause: error, details: { ...error.details } })
      : error;
    if (this.state === "open" || this.state === "failed" || this.state === "unsettled") {
      this.state = "failed";
      this.failure = told;
    }
    return told;
  }

  private reset(): void {
    if (this.state === "closed") return;
    this.state = "ready";
    this.failure = undefined;
    this.touched = false;
    this.transaction = new AbortController();
    this.added.clear();
    this.groups.clear();
  }
}

/** What asking again mends; that includes answers without which nobody knows the outcome. */
function mends(error: TicklakeError): boolean {
  return isConnectionFailure(error) || error.code === "KAFKA_UNREACHABLE" || kafkaCodeOf(error) === KafkaCode.operationNotAttempted || kafkaCodeOf(error) === KafkaCode.unknownServerError;
}
