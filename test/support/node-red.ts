import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** A real Node-RED in a process of its own, for tests: 4 on this Node, 5 on Node 22 (scripts/stack.mjs fetches both). */
export type NodeRedVersion = "4" | "5";

const root = resolve(__dirname, "..", "..");
const stack = (variable: string, ...path: string[]): string => process.env[variable] ?? resolve(root, process.env.TICKLAKE_STACK || ".stack", ...path);

/** Which Node runs which `red.js`; undefined when this version was not fetched. */
export function nodeRedCommand(version: NodeRedVersion): { node: string; red: string } | undefined {
  const command = version === "4"
    ? { node: process.execPath, red: join(root, "node_modules", "node-red", "red.js") }
    : {
      node: stack("TICKLAKE_NODE22", "node22", "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node"),
      red: stack("TICKLAKE_NODE_RED_5", "node-red-5", "node_modules", "node-red", "red.js"),
    };
  return existsSync(command.node) && existsSync(command.red) ? command : undefined;
}

export interface NodeRedOptions {
  readonly version?: NodeRedVersion;
  /** The nodes of flows.json. */
  readonly flow: readonly object[];
  /** By default a temporary folder that `stop` removes. */
  readonly userDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** More settings (JSON values). */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Folder with node types, or a package root with a `node-red` key. */
  readonly nodesDir?: string;
  /** Lets `nodesDir` hold nodes that require TypeScript sources. */
  readonly typescript?: boolean;
  /** Waits for this line before resolving. */
  readonly until?: string;
}

/** A line `@@{...}` that a node printed. */
export type TestEvent = Record<string, unknown> & { ev: string };

export interface RunningNodeRed {
  readonly url: string;
  readonly userDir: string;
  readonly pid: number;
  /** Everything printed so far. */
  logs(): string;
  /** The `@@{...}` lines so far. */
  readonly events: readonly TestEvent[];
  /** Resolves with what `look` returns as soon as that is not undefined or false; looks at every new line and every 50 ms. */
  until<T>(what: string, look: () => T | undefined | false, timeoutMs?: number): Promise<T>;
  adminGet(path: string): Promise<unknown>;
  adminPost(path: string, body?: unknown, headers?: Record<string, string>): Promise<unknown>;
  /** Deploys a whole flow file; resolves when flows have started again. */
  deploy(flow: readonly object[], type?: "full" | "nodes" | "flows"): Promise<void>;
  /** Sends the signal and resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.on("error", fail).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
}

/** Starts Node-RED and resolves when its flows run. */
export async function startNodeRed(options: NodeRedOptions): Promise<RunningNodeRed> {
  const version = options.version ?? "4";
  const command = nodeRedCommand(version);
  if (!command) throw new Error(`Node-RED ${version} is not there: node scripts/stack.mjs node22 node-red-5`);
  const userDir = options.userDir ?? mkdtempSync(join(tmpdir(), "ticklake-red-"));
  const port = await freePort();
  const settings = {
    flowFile: "flows.json", uiHost: "127.0.0.1", uiPort: port, credentialSecret: "test", disableEditor: true,
    telemetry: { enabled: false, updateNotification: false }, editorTheme: { tours: false },
    logging: { console: { level: "info", metrics: false, audit: false } },
    ...(options.nodesDir ? { nodesDir: options.nodesDir } : {}), ...options.settings,
  };
  writeFileSync(join(userDir, "settings.js"), `module.exports = ${JSON.stringify(settings, null, 2)};\n`);
  writeFileSync(join(userDir, "flows.json"), JSON.stringify(options.flow));
  const nodeArgs = options.typescript ? ["--require", require.resolve("tsx/cjs")] : [];
  const child = spawn(command.node, [...nodeArgs, command.red, "--userDir", userDir, "--settings", join(userDir, "settings.js")], {
    cwd: userDir, env: { ...process.env, NODE_RED_HOME: "", ...options.env }, stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let text = "", rest = "";
  const events: TestEvent[] = [];
  const looks = new Set<() => void>();
  const take = (data: string): void => {
    text += data;
    const lines = (rest + data).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("@@")) events.push(JSON.parse(line.slice(2)) as TestEvent);
    for (const look of [...looks]) look();
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", (data: string) => { text += data; for (const look of [...looks]) look(); });
  let code: number | null | undefined;
  const ended = new Promise<number | null>((done) => child.on("close", (c) => { running.delete(child); code = c; done(c); for (const look of [...looks]) look(); }));

  const until = <T>(what: string, look: () => T | undefined | false, timeoutMs = 20_000): Promise<T> => new Promise((done, fail) => {
    const check = (): void => {
      const found = look();
      if (found !== undefined && found !== false) { end(); done(found); }
      else if (code !== undefined) { end(); fail(new Error(`Node-RED ended with code ${code} while waiting for: ${what}\n${text.slice(-4000)}`)); }
    };
    const end = (): void => { looks.delete(check); clearInterval(poll); clearTimeout(timer); };
    const poll = setInterval(check, 50);
    const timer = setTimeout(() => { end(); fail(new Error(`Not within ${timeoutMs} ms: ${what}\n${text.slice(-6000)}`)); }, timeoutMs);
    looks.add(check);
    check();
  });

  const url = `http://127.0.0.1:${port}`;
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<unknown> => {
    const response = await fetch(url + path, {
      method, headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
    try { return JSON.parse(answer); } catch { return answer; }
  };
  const count = (line: RegExp): number => text.match(line)?.length ?? 0;
  const STARTED = /Started (flows|modified nodes|modified flows)/g;

  await until("flows to start", () => (options.until ? text.includes(options.until) : count(STARTED) > 0), 90_000);
  return {
    url, userDir, pid: child.pid!, events, until,
    logs: () => text,
    adminGet: (path) => call("GET", path),
    adminPost: (path, body, headers) => call("POST", path, body, headers),
    async deploy(flow, type = "full") {
      const before = count(STARTED);
      await call("POST", "/flows", flow, { "Node-RED-Deployment-Type": type, "Node-RED-API-Version": "v1" });
      await until(`flows to start after a deploy of type ${type}`, () => count(STARTED) > before, 60_000);
    },
    async stop(signal = "SIGTERM") {
      if (code === undefined) child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 25_000);
      const result = await ended;
      clearTimeout(timer);
      if (!options.userDir) rmSync(userDir, { recursive: true, force: true });
      return result;
    },
  };
}
