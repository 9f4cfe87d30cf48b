/** Kafka's own offsets, for the lag of tables whose Pinot does not tell it. */
import { TicklakeError } from "../../errors";
import { openKafka } from "../../kafka/client";
import { parseBrokers } from "../../kafka/options";
import type { KafkaClient } from "../../kafka/types";
import type { LagSource } from "./lag";

/** A status is not worth more than that; the address may be one that only Pinot reaches. */
const PATIENCE_MS = 5_000;

/** Kafka at the addresses that Pinot uses, without a login. Opens nothing before it is asked. */
export function kafkaLag(brokers: string): LagSource {
  let opened: KafkaClient | undefined;
  const admin = (): KafkaClient["admin"] => (opened ??= openKafka({ brokers: parseBrokers(brokers), clientId: "ticklake" })).admin;
  return {
    ends: (topic, partitions) => patiently(admin().end(partitions.map((partition) => ({ topic, partition })))),
    timestamp: (topic, partition, offset) => patiently(admin().timestampAt({ topic, partition, offset })),
    close: async () => { await opened?.close(); },
  };
}

async function patiently<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new TicklakeError("KAFKA_UNREACHABLE", `no answer within ${PATIENCE_MS / 1000} s.`)), PATIENCE_MS); });
  try { return await Promise.race([work, late]); } finally { clearTimeout(timer); }
}
