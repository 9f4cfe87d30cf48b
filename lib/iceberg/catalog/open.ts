/**
 * From the settings of a catalog to the catalog. Pure but for the FileIO that it makes.
 */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { TicklakeError } from "../../errors";
import { LocalFileIO, localLocation, localPath } from "../io/local";
import { HadoopCatalog } from "./hadoop";
import type { Catalog } from "./types";

/** What a user sets of a catalog. */
export interface CatalogSettings {
  /** First part of full table names (`local`). */
  catalogName?: unknown;
  /** `hadoop`: a folder per namespace and table. */
  catalogType?: unknown;
  /** Folder of the tables, absolute or relative to the user directory (`./warehouse`). */
  warehouse?: unknown;
}

const invalid = (message: string): TicklakeError => new TicklakeError("CATALOG_INVALID", message);

/** The name that tables are called by: letters, digits, _ and -. */
export function catalogName(settings: CatalogSettings): string {
  const name = text(settings.catalogName) || "local";
  if (!/^[A-Za-z_][\w-]*$/.test(name)) {
    throw invalid(`The catalog name "${name}" cannot be the first part of a table's name. Use letters, digits, _ and -, beginning with a letter: local.`);
  }
  return name;
}

/**
 * The local folder of a warehouse.
 *
 * @param userDir what relative paths are relative to
 * @throws TicklakeError CATALOG_INVALID for empty ones and for addresses of object stores
 */
export function warehouseFolder(settings: CatalogSettings, userDir: string): string {
  const warehouse = text(settings.warehouse) || "./warehouse";
  // Node-RED leaves a variable that is not set, or is only a part of the value, as it stands: better an error than a folder of that name.
  if (/\$\{[^}]*\}/.test(warehouse)) {
    throw invalid(`The warehouse ${warehouse} holds an environment variable that was not filled in. Set it for Node-RED, and let it be the whole value, such as \${WAREHOUSE}.`);
  }
  if (/^file:/i.test(warehouse)) return localPath(warehouse);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(warehouse)) {
    throw invalid(`The warehouse ${warehouse.replace(/\/\/[^/@]*@/, "//")} is no local folder. Enter a folder, absolute or relative to Node-RED's user directory; object stores are not supported yet.`);
  }
  if (warehouse === "~" || warehouse.startsWith("~/")) return join(homedir(), warehouse.slice(1));
  return isAbsolute(warehouse) ? resolve(warehouse) : resolve(userDir, warehouse);
}

/**
 * Opens a catalog. Touches no file: the folder is made with the first table.
 *
 * @throws TicklakeError CATALOG_INVALID saying what to change
 */
export function openCatalog(settings: CatalogSettings, userDir: string, onWarning?: (message: string, error: unknown) => void): Catalog & { readonly root: string } {
  const type = text(settings.catalogType) || "hadoop";
  if (type !== "hadoop") throw invalid(`Catalogs of type "${type}" are not supported yet. Choose hadoop: a folder on this machine, which Spark, DuckDB and PyIceberg read too.`);
  const root = localLocation(warehouseFolder(settings, userDir));
  const catalog = new HadoopCatalog({ name: catalogName(settings), warehouse: root, io: new LocalFileIO(), ...(onWarning ? { onWarning } : {}) });
  return Object.assign(catalog, { root });
}

/** A catalog's tables, all namespaces, sorted; at most `limit`. */
export async function listAllTables(catalog: Catalog, limit = 1000): Promise<string[]> {
  const names: string[] = [];
  const walk = async (namespace: readonly string[]): Promise<void> => {
    if (namespace.length > 0) {
      for (const table of await catalog.listTables(namespace)) names.push([...table.namespace, table.name].join("."));
    }
    for (const child of await catalog.listNamespaces(namespace)) {
      if (names.length >= limit) return;
      await walk(child);
    }
  };
  await walk([]);
  return names.sort().slice(0, limit);
}

function text(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}
