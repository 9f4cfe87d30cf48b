import type { Node, NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError } from "../../lib/errors";
import { operationOf, parseTable, runTableOperation, summaryText, type TableRequest, type TableResult } from "../../lib/pinot/table";
import { kafkaLag } from "../../lib/pinot/table/kafka-lag";
import { clusterOf } from "../pinot-cluster/clusters";
import { defineNode, type RawConfig, short } from "../shared/define";
import { typedProperty } from "../shared/properties";
import { StatusLine } from "../shared/status";

/** What a message may say of its own. */
type Asking = NodeMessage & { operation?: unknown; table?: unknown; overrides?: unknown; confirm?: unknown };

const TYPED = ["table", "topic", "kafkaBrokers", "retentionDays", "flushRows", "replication"] as const;

export = (RED: NodeAPI): void => {
  defineNode(RED, "pinot-table", (node, config) => {
    const cluster = clusterOf(RED, config["cluster"]);
    const status = new StatusLine(node);
    const closing = new AbortController();
    const running = new Set<Promise<unknown>>();

    async function run(msg: Asking): Promise<TableResult> {
      const request = await readRequest(RED, node, config, msg);
      status.idle(`${request.operation} …`);
      return runTableOperation({ cluster, ...request }, { signal: closing.signal, kafka: kafkaLag, warn: (text) => node.warn(text), progress: (text) => { status.idle(short(`${request.operation}: ${text}`)); } });
    }

    node.on("input", (msg, send, done) => {
      const work = run(msg).then((result) => {
        show(status, result);
        for (const text of warnings(result)) node.warn(text);
        send({ ...msg, payload: result } as NodeMessage);
        done();
      }).catch((caught: unknown) => {
        const error = asTicklakeError(caught);
        if (!closing.signal.aborted) status.fail(short(error.message));
        done(error);
      }).finally(() => running.delete(work));
      running.add(work);
    });

    node.on("close", (done: () => void) => {
      closing.abort();
      void Promise.allSettled([...running]).then(() => { status.end(); done(); });
    });
  });
};

/** The node's settings, and what the message says instead. */
async function readRequest(RED: NodeAPI, node: Node, config: RawConfig, msg: Asking): Promise<Omit<TableRequest, "cluster">> {
  const values: Record<string, unknown> = { names: config["names"], starTree: config["starTree"] };
  for (const name of TYPED) values[name] = await typedProperty(RED, node, config, name, msg);
  if (isSaid(msg.table)) values["table"] = msg.table;
  values["overrides"] = isSaid(msg.overrides) ? msg.overrides
    : isSaid(config["overrides"]) ? await typedProperty(RED, node, { overrides: config["overrides"], overridesType: config["overridesType"] || "json" }, "overrides", msg) : {};
  return { operation: operationOf(isSaid(msg.operation) ? msg.operation : config["operation"]), settings: parseTable(values), confirm: isSaid(msg.confirm) ? msg.confirm : config["confirm"] === true };
}

function isSaid(value: unknown): value is NonNullable<unknown> {
  return value !== undefined && value !== null && value !== "";
}

function show(status: StatusLine, result: TableResult): void {
  const text = short(summaryText(result), 80);
  if (result.operation !== "status") status.ok(text);
  else if (result.state === "failing") status.fail(text);
  else if (result.state === "consuming") status.ok(text);
  else status.idle(text);
}

/** What a table has other than the settings say, and what a status could not find out. */
function warnings(result: TableResult): string[] {
  if (result.operation === "status") return [...result.unknown];
  if (result.operation !== "create" || result.differences.length === 0) return [];
  const some = result.differences.slice(0, 5).map(({ path, is, wanted }) => `${path} is ${shown(is)}, wanted ${shown(wanted)}`).join("; ");
  return [`The table ${result.table} is there with another configuration: ${some}${result.differences.length > 5 ? "; …" : ""}. The operation update makes it so.`];
}

const shown = (value: unknown): string => (value === undefined ? "not there" : JSON.stringify(value));
