import { createServer, type Server } from "node:http";
import { lazyPayload } from "../lib/trades/lazy";
import type { FlowNode } from "../lib/cli/prepare-flow";
import { SOURCES, Statistics } from "../lib/cli/statistics";
import { TicklakeError } from "../lib/errors";
import type { NodeRed } from "./find-node-red";

export interface RunOptions {
  readonly red: NodeRed;
  readonly flow: readonly FlowNode[];
  /** Holds the nodes of this package. */
  readonly packageRoot: string;
  readonly userDir: string;
  readonly credentialSecret?: string;
  /** Encrypted credentials of the flow. */
  readonly credentials?: object;
  /** HTTP nodes and dashboards are served there; nothing listens without it. */
  readonly listen?: { readonly port: number; readonly host: string };
  /** Warnings and errors of nodes. */
  say(text: string): void;
}

/** A flow that runs. */
export interface RunningFlow {
  readonly statistics: Statistics;
  /** Resolves when a source that has an end is at its end and Kafka has all of it; rejects when a file cannot be replayed. */
  readonly complete: Promise<void>;
  /** Address of what is served. */
  readonly url: string | undefined;
  /** Sinks write what they have; resolves when every node is closed. */
  stop(): Promise<void>;
}

interface SendEvent { readonly msg: Record<string, unknown>; readonly source: { readonly id: string; readonly port: number; readonly node: { readonly type: string } }; readonly destination: { readonly id: string } }
interface LogEvent { readonly level: number; readonly msg: unknown; readonly type?: string; readonly id?: string; readonly name?: string }

const ERROR = 20, WARN = 30;
const QUIESCE_MS = 5000;

/**
 * Runs a flow in Node-RED, inside this process, without editor and without files of its own.
 *
 * @throws TicklakeError CONFIG_INVALID when node types are missing or a node's settings are wrong
 */
export async function runFlow(options: RunOptions): Promise<RunningFlow> {
  const { red, flow, listen } = options;
  const statistics = new Statistics();
  const wrong: string[] = [];
  let started = false;
  const log = ({ level, msg, type, id, name }: LogEvent): void => {
    if (level > WARN) return;
    const text = typeof msg === "string" ? msg : (msg as Error | undefined)?.message ?? JSON.stringify(msg);
    if (/^(Encrypted credentials not found|Using unencrypted credentials)/.test(text)) return;
    const line = `${type ? `[${name || type || id}] ` : ""}${text}`;
    if (level <= ERROR && !started && type) wrong.push(line);
    else options.say(`${level <= ERROR ? "error" : "warning"}: ${line}`);
  };
  const server = listen ? createServer((request, response) => (red.httpNode as (a: unknown, b: unknown) => void)(request, response)) : undefined;
  red.init(server ?? createServer(), settings(options, log));
  const sending = new Set<string>();
  const complete = observe(red, flow, statistics, sending);
  const running = flowsStarted(red);
  await red.start();
  await running;
  started = true;
  if (wrong.length > 0) {
    await red.stop();
    throw new TicklakeError("CONFIG_INVALID", wrong.join("\n"));
  }
  const url = server && listen ? await opened(server, listen) : undefined;
  return {
    statistics, complete, url,
    async stop() {
      await quiesce(red, sending, statistics);
      server?.close();
      server?.closeAllConnections();
      await red.stop();
    },
  };
}

function settings({ flow, packageRoot, userDir, credentials = {}, credentialSecret, listen }: RunOptions, log: (event: LogEvent) => void): object {
  // Node-RED reads and writes nothing but this.
  const none = (): Promise<object> => Promise.resolve({});
  const done = (): Promise<void> => Promise.resolve();
  return {
    userDir, nodesDir: packageRoot, httpAdminRoot: false, ...(listen ? {} : { httpNodeRoot: false }), disableEditor: true, nodeCloseTimeout: 15_000,
    credentialSecret: credentialSecret ?? false, telemetry: { enabled: false, updateNotification: false }, editorTheme: { projects: { enabled: false } },
    logging: { console: { level: "off" }, ticklake: { level: "warn", metrics: false, audit: false, handler: () => log } },
    storageModule: {
      init: done, getFlows: () => Promise.resolve(flow), saveFlows: done, getCredentials: () => Promise.resolve(credentials), saveCredentials: done,
      getSettings: none, saveSettings: done, getSessions: none, saveSessions: done, getLibraryEntry: none, saveLibraryEntry: done,
    },
  };
}

