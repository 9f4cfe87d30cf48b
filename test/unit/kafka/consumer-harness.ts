import { GroupConsumer } from "../../../lib/kafka/consumer/consumer";
import type { ConsumerEvents, ConsumerOptions, RecordSet, TopicPartition } from "../../../lib/kafka/types";
import { ManualClock, ScriptedWire, settle } from "../../support/scripted-wire";

export interface Harness {
  readonly clock: ManualClock;
  readonly wire: ScriptedWire;
  readonly consumer: GroupConsumer;
  /** What the user was told, in order: "assigned t/0,t/1", "state running", "records t/0 0-3" ... */
  readonly told: string[];
  /** Values, in the order shown. */
  readonly values: string[];
  readonly errors: Error[];
  lastError(): Error | undefined;
}

export interface HarnessOptions {
  readonly topics?: Readonly<Record<string, number>>;
  readonly subscribe?: readonly string[];
  readonly node?: (partition: number) => number;
  readonly options?: Partial<ConsumerOptions>;
  /** Where assigned partitions are read from; `false`: nowhere. */
  readonly from?: bigint | false;
  readonly events?: (harness: () => Harness) => Partial<ConsumerEvents>;
  readonly prepare?: (wire: ScriptedWire) => void;
}

/** A consumer on scripted brokers. It has started; nothing has happened yet. */
export function consumerOn(options: HarnessOptions = {}): Harness {
  const clock = new ManualClock();
  const wire = new ScriptedWire(clock, options.topics, options.node);
  const told: string[] = [];
  const values: string[] = [];
  const errors: Error[] = [];
  let lastError: Error | undefined;
  const names = (list: readonly TopicPartition[]): string => list.map(({ topic, partition }) => `${topic}/${partition}`).join(",");
  const more = options.events?.(() => harness) ?? {};
  const events: ConsumerEvents = {
    ...more,
    ...(more.rebalancing && { rebalancing: () => { told.push("rebalancing"); return more.rebalancing!(); } }),
    assigned: (partitions) => {
      told.push(`assigned ${names(partitions)}`);
      if (more.assigned) more.assigned(partitions);
      else if (options.from !== false) for (const at of partitions) consumer.seek({ ...at, offset: options.from ?? 0n });
    },
    revoked: (partitions, lost) => {
      told.push(`${lost ? "lost" : "revoked"} ${names(partitions)}`);
      return more.revoked?.(partitions, lost);
    },
    records: (set: RecordSet) => {
      told.push(`records ${set.topic}/${set.partition} ${set.offset(0)}-${set.offset(set.count - 1)}`);
      for (let k = 0; k < set.count; k++) values.push(set.value(k)!.toString());
      more.records?.(set);
    },
    advanced: (at) => told.push(`advanced ${at.topic}/${at.partition} ${at.offset}`),
    end: (at) => more.end?.(at),
    outOfRange: (at, log) => told.push(`outOfRange ${at.topic}/${at.partition} ${at.offset} of ${log.earliest}-${log.end}`),
    damaged: (at, error) => { told.push(`damaged ${at.topic}/${at.partition} ${at.offset}`); errors.push(error); },
    state: (state, error) => {
      told.push(`state ${state}${error ? ` ${(error as { code?: string }).code}` : ""}`);
      lastError = error;
      if (error) errors.push(error);
    },
  };
  options.prepare?.(wire);
  const consumer = new GroupConsumer(
    { cluster: () => { throw new Error("There is no cluster here"); }, wire, clock, random: () => 0.5, log: () => {} },
    { groupId: "g", topics: options.subscribe ?? Object.keys(options.topics ?? { t: 1 }), sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 60_000, ...options.options }, events,
  );
  const harness: Harness = { clock, wire, consumer, told, values, errors, lastError: () => lastError };
  consumer.start();
  return harness;
}

/** The same, when it has joined and reads. */
export async function readingConsumer(options: HarnessOptions = {}): Promise<Harness> {
  const harness = consumerOn(options);
  await settle();
  if (!harness.consumer.membership) throw new Error(`It has not joined: ${harness.told.join(" | ")} ${harness.wire.calls.join(" | ")}`);
  return harness;
}
