import { TicklakeError } from "../../../errors";
import { backoffMs, pause } from "../../../retry";
import { openFileIO, type OpenFileIOOptions } from "../../io/open";
import { RoutedFileIO } from "../../io/routed";
import { type FileIO, joinLocation } from "../../io/types";
import { stringifyJson } from "../../json";
import { DEFAULT_PROPERTIES } from "../../metadata";
import type { TableIdentifier } from "../../types";
import { checkSameTable, purgeDropped } from "../drop";
import { checkIdentifier, identifierText } from "../identifier";
import type { Catalog, CreateTable, DropTable, Table } from "../types";
import { type LoadedTable, type ReadTable, parseCredentials, parseNamespaces, parseTable, parseTables } from "./answers";
import { bearer } from "./auth";
import type { RestAnswer } from "./client";
import { restError, RestFailure } from "./failure";
import { notFound, RestTable } from "./rest-table";
import type { Route, RouteRequest } from "./session";
import type { RestSession } from "./session";
import { type StorageGrant, TableStorage } from "./storage";

export interface RestCatalogOptions {
  /** First part of full table names, by default `local`. */
  readonly name?: string;
  readonly session: RestSession;
  /** Sent when a table is loaded or created: asks for keys to its storage. */
  readonly delegation?: Readonly<Record<string, string>>;
  /** Passed on to openFileIO. */
  readonly io?: Omit<OpenFileIOOptions, "credentials">;
  readonly now?: () => number;
  readonly pause?: (ms: number) => Promise<void>;
}

/** How often a table is created where the outcome is not known, or the namespace vanishes. */
const CREATE_ATTEMPTS = 5;

/**
 * A catalog server that speaks Iceberg's REST protocol (Polaris, Lakekeeper, Nessie, Unity, Glue, S3 Tables, ...). Several engines may write to one
 * table at once. Connects to nothing before it is used.
 */
export class RestCatalog implements Catalog {
  readonly name: string;
  readonly io: FileIO;
  readonly #options: RestCatalogOptions;
  readonly #session: RestSession;
  /** Where tables lie that were seen. */
  readonly #locations = new Map<string, string>();

