/**
 * A stand-in for Pinot 1.5: one HTTP server that answers as controller and broker with what a real 1.5.1 was recorded to say. It knows
 * which table and schema are there (they are created, replaced and deleted as in the recording), and remembers every request.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** One recorded exchange. */
export interface Recorded {
  /** `default`: the cluster folds case; `case-sensitive`: it does not. */
  readonly phase: "default" | "case-sensitive";
  readonly name: string;
  readonly server: "controller" | "broker";
  readonly method: string;
  readonly path: string;
  readonly request: unknown;
  readonly status: number;
  readonly contentType: string;
  readonly response: unknown;
}

/** A request that arrived. */
export interface Seen { readonly server: "controller" | "broker"; readonly method: string; readonly path: string; readonly body: unknown; readonly authorization: string | undefined }

let all: Recorded[] | undefined;
/** Every recorded exchange, in order. */
export function recordings(): readonly Recorded[] {
  return all ??= readFileSync(join(__dirname, "recorded-1.5.1.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as Recorded);
}

/** One exchange by its name. */
export function recorded(name: string, phase: Recorded["phase"] = "default"): Recorded {
  const found = recordings().find((one) => one.name === name && one.phase === phase);
  if (!found) throw new Error(`Nothing was recorded under "${name}" in ${phase}.`);
  return found;
}

export interface StandIn {
  readonly controllerUrl: string;
  readonly brokerUrl: string;
  readonly seen: Seen[];
  /** What the next requests get that a test scripts: first match wins, each answer once. */
  script(match: (seen: Seen) => boolean, answer: { status: number; body: unknown } | "hang" | "cut"): void;
  /** What stands in the cluster, by name. */
  readonly schemas: Map<string, unknown>;
  readonly tables: Map<string, unknown>;
  close(): Promise<void>;
}

/**
 * Starts it.
 *
 * @param options.phase whether the cluster folds case (`default`) or not
 * @param options.authorization the header that every request must carry, else 401
 */
export async function startStandIn(options: { phase?: Recorded["phase"]; authorization?: string } = {}): Promise<StandIn> {
  const phase = options.phase ?? "default";
  const seen: Seen[] = [];
  const scripts: { match: (seen: Seen) => boolean; answer: { status: number; body: unknown } | "hang" | "cut" }[] = [];
  const cluster = new Cluster(phase);
  const listen = async (side: "controller" | "broker") => {
    const server = createServer((incoming, response) => {
      void read(incoming).then((text) => {
        const one: Seen = { server: side, method: incoming.method!, path: incoming.url!, body: parsed(text), authorization: incoming.headers.authorization };
        seen.push(one);
        const at = scripts.findIndex(({ match }) => match(one));
        const scripted = at < 0 ? undefined : scripts.splice(at, 1)[0]!.answer;
        if (scripted === "hang") return;
        if (scripted === "cut") { incoming.socket.destroy(); return; }
        const { status, body } = scripted ?? (options.authorization !== undefined && one.authorization !== options.authorization ? { status: 401, body: { code: 401, error: "Permission is denied" } } : cluster.answer(one));
        response.writeHead(status, { "content-type": typeof body === "string" ? "text/plain" : "application/json" }).end(typeof body === "string" ? body : JSON.stringify(body));
      });
    });
    await new Promise<void>((done) => { server.listen(0, "127.0.0.1", done); });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => new Promise<void>((done) => { server.close(() => done()); server.closeAllConnections(); }) };
  };
  const [controller, broker] = [await listen("controller"), await listen("broker")];
  return {
    controllerUrl: controller.url, brokerUrl: broker.url, seen, schemas: cluster.schemas, tables: cluster.tables,
    script: (match, answer) => { scripts.push({ match, answer }); },
    close: async () => { await Promise.all([controller.close(), broker.close()]); },
  };
}

async function read(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function parsed(text: string): unknown {
  if (text === "") return undefined;
  try { return JSON.parse(text); } catch { return text; }
}

/** Which schema and table are there decides which recorded answer is right. */
class Cluster {
  readonly schemas = new Map<string, unknown>();
  readonly tables = new Map<string, unknown>();
  constructor(private readonly phase: Recorded["phase"]) {}

  answer(seen: Seen): { status: number; body: unknown } {
    return seen.server === "broker" ? this.#broker(seen) : this.#controller(seen);
  }

  #said(name: string, table = "flattened_stocks"): { status: number; body: unknown } {
    const { status, response } = recordings().find((one) => one.name === name && one.phase === this.phase) ?? recorded(name);
    return { status, body: table === "flattened_stocks" ? response : JSON.parse(JSON.stringify(response).replaceAll("flattened_stocks", table)) as unknown };
  }

  #broker({ method, path, body }: Seen): { status: number; body: unknown } {
    if (path === "/health") return this.#said("broker health");
    if (method !== "POST" || path !== "/query/sql") return { status: 404, body: "" };
    if (typeof body === "string") return this.#said("not JSON");
    const { sql } = body as { sql?: string };
    if (sql === undefined) return this.#said("no sql");
    const { queryOptions } = body as { queryOptions?: string };
    const squeezed = (text: string) => text.replace(/\s+/g, " ").trim();
    const candidates = recordings().filter((one) => one.server === "broker" && squeezed((one.request as { sql?: string } | null)?.sql ?? "") === squeezed(sql));
    const exact = (one: Recorded) => ((one.request as { queryOptions?: string }).queryOptions ?? "") === (queryOptions ?? "");
    const found = candidates.find((one) => one.phase === this.phase && exact(one)) ?? candidates.find((one) => one.phase === this.phase) ?? candidates[0];
    if (!found && /^SELECT COUNT\(\*\) FROM \S+ LIMIT 1$/.test(squeezed(sql))) return this.#said("query right after creation");
    if (!found) return { status: 501, body: `Nothing was recorded for: ${sql}` };
    return { status: found.status, body: found.response };
  }

  #controller({ method, path, body }: Seen): { status: number; body: unknown } {
    const [, kind, named, verb] = path.replace(/\?.*$/, "").split("/").map(decodeURIComponent);
    const table = named?.replace(/_REALTIME$/, "") ?? "";
    switch (`${method} /${kind}${named === undefined || named === "validate" || named === "configs" ? (named === undefined ? "" : `/${named}`) : "/*"}${verb === undefined ? "" : `/${verb}`}`) {
      case "GET /health": return this.#said("health");
      case "GET /version": return this.#said("version");
      case "GET /cluster/configs": return this.#said("cluster configs");
      case "POST /cluster/configs": return this.#said("switch case folding off");
      case "POST /schemas/validate": return this.#schema(body) ?? { status: 200, body };
      case "POST /schemas": {
        const refused = this.#schema(body);
        if (refused) return refused;
        const { schemaName } = body as { schemaName: string };
        const again = this.schemas.has(schemaName);
        this.schemas.set(schemaName, body);
        return this.#said(again ? "post schema again" : this.phase === "default" ? "create schema (readable)" : "create schema (documented)", schemaName);
      }
      case "PUT /schemas/*": this.schemas.set(table, body); return this.#said("put schema", table);
      case "GET /schemas/*": return this.schemas.has(table) ? { status: 200, body: this.schemas.get(table) } : this.#said("schema missing", table);
      case "DELETE /schemas/*": {
        if (this.tables.has(table)) return this.#said("delete schema in use", table);
        return this.schemas.delete(table) ? this.#said("delete schema", table) : this.#said("delete missing schema", table);
      }
      case "GET /tables": return { status: 200, body: { tables: [...this.tables.keys()] } };
      case "POST /tables/validate": {
        const { tableName } = body as { tableName: string };
        return this.schemas.has(tableName) ? { status: 200, body: { REALTIME: { ...body as object, tableName: `${tableName}_REALTIME` }, unrecognizedProperties: {} } } : this.#said("table with unknown time column", tableName);
      }
      case "POST /tables": {
        const { tableName } = body as { tableName: string };
        if (!this.schemas.has(tableName)) return this.#said("table before schema", tableName);
        if (this.tables.has(tableName)) return this.#said("create table again", tableName);
        this.tables.set(tableName, asKept(body as Config, this.phase));
        return this.#said("create table", tableName);
      }
      case "GET /tables/*": return this.tables.has(table) ? { status: 200, body: { REALTIME: this.tables.get(table) } } : this.#said("table missing", table);
      case "PUT /tables/*": this.tables.set(table, asKept(body as Config, this.phase)); return this.#said("update table", table);
      case "DELETE /tables/*": return this.tables.delete(table) ? this.#said("delete table", table) : this.#said("delete missing table", table);
      case "GET /tables/*/consumingSegmentsInfo": return this.#said("consuming segments", table);
      case "GET /tables/*/size": return this.#said("size", table);
      case "GET /tables/*/pauseStatus": return this.#said("pause status", table);
      case "POST /tables/*/pauseConsumption": return this.#said("pause", table);
      case "POST /tables/*/resumeConsumption": return this.#said("resume", table);
      case "POST /segments/*/reload": return this.#said("reload", table);
      case "GET /segments/*": return this.#said("segments", table);
      case "GET /debug/tables": return this.#said("debug", verb ?? table);
      default:
        if (path.startsWith("/debug/tables/")) return this.#said("debug", verb?.replace(/_REALTIME$/, ""));
        return { status: 404, body: { code: 404, error: "HTTP 404 Not Found" } };
    }
  }

  /** A cluster that folds case takes no two columns of one name. */
  #schema(body: unknown): { status: number; body: unknown } | undefined {
    if (this.phase !== "default") return undefined;
    const { schemaName, dimensionFieldSpecs = [], metricFieldSpecs = [], dateTimeFieldSpecs = [] } = body as { schemaName: string } & Record<string, { name: string }[]>;
    const names = [...dimensionFieldSpecs, ...metricFieldSpecs, ...dateTimeFieldSpecs].map((field) => field.name.toLowerCase());
    return new Set(names).size === names.length ? undefined : this.#said("schema with S and s refused", schemaName);
  }
}

type Config = Record<string, unknown>;

/** A controller gives back more than it was sent: its own defaults, at every level. Those of the recording are put in. */
function asKept(sent: Config, phase: Recorded["phase"]): Config {
  const kept = (recorded("get table", phase).response as { REALTIME: Config }).REALTIME;
  const withDefaults = (given: Config, defaults: Config): Config => {
    const merged: Config = { ...given };
    for (const [name, value] of Object.entries(defaults)) {
      if (!(name in merged)) { if (typeof value !== "object") merged[name] = value; } else if (isObject(merged[name]) && isObject(value)) merged[name] = withDefaults(merged[name], value);
    }
    return merged;
  };
  return { ...withDefaults(sent, kept), tableName: `${String(sent["tableName"])}_REALTIME` };
}

const isObject = (value: unknown): value is Config => typeof value === "object" && value !== null && !Array.isArray(value);
