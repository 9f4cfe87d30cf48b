import type { Node, NodeAPI, NodeMessage } from "node-red";
import { TicklakeError } from "../../lib/errors";

/**
 * Reads a typed property (`name` with `nameType`: str, num, bool, json, env, msg, flow, global, jsonata) and calls back, in the
 * same turn unless an asynchronous context store is asked. Without a type the value is taken as it is; undefined where msg, flow or global
 * hold nothing.
 */
export function withTypedProperty(
  RED: NodeAPI, node: Node, config: object, name: string, msg: NodeMessage, then: (error: Error | undefined, value?: unknown) => void,
): void {
  const properties = config as Record<string, unknown>;
  const value = properties[name];
  const type = properties[`${name}Type`];
  if (typeof type !== "string" || type === "" || type === "str") { then(undefined, value); return; }
  RED.util.evaluateNodeProperty(String(value ?? ""), type as never, node, msg, (error: Error | null, result: unknown) => {
    if (error) then(new TicklakeError("CONFIG_INVALID", `${name}: cannot read ${type} "${String(value)}": ${error.message}`, { cause: error }));
    else then(undefined, result);
  });
}

/** `withTypedProperty` as a promise. */
export function typedProperty(RED: NodeAPI, node: Node, config: object, name: string, msg: NodeMessage = {} as NodeMessage): Promise<unknown> {
  return new Promise((resolve, reject) => {
    withTypedProperty(RED, node, config, name, msg, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

/** Whether the property depends on the message, so that it must be read for each one. */
export function isPerMessage(config: object, name: string): boolean {
  const type = (config as Record<string, unknown>)[`${name}Type`];
  return type === "msg" || type === "flow" || type === "global" || type === "jsonata";
}