  constructor(options: RestCatalogOptions) {
    this.name = options.name ?? "local";
    this.#options = options;
    this.#session = options.session;
    let io: Promise<FileIO> | undefined;
    this.io = new RoutedFileIO(() => (io ??= this.#session.properties().then((properties) => openFileIO(properties, { ...options.io })).catch((error: unknown) => { io = undefined; throw error; })));
  }

  /** The server's address. */
  get uri(): string { return this.#session.uri; }

  async loadTable(identifier: TableIdentifier): Promise<Table> {
    checkIdentifier(identifier);
    return this.#table(identifier, (await this.#load(identifier))!);
  }

  async tableExists(identifier: TableIdentifier): Promise<boolean> {
    checkIdentifier(identifier);
    try {
      await this.#session.sendTo(await this.#session.offers("tableExists") ? "tableExists" : "loadTable", identifier);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw restError(error, this.uri, `say whether there is a table ${identifierText(identifier)}`);
    }
  }

  async createTable(identifier: TableIdentifier, table: CreateTable): Promise<Table> {
    checkIdentifier(identifier);
    const { schema, spec, properties } = table;
    const body = stringifyJson({ name: identifier.name, schema, "partition-spec": spec, "stage-create": false, properties: { ...DEFAULT_PROPERTIES, ...properties } });
    for (let attempt = 1; ; attempt++) {
      try {
        const { text, headers } = await this.#session.send("createTable", { namespace: identifier.namespace, body, headers: this.#delegation, once: true });
        return await this.#table(identifier, parseTable(text, this.#fullName(identifier), headers.get("etag")));
      } catch (error) {
        await this.#afterFailedCreate(identifier, error, attempt);
      }
      await (this.#options.pause ?? pause)(backoffMs(attempt, { firstMs: 100, maxMs: 2000 }));
    }
  }

  /** Returns where another attempt makes sense. A table that is there after an attempt of unknown outcome may be that attempt's or somebody else's: it exists. */
  async #afterFailedCreate(identifier: TableIdentifier, error: unknown, attempt: number): Promise<void> {
    if (!(error instanceof RestFailure)) throw error;
    if (error.status === 409) throw exists(this.#fullName(identifier), error);
    const again = attempt < CREATE_ATTEMPTS;
    if (error.status === 404 && again && identifier.namespace.length > 0) {
      await this.#createNamespace(identifier.namespace);
      return;
    }
    if (error.unknown && await this.tableExists(identifier)) throw exists(this.#fullName(identifier), error);
    if (!(error.unknown && again)) throw restError(error, this.uri, `create the table ${identifierText(identifier)}`);
  }

  /** Creates a namespace and those above it, whichever are missing. */
  async #createNamespace(namespace: readonly string[]): Promise<void> {
    for (let levels = 1; levels <= namespace.length; levels++) {
      const part = namespace.slice(0, levels);
      try {
        await this.#session.send("createNamespace", { body: stringifyJson({ namespace: part, properties: {} }) });
      } catch (error) {
        // There already. Or not to be had: the table that goes into it will say why.
        if (!(error instanceof RestFailure) || error.status !== 409) throw restError(error, this.uri, `create the namespace ${part.join(".")}`);
      }
    }
  }

  async dropTable(identifier: TableIdentifier, { purge = false, uuid }: DropTable = {}): Promise<void> {
    const table = await this.loadTable(identifier);
    checkSameTable(table, uuid);
    try {
      // The server would delete all that the table refers to, files of others outside of its folder included.
      await this.#session.sendTo("dropTable", identifier, { query: { purgeRequested: "false" }, once: true });
    } catch (error) {
      // Gone by an attempt without an answer, or by somebody else.
      const gone = isMissing(error) || (error instanceof RestFailure && error.unknown && !(await this.tableExists(identifier)));
      if (!gone) throw restError(error, this.uri, `drop the table ${identifierText(identifier)}`);
    }
    if (purge) await purgeDropped(table);
  }

  async listTables(namespace: readonly string[]): Promise<TableIdentifier[]> {
    const tables = await this.#pages("listTables", { namespace }, `list the tables of ${namespace.join(".")}`, (text) => {
      const page = parseTables(text);
      return { items: page.identifiers, next: page["next-page-token"] };
    });
    return tables.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async listNamespaces(parent: readonly string[] = []): Promise<string[][]> {
    const query = parent.length === 0 ? {} : { query: { parent: await this.#session.namespaceText(parent) } };
    const found = await this.#pages("listNamespaces", query, "list namespaces", (text) => {
      const page = parseNamespaces(text);
      return { items: page.namespaces, next: page["next-page-token"] };
    });
    return found.sort((a, b) => (a.join("\u001f") < b.join("\u001f") ? -1 : 1));
  }

  /** The server decides where a table lies: known once it was seen, before that as servers usually have it. */
  tableLocation(identifier: TableIdentifier): string {
    const { namespace, name } = checkIdentifier(identifier);
    return this.#locations.get(identifierText(identifier)) ?? joinLocation(this.uri, ...namespace, name);
  }

  /** All pages of a list; empty where what is listed does not exist. */
  async #pages<T>(route: Route, request: RouteRequest, what: string, parse: (text: string) => { items: T[]; next: string | null | undefined }): Promise<T[]> {
    const found: T[] = [];
    let token: string | undefined;
    try {
      const pageSize = (await this.#session.properties())["rest-page-size"];
      do {
        const paging = pageSize === undefined ? (token === undefined ? {} : { pageToken: token }) : { pageToken: token ?? "", pageSize };
        const { items, next } = parse((await this.#session.send(route, { ...request, query: { ...request.query, ...paging } })).text);
        found.push(...items);
        if (next === token) break;
        token = next ?? undefined;
      } while (token !== undefined && token !== "");
    } catch (error) {
      if (isMissing(error)) return [];
      throw restError(error, this.uri, what);
    }
    return found;
  }

  get #delegation(): Readonly<Record<string, string>> { return this.#options.delegation ?? {}; }

  #fullName(identifier: TableIdentifier): string { return `${this.name}.${identifierText(identifier)}`; }

  /** Undefined when it is what `etag` names. */
  async #load(identifier: TableIdentifier, etag?: string, token?: string, read: ReadTable = parseTable): Promise<LoadedTable | undefined> {
    let answer: RestAnswer;
    try {
      answer = await this.#session.sendTo("loadTable", identifier, {
        headers: { ...this.#delegation, ...(etag === undefined ? {} : { "if-none-match": etag }) }, ...(token === undefined ? {} : { auth: bearer(token) }),
      });
    } catch (error) {
      // A table's own token has ended: the catalog's hold on.
      if (token !== undefined && error instanceof RestFailure && error.status === 401) return this.#load(identifier, etag, undefined, read);
      if (isMissing(error)) throw notFound(this.#fullName(identifier), this.uri, error);
      throw restError(error, this.uri, `load the table ${identifierText(identifier)}`);
    }
    if (answer.status === 304) return undefined;
    const loaded = read(answer.text, this.#fullName(identifier), answer.headers.get("etag"));
    this.#locations.set(identifierText(identifier), loaded.metadata.location);
    return loaded;
  }

  async #table(identifier: TableIdentifier, loaded: LoadedTable): Promise<Table> {
    this.#locations.set(identifierText(identifier), loaded.metadata.location);
    const storage = new TableStorage({
      properties: await this.#session.properties(), grant: loaded, renew: () => this.#renew(identifier), ...(this.#options.io ? { io: this.#options.io } : {}),
    });
    return new RestTable({
      identifier, fullName: this.#fullName(identifier), session: this.#session, storage, loaded, now: this.#options.now ?? Date.now,
      load: (etag, read) => this.#load(identifier, etag, loaded.config["token"], read),
    });
  }

  /** Keys to a table's storage that hold for some time again. */
  async #renew(identifier: TableIdentifier): Promise<StorageGrant> {
    const loaded = await this.#session.offers("credentials") ? undefined : (await this.#load(identifier))!;
    if (loaded) return loaded;
    try {
      const { text } = await this.#session.sendTo("credentials", identifier, { headers: this.#delegation });
      return { config: {}, credentials: parseCredentials(text) };
    } catch (error) {
      throw restError(error, this.uri, `give keys to the storage of ${identifierText(identifier)}`);
    }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof RestFailure && error.status === 404;
}

function exists(name: string, cause: unknown): TicklakeError {
  return new TicklakeError("TABLE_EXISTS", `The table ${name} exists already. Load it, or choose another name.`, { cause });
}
