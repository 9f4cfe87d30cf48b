/**
 * The controller's requests about one table.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import type { PinotCluster } from "../cluster";
import { type PinotRequest, reasonIn, statusOf } from "../http";
import { secretsIn } from "./diff";
import { isObject } from "./merge";
import type { JsonObject } from "./settings";

/** A controller asks Kafka for a topic's partitions while it checks or makes a table. */
const CHANGE_MS = 60_000;

export class TableApi {
  readonly #part: string;

  constructor(readonly cluster: PinotCluster, readonly table: string, private readonly signal?: AbortSignal) {
    this.#part = encodeURIComponent(table);
  }

  /** The real-time table's configuration, or undefined. */
  async config(): Promise<JsonObject | undefined> {
    const all = await this.#missing(() => this.#send({ method: "GET", path: `/tables/${this.#part}`, query: { type: "realtime" } }));
    const config = isObject(all) ? all["REALTIME"] : undefined;
    return isObject(config) ? config : undefined;
  }

  /** Whether an offline table shares the name and with it the schema. */
  async hasOffline(): Promise<boolean> {
    const all = await this.#missing(() => this.#send({ method: "GET", path: `/tables/${this.#part}`, query: { type: "offline" } }));
    return isObject(all) && isObject(all["OFFLINE"]);
  }

  async schema(): Promise<JsonObject | undefined> {
    const schema = await this.#missing(() => this.#send({ method: "GET", path: `/schemas/${this.#part}` }));
    return isObject(schema) ? schema : undefined;
  }

  validateSchema = (schema: JsonObject): Promise<unknown> => this.#send({ method: "POST", path: "/schemas/validate", body: schema });
  addSchema = (schema: JsonObject): Promise<unknown> => this.#send({ method: "POST", path: "/schemas", body: schema });
  putSchema = (schema: JsonObject): Promise<unknown> => this.#send({ method: "PUT", path: `/schemas/${this.#part}`, body: schema });
  deleteSchema = (): Promise<unknown> => this.#send({ method: "DELETE", path: `/schemas/${this.#part}` });
  validateTable = (table: JsonObject): Promise<unknown> => this.#send({ method: "POST", path: "/tables/validate", body: table, timeoutMs: CHANGE_MS });
  addTable = (table: JsonObject): Promise<unknown> => this.#send({ method: "POST", path: "/tables", body: table, timeoutMs: CHANGE_MS });
  putTable = (table: JsonObject): Promise<unknown> => this.#send({ method: "PUT", path: `/tables/${this.#part}`, body: table, timeoutMs: CHANGE_MS });
  deleteTable = (): Promise<unknown> => this.#send({ method: "DELETE", path: `/tables/${this.#part}`, query: { type: "realtime" }, timeoutMs: CHANGE_MS });
  reload = (): Promise<unknown> => this.#send({ method: "POST", path: `/segments/${this.#part}/reload`, query: { type: "REALTIME" }, timeoutMs: CHANGE_MS });
  pause = (): Promise<unknown> => this.#send({ method: "POST", path: `/tables/${this.#part}/pauseConsumption`, timeoutMs: CHANGE_MS });
  resume = (): Promise<unknown> => this.#send({ method: "POST", path: `/tables/${this.#part}/resumeConsumption`, timeoutMs: CHANGE_MS });
  pauseStatus = (): Promise<unknown> => this.#send({ method: "GET", path: `/tables/${this.#part}/pauseStatus` });
  consuming = (): Promise<unknown> => this.#send({ method: "GET", path: `/tables/${this.#part}/consumingSegmentsInfo`, timeoutMs: CHANGE_MS });
  size = (): Promise<unknown> => this.#send({ method: "GET", path: `/tables/${this.#part}/size`, timeoutMs: CHANGE_MS });
  debug = (): Promise<unknown> => this.#send({ method: "GET", path: `/debug/tables/${this.#part}`, query: { type: "REALTIME", verbosity: 0 }, timeoutMs: CHANGE_MS });
  segments = (): Promise<unknown> => this.#send({ method: "GET", path: `/segments/${this.#part}`, query: { type: "REALTIME" } });

  /** Names of the other tables. */
  async others(): Promise<string[]> {
    const body = await this.#send({ method: "GET", path: "/tables" });
    const tables = isObject(body) && Array.isArray(body["tables"]) ? body["tables"] as unknown[] : [];
    return tables.map((name) => String(name).replace(/_(REALTIME|OFFLINE)$/, "")).filter((name) => name !== this.table);
  }

  /** The schema that another table names for itself (before 1.0 it could be any). */
  async schemaOf(other: string): Promise<string | undefined> {
    const all = await this.#missing(() => this.#send({ method: "GET", path: `/tables/${encodeURIComponent(other)}` }));
    const config = isObject(all) ? all["REALTIME"] ?? all["OFFLINE"] : undefined;
    const segments = isObject(config) ? config["segmentsConfig"] : undefined;
    return isObject(segments) && typeof segments["schemaName"] === "string" ? segments["schemaName"] : undefined;
  }

  /** @throws TicklakeError TABLE_NOT_FOUND */
  async existing(): Promise<JsonObject> {
    const config = await this.config();
    if (!config) throw this.notFound();
    return config;
  }

  notFound(): TicklakeError {
    return new TicklakeError("TABLE_NOT_FOUND", `Pinot at ${this.cluster.http.url("controller")} has no real-time table ${this.table}. Create it with pinot-table, or check the name.`);
  }

  async #send(request: PinotRequest): Promise<unknown> {
    return (await this.cluster.http.send("controller", { ...request, secrets: secretsIn(request.body), ...(this.signal ? { signal: this.signal } : {}) })).body;
  }

  async #missing(ask: () => Promise<unknown>): Promise<unknown> {
    try {
      return await ask();
    } catch (caught) {
      if (statusOf(caught) === 404) return undefined;
      throw caught;
    }
  }
}

/** Whether an error is the controller's refusal of columns that differ by case alone. */
export const isCaseRefusal = (error: unknown): boolean => /case insensitive/i.test(reasonIn(error));

/** Part of an answer, or what is known without it: one part that fails does not cost the others. */
export async function orElse<T>(ask: Promise<T>, told: (message: string) => void): Promise<T | undefined> {
  try {
    return await ask;
  } catch (caught) {
    const error = asTicklakeError(caught, "PINOT_FAILED");
    if (error.code === "STOPPED" || error.code === "PINOT_UNREACHABLE" || error.code === "PINOT_DENIED") throw error;
    told(error.message);
    return undefined;
  }
}
