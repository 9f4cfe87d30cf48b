/**
 * One REST catalog: what it says of itself, and where its resources lie (https://github.com/apache/iceberg/blob/main/open-api/rest-catalog-open-api.yaml).
 */
import type { TableIdentifier } from "../../types";
import { parseConfig } from "./answers";
import { RestClient, type RestAnswer, type RestRequest } from "./client";
import { restError } from "./failure";
import { layered } from "./storage";

/** A catalog's routes, as they stand in its list of endpoints. */
export const ROUTE = {
  listNamespaces: "GET /v1/{prefix}/namespaces",
  createNamespace: "POST /v1/{prefix}/namespaces",
  listTables: "GET /v1/{prefix}/namespaces/{namespace}/tables",
  createTable: "POST /v1/{prefix}/namespaces/{namespace}/tables",
  loadTable: "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
  tableExists: "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
  commitTable: "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
  dropTable: "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
  credentials: "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials",
} as const;

export type Route = keyof typeof ROUTE;

/** What servers offer that send no list: the specification's first version. */
const ALWAYS: ReadonlySet<Route> = new Set(["listNamespaces", "createNamespace", "listTables", "createTable", "loadTable", "commitTable", "dropTable"]);

export interface SessionOptions {
  readonly client: RestClient;
  /** Which of the server's warehouses; empty for its only one. */
  readonly warehouse: string;
  /** The user's. */
  readonly properties: Readonly<Record<string, string>>;
}

interface Configuration {
  /** The server's defaults, the user's properties over them, the server's overrides over both. */
  readonly properties: Readonly<Record<string, string>>;
  readonly base: string;
  readonly offers: (route: Route) => boolean;
  readonly separator: string;
}

export type RouteRequest = Pick<RestRequest, "query" | "body" | "headers" | "once" | "auth"> & { readonly namespace?: readonly string[]; readonly table?: string };

/** The server with its configuration, which is asked for once. */
export class RestSession {
  readonly client: RestClient;
  #configuration: Promise<Configuration> | undefined;

  constructor(private readonly options: SessionOptions) {
    this.client = options.client;
  }

  get uri(): string { return this.client.uri; }

  /** @throws TicklakeError CATALOG_INVALID, STORAGE_* */
  async configuration(): Promise<Configuration> {
    this.#configuration ??= this.#configure().catch((error: unknown) => {
      // The next request asks again.
      this.#configuration = undefined;
      throw error;
    });
    return this.#configuration;
  }

  async properties(): Promise<Readonly<Record<string, string>>> {
    return (await this.configuration()).properties;
  }

  async offers(route: Route): Promise<boolean> {
    return (await this.configuration()).offers(route);
  }

  /** @throws RestFailure, and TicklakeError where there is no configuration */
  async send(route: Route, { namespace, table, ...request }: RouteRequest = {}): Promise<RestAnswer> {
    const { base, separator } = await this.configuration();
    const [method, template] = ROUTE[route].split(" ") as [RestRequest["method"], string];
    const path = template.replace("/v1/{prefix}", base).replace("{namespace}", () => namespacePath(namespace ?? [], separator)).replace("{table}", () => encodeURIComponent(table ?? ""));
    return this.client.send({ ...request, method, path });
  }

  sendTo(route: Route, { namespace, name }: TableIdentifier, request: Omit<RouteRequest, "namespace" | "table"> = {}): Promise<RestAnswer> {
    return this.send(route, { ...request, namespace, table: name });
  }

  /** How a namespace stands in a query. */
  async namespaceText(namespace: readonly string[]): Promise<string> {
    const { separator } = await this.configuration();
    return namespace.join(decodeURIComponent(separator));
  }

  async #configure(): Promise<Configuration> {
    const { warehouse, properties: own } = this.options;
    try {
      const { text } = await this.client.send({ method: "GET", path: "/v1/config", query: { warehouse: warehouse === "" ? undefined : warehouse } });
      const { defaults, overrides, endpoints } = parseConfig(text);
      const properties = layered([defaults ?? {}, own, overrides ?? {}]);
      const prefix = properties["prefix"]?.replace(/^\/+|\/+$/g, "") ?? "";
      const listed = endpoints && endpoints.length > 0 ? new Set(endpoints) : undefined;
      return {
        properties, base: prefix === "" ? "/v1" : `/v1/${prefix}`, separator: properties["namespace-separator"] ?? "%1F",
        offers: (route) => (listed ? listed.has(ROUTE[route]) : ALWAYS.has(route)),
      };
    } catch (error) {
      throw restError(error, this.uri, `give its configuration${warehouse === "" ? "" : ` for warehouse "${warehouse}"`}`);
    }
  }
}

/** Levels of a namespace in one part of a path, each percent-encoded. */
function namespacePath(namespace: readonly string[], separator: string): string {
  return namespace.map(encodeURIComponent).join(separator.startsWith("%") ? separator : encodeURIComponent(separator));
}
