import { RateMeter } from "../trades/generator-rate";
import type { Counter, PartitionLag, Reading } from "./reading";
import type { MetricsRegistry, NodeMeter } from "./registry";

/** A rate is that of so many of the last ms. */
const WINDOW_MS = 5000;
/** What comes in commits far apart is looked at for two of them, but no longer than this, ms. */
const LONGEST_WINDOW_MS = 120_000;

/** The figures of one node at one moment. Totals are since the process began; `null` = it has no such figure, or not yet. */
export interface NodeFigures extends Readonly<Record<Counter, number>> {
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly flow: string;
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason?: string;
  /** Records a second that came in, and that went out. */
  readonly inputRate: number;
  readonly outputRate: number;
  /** Records a second that the last batch was processed with: its records by its duration. Below the input rate, the node falls behind. */
  readonly processRate: number | null;
  readonly batchDurationMs: number | null;
  /** Between the starts of the last two batches. */
  readonly triggerIntervalMs: number | null;
  readonly batches: number;
  readonly inFlight: number | null;
  readonly lag: number | null;
  readonly partitions?: readonly PartitionLag[];
}

/** The figures of a process at one moment. */
export interface Sample {
  /** Unix ms. */
  readonly at: number;
  readonly ready: boolean;
  readonly nodes: readonly NodeFigures[];
  readonly process: { readonly uptimeSeconds: number; readonly rssBytes: number; readonly heapUsedBytes: number };
}

interface Rates { readonly in: RateMeter; readonly out: RateMeter }

/** Looks at a registry now and then; rates are between its own looks. */
export class Sampler {
  private rates = new Map<string, Rates>();

  constructor(private readonly registry: MetricsRegistry) {}

  /** @param now Unix ms */
  sample(now: number): Sample {
    const before = this.rates;
    this.rates = new Map();
    const nodes = this.registry.nodes().map((meter) => {
      const rates = before.get(meter.identity.id) ?? { in: new RateMeter(WINDOW_MS), out: new RateMeter(WINDOW_MS) };
      this.rates.set(meter.identity.id, rates);
      return figuresOf(meter, rates, now);
    });
    const { rss, heapUsed } = process.memoryUsage();
    return { at: now, ready: nodes.every(({ ready }) => ready), nodes, process: { uptimeSeconds: Math.round(process.uptime()), rssBytes: rss, heapUsedBytes: heapUsed } };
  }
}

/** Field by field: spreading objects into one another took thirty times as long, for every node and second. */
function figuresOf(meter: NodeMeter, rates: Rates, now: number): NodeFigures {
  const reading: Reading = meter.closed ? {} : meter.read();
  const reason = meter.closed ? "not running" : meter.notReady();
  const known = meter.totals(meter.closed ? undefined : reading);
  const recordsIn = known.recordsIn ?? 0, recordsOut = known.recordsOut ?? 0;
  const { lastBatch, triggerIntervalMs } = meter;
  const window = Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, 2 * (triggerIntervalMs ?? 0)));
  const { id, type, name, flow } = meter.identity;
  const figures: NodeFigures & { reason?: string; partitions?: readonly PartitionLag[] } = {
    id, type, name, flow, ready: reason === undefined,
    inputRate: rates.in.sample(now, recordsIn), outputRate: rates.out.sample(now, recordsOut, window),
    processRate: lastBatch ? (lastBatch.records * 1000) / Math.max(1, lastBatch.ms) : null,
    batchDurationMs: lastBatch?.ms ?? null, triggerIntervalMs: triggerIntervalMs ?? null, batches: meter.durations.count,
    recordsIn, recordsOut, delivered: known.delivered ?? 0, inFlight: reading.inFlight ?? null, lag: reading.lag ?? null, errors: known.errors ?? 0,
    rejected: known.rejected ?? 0, duplicates: known.duplicates ?? 0, dropped: known.dropped ?? 0, gaps: known.gaps ?? 0, failedDeliveries: known.failedDeliveries ?? 0,
  };
  if (reason !== undefined) figures.reason = reason;
  if (reading.partitions) figures.partitions = reading.partitions;
  return figures;
}
