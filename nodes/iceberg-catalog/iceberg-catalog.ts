import type { NodeAPI } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import { type CatalogSettings, listAllTables, openCatalog } from "../../lib/iceberg/catalog/open";
import { testCatalog } from "../../lib/iceberg/catalog/test-connection";
import { currentSchema, defaultSpec } from "../../lib/iceberg/metadata";
import { typeText } from "../../lib/iceberg/schema";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { announce, catalogOf, type CatalogNode } from "./catalogs";

export = (RED: NodeAPI): void => {
  const userDir = (): string => RED.settings.userDir ?? process.cwd();

  defineNode<CatalogNode>(RED, "iceberg-catalog", (node, config) => {
    try {
      node.catalog = openCatalog(config as CatalogSettings, userDir(), (message) => node.warn(message));
    } catch (caught) {
      // Told by every node that uses it, and once here.
      node.invalid = asTicklakeError(caught, "CATALOG_INVALID");
      node.error(node.invalid.message, { error: node.invalid });
      return;
    }
    const forget = announce(node.id, node.catalog);
    node.on("close", (done: () => void) => { forget(); done(); });
  });

  adminEndpoint(RED, "post", "iceberg-catalog/test", "iceberg-catalog.read", ({ body }) => {
    // Who may only look must not learn from an answer what a variable holds.
    const later = Object.values(body as CatalogSettings).find((value) => typeof value === "string" && /^\$\{\S+\}$/.test(value));
    if (later !== undefined) return Promise.resolve({ ok: true, message: `${String(later)} is filled in at the deploy; the nodes that use the catalog then say whether it can be used.` });
    return testCatalog(() => openCatalog(body as CatalogSettings, userDir()));
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

function deployedCatalog(RED: NodeAPI, id: string | undefined): ReturnType<typeof catalogOf> {
  if (!id || !RED.nodes.getNode(id)) throw new TicklakeError("CATALOG_INVALID", "Deploy the catalog first; then its tables can be listed.");
  return catalogOf(RED, id);
}
