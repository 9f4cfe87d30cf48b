import type { NodeAPI } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import { listAllTables, openCatalog } from "../../lib/iceberg/catalog/open";
import { secretProperties, type CatalogCredentials, type CatalogSettings } from "../../lib/iceberg/catalog/settings";
import { testCatalog } from "../../lib/iceberg/catalog/test-connection";
import { currentSchema, defaultSpec } from "../../lib/iceberg/metadata";
import { allFields, presetSchema, TRADES_SCHEMA, typeText } from "../../lib/iceberg/schema";
import type { Schema, TableMetadata } from "../../lib/iceberg/types";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { type Choice, lookUps, type LookUps } from "../shared/look-up";
import { announce, catalogOf, type CatalogNode, type OpenCatalog } from "./catalogs";
import { type CatalogDialog, CREDENTIALS, credentialsOf, variableIn } from "./dialog";

export = (RED: NodeAPI): void => {
  const userDir = (): string => RED.settings.userDir ?? process.cwd();
  const { warehouseDirs } = (RED.settings as { ticklake?: { warehouseDirs?: readonly string[] } }).ticklake ?? {};
  const confined = warehouseDirs ? { allowed: warehouseDirs } : {};

  defineNode<CatalogNode>(RED, "iceberg-catalog", (node, config) => {
    try {
      node.catalog = openCatalog(config as CatalogSettings, userDir(), { credentials: (node.credentials ?? {}) as CatalogCredentials, onWarning: (message) => node.warn(message), ...confined });
      const secrets = secretProperties(config["properties"]);
      if (secrets.length > 0) node.warn(`${secrets.join(", ")} in the catalog's properties can be read by whoever reads the flow. Enter them in the fields for credentials.`);
    } catch (caught) {
      // Told by every node that uses it, and once here.
      node.invalid = asTicklakeError(caught, "CATALOG_INVALID");
      node.error(node.invalid.message, { error: node.invalid });
      return;
    }
    const forget = announce(node.id, node.catalog);
    node.on("close", (done: () => void) => { forget(); done(); });
  }, { credentials: CREDENTIALS });

  adminEndpoint(RED, "post", "iceberg-catalog/test", "iceberg-catalog.write", ({ body }) => {
    const dialog = body as CatalogDialog;
    // Who may only look must not learn from an answer what a variable holds.
    const later = variableIn(dialog);
    if (later !== undefined) return Promise.resolve({ ok: true, message: `${later} is filled in at the deploy; the nodes that use the catalog then say whether it can be used.` });
    return testCatalog(() => openCatalog(dialog, userDir(), { credentials: credentialsOf(RED, dialog), impatient: true, ...confined }));
  });
  lookUps<OpenCatalog>(RED, "iceberg-catalog", {
    lists: LISTS,
    deployed: async (id, work) => work(deployedCatalog(RED, id)),
    undeployed: async (dialog, work) => work(openCatalog(dialog as CatalogDialog, userDir(), { credentials: credentialsOf(RED, dialog as CatalogDialog), impatient: true, ...confined })),
  });
  adminEndpoint(RED, "get", "iceberg-catalog/:id/tables", "iceberg-catalog.read", async ({ params }) => ({ tables: await listAllTables(deployedCatalog(RED, params["id"])) }));
  adminEndpoint(RED, "get", "iceberg-catalog/:id/columns", "iceberg-catalog.read", async ({ params, query }) => {
    const catalog = deployedCatalog(RED, params["id"]);
    const { state } = await catalog.loadTable(parseIdentifier(String(query["table"] ?? ""), catalog.name));
    const schema = currentSchema(state.metadata);
    return {
      columns: schema.fields.map((field) => ({ name: field.name, type: typeText(field.type), required: field.required, doc: field.doc })),
      partitionBy: defaultSpec(state.metadata).fields.map((field) => field.name),
    };
  });
};

/** What a dialog offers of a catalog's tables. */
const LISTS: LookUps<OpenCatalog>["lists"] = {
  tables: async (catalog) => (await listAllTables(catalog)).map((value) => ({ value })),
  columns: async (catalog, { table }) => columnsOf(currentSchema(await metadataOf(catalog, table))),
  partitions: async (catalog, { table, schema }) => partitionChoices(await metadataOf(catalog, table).then(currentSchema, () => presetSchema(String(schema))) ?? TRADES_SCHEMA),
  snapshots: async (catalog, { table }) => [...(await metadataOf(catalog, table)).snapshots ?? []].reverse().map((snapshot) => ({
    value: String(snapshot["snapshot-id"]), about: `${new Date(Number(snapshot["timestamp-ms"])).toISOString().slice(0, 19)}Z ${snapshot.summary?.operation ?? ""}`.trim(),
  })),
};

async function metadataOf(catalog: OpenCatalog, table: unknown): Promise<TableMetadata> {
  return (await catalog.loadTable(parseIdentifier(String(table ?? ""), catalog.name))).state.metadata;
}

const columnsOf = (schema: Schema): Choice[] => allFields(schema).map(({ name, field }) => ({ value: name, about: typeText(field.type) }));

/** Partitions that suit a table's columns: days and hours of its times, buckets and values of its texts. */
function partitionChoices(schema: Schema): Choice[] {
  return schema.fields.flatMap(({ name, type }) => {
    const kind = typeof type === "string" ? type : "";
    if (/^(timestamp|timestamptz|timestamp_ns|timestamptz_ns)$/.test(kind)) return [{ value: `day(${name})` }, { value: `hour(${name})` }];
    if (kind === "date") return [{ value: `day(${name})` }, { value: `month(${name})` }];
    // A time in Unix ms.
    if (kind === "long" && /time/i.test(name)) return [{ value: `truncate[86400000](${name})`, about: "a day" }, { value: `truncate[3600000](${name})`, about: "an hour" }];
    return kind === "string" ? [{ value: name }, { value: `bucket[16](${name})` }] : [];
  });
}

function deployedCatalog(RED: NodeAPI, id: string | undefined): ReturnType<typeof catalogOf> {
  if (!id || !RED.nodes.getNode(id)) throw new TicklakeError("CATALOG_INVALID", "Deploy the catalog first; then its tables can be listed.");
  return catalogOf(RED, id);
}
