import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { definition } from "./flows";
import { runPython } from "./python";
import { startNodeRed, type NodeRedOptions, type RunningNodeRed, type TestEvent } from "./node-red";
import { root } from "./start";

type Config = Record<string, unknown>;
type Wires = string | readonly string[];

/**
 * Flows with Kafka for a real Node-RED. Every node of ours gets what the editor would give it, all defaults of its dialog, and then what the test says. Wires are
 * lists of ids, one string ("a b") per output. What nodes say is printed for `Watch`: statuses, errors that Catch nodes get, messages that `tell` gets.
 */
export class KafkaFlow {
  readonly nodes: Config[] = [];
  #count = 0;

  /** `${KAFKA_BROKERS}` and `${WAREHOUSE}` come with the process's environment, so that several processes and restarts run one flow file. */
  constructor() {
    this.nodes.push(
      { id: "tab", type: "tab", label: "Kafka" },
      { ...defaults("kafka-broker"), id: "broker", type: "kafka-broker", name: "test", brokers: "${KAFKA_BROKERS}" },
      { ...defaults("iceberg-catalog"), id: "catalog", type: "iceberg-catalog", warehouse: "${WAREHOUSE}" },
      { id: "status", type: "status", z: "tab", scope: null, x: 100, y: 20, wires: [["status-tell"]] },
      { id: "catch", type: "catch", z: "tab", scope: null, uncaught: false, x: 100, y: 60, wires: [["catch-tell"]] },
    );
    this.tell("status-tell", "status", "node: msg.status.source.id, text: msg.status.text, fill: msg.status.fill");
    this.tell("catch-tell", "error", "node: msg.error.source.id, text: msg.error.message, code: msg.error.code || (msg.error.cause && msg.error.cause.code)");
  }

