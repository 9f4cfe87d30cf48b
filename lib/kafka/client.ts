import { ClusterAdmin } from "./admin";
import { KafkaCluster } from "./cluster";
import { systemClock } from "./consumer/clock";
import { clusterWire } from "./consumer/cluster-wire";
import { GroupConsumer } from "./consumer/consumer";
import { quietLog } from "./log";
import { CONNECTION_TIMES } from "./options";
import { IdempotentProducer } from "./producer/producer";
import { Transactions } from "./producer/transactions";
import { TopicReading } from "./read-once";
import type { ConsumerEvents, ConsumerOptions, KafkaClient, KafkaConsumer, KafkaOptions, KafkaProducer, ProducerOptions, TransactionalOptions, TransactionalProducer } from "./types";

/** Somebody may be waiting for an answer in the editor: the admin's connections give up sooner. */
const ADMIN_TIMES = { connectionTimeoutMs: 5_000, requestTimeoutMs: 10_000 };

/**
 * A client for a cluster. Nothing is connected before it is needed; the admin, each consumer and each producer have connections of their
 * own, so that none of them waits for another's requests.
 *
 * @throws TicklakeError CONFIG_INVALID for addresses or credentials that cannot work
 */
export function openKafka(options: KafkaOptions): KafkaClient {
  const log = quietLog(options.log);
  const quiet: KafkaOptions = { ...options, log };
  const admin = new KafkaCluster(quiet, ADMIN_TIMES);
  const open = new Set<KafkaCluster>([admin]);
  const cluster = (): KafkaCluster => {
    const made: KafkaCluster = new KafkaCluster(quiet, CONNECTION_TIMES, () => open.delete(made));
    open.add(made);
    return made;
  };
  return {
    admin: new ClusterAdmin(admin),
    consumer: (given: ConsumerOptions, events: ConsumerEvents): KafkaConsumer => new GroupConsumer({ cluster, log }, given, events),
    producer: (given: ProducerOptions): KafkaProducer => new IdempotentProducer({ cluster: cluster() }, given),
    transactional: (given: TransactionalOptions): TransactionalProducer => new Transactions({ cluster: cluster() }, given),
    async readOnce(topic, records, signal) {
      const wire = clusterWire(cluster, "", systemClock, CONNECTION_TIMES.requestTimeoutMs);
      try {
        return await new TopicReading(wire, topic, signal).run(records);
      } finally {
        await wire.close();
      }
    },
    close: async () => { await Promise.all([...open].map((one) => one.close())); },
  };
}
