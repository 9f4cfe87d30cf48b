import type { Node, NodeAPI } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { kafkaOptions, type BrokerCredentials, type BrokerEnvironment, type BrokerSettings } from "../../lib/kafka/broker-settings";
import { openKafka } from "../../lib/kafka/client";
import type { KafkaClient } from "../../lib/kafka/types";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { type Dialog, isDeployed, UNCHANGED, variableIn } from "../shared/dialog";
import { lookUps } from "../shared/look-up";
import { SharedBroker, withBroker, type BrokerNode } from "./brokers";

/** What core's tls-config node offers. */
interface TlsNode extends Node { valid?: boolean; addTLSOptions?(options: Record<string, unknown>): Record<string, unknown> }
const SETTINGS = ["brokers", "clientId", "tls", "saslMechanism", "oauthTokenEndpoint", "oauthScope"] as const;
const CREDENTIALS = ["username", "password"] as const;

export = (RED: NodeAPI): void => {
  defineNode<BrokerNode>(RED, "kafka-broker", (node, config) => {
    try {
      const options = kafkaOptions(fillIn(RED, node, config), node.credentials as BrokerCredentials ?? {}, tlsOptions(RED, config["tls"]), {
        variable: (name) => process.env[name],
        log: (level, text) => { if (level === "error" || level === "warn") node.warn(text); else node.debug(text); },
      });
      node.broker = new SharedBroker(node.name || options.brokers.join(", "), () => openKafka(options));
    } catch (caught) {
      // Told by every node that uses it, and once here.
      node.invalid = asTicklakeError(caught, "CONFIG_INVALID");
      node.error(node.invalid.message, { error: node.invalid });
    }
  }, { credentials: { username: { type: "text" }, password: { type: "password" } } });

  adminEndpoint(RED, "post", "kafka-broker/test", "kafka-broker.write", async ({ body }) => {
    const dialog = body as Dialog;
    try {
      const later = isDeployed(RED, dialog, SETTINGS, CREDENTIALS) ? undefined : variableIn(dialog);
      if (later !== undefined) return { ok: true, message: `${later} is filled in at the deploy; test again then.` };
      return await withDialog(RED, dialog, connection);
    } catch (caught) {
      return { ok: false, message: asTicklakeError(caught).message };
    }
  });

  lookUps<KafkaClient>(RED, "kafka-broker", {
    lists: {
      topics: async ({ admin }) => (await admin.topics()).filter((topic) => !topic.internal).map(({ name, partitions }) => ({ value: name, about: String(partitions) })).sort((a, b) => (a.value < b.value ? -1 : 1)),
      groups: async ({ admin }) => (await admin.groups()).map((value) => ({ value })),
    },
    deployed: (id, work) => withBroker(RED, id, work),
    undeployed: (dialog, work) => withDialog(RED, dialog, work),
  });
};

/** Does the work with a client of what a dialog says. */
async function withDialog<T>(RED: NodeAPI, dialog: Dialog, work: (client: KafkaClient) => Promise<T>): Promise<T> {
  if (isDeployed(RED, dialog, SETTINGS, CREDENTIALS)) return withBroker(RED, dialog["id"], work);
  // What is saved goes only to the addresses for which it was saved: a changed address must not be sent a password by somebody who does not know it.
  if (dialog["password"] === UNCHANGED) throw new TicklakeError("CONFIG_INVALID", "These settings differ from the deployed ones, and the saved password is not sent to other addresses. Deploy first, or enter it again.");
  const client = openKafka(kafkaOptions(dialog, dialog, tlsOptions(RED, dialog["tls"]), NO_ENVIRONMENT));
  try { return await work(client); } finally { await client.close(); }
}

/** Somebody may test what he types, but not what the variables of this machine hold. */
const NO_ENVIRONMENT: BrokerEnvironment = { variable: () => undefined };

async function connection({ admin }: KafkaClient): Promise<{ ok: true; message: string }> {
  const { clusterId, brokers, topics } = await admin.describeCluster();
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  return { ok: true, message: `Connected to cluster ${clusterId}: ${count(brokers.length, "broker")}, ${count(topics, "topic")}.` };
}

/** Node-RED fills in variables that are the whole value; in lists (`${A}:9092,${B}:9092`) they stand within it. */
function fillIn(RED: NodeAPI, node: Node, config: Record<string, unknown>): BrokerSettings {
  const { getSetting } = RED.util as unknown as { getSetting(node: Node, name: string): unknown };
  const fill = (value: unknown): unknown => (typeof value === "string" ? value.replace(/\$\{([^}]+)\}/g, (whole, name: string) => String(getSetting(node, name) ?? whole)) : value);
  return Object.fromEntries(SETTINGS.map((name) => [name, fill(config[name])]));
}

function tlsOptions(RED: NodeAPI, id: unknown): Record<string, unknown> | undefined {
  if (typeof id !== "string" || id === "" || id === "_ADD_") return undefined;
  const node = RED.nodes.getNode(id) as TlsNode | null;
  if (!node?.addTLSOptions) throw new TicklakeError("CONFIG_INVALID", "The TLS configuration of this broker is missing or not deployed. Open the broker and choose one, then deploy.");
  if (node.valid === false) throw new TicklakeError("CONFIG_INVALID", "The TLS configuration of this broker cannot be used: a certificate or key is missing or unreadable. Open it and correct it.");
  return node.addTLSOptions({});
}
