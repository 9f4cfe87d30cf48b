import type { Node, NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { parseQuery, type QueryInput } from "../../lib/sql/options";
import { snapshotChoices } from "../../lib/sql/snapshots";
import { catalogOf, deployedCatalogs } from "../iceberg-catalog/catalogs";
import { adminEndpoint } from "../shared/admin";
import { defineNode, short } from "../shared/define";
import { typedProperty } from "../shared/properties";
import { StatusLine } from "../shared/status";
import { type Answer, runSql } from "./run-sql";
import { useEngine } from "./shared-engine";

/** Rows that the dialog shows at the most. */
const PREVIEW_ROWS = 200;

export = (RED: NodeAPI): void => {
  defineNode(RED, "iceberg-query", (node, config) => {
    const catalog = catalogOf(RED, config["catalog"]);
    const allowCalls = config["allowCalls"] === true;
    const { release, ...shared } = useEngine();
    const status = new StatusLine(node);
    const closing = new AbortController();
    const running = new Set<Promise<unknown>>();

    async function run(msg: NodeMessage): Promise<Answer> {
      const query = parseQuery(await readInput(RED, node, config, msg));
      return runSql({ ...shared, query, allowCalls, catalog }, { signal: closing.signal, progress: (text) => { status.idle(short(text)); } });
    }

    node.on("input", (msg, send, done) => {
      const work = run(msg).then(({ rows, columns, facts, summary }) => {
        status.ok(short(`${summary}, ${facts.ms} ms`));
        send({ ...msg, payload: rows, columns, iceberg: facts } as NodeMessage);
        done();
      }).catch((caught: unknown) => {
        const error = asTicklakeError(caught, "SQL_INVALID");
        if (!closing.signal.aborted) status.fail(short(error.message));
        done(error);
      }).finally(() => running.delete(work));
      running.add(work);
    });

    node.on("close", (done: () => void) => {
      closing.abort();
      void Promise.allSettled([...running]).then(release).then(() => { status.end(); done(); }, done);
    });
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
