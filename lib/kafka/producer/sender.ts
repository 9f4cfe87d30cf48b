import { TicklakeError } from "../../errors";
import type { KafkaCluster } from "../cluster";
import { isConnectionFailure } from "../errors";
import { produceRequest, produceVersion, type ProducedPartition, type RefusedRecord } from "../protocol/produce";
import type { TopicPartition } from "../types";

/** What became of a batch that was to be sent. */
export type Outcome =
  /** The broker answered: `errorCode` 0 = all in-sync replicas have it. */
  | {
    readonly kind: "answer"; readonly errorCode: number; readonly baseOffset: bigint;
    /** Which records of a refused batch are the bad ones, where the broker says so. */
    readonly refused?: readonly RefusedRecord[] | undefined;
    readonly message?: string | undefined;
  }
  /** It never left: no leader, no connection. */
  | { readonly kind: "unsent"; readonly error: TicklakeError }
  /** It left and no answer came: it may have been written. */
  | { readonly kind: "unknown"; readonly error: TicklakeError };

/** Sends encoded batches, once each; never throws. */
export interface BatchSender {
  send(at: TopicPartition, batch: Buffer): Promise<Outcome>;
  /** What was known of the partition's leader is out of date. */
  forgetLeader(at: TopicPartition): void;
}

interface Waiting {
  readonly at: TopicPartition;
  readonly batch: Buffer;
  readonly resolve: (outcome: Outcome) => void;
}

/** The broker waits this long for its replicas; then it answers REQUEST_TIMED_OUT and the batch is sent again. */
const REPLICAS_MS = 15_000;
/** Brokers refuse requests beyond socket.request.max.bytes (100 MiB); smaller ones keep memory low. */
const REQUEST_BYTES = 8 << 20;

/** Batches for partitions of one broker that come in the same turn share a request. */
export class ClusterSender implements BatchSender {
  private readonly waiting = new Map<number, Waiting[]>();

  constructor(private readonly cluster: KafkaCluster, private readonly transactionalId?: string) {}

  async send(at: TopicPartition, batch: Buffer): Promise<Outcome> {
    let node: number;
    try {
      node = await this.cluster.leader(at);
    } catch (error) {
      return { kind: "unsent", error: error as TicklakeError };
    }
    return new Promise((resolve) => {
      const queue = this.waiting.get(node);
      if (queue) queue.push({ at, batch, resolve });
      else {
        this.waiting.set(node, [{ at, batch, resolve }]);
        setImmediate(() => this.flush(node));
      }
    });
  }

  forgetLeader(at: TopicPartition): void {
    this.cluster.forgetLeaders([at.topic]);
  }

  private flush(node: number): void {
    const queue = this.waiting.get(node) ?? [];
    this.waiting.delete(node);
    for (let from = 0; from < queue.length;) {
      let bytes = 0;
      let to = from;
      while (to < queue.length && (to === from || bytes + (queue[to] as Waiting).batch.length <= REQUEST_BYTES)) bytes += (queue[to++] as Waiting).batch.length;
      void this.request(node, queue.slice(from, to));
      from = to;
    }
  }

  private async request(node: number, batches: readonly Waiting[]): Promise<void> {
    const all = (outcome: Outcome): void => { for (const { resolve } of batches) resolve(outcome); };
    let sent = false;
    try {
      const broker = await this.cluster.node(node);
      const call = produceRequest({
        version: produceVersion(broker.versions), acks: -1, timeoutMs: REPLICAS_MS, partitions: batches.map(({ at, batch }) => ({ ...at, batch })),
        ...(this.transactionalId === undefined ? {} : { transactionalId: this.transactionalId }),
      });
      sent = true;
      const { partitions } = await this.cluster.send(broker, call, `Writing to ${node === -1 ? "the cluster" : `broker ${node}`}`);
      const answers = new Map<string, ProducedPartition>(partitions.map((answer) => [`${answer.topic} ${answer.partition}`, answer]));
      for (const { at, resolve } of batches) {
        const answer = answers.get(`${at.topic} ${at.partition}`);
        resolve(answer
          ? { kind: "answer", errorCode: answer.errorCode, baseOffset: answer.baseOffset, refused: answer.refused, message: answer.message }
          : { kind: "unknown", error: new TicklakeError("KAFKA_FAILED", `Broker ${node} answered without a word about ${at.topic}, partition ${at.partition}; it is sent again.`) });
      }
    } catch (caught) {
      const error = caught as TicklakeError;
      // Whatever is not the loss of a connection was said before anything was written to it, or by a broker that wrote nothing.
      all(sent && (isConnectionFailure(error) || error.code === "STOPPED" || error.code === "KAFKA_FAILED") ? { kind: "unknown", error } : { kind: "unsent", error });
    }
  }
}
