/**
 * From the settings of a catalog to the catalog.
 */
import { TicklakeError } from "../../errors";
import { openFileIO } from "../io/open";
import { Places } from "../io/places";
import { HadoopCatalog } from "./hadoop";
import { openRestCatalog } from "./rest/open";
import { type CatalogCredentials, catalogName, catalogProperties, type CatalogSettings, processVariable, text, type Variable, warehouseLocation } from "./settings";
import type { Catalog } from "./types";

export type { CatalogCredentials, CatalogSettings } from "./settings";

export interface OpenCatalogOptions {
  readonly credentials?: CatalogCredentials;
  /** Reads the environment: keys that the credentials lack. */
  readonly variable?: Variable;
  readonly onWarning?: (message: string, error: unknown) => void;
  /** Somebody waits in front of a dialog: storage that does not answer is not asked again and again. */
  readonly impatient?: boolean;
  /** The only folders and `s3://` prefixes where tables may lie; without it, anywhere. Relative ones are relative to the user directory. */
  readonly allowed?: readonly string[];
}

/** Storage that does not answer a dialog is not asked again and again. */
const IMPATIENT = { attempts: 2 } as const;

/** A catalog and where its tables lie: a local folder or an address in an object store; "" where every table has a place of its own. */
export type OpenedCatalog = Catalog & { readonly root: string };

/**
 * Opens a catalog. Touches no file and connects to nothing: the folder is made with the first table.
 *
 * @param userDir what a relative warehouse is relative to
 * @throws TicklakeError CATALOG_INVALID saying what to change; FILE_NOT_ALLOWED for a warehouse elsewhere than `allowed`
 */
export function openCatalog(settings: CatalogSettings, userDir: string, { credentials = {}, variable = processVariable, onWarning, impatient = false, allowed }: OpenCatalogOptions = {}): OpenedCatalog {
  const places = allowed && new Places(allowed, userDir);
  const io = { ...(impatient ? IMPATIENT : {}), ...(places ? { places } : {}) };
  const type = text(settings.catalogType) || "hadoop";
  if (type === "rest") return Object.assign(openRestCatalog(settings, { credentials, variable, impatient, io }), { root: "" });
  const name = catalogName(settings);
  const properties = catalogProperties(settings, credentials, variable);
  if (type !== "hadoop") throw new TicklakeError("CATALOG_INVALID", `Catalogs of type "${type}" are not supported. Choose hadoop (folders on this machine or in S3) or rest (a catalog server).`);
  const root = warehouseLocation(settings, userDir);
  places?.checkName(root);
  const catalog = new HadoopCatalog({ name, warehouse: root, io: openFileIO(properties, io), ...(onWarning ? { onWarning } : {}) });
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
