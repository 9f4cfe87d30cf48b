import type { NodeAPI } from "node-red";

/** How a user knows a node: by its name, else by type and id. */
export function nodeLabel(RED: NodeAPI, id: string): string {
  const node = RED.nodes.getNode(id) as { name?: string; type?: string } | null;
  return node?.name || (node?.type ? `${node.type} ${id}` : `node ${id}`);
}