/** Sources stop first: what they have sent shall arrive while its sinks still take it. Those of the outside world that do not answer are not waited for long. */
async function quiesce(red: NodeRed, sending: ReadonlySet<string>, statistics: Statistics): Promise<void> {
  for (const id of sending) red.nodes.getNode(id)?.receive({ payload: "stop" });
  const { totals } = statistics, until = performance.now() + QUIESCE_MS;
  // At least one turn, in which what is on its way between two nodes arrives.
  do await new Promise((done) => setTimeout(done, 50)); while (totals.produced < totals.sent && performance.now() < until);
}

/** Counts what nodes send, and notes which sources do. Resolves when a source with an end has come to it and its last batches are acknowledged. */
function observe(red: NodeRed, flow: readonly FlowNode[], statistics: Statistics, sending: Set<string>): Promise<void> {
  const printers = new Set(flow.filter(({ type, name }) => type === "function" && name === "Print").map(({ id }) => id));
  return new Promise((done, fail) => {
    let ended = false;
    const look = (): void => { if (ended && statistics.totals.produced >= statistics.totals.sent) done(); };
    // It is done with its start when all of the file is delivered, be it that another process has written some of it.
    red.hooks.add("onComplete.ticklake-command", (({ error, node }: { error?: Error; node: { node?: { type?: string } } }) => {
      if (node.node?.type !== "csv-replay") return;
      // Told as a node's error already.
      if (error) fail(error);
      else if (ended) { statistics.delivered(); done(); }
    }) as (event: never) => void);
    red.hooks.add("onSend.ticklake-command", ((events: readonly SendEvent[]) => {
      const seen = new Set<unknown>();
      for (const { msg, source, destination } of events) {
        const length = lengthOf(msg);
        if (printers.has(destination.id)) statistics.printed(length);
        // One message to several nodes is one message.
        if (seen.has(msg)) continue;
        seen.add(msg);
        if (SOURCES.has(source.node.type)) sending.add(source.id);
        statistics.take({ type: source.node.type, port: source.port, msg }, length);
        if ((source.node.type === "synthetic-gen" && source.port === 1) || (source.node.type === "csv-replay" && source.port === 0 && msg["complete"] === true)) ended = true;
      }
      if (ended) setImmediate(look);
    }) as (event: never) => void);
  });
}

/** Without reading a payload that nobody has read yet. */
function lengthOf(msg: Record<string, unknown>): number {
  const lazy = lazyPayload(msg);
  if (lazy) return lazy.length;
  return Array.isArray(msg["payload"]) ? msg["payload"].length : 1;
}

function flowsStarted(red: NodeRed): Promise<void> {
  return new Promise((done, fail) => {
    red.events.once("flows:started", () => done());
    red.events.on("runtime-event", (event: { payload?: { error?: string; types?: readonly (string | { type?: string })[] } }) => {
      if (event.payload?.error !== "missing-types") return;
      const types = event.payload.types?.map((one) => (typeof one === "string" ? one : one.type ?? "?")).join(", ") ?? "?";
      fail(new TicklakeError("CONFIG_INVALID", `The flow does not run: nobody has these node types: ${types}. Install the packages that they belong to beside Node-RED.`));
    });
  });
}

function opened(server: Server, { port, host }: { port: number; host: string }): Promise<string> {
  return new Promise((done, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) => fail(new TicklakeError("CONFIG_INVALID", error.code === "EADDRINUSE" ? `Port ${port} is taken by another program. Choose another --port.` : `Cannot listen on ${host}:${port}: ${error.message}`)));
    server.listen(port, host, () => {
      const address = server.address();
      done(`http://${host.includes(":") ? `[${host}]` : host}:${typeof address === "object" && address ? address.port : port}`);
    });
  });
}
