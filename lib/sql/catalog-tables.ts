/**
 * Finds the tables of a query in catalogs: `db.t` in the query's own catalog, `<catalog name>.db.t` in any.
 */
import { TicklakeError } from "../errors";
import { checkIdentifier, identifierText } from "../iceberg/catalog/identifier";
import { listAllTables } from "../iceberg/catalog/open";
import type { Catalog, Table } from "../iceberg/catalog/types";
import type { TableIdentifier } from "../iceberg/types";
import type { QueryTable, TableResolver } from "./uses";

/** A catalog that SQL can name. `root`: the folder that holds its tables. */
export type QueryCatalog = Catalog & { readonly root?: string };

/** Keeps tables open between queries: looking for a new version is cheaper than reading the whole metadata again. */
export class CatalogTables {
  private readonly tables = new WeakMap<Catalog, Map<string, Table>>();

  /**
   * The resolver of one query.
   *
   * @param own the catalog of names without one
   * @param others all catalogs that may be named
   */
  resolver(own: QueryCatalog, others: readonly QueryCatalog[]): TableResolver {
    return async (parts) => {
      const { catalog, identifier } = locateTable(parts, own, others);
      return this.read(catalog, identifier);
    };
  }

  /** A table as it is now. @throws TicklakeError TABLE_NOT_FOUND listing those that there are */
  async read(catalog: QueryCatalog, identifier: TableIdentifier): Promise<QueryTable> {
    const { state, fullName, io } = await this.load(catalog, identifier);
    return { name: fullName, io, metadata: state.metadata, metadataLocation: state.metadataLocation, ...(catalog.root ? { root: catalog.root } : {}) };
  }

  private async load(catalog: Catalog, identifier: TableIdentifier): Promise<Table> {
    const key = identifierText(identifier);
    let known = this.tables.get(catalog);
    if (!known) this.tables.set(catalog, known = new Map());
    try {
      const open = known.get(key);
      if (open) {
        await open.refresh();
        return open;
      }
      const table = await catalog.loadTable(identifier);
      known.set(key, table);
      return table;
    } catch (error) {
      known.delete(key);
      if (!(error instanceof TicklakeError) || error.code !== "TABLE_NOT_FOUND") throw error;
      throw await notFound(error, catalog, key);
    }
  }
}

/**
 * The catalog and the table that a name in SQL means.
 *
 * @param parts as typed: `["local", "db", "t"]`; `spark_catalog` in front means the own catalog, unless one is called so
 * @throws TicklakeError TABLE_NAME_INVALID
 */
export function locateTable(parts: readonly string[], own: QueryCatalog, others: readonly QueryCatalog[]): { catalog: QueryCatalog; identifier: TableIdentifier } {
  const catalog = parts.length >= 3 && parts[0] !== own.name ? (others.find((other) => other.name === parts[0]) ?? own) : own;
  return { catalog, identifier: identify(parts, catalog, own, others) };
}

function identify(parts: readonly string[], catalog: Catalog, own: Catalog, others: readonly Catalog[]): TableIdentifier {
  const rest = parts.length >= 3 && (parts[0] === catalog.name || parts[0] === "spark_catalog") ? parts.slice(1) : parts;
  if (rest.length < 2) {
    const names = [...new Set([own, ...others].map(({ name }) => name))].join(", ");
    throw new TicklakeError("TABLE_NAME_INVALID", `"${parts.join(".")}" is no table name: it has no namespace. Write db.${rest.at(-1) ?? "flattened_stocks"}, or with a catalog (${names}) ${own.name}.db.${rest.at(-1) ?? "flattened_stocks"}.`);
  }
  return checkIdentifier({ namespace: rest.slice(0, -1), name: rest.at(-1)! });
}

async function notFound(error: TicklakeError, catalog: Catalog, name: string): Promise<TicklakeError> {
  // A hint only: what cannot be listed is not listed.
  const tables = await listAllTables(catalog, 20).catch((): string[] => []);
  const has = tables.length === 0 ? `The catalog ${catalog.name} has no table yet.` : `The catalog ${catalog.name} has ${tables.join(", ")}${tables.length === 20 ? ", ..." : ""}.`;
  return new TicklakeError("TABLE_NOT_FOUND", `No table ${name}. ${has} Names are case-sensitive.`, { cause: error });
}
