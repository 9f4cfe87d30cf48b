/**
 * One Pinot cluster: what it is, and whether it is well.
 */
import { asTicklakeError, TicklakeError } from "../errors";
import { PinotHttp, statusOf } from "./http";
import type { PinotOptions } from "./settings";
import { foldsByDefault, parseVersion, type PinotVersion } from "./version";

/** How long an answer about the cluster itself holds, ms: it may be upgraded, and its settings changed, while flows run. */
const KEPT_MS = 60_000;
const CASE_SETTING = "enable.case.insensitive";

/** Whether one part of the cluster answers; `message` is for people. */
export interface PartHealth { readonly ok: boolean; readonly message: string }

export interface ClusterHealth {
  readonly version: string;
  readonly controller: PartHealth;
  readonly broker: PartHealth;
  /** Whether names that differ only by their case are the same to it: then `S` and `s` cannot stand in one table. Undefined where the controller does not answer. */
  readonly foldsCase?: boolean;
}

interface Kept<T> { readonly value: Promise<T>; readonly until: number }

/** A cluster of which both addresses are known. Keeps no connection: nothing to close. */
export class PinotCluster {
  readonly http: PinotHttp;
  readonly label: string;
  readonly #now: () => number;
  #version: Kept<PinotVersion> | undefined;

  constructor(options: PinotOptions, parts: { readonly label?: string; readonly fetch?: typeof fetch; readonly now?: () => number } = {}) {
    this.http = new PinotHttp(options, parts.fetch);
    this.label = parts.label || new URL(options.controllerUrl).host;
    this.#now = parts.now ?? Date.now;
  }

  /**
   * The controller's version, asked once a minute at most.
   *
   * @throws TicklakeError PINOT_REFUSED where something else than a controller answers; what PinotHttp.send throws
   */
  version(signal?: AbortSignal): Promise<PinotVersion> {
    if (this.#version && this.#version.until > this.#now()) return this.#version.value;
    const asked = { value: this.#askVersion(signal), until: this.#now() + KEPT_MS };
    this.#version = asked;
    asked.value.catch(() => { if (this.#version === asked) this.#version = undefined; });
    return asked.value;
  }

  async #askVersion(signal: AbortSignal | undefined): Promise<PinotVersion> {
    try {
      const { body } = await this.http.send("controller", { method: "GET", path: "/version", ...(signal ? { signal } : {}) });
      if (typeof body === "object" && body !== null) return parseVersion(body);
    } catch (caught) {
      if (statusOf(caught) !== 404) throw caught;
    }
    throw new TicklakeError("PINOT_REFUSED", `${this.http.url("controller")} answers, but not as a Pinot controller. Check the address in pinot-cluster: the broker has another one (port 8099), the controller usually port 9000.`);
  }

  /** Whether the cluster folds the case of names: what is set, else what its version does. */
  async foldsCase(signal?: AbortSignal): Promise<boolean> {
    const [version, { body }] = await Promise.all([this.version(signal), this.http.send("controller", { method: "GET", path: "/cluster/configs", ...(signal ? { signal } : {}) })]);
    const set = (body as Record<string, unknown> | null)?.[CASE_SETTING];
    return set === undefined || set === null ? foldsByDefault(version) : String(set) === "true";
  }

  /** Has the cluster tell `S` from `s`. Controller and broker read this when they start: it holds after a restart of both. */
  async tellCase(signal?: AbortSignal): Promise<void> {
    await this.http.send("controller", { method: "POST", path: "/cluster/configs", body: { [CASE_SETTING]: "false" }, ...(signal ? { signal } : {}) });
  }

  /** Asks controller and broker how they are. Never rejects: what is wrong stands in the answer. */
  async health(signal?: AbortSignal): Promise<ClusterHealth> {
    let version = "unknown";
    let foldsCase: boolean | undefined;
    const [controller, broker] = await Promise.all([
      part(async () => {
        version = (await this.version(signal)).text;
        await this.#well("controller", signal);
        foldsCase = await this.foldsCase(signal);
        return `controller ${version} at ${this.http.url("controller")}`;
      }),
      part(async () => {
        await this.#well("broker", signal);
        return `broker at ${this.http.url("broker")}`;
      }),
    ]);
    return { version, controller, broker, ...(foldsCase === undefined ? {} : { foldsCase }) };
  }

  async #well(side: "controller" | "broker", signal: AbortSignal | undefined): Promise<void> {
    const { body } = await this.http.send(side, { method: "GET", path: "/health", ...(signal ? { signal } : {}) });
    // Any web server answers something at most paths.
    if (typeof body !== "string" || !/^OK\b/i.test(body.trim())) throw new TicklakeError("PINOT_REFUSED", `${this.http.url(side)} answers, but not as a Pinot ${side}. Check the address in pinot-cluster.`);
  }
}

async function part(ask: () => Promise<string>): Promise<PartHealth> {
  try {
    return { ok: true, message: await ask() };
  } catch (caught) {
    return { ok: false, message: asTicklakeError(caught, "PINOT_FAILED").message };
  }
}

/** What the "test connection" button tells. Changes nothing. */
export async function testPinot(cluster: PinotCluster): Promise<{ ok: boolean; message: string }> {
  const { controller, broker, foldsCase } = await cluster.health();
  if (!controller.ok && !broker.ok) return { ok: false, message: `${controller.message} ${broker.message}` };
  if (!controller.ok) return { ok: false, message: `The broker is well. ${controller.message}` };
  if (!broker.ok) return { ok: false, message: `The controller is well. ${broker.message}` };
  const names = foldsCase ? "Column names that differ only by case are the same to it: tables need readable names." : "Column names may differ by case alone.";
  return { ok: true, message: `Connected to ${controller.message} and ${broker.message}. ${names}` };
}
