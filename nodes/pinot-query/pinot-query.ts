import type { Node, NodeAPI, NodeMessage } from "node-red";
import { documentedQueries } from "../../lib/pinot/query/documented";
import { askBroker } from "../../lib/pinot/query/ask";
import { parseDefaults, parsePinotQuery, type PinotQueryInput } from "../../lib/pinot/query/options";
import { checkQuery } from "../../lib/pinot/query/check";
import { runPinotQuery, type RunOptions } from "../../lib/pinot/query/run";
import type { PinotResult } from "../../lib/pinot/query/result";
import { tableColumns, tableNames } from "../../lib/pinot/query/tables";
import { Turns } from "../../lib/turns";
import { clusterOf } from "../pinot-cluster/clusters";
import { adminEndpoint } from "../shared/admin";
import { answerMessages } from "../shared/answers";
import { defineNode } from "../shared/define";
import { typedProperty } from "../shared/properties";

/** Rows that the dialog shows at the most. */
const PREVIEW_ROWS = 200;
/** Queries of one node that run at a time, and that wait. */
const AT_A_TIME = 4, MOST_WAITING = 100;

export = (RED: NodeAPI): void => {
  defineNode(RED, "pinot-query", (node, config) => {
    const cluster = clusterOf(RED, config["cluster"]);
    const defaults = parseDefaults(config["params"]);
    const turns = new Turns(AT_A_TIME, MOST_WAITING);
    let saidMissing = false;

    answerMessages(node, async (msg, { signal }) => {
      const query = parsePinotQuery({ ...await readInput(RED, node, config, msg), defaults, addLimit: config["addLimit"], allowPartial: config["allowPartial"] });
      await turns.begin();
      try {
        const { rows, columns, statistics } = await ask(cluster, query, { signal });
        const cut = statistics.limitMissing && rows.length >= 10;
        if (cut && !saidMissing) {
          saidMissing = true;
          node.warn(statistics.warnings.at(-1));
        }
        return {
          msg: { payload: rows, columns, pinot: statistics }, warning: cut || statistics.partial,
          status: `${rows.length}${statistics.truncated ? "+" : ""} row${rows.length === 1 ? "" : "s"}, ${statistics.ms} ms${statistics.partial ? ", partial" : cut ? ", no LIMIT: cut at 10" : ""}`,
        };
      } finally {
        turns.end();
      }
    });
  });

  // The "run" button of the dialog. For those who may edit flows: they could deploy the query as well.
  adminEndpoint(RED, "post", "pinot-query/run", "pinot-query.write", async ({ body }) => {
    const { cluster, params, ...input } = body as PinotQueryInput & { cluster?: unknown };
    const query = parsePinotQuery({ ...input, defaults: parseDefaults(params) });
    const { rows, columns, statistics } = await ask(clusterOf(RED, cluster), { ...query, maxRows: Math.min(query.maxRows, PREVIEW_ROWS) });
    return { ...statistics, rows, columns };
  });

  // What the dialog says of a query while it is written.
  adminEndpoint(RED, "post", "pinot-query/check", "pinot-query.write", ({ body }) => Promise.resolve(checkQuery(body as { sql?: unknown; params?: unknown })));

  adminEndpoint(RED, "get", "pinot-query/templates", "pinot-query.read", () => Promise.resolve({ documented: documentedQueries("documented", "{table}"), readable: documentedQueries("readable", "{table}") }));
  adminEndpoint(RED, "get", "pinot-query/:cluster/tables", "pinot-query.read", async ({ params }) => ({ tables: await tableNames(clusterOf(RED, params["cluster"]).http) }));
  adminEndpoint(RED, "get", "pinot-query/:cluster/columns", "pinot-query.read", async ({ params, query }) => ({ columns: await tableColumns(clusterOf(RED, params["cluster"]).http, String(query["table"])) }));
};

function ask({ http }: ReturnType<typeof clusterOf>, query: ReturnType<typeof parsePinotQuery>, options: RunOptions = {}): Promise<PinotResult> {
  return runPinotQuery(askBroker(http), query, options);
}

async function readInput(RED: NodeAPI, node: Node, config: object, msg: NodeMessage): Promise<PinotQueryInput> {
  const [sql, timeoutMs, maxRows] = await Promise.all(["sql", "timeoutMs", "maxRows"].map((name) => typedProperty(RED, node, config, name, msg)));
  return { sql, timeoutMs, maxRows, params: (msg as { params?: unknown }).params };
}
