import type { Histogram } from "./histogram";
import type { Counter } from "./reading";
import type { NodeFigures, Sample } from "./sample";

/** One line of a metric. */
export interface MetricValue { readonly labels: Readonly<Record<string, string | number>>; readonly value: number; /** Where it differs from the metric's: `_bucket`, `_sum`, `_count`. */ readonly metricName?: string }

/** A metric as Prometheus knows it. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  values(look: Look): MetricValue[];
}

/** What metrics are made of. */
export interface Look { readonly sample: Sample; readonly version: string; durations(id: string): Histogram | undefined }

const labelsOf = ({ id, type }: NodeFigures): { node: string; type: string } => ({ node: id, type });

/** One value per node; none for a node that has no such figure. */
function perNode(name: string, type: "counter" | "gauge", help: string, of: (node: NodeFigures) => number | null): Metric {
  return {
    name, help, type,
    values: ({ sample }) => sample.nodes.flatMap((node) => {
      const value = of(node);
      return value === null ? [] : [{ labels: labelsOf(node), value }];
    }),
  };
}

const total = (name: string, counter: Counter, help: string): Metric => perNode(name, "counter", help, (node) => node[counter]);
const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);

/** All that is exported, beside what the client tells of the process. Labels name a node by its id, which a new name does not change; ticklake_node_info gives the name. */
export const METRICS: readonly Metric[] = [
  {
    name: "ticklake_records_total", type: "counter", help: "Records that a node took in and gave out. Out is: sent on (sources, transforms), durable (sinks).",
    values: ({ sample }) => sample.nodes.flatMap((node) => [
      { labels: { ...labelsOf(node), direction: "in" }, value: node.recordsIn }, { labels: { ...labelsOf(node), direction: "out" }, value: node.recordsOut },
    ]),
  },
  total("ticklake_delivered_records_total", "delivered", "Records of a source that every node they reached is done with."),
  total("ticklake_rejected_records_total", "rejected", "Records that were set aside with a reason: rejects and dead letters."),
  total("ticklake_duplicate_records_total", "duplicates", "Records that were recognised as having come before, and left out."),
  total("ticklake_dropped_records_total", "dropped", "Records that are lost because a feed that cannot wait met a flow that was slower."),
  total("ticklake_gaps_total", "gaps", "Stretches of time in which a feed did not come through."),
  total("ticklake_failed_deliveries_total", "failedDeliveries", "Deliveries of a source that failed and are made again."),
  total("ticklake_errors_total", "errors", "Errors that a node raised, whether a Catch node took them or the log."),
  perNode("ticklake_in_flight_records", "gauge", "Records sent and not delivered (sources), or waiting to become durable (sinks).", ({ inFlight }) => inFlight),
  perNode("ticklake_lag_records", "gauge", "Records that are there and were not read yet, or were received and not sent yet.", ({ lag }) => lag),
  {
    name: "ticklake_partition_lag_records", type: "gauge", help: "Records of a partition that are there and were not read yet.",
    values: ({ sample }) => sample.nodes.flatMap((node) => (node.partitions ?? []).map(({ topic, partition, lag }) => ({ labels: { ...labelsOf(node), topic, partition }, value: lag }))),
  },
  perNode("ticklake_input_rate_records_per_second", "gauge", "Input rate: records a second that came in, over the last seconds.", ({ inputRate }) => inputRate),
  perNode("ticklake_process_rate_records_per_second", "gauge", "Process rate: records of the last batch by its duration. Below the input rate a node falls behind.", ({ processRate }) => processRate),
  perNode("ticklake_trigger_interval_seconds", "gauge", "Trigger interval: time between the starts of the last two batches.", ({ triggerIntervalMs }) => seconds(triggerIntervalMs)),
  perNode("ticklake_last_batch_duration_seconds", "gauge", "Batch duration of the last batch.", ({ batchDurationMs }) => seconds(batchDurationMs)),
  {
    name: "ticklake_batch_duration_seconds", type: "histogram", help: "Batch duration: of a commit, of a message until its acknowledgement, of a query.",
    values: ({ sample, durations }) => sample.nodes.flatMap((node) => histogramOf("ticklake_batch_duration_seconds", labelsOf(node), durations(node.id))),
  },
  perNode("ticklake_node_ready", "gauge", "Whether a node can do its work: 1 or 0.", ({ ready }) => Number(ready)),
  {
    name: "ticklake_node_info", type: "gauge", help: "Name of a node, and of the flow in which it stands.",
    values: ({ sample }) => sample.nodes.map((node) => ({ labels: { ...labelsOf(node), name: node.name || `${node.type} ${node.id}`, flow: node.flow }, value: 1 })),
  },
  { name: "ticklake_build_info", type: "gauge", help: "Version of the package.", values: ({ version }) => [{ labels: { version }, value: 1 }] },
];

function histogramOf(name: string, labels: { node: string; type: string }, histogram: Histogram | undefined): MetricValue[] {
  if (!histogram || histogram.count === 0) return [];
  return [
    ...histogram.cumulative().map(({ le, count }) => ({ metricName: `${name}_bucket`, labels: { ...labels, le: le === Infinity ? "+Inf" : le }, value: count })),
    { metricName: `${name}_sum`, labels, value: histogram.sum }, { metricName: `${name}_count`, labels, value: histogram.count },
  ];
}
