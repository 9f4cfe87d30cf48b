import type { Node, NodeAPI } from "node-red";

/** Of a node's saved properties, what tells who hears of others. */
interface Saved { readonly id: string; readonly z?: string; readonly type: string; readonly scope?: unknown; readonly caughtIsDone?: unknown }

/** Who is told of a deploy, per Node-RED: one listener for all nodes, since Node.js warns of a leak at the eleventh. */
const all = new WeakMap<object, Set<() => void>>();
function watchers(RED: NodeAPI): Set<() => void> {
  let known = all.get(RED.events);
  if (!known) {
    const fresh = known = new Set();
    all.set(RED.events, fresh);
    RED.events.on("flows:started", () => { for (const forget of fresh) forget(); });
  }
  return known;
}

/**
 * Whether somebody in the flow looks at this node's messages when they are over, so that they must be whole then: a Complete or Catch node that names
 * it, or a Catch node for all nodes where a source takes what was caught for done (its flow may be all that keeps the rows). Looked up once per deploy.
 */
export function completeWatch(RED: NodeAPI, node: Node): () => boolean {
  let known: boolean | undefined;
  const forget = (): void => { known = undefined; };
  const watching = watchers(RED);
  watching.add(forget);
  node.on("close", () => { watching.delete(forget); });
  // Inside a subflow the others name the node of the template.
  const ids = [node.id, (node as Node & { _alias?: string })._alias];
  const look = (): boolean => {
    let named = false, catchAll = false, caughtIsDone = false;
    RED.nodes.eachNode((other) => {
      const { type, scope, caughtIsDone: done } = other as unknown as Saved;
      if (done === true || done === "true") caughtIsDone = true;
      if (type !== "complete" && type !== "catch") return;
      // A list of nodes; "group", or none for all, which only a Catch node has.
      if (!Array.isArray(scope)) catchAll ||= type === "catch";
      else named ||= scope.some((id) => ids.includes(id as string));
    });
    return named || (catchAll && caughtIsDone);
  };
  return () => known ??= look();
}
