import type { Server } from "node:http";
import type { Node, NodeAPI } from "node-red";
import type { FlowsPhase } from "../../lib/metrics/health";
import type { Reading } from "../../lib/metrics/reading";
import { MetricsRegistry, type NodeMeter } from "../../lib/metrics/registry";
import { deliveryRuntime } from "./delivery/runtime";
import { answerHealth } from "./health";
import { withTrace } from "./trace";

/** What an adapter says of its node when it is asked; nothing is asked while records pass. */
export interface Observed {
  /** Totals since the deploy, and what is true now. */
  read(): Reading;
  /** Why the node cannot do its work now, in a few words and without secrets; undefined while it can. */
  notReady?(): string | undefined;
  /** False for a node that carries no records. */
  readonly listed?: boolean;
}

const KEY = Symbol.for("ticklake.metrics.1");
type Shared = WeakMap<object, MetricsRegistry>;

/** The figures of this Node-RED process, however often this module is loaded. The first call also begins to answer /healthz and /readyz. */
export function metricsOf(RED: NodeAPI): MetricsRegistry {
  const registries = (globalThis as { [KEY]?: Shared })[KEY] ??= new WeakMap();
  let registry = registries.get(RED.events);
  if (!registry) {
    const made = registry = new MetricsRegistry();
    registries.set(RED.events, made);
    RED.events.on("flows:started", () => { made.started(); });
    begin(RED, made);
  }
  return registry;
}

function begin(RED: NodeAPI, registry: MetricsRegistry): void {
  const { ticklake, httpNodeAuth } = RED.settings as { ticklake?: { health?: boolean }; httpNodeAuth?: unknown };
  const server = RED.server as Server | undefined;
  if (ticklake?.health === false || typeof server?.listeners !== "function") return;
  const runtime = deliveryRuntime(RED);
  // Where pages ask for a password, names and reasons are for those who have it: pipeline-metrics tells them.
  answerHealth(server, { details: !httpNodeAuth, look: (): [FlowsPhase, ReturnType<MetricsRegistry["notReady"]>] => [runtime.phase, registry.notReady()] });
}

const meters = new WeakMap<Node, NodeMeter>();

/** Begins to count for a node; `defineNode` does so for every node that has a place in a flow. Errors are those that Catch nodes and the log are told. */
export function beginMeter(RED: NodeAPI, node: Node): NodeMeter {
  const meter = metricsOf(RED).open({ id: node.id, type: node.type, name: node.name ?? "", flow: flowLabel(RED, node.z) });
  meters.set(node, meter);
  // A proxy, so that whoever watches the method still can.
  node.error = new Proxy(node.error, {
    apply(error, self, args) {
      meter.errors++;
      return withTrace(args[1], () => Reflect.apply(error, self, args) as unknown);
    },
  });
  node.on("close", (removed: boolean, done: () => void) => {
    metricsOf(RED).close(meter, removed);
    done();
  });
  return meter;
}

/** What `observed` says is asked from now on. Gives the meter, to tell it of batches. */
export function observe(node: Node, observed: Observed): NodeMeter | undefined {
  const meter = meters.get(node);
  if (!meter) return undefined;
  meter.read = () => observed.read();
  meter.listed = observed.listed ?? true;
  if (observed.notReady) meter.notReady = () => observed.notReady!();
  return meter;
}

/** The name of a tab, or of the subflow, in which a node stands. */
function flowLabel(RED: NodeAPI, id: string | undefined): string {
  let label = "";
  if (id) RED.nodes.eachNode((other) => { if (other.id === id) label = (other as { label?: string; name?: string }).label ?? other.name ?? ""; });
  return label;
}
