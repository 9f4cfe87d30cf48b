import { createRequire } from "node:module";
import type { NodeAPI, NodeMessage } from "node-red";

/** A message with whatever properties it has. */
export type Message = NodeMessage & Record<string, unknown>;
export interface Status { fill?: string; shape?: string; text?: string }

/** A node in the test helper: its methods are sinon spies. */
export interface TestNode {
  receive(msg: object): void;
  close(): Promise<void>;
  on(event: string, callback: (msg: Message) => void): void;
  status: { args: [Status][] };
  warn: { args: [string][] };
  error: { args: [string, object?][] };
}

interface Helper {
  init(runtime: string, settings?: object): void;
  startServer(done: () => void): void;
  stopServer(done: () => void): void;
  load(nodes: unknown[], flow: object[], credentials?: object): Promise<void>;
  unload(): Promise<void>;
  getNode(id: string): TestNode;
}

// Neither has types.
const requireHere = createRequire(__filename);
const helper = requireHere("node-red-node-test-helper") as Helper;
const core = ["24-complete", "25-catch"].map((name) => requireHere(`@node-red/nodes/core/common/${name}.js`) as unknown);
export type NodeModule = (RED: NodeAPI) => void;

export interface Rig {
  readonly node: TestNode;
  /** What arrived, in order: on each output of the node under test, in a Catch node, in a Complete node for it. */
  readonly outputs: Message[][];
  readonly caught: Message[];
  readonly completed: Message[];
  statuses(): Status[];
  warnings(): string[];
  /** Sends messages in and lets what follows happen. */
  send(...messages: object[]): Promise<void>;
}

/** Starts and stops the helper around a suite; call it inside `describe`. */
export function useHelper(settings: object = {}): void {
  before((done) => {
    helper.init(require.resolve("node-red"), settings);
    helper.startServer(done);
  });
  after((done) => { helper.stopServer(done); });
  afterEach(async () => { await helper.unload(); });
}

/** Removes the loaded flow before the next `load` of the same test (after a test it happens by itself). */
export const unload = (): Promise<void> => helper.unload();

/** A node of the loaded flow. */
export const testNode = (id: string): TestNode => helper.getNode(id);

/** Lets everything that is queued in the event loop run. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits until a condition holds, at most 15 s. */
export async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  const end = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true within 15 s`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Loads a flow as it is; credentials by the id of their node. */
export const loadFlow = (modules: readonly NodeModule[], flow: object[], credentials: object = {}): Promise<void> => helper.load([...modules], flow, credentials);

/**
 * Loads one node with a collector on every output, a Catch and a Complete node. `nodes` are further nodes, `configs` config nodes (and `modules` what
 * defines them); `wires` goes to them instead of the collectors, which are named out0, out1, ...
 */
export async function load(module: NodeModule, type: string, config: object, options: { outputs?: number; wires?: string[][]; nodes?: object[]; configs?: object[]; modules?: NodeModule[]; credentials?: object } = {}): Promise<Rig> {
  const { outputs: count = 2, nodes = [], configs = [], modules = [] } = options;
  const names = Array.from({ length: count }, (_, k) => `out${k}`);
  // A node without place is a config node to Node-RED, and an id that equals some property's value a dependency.
  await helper.load([module, ...core, ...modules], [
    { id: "tab0", type: "tab", label: "test" },
    ...configs,
    ...[
      { id: "under-test", type, wires: options.wires ?? names.map((name) => [name]), ...config },
      ...names.map((id) => ({ id, type: "helper" })),
      { id: "catch0", type: "catch", scope: null, uncaught: false, wires: [["caught"]] },
      { id: "caught", type: "helper" },
      { id: "complete0", type: "complete", scope: ["under-test"], wires: [["completed"]] },
      { id: "completed", type: "helper" },
      ...nodes,
    ].map((node) => ({ z: "tab0", x: 100, y: 100, ...node })),
  ], options.credentials ?? {});
  const collect = (id: string): Message[] => {
    const messages: Message[] = [];
    helper.getNode(id).on("input", (msg) => messages.push(msg));
    return messages;
  };
  const node = helper.getNode("under-test");
  return {
    node, outputs: names.map(collect), caught: collect("caught"), completed: collect("completed"),
    statuses: () => node.status.args.map(([status]) => status),
    warnings: () => node.warn.args.map(([text]) => text),
    async send(...messages) {
      for (const msg of messages) node.receive(msg);
      await settle();
    },
  };
}
