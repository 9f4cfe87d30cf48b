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

/**
 * The account for a source. A source that does not begin by itself may lack keys: it is one of several that a flow chooses from, says so in
 * its status, and answers what would start it with the error. Undefined then.
 *
 * @throws TicklakeError CONFIG_INVALID saying what to do
 */
export function accountUnlessResting(RED: NodeAPI, node: Node, id: unknown, autoStart: boolean): SharedAccount | undefined {
  try {
    return accountOf(RED, id);
  } catch (caught) {
    const error = caught as TicklakeError;
    if (autoStart || error.details?.["missing"] === undefined) throw error;
    node.status({ fill: "grey", shape: "ring", text: `not started; no ${String(error.details["missing"])} yet` });
    // What never began is stopped already.
    node.on("input", (msg, _send, done) => { if (msg.payload === "stop") done(); else done(error); });
    return undefined;
  }
}
