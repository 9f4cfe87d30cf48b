/** `${NAME}` in the settings of a flow, filled in as far as the flow itself knows it. Pure: the environment of this process is never read, nor told. */
import type { ExportNode } from "./types";

interface Entry { readonly name?: unknown; readonly value?: unknown; readonly type?: unknown }

/** As the flows of this package have their defaults: `($v := $env("$parent.NAME"); $v = "" ? "default" : $v)`. */
const DEFAULTED = /\?\s*"([^"\\]*)"\s*:/;

/** The variables that a node sees: of its groups, its tab or subflow (an instance's before the template's), and the global ones. */
export class Variables {
  /** Those that were asked for and known, with their value. */
  readonly used = new Map<string, string>();
  readonly #chain: readonly (readonly Entry[])[];

  constructor(nodes: ReadonlyMap<string, ExportNode>, node: ExportNode) {
    const chain: (readonly Entry[])[] = [];
    for (let group = nodes.get(String(node["g"] ?? "")), depth = 0; group && depth < 50; group = nodes.get(String(group["g"] ?? "")), depth++) chain.push(entries(group));
    const place = nodes.get(String(node["z"] ?? ""));
    for (const one of nodes.values()) if (place && one.type === `subflow:${place.id}`) { chain.push(entries(one)); break; }
    if (place) chain.push(entries(place));
    for (const one of nodes.values()) if (one.type === "global-config") chain.push(entries(one));
    this.#chain = chain;
  }

  /** A value with its variables filled in; those that are not known stay as `${NAME}`. */
  fill(value: unknown): string {
    const text = typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
    return text.replace(/\$\{([^}]+)\}/g, (whole, name: string) => this.#known(name.trim()) ?? whole).trim();
  }

  /** What a typed input of the type `env` holds: the name of a variable, or text with variables. */
  env(value: unknown): string {
    const text = typeof value === "string" ? value.trim() : "";
    return text.includes("${") ? this.fill(text) : this.#known(text) ?? (text === "" ? "" : `\${${text}}`);
  }

  #known(name: string): string | undefined {
    for (const entries of this.#chain) {
      const entry = entries.find((one) => one.name === name);
      if (!entry) continue;
      const value = valueOf(entry);
      if (value === undefined) return undefined;
      this.used.set(name, value);
      return value;
    }
    return undefined;
  }
}

const entries = (node: ExportNode): readonly Entry[] => (Array.isArray(node["env"]) ? node["env"] as Entry[] : []);

/** A literal, or the default that an expression names. Credentials are never told. */
function valueOf({ type, value }: Entry): string | undefined {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return undefined;
  if (type === "jsonata") return DEFAULTED.exec(String(value))?.[1];
  return type === undefined || type === "str" || type === "num" || type === "bool" ? String(value) : undefined;
}
