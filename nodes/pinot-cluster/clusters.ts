import type { Node, NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import type { PinotCluster } from "../../lib/pinot/cluster";

/** A `pinot-cluster` config node at run time. Without `cluster` its settings are wrong, and `invalid` says why. */
export interface ClusterNode extends Node { cluster?: PinotCluster; invalid?: TicklakeError }

/**
 * The cluster of a config node.
 *
 * @param id the node's property that refers to it
 * @throws TicklakeError CONFIG_INVALID saying what to do
 */
export function clusterOf(RED: NodeAPI, id: unknown): PinotCluster {
  if (typeof id !== "string" || id === "") throw new TicklakeError("CONFIG_INVALID", "No Pinot cluster is chosen. Open the node and choose or add one.");
  const node = RED.nodes.getNode(id) as ClusterNode | null;
  if (!node) throw new TicklakeError("CONFIG_INVALID", "The Pinot cluster of this node is missing or disabled. Open the node and choose one, then deploy.");
  if (node.invalid) throw node.invalid;
  if (!node.cluster) throw new TicklakeError("CONFIG_INVALID", `The node ${node.name || id} is no Pinot cluster. Open the node and choose one.`);
  return node.cluster;
}
