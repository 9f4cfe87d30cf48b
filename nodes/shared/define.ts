import type { Node, NodeAPI, NodeDef } from "node-red";
import { deliveryRuntime } from "./delivery/runtime";
import { beginMeter, metricsOf } from "./observe";
import { asTicklakeError } from "../../lib/errors";

/** Any node's saved properties, before they are checked. */
export type RawConfig = NodeDef & Record<string, unknown>;

/**
 * Registers a node type. A constructor that throws (a setting that is wrong) leaves a node that shows the reason in
 * its status and answers every message with that error: one bad node never costs the process or the rest of the flow.
 */
export function defineNode<T extends Node = Node>(
  RED: NodeAPI,
  type: string,
  build: (node: T, config: RawConfig) => void,
  options: { credentials?: Record<string, { type: "text" | "password" }>; settings?: Record<string, { value: unknown; exportable?: boolean }> } = {},
): void {
  // A source that is opened while flows run already must know that they do.
  deliveryRuntime(RED);
  metricsOf(RED);
  function construct(this: T, config: RawConfig): void {
    RED.nodes.createNode(this, config);
    // Configuration nodes have no wires: they count nothing, and the nodes that use them say what is wrong with them.
    const meter = config["wires"] === undefined ? undefined : beginMeter(RED, this);
    try {
      build(this, config);
    } catch (caught) {
      const error = asTicklakeError(caught, "CONFIG_INVALID");
      if (meter) meter.notReady = () => short(error.message, 200);
      this.status({ fill: "red", shape: "ring", text: short(error.message) });
      this.error(error.message, { error });
      this.on("input", (_msg, _send, done) => done(error));
    }
  }
  RED.nodes.registerType(type, construct as never, options as never);
}

/** A status text: one line that fits under a node. Where it is too long, only the end of each path stays, so that what is wrong can be read. */
export function short(text: string, length = 60): string {
  let line = text.replace(/\s+/g, " ").trim();
  if (line.length > length) line = line.replace(/(^| )(?:[A-Za-z]:)?(?:[\\/][^\s:;,'"\\/]+){2,}(?=[\\/])/g, "$1…");
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
