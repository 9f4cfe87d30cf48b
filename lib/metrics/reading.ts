/** What nodes count, by the names that everybody sees. Nothing here knows of Node-RED. */

/** Totals: they only grow, as long as the process lives. */
export const COUNTERS = ["recordsIn", "recordsOut", "delivered", "rejected", "duplicates", "dropped", "gaps", "failedDeliveries", "errors"] as const;
export type Counter = (typeof COUNTERS)[number];

/** A partition of a log that a node reads. */
export interface PartitionLag { readonly topic: string; readonly partition: number; /** Records in the log and not read yet. */ readonly lag: number }

/**
 * What a node answers when it is asked: totals since it was deployed, and what is true now. A node leaves out what it has not. `errors` is counted for all nodes
 * where they are defined.
 */
export interface Reading extends Partial<Readonly<Record<Exclude<Counter, "errors">, number>>> {
  /** Of a source: records sent and not delivered. Of a sink: records that wait to become durable. */
  readonly inFlight?: number;
  /** Records that are there and were not read, or not sent, yet. */
  readonly lag?: number;
  readonly partitions?: readonly PartitionLag[];
}
