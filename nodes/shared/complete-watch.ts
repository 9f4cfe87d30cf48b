import type { Node, NodeAPI } from "node-red";

/**
 * Whether a Complete node hears of this node, so that a message must be whole when it is done. Looked up once per deploy.
 */
export function completeWatch(RED: NodeAPI, node: Node): () => boolean {
  let known: boolean | undefined;
  const forget = (): void => { known = undefined; };
  RED.events.on("flows:started", forget);
  node.on("close", () => { RED.events.off("flows:started", forget); });
  // Inside a subflow the Complete node names the node of the template.
  const ids = [node.id, (node as Node & { _alias?: string })._alias];
  return () => {
    if (known === undefined) {
      known = false;
      RED.nodes.eachNode((other) => {
        const { type, scope } = other as unknown as { type: string; scope?: unknown };
        if (type === "complete" && Array.isArray(scope) && scope.some((id) => ids.includes(id as string))) known = true;
      });
    }
    return known;
  };
}
