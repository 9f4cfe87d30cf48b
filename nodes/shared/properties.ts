import type { Node, NodeAPI, NodeMessage } from "node-red";
import { TicklakeError } from "../../lib/errors";

/**
 * Reads a typed property (`name` with `nameType`: str, num, bool, json, env, msg, flow, global, jsonata).
 * Without a type the value is taken as it is. Resolves with undefined where msg, flow or global hold nothing.
 */
export function typedProperty(RED: NodeAPI, node: Node, config: object, name: string, msg: NodeMessage = {} as NodeMessage): Promise<unknown> {
  const properties = config as Record<string, unknown>;
  const value = properties[name];
  const type = properties[`${name}Type`];
  if (typeof type !== "string" || type === "" || type === "str") return Promise.resolve(value);
  return new Promise((resolve, reject) => {
    RED.util.evaluateNodeProperty(String(value ?? ""), type as never, node, msg, (error: Error | null, result: unknown) => {
      if (error) reject(new TicklakeError("CONFIG_INVALID", `${name}: cannot read ${type} "${String(value)}": ${error.message}`, { cause: error }));
      else resolve(result);
    });
  });
}

/** Whether the property depends on the message, so that it must be read for each one. */
export function isPerMessage(config: object, name: string): boolean {
  const type = (config as Record<string, unknown>)[`${name}Type`];
  return type === "msg" || type === "flow" || type === "global" || type === "jsonata";
}
