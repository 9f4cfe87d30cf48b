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

  adminEndpoint(RED, "post", "iceberg-catalog/test", "iceberg-catalog.read", ({ body }) => testCatalog(() => openCatalog(filledIn(body as CatalogSettings), userDir())));
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

/** What Node-RED does with a setting at deploy, for the values of an open dialog: `${NAME}` as the whole value is an environment variable. */
function filledIn(settings: CatalogSettings): CatalogSettings {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, typeof value === "string" ? process.env[/^\$\{(\S+)\}$/.exec(value)?.[1] ?? ""] ?? value : value]));
}

function deployedCatalog(RED: NodeAPI, id: string | undefined): ReturnType<typeof catalogOf> {
  if (!id || !RED.nodes.getNode(id)) throw new TicklakeError("CATALOG_INVALID", "Deploy the catalog first; then its tables can be listed.");
  return catalogOf(RED, id);
}