  add(id: string, type: string, wires: Wires, config: Config = {}): this {
    const outputs = typeof wires === "string" ? [wires] : wires;
    this.nodes.push({ ...defaults(type), id, type, z: "tab", name: "", x: 100 + 40 * (this.#count % 20), y: 100 + 20 * this.#count++, wires: outputs.map((to) => to.split(" ").filter(Boolean)), ...config });
    return this;
  }

  kafkaIn(id: string, wires: Wires, config: Config): this {
    return this.add(id, "kafka-in", wires, { broker: "broker", startingOffsets: "earliest", ...config });
  }

  explode(id: string, wires: Wires, config: Config = {}): this { return this.add(id, "explode-trades", wires, config); }
  kafkaOut(id: string, wires: Wires, config: Config): this { return this.add(id, "kafka-out", wires, { broker: "broker", ...config }); }
  icebergOut(id: string, wires: Wires, config: Config = {}): this { return this.add(id, "iceberg-out", wires, { catalog: "catalog", ...config }); }

  /** `modules` of Node are variables of that name in the function. */
  fn(id: string, func: string, wires: Wires = "", modules: readonly string[] = []): this {
    return this.add(id, "function", wires, {
      func, outputs: typeof wires === "string" ? 1 : wires.length, timeout: 0, noerr: 0, initialize: "", finalize: "", libs: modules.map((name) => ({ var: name, module: name })),
    });
  }

  /** Prints `{ev, ...}` per message; `what` is the inside of an object literal over `msg`. Also a Complete node's target. */
  tell(id: string, ev: string, what: string): this {
    return this.fn(id, `console.log("@@" + JSON.stringify({ ev: ${JSON.stringify(ev)}, ${what} }));`);
  }

  /** Prints `{ev: "complete", node}` whenever one of these nodes is done with a message. */
  complete(...scope: string[]): this {
    this.add("complete", "complete", "complete-tell", { scope, uncaught: false });
    return this.tell("complete-tell", "complete", `node: ${JSON.stringify(scope.join(" "))}, topic: msg.topic`);
  }
}

/** The properties of one of our nodes as its dialog has them at first. */
function defaults(type: string): Config {
  if (!/^(kafka|iceberg|csv|synthetic|explode|pipeline|pinot)-/.test(type)) return {};
  return known.get(type) ?? (known.set(type, Object.fromEntries(Object.entries(definition(type).defaults).map(([key, property]) => [key, property.value]))), known.get(type)!);
}
const known = new Map<string, Config>();

/** A folder for one test: user directories of its Node-REDs and the warehouse. */
export class Workplace {
  readonly folder = mkdtempSync(join(tmpdir(), "ticklake-kafka-flow-"));
  readonly warehouse = join(this.folder, "warehouse");
  readonly reds = new Set<RunningNodeRed>();

  /** Starts a Node-RED with dist/ on a user directory that it keeps from start to start. */
  async start(flow: KafkaFlow, brokers: string, options: Partial<NodeRedOptions> & { name?: string } = {}): Promise<RunningNodeRed> {
    const userDir = join(this.folder, options.name ?? "a");
    mkdirSync(userDir, { recursive: true });
    const red = await startNodeRed({
      flow: flow.nodes, nodesDir: root, userDir, ...options, env: { KAFKA_BROKERS: brokers, WAREHOUSE: this.warehouse, ...options.env },
    });
    this.reds.add(red);
    return red;
  }

  /** Which ids from 0 to end - 1 a table holds, by PyIceberg. */
  async ids(end: number, table = "db.flattened_stocks"): Promise<{ rows: number; distinct: number; missing: number; doubled: number; strange: number }> {
    return JSON.parse(await runPython("table_ids.py", [join(this.warehouse, ...table.split(".")), String(end)])) as { rows: number; distinct: number; missing: number; doubled: number; strange: number };
  }

  /** Fails unless a table holds every id from 0 to end - 1 exactly once. */
  async assertEachOnce(end: number, table?: string): Promise<void> {
    const { rows, distinct, missing, doubled, strange, ...examples } = await this.ids(end, table);
    assert.deepEqual({ rows, distinct, missing, doubled, strange }, { rows: end, distinct: end, missing: 0, doubled: 0, strange: 0 }, `each trade once in ${table ?? "the table"}: ${JSON.stringify({ rows, missing, doubled, ...examples })}`);
  }

  /** Ends everything and removes the folder. */
  async remove(): Promise<void> {
    await Promise.all([...this.reds].map((red) => red.stop("SIGKILL")));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What a user would see of a running flow. */
export class Watch {
  constructor(private readonly red: RunningNodeRed) {}

  events(ev: string, node?: string): TestEvent[] {
    return this.red.events.filter((event) => event.ev === ev && (node === undefined || event["node"] === node));
  }

  /** Texts of all statuses that a node has had. */
  statuses(node: string): string[] { return this.events("status", node).map((event) => String(event["text"])); }
  errors(node?: string): { text: string; code?: string }[] { return this.events("error", node).map((event) => ({ text: String(event["text"]), ...(event["code"] ? { code: String(event["code"]) } : {}) })); }

  /** Waits for a status (any so far, or to come) that matches. */
  status(node: string, pattern: RegExp, timeoutMs = 30_000): Promise<string> {
    return this.red.until(`${node} to say ${pattern}; it said ${JSON.stringify(this.statuses(node).slice(-5))}`, () => this.statuses(node).find((text) => pattern.test(text)), timeoutMs);
  }

  /** Sum of a number over the events of a kind. */
  sum(ev: string, key: string): number { return this.events(ev).reduce((sum, event) => sum + Number(event[key] ?? 0), 0); }

  /** Waits until the sum of a number over the events of a kind is at least so much. */
  reach(ev: string, key: string, least: number, timeoutMs = 60_000): Promise<number> {
    return this.red.until(`the sum of ${key} over ${ev} to reach ${least}`, () => { const sum = this.sum(ev, key); return sum >= least ? sum : undefined; }, timeoutMs);
  }
}
