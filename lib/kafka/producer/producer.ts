import type { TicklakeError } from "../../errors";
import type { KafkaCluster } from "../cluster";
import { KafkaCode, kafkaError } from "../errors";
import { initProducerIdCall, type ProducerIdentity } from "../requests/transactions";
import type { KafkaProducer, Produced, ProducerOptions, RecordBatch, TopicPartition } from "../types";
import { Lane, REAL_CLOCK, stopped, type ProducerClock } from "./lane";
import { ClusterSender } from "./sender";

export interface ProducerDeps {
  /** For this producer alone; closed with it. */
  readonly cluster: KafkaCluster;
  readonly clock?: ProducerClock;
}

const INIT_PRODUCER_ID = 22;

/** Writes batches to partitions; see the contract in types.ts. */
export class IdempotentProducer implements KafkaProducer {
  private readonly lanes = new Map<string, Lane>();
  private readonly sender: ClusterSender;
  private closed: TicklakeError | undefined;

  constructor(private readonly deps: ProducerDeps, private readonly options: ProducerOptions) {
    this.sender = new ClusterSender(deps.cluster);
  }

  send(to: TopicPartition, batch: RecordBatch, signal?: AbortSignal): Promise<Produced> {
    if (this.closed) return Promise.reject(this.closed);
    const key = `${to.topic} ${to.partition}`;
    let lane = this.lanes.get(key);
    if (!lane) {
      lane = new Lane({ topic: to.topic, partition: to.partition }, {
        compression: this.options.compression, sender: this.sender, clock: this.deps.clock ?? REAL_CLOCK, transactional: false,
        identify: this.options.idempotent ? () => this.identify() : undefined,
        retrying: this.options.retrying, log: this.deps.cluster.options.log,
      });
      this.lanes.set(key, lane);
    }
    return lane.send(batch, signal);
  }

  async close(): Promise<void> {
    this.closed = stopped();
    for (const lane of this.lanes.values()) lane.fail(this.closed);
    await this.deps.cluster.close();
    await Promise.all([...this.lanes.values()].map((lane) => lane.drained()));
  }

  /** An id for each partition: a partition that has to begin anew disturbs no other one. */
  private async identify(): Promise<ProducerIdentity> {
    const { cluster } = this.deps;
    const doing = "Getting a producer id";
    const { error, id, epoch } = await cluster.any((broker) =>
      broker.connectionPool.send(initProducerIdCall({ transactionalId: null, timeoutMs: 60_000 }, cluster.version(broker, INIT_PRODUCER_ID))), doing);
    if (error !== KafkaCode.none) throw kafkaError(error, { doing });
    return { id, epoch };
  }
}
