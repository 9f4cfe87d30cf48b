import type { Node, NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import type { KafkaClient } from "../../lib/kafka/types";

/** One user's share of a cluster's client. */
export interface BrokerUse {
  /** The client; opened with the first use by anybody, shared by all nodes of this cluster. Counts once, however often it is called. */
  use(): KafkaClient;
  /** This user needs it no longer. The last one's call closes the client and resolves when its connections are closed. Never rejects for a user that did not `use` it. */
  release(): Promise<void>;
  /** How people call the cluster: the config node's name, else its addresses. */
  readonly label: string;
}

/**
 * The client of one config node. Config nodes are closed in the same turn as their users, which still commit and acknowledge then:
 * so the last user closes it, not the node.
 */
export class SharedBroker {
  #client: KafkaClient | undefined;
  #users = 0;

  constructor(readonly label: string, private readonly open: () => KafkaClient) {}

  /** A share for one user. */
  share(): BrokerUse {
    let using: KafkaClient | undefined;
    return {
      label: this.label,
      use: () => using ??= this.#enter(),
      release: async () => {
        const client = using;
        using = undefined;
        if (client) await this.#leave(client);
      },
    };
  }

  #enter(): KafkaClient {
    this.#client ??= this.open();
    this.#users++;
    return this.#client;
  }

  async #leave(client: KafkaClient): Promise<void> {
    if (--this.#users > 0) return;
    this.#client = undefined;
    await client.close();
  }
}

/** A `kafka-broker` config node at run time. Without `broker` its settings are wrong, and `invalid` says why. */
export interface BrokerNode extends Node { broker?: SharedBroker; invalid?: TicklakeError }

/**
 * A share in the client of a config node, for one user (a node, or one request of the editor).
 *
 * @param id the node's property that refers to it
 * @throws TicklakeError CONFIG_INVALID saying what to do
 */
export function brokerOf(RED: NodeAPI, id: unknown): BrokerUse {
  if (typeof id !== "string" || id === "") throw new TicklakeError("CONFIG_INVALID", "No Kafka broker is chosen. Open the node and choose or add one.");
  const node = RED.nodes.getNode(id) as BrokerNode | null;
  if (!node) throw new TicklakeError("CONFIG_INVALID", "The Kafka broker of this node is missing or disabled. Open the node and choose one, then deploy.");
  if (node.invalid) throw node.invalid;
  if (!node.broker) throw new TicklakeError("CONFIG_INVALID", `The node ${node.name || id} is no Kafka broker. Open the node and choose one.`);
  return node.broker.share();
}

/** As `brokerOf`, for the time of one piece of work (look-ups of dialogs). */
export async function withBroker<T>(RED: NodeAPI, id: unknown, work: (client: KafkaClient) => Promise<T>): Promise<T> {
  if (typeof id !== "string" || !RED.nodes.getNode(id)) throw new TicklakeError("CONFIG_INVALID", "Deploy the broker first; then it can be asked.");
  const broker = brokerOf(RED, id);
  try {
    return await work(broker.use());
  } finally {
    await broker.release();
  }
}
