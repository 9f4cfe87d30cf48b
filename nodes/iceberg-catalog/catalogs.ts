import type { Node, NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import type { openCatalog } from "../../lib/iceberg/catalog/open";

/** A catalog of this process. `root`: the folder that holds its tables. */
export type OpenCatalog = ReturnType<typeof openCatalog>;

/** An `iceberg-catalog` config node at run time. Without `catalog` its settings are wrong, and `invalid` says why. */
export interface CatalogNode extends Node { catalog?: OpenCatalog; invalid?: TicklakeError }

/** Every catalog that is deployed, by the id of its node: queries name them all. */
const deployed = new Map<string, OpenCatalog>();

/** The config node makes itself known; the returned function takes it back. */
export function announce(id: string, catalog: OpenCatalog): () => void {
  deployed.set(id, catalog);
  return () => { if (deployed.get(id) === catalog) deployed.delete(id); };
}

/** All catalogs that flows may name in SQL. */
export function deployedCatalogs(): OpenCatalog[] {
  return [...deployed.values()];
}

/**
 * The catalog of a config node.
 *
 * @param id the node's property that refers to it
 * @throws TicklakeError CATALOG_INVALID saying what to do
 */
export function catalogOf(RED: NodeAPI, id: unknown): OpenCatalog {
  if (typeof id !== "string" || id === "") throw new TicklakeError("CATALOG_INVALID", "No catalog is chosen. Open the node and choose or add an Iceberg catalog.");
  const node = RED.nodes.getNode(id) as CatalogNode | null;
  if (!node) throw new TicklakeError("CATALOG_INVALID", "The Iceberg catalog of this node is missing or disabled. Open the node and choose one, then deploy.");
  if (node.invalid) throw node.invalid;
  if (!node.catalog) throw new TicklakeError("CATALOG_INVALID", `The node ${node.name || id} is no Iceberg catalog. Open the node and choose one.`);
  return node.catalog;
}
