import type { Node, NodeAPI, NodeMessage } from "node-red";
import { TicklakeError } from "../../lib/errors";
import { parseQuery, type QueryInput } from "../../lib/sql/options";
import { snapshotChoices } from "../../lib/sql/snapshots";
import { catalogOf, deployedCatalogs } from "../iceberg-catalog/catalogs";
import { adminEndpoint } from "../shared/admin";
import { answerMessages } from "../shared/answers";
import { defineNode } from "../shared/define";
import { typedProperty } from "../shared/properties";
import { runSql } from "./run-sql";
import { useEngine } from "./shared-engine";

/** Rows that the dialog shows at the most. */
const PREVIEW_ROWS = 200;

export = (RED: NodeAPI): void => {
  defineNode(RED, "iceberg-query", (node, config) => {
    const catalog = catalogOf(RED, config["catalog"]);
    const allowCalls = config["allowCalls"] === true;
    const { release, ...shared } = useEngine();

    answerMessages(node, async (msg, context) => {
      const query = parseQuery(await readInput(RED, node, config, msg));
      const { rows, columns, facts, summary } = await runSql({ ...shared, query, allowCalls, catalog }, context);
      return { msg: { payload: rows, columns, iceberg: facts }, status: `${summary}, ${facts.ms} ms` };
    }, release);
  });

  // The "run" button of the dialog. For those who may edit flows: they could deploy the query as well.
  adminEndpoint(RED, "post", "iceberg-query/run", "iceberg-query.write", async ({ body }) => {
    const input = body as QueryInput & { catalog?: unknown; allowCalls?: unknown };
    const query = parseQuery(input);
    const { release, ...shared } = useEngine();
    try {
      const { facts, ...answer } = await runSql({ ...shared, query: { ...query, maxRows: Math.min(query.maxRows ?? PREVIEW_ROWS, PREVIEW_ROWS) }, allowCalls: input.allowCalls === true, catalog: catalogOf(RED, input.catalog) });
      return { ...answer, ...facts };
    } finally {
      await release();
    }
  });

  // The list from which the dialog's snapshot is chosen: that of the first table of the query.
  adminEndpoint(RED, "post", "iceberg-query/snapshots", "iceberg-query.write", async ({ body }) => {
    const input = body as QueryInput & { catalog?: unknown };
    const { sql } = parseQuery({ sql: input.sql });
    const { engine, tables, release } = useEngine();
    try {
      const table = await engine.firstTable({ sql, tables: tables.resolver(catalogOf(RED, input.catalog), deployedCatalogs()) });
      if (!table) throw new TicklakeError("SQL_INVALID", "The query names no table, so there is no snapshot to choose.");
      return { table: table.name, snapshots: snapshotChoices(table.metadata) };
    } finally {
      await release();
    }
  });
};

async function readInput(RED: NodeAPI, node: Node, config: object, msg: NodeMessage): Promise<QueryInput> {
  const [sql, snapshotId, asOf, maxRows] = await Promise.all(["sql", "snapshotId", "asOf", "maxRows"].map((name) => typedProperty(RED, node, config, name, msg)));
  return { sql, snapshotId, asOf, maxRows };
}
