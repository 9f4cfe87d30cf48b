import type { Node, NodeAPI } from "node-red";
import type { Account } from "../../lib/alpaca/account";
import type { RateLimit } from "../../lib/alpaca/history";
import { TicklakeError } from "../../lib/errors";

/** What the nodes of an account share. */
export interface SharedAccount {
  readonly account: Account;
  readonly rateLimit: RateLimit;
  /** Ids of the nodes that stream from it. Plans allow one connection per feed. */
  readonly users: Set<string>;
}

/** An `alpaca-account` config node at run time. Without `shared` its settings are wrong, and `invalid` says why. */
export interface AccountNode extends Node { shared?: SharedAccount; invalid?: TicklakeError }

/**
 * The account of a config node.
 *
 * @param id the node's property that refers to it
 * @throws TicklakeError CONFIG_INVALID saying what to do
 */
export function accountOf(RED: NodeAPI, id: unknown): SharedAccount {
  if (typeof id !== "string" || id === "") throw new TicklakeError("CONFIG_INVALID", "No Alpaca account is chosen. Open the node and choose or add one.");
  const node = RED.nodes.getNode(id) as AccountNode | null;
  if (!node) throw new TicklakeError("CONFIG_INVALID", "The Alpaca account of this node is missing or disabled. Open the node and choose one, then deploy.");
  if (node.invalid) throw node.invalid;
  if (!node.shared) throw new TicklakeError("CONFIG_INVALID", `The node ${node.name || id} is no Alpaca account. Open the node and choose one.`);
  return node.shared;
}
