import type { Node, NodeAPI, NodeMessage } from "node-red";
import { TicklakeError } from "../../lib/errors";
import { countTable } from "../../lib/reconcile/iceberg";
import { countTopic } from "../../lib/reconcile/kafka";
import { countPinot } from "../../lib/reconcile/pinot";
import { parseRange, reconcile, type Place } from "../../lib/reconcile/run";
import { catalogOf, deployedCatalogs } from "../iceberg-catalog/catalogs";
import { useEngine } from "../iceberg-query/shared-engine";
import { brokerOf, type BrokerUse } from "../kafka-broker/brokers";
import { clusterOf } from "../pinot-cluster/clusters";
import { adminEndpoint } from "../shared/admin";
import { answerMessages } from "../shared/answers";
import { defineNode, type RawConfig } from "../shared/define";
import { typedProperty } from "../shared/properties";

/** What a message may say of its own. */
type Asking = NodeMessage & { from?: unknown; to?: unknown };

/** Compares what the places of a pipeline hold: nothing lost, nothing doubled, or where. */
export = (RED: NodeAPI): void => {
  defineNode(RED, "pipeline-reconcile", (node, config) => {
    const settings = settingsOf(config);
    const broker = settings.topics.length > 0 ? brokerOf(RED, config["broker"]) : undefined;
    const catalog = settings.table === "" ? undefined : catalogOf(RED, config["catalog"]);
    const places: Place[] = settings.topics.map((topic) => ({ name: `Kafka ${topic}`, count: (range, signal) => countTopic((broker as BrokerUse).use(), topic, range, signal) }));
    if (catalog) places.push({ name: `Iceberg ${settings.table}`, count: (range, signal) => countTable(used.engine, used.tables.resolver(catalog, deployedCatalogs()), settings.table, range, signal) });
    if (settings.pinotTable !== "") {
      const { http } = clusterOf(RED, config["cluster"]);
      places.push({ name: `Pinot ${settings.pinotTable}`, count: (range, signal) => countPinot(http, settings.pinotTable, range, signal) });
    }
    if (places.length < 2) throw new TicklakeError("CONFIG_INVALID", "There is nothing to compare: name at least two places (source topic, destination topic, Iceberg table, Pinot table).");

    // Last, when nothing can be wrong any more: a node that was not built is not closed, and would keep the engine.
    const used = useEngine();

    answerMessages(node, async (msg, { signal, progress }) => {
      const [from, to] = await Promise.all([said(RED, node, config, "from", msg), said(RED, node, config, "to", msg)]);
      const result = await reconcile(places, parseRange(from, to), { signal, maxDifferences: settings.maxDifferences, progress: (text) => { progress(`${text} …`); } });
      return { msg: { payload: result }, status: `${result.summary}, ${result.ms} ms`, alarm: !result.equal, warning: result.places[0]!.trades === 0 };
    }, async () => { await Promise.all([used.release(), broker?.release()]); },
    (underWay) => (underWay > 0 ? new TicklakeError("TABLE_BUSY", "A reconciliation is under way here. Send the message again when it has answered.") : undefined));
  });

  // The button beside the node.
  adminEndpoint(RED, "post", "pipeline-reconcile/:id/run", "pipeline-reconcile.write", ({ params }) => {
    const node = RED.nodes.getNode(params["id"] ?? "") as Node | null;
    if (!node || node.type !== "pipeline-reconcile") throw new TicklakeError("TABLE_NOT_FOUND", "This node is not deployed. Deploy it first.");
    node.receive({ topic: "reconcile" } as NodeMessage);
    return Promise.resolve({});
  });
};

interface Settings { topics: string[]; table: string; pinotTable: string; maxDifferences: number }

function settingsOf(config: RawConfig): Settings {
  const text = (name: string): string => (typeof config[name] === "string" ? (config[name] as string).trim() : "");
  const most = Number(config["maxDifferences"] ?? 100);
  if (!Number.isInteger(most) || most < 1) throw new TicklakeError("CONFIG_INVALID", `maxDifferences: ${JSON.stringify(config["maxDifferences"])} is no whole number above 0.`);
  return { topics: [text("sourceTopic"), text("destTopic")].filter((topic) => topic !== ""), table: text("table"), pinotTable: text("pinotTable"), maxDifferences: most };
}

/** msg.from and msg.to go before the settings. */
function said(RED: NodeAPI, node: Node, config: RawConfig, name: "from" | "to", msg: Asking): Promise<unknown> {
  const own = msg[name];
  return own === undefined || own === null || own === "" ? typedProperty(RED, node, config, name, msg) : Promise.resolve(own);
}
