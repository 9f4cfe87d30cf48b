import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunningNodeRed, TestEvent } from "./node-red";

export const NODES = join(__dirname, "nodes");
/** Rows per source: 6 batches of 2, ids `0:0` to `0:11`. */
export const BATCHES = 6;

export type Wires = readonly (readonly string[])[];
type Config = Record<string, unknown>;

/** One tab of a flow file; ids are prefixed with its name. */
export class Tab {
  readonly nodes: Config[];
  constructor(readonly name: string) { this.nodes = [{ id: name, type: "tab", label: name }]; }

  add(id: string, type: string, wires: Wires | string, config: Config = {}): this {
    const lists = typeof wires === "string" ? [wires.split(" ").filter(Boolean)] : wires;
    this.nodes.push({ id: this.id(id), type, z: this.name, x: 100, y: 100, wires: lists.map((list) => list.map((to) => this.id(to))), ...config });
    return this;
  }

  id(id: string): string { return `${this.name}-${id}`; }
  source(wires: Wires | string, config: Config = {}): this { return this.add("source", "test-source", wires, { batches: BATCHES, perBatch: 2, ...config }); }
  sink(id = "sink", config: Config = {}, wires: Wires | string = [[]]): this { return this.add(id, "test-sink", wires, config); }
  fn(id: string, func: string, wires: Wires | string, config: Config = {}): this {
    return this.add(id, "function", wires, { func, outputs: typeof wires === "string" ? 1 : wires.length, timeout: 0, noerr: 0, initialize: "", finalize: "", libs: [], ...config });
  }
  odd(id: string, mode: string, wires: Wires | string, config: Config = {}): this { return this.add(id, "test-odd", wires, { mode, ...config }); }
}

/** Looks at what the nodes of a tab printed and wrote. */
export class Look {
  constructor(private readonly red: RunningNodeRed, private readonly tab: string) {}

  events(ev: string, node?: string): TestEvent[] {
    return this.red.events.filter((event) => event.ev === ev && (node === undefined ? String(event.node).startsWith(`${this.tab}-`) : event.node === `${this.tab}-${node}`));
  }

  /** The offset up to which the source's only partition is delivered. */
  offset(source = "source"): number {
    const file = join(this.red.userDir, `offsets-${this.tab}-${source}.json`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>)["0"] ?? 0 : 0;
  }

  async delivered(rows = BATCHES * 2, timeoutMs = 20_000): Promise<void> {
    await this.red.until(`${this.tab}: ${rows} rows delivered`, () => this.offset() >= rows, timeoutMs);
  }

  rows(sink = "sink"): string[] {
    const file = join(this.red.userDir, `table-${this.tab}-${sink}.json`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { rows: string[] }).rows : [];
  }
}

/** The row ids of offsets `from` to `to` (exclusive) that pass `keep`, each `times` times, sorted. */
export function ids(to = BATCHES * 2, keep: (n: number) => boolean = () => true, times = 1): string[] {
  return Array.from({ length: to }, (_, n) => n).filter(keep).flatMap((n) => new Array<string>(times).fill(`0:${n}`)).sort();
}
