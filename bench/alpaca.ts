/**
 * The live feed: frames of real trades over loopback, as fast as they are taken, through alpaca-in into a counting node, beside Alpaca's official SDK receiving
 * the same; then how late trades are behind the feed at 5,000 a second.
 *
 *   npm run bench -- alpaca [trades] [rounds]
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { WebSocketServer, type WebSocket } from "ws";
import { packed, jsonOf } from "../test/support/alpaca-server";
import { startNodeRed } from "../test/support/node-red";
import { eventually, sleep, usage } from "./lib/processes";
import { benchTrades, median, table } from "./lib/support";

const TRADES = Number(process.argv[2] ?? 1_000_000), ROUNDS = Number(process.argv[3] ?? 3);
const PER_FRAME = 100, MOST_BUFFERED = 4 << 20;
const root = join(__dirname, "..");

type Format = "json" | "msgpack";
interface Run { readonly rate: number; readonly cpuUs: number; readonly loop: number }

/** Logs everybody in, and tells when somebody has subscribed. */
async function feed(): Promise<{ url: string; subscribed: () => Promise<WebSocket>; close: () => void }> {
  const server = createServer(), sockets = new WebSocketServer({ server });
  let ready: ((socket: WebSocket) => void) | undefined;
  sockets.on("connection", (socket, { headers }) => {
    const binary = headers["content-type"] === "application/msgpack";
    const say = (message: object): void => socket.send(binary ? packed([message]) : jsonOf([message]));
    say({ T: "success", msg: "connected" });
    let heard = 0;
    socket.on("message", () => {
      if (++heard === 1) say({ T: "success", msg: "authenticated" });
      else if (heard === 2) { say({ T: "subscription", trades: ["*"] }); setTimeout(() => ready?.(socket), 300); }
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v2/test`,
    subscribed: () => new Promise((resolve) => { ready = resolve; }),
    close: () => { for (const client of sockets.clients) client.terminate(); server.close(); },
  };
}

async function frames(format: Format): Promise<Buffer[]> {
  const out: Buffer[] = [];
  let n = 0;
  for await (const batch of benchTrades(TRADES)) {
    for (let at = 0; at < batch.length; at += PER_FRAME) {
      // Ids of several days repeat: here each trade is one of its own.
      const trades = batch.slice(at, at + PER_FRAME).map(({ timestamp, ...trade }) => ({ ...trade, i: ++n, t: new Date(timestamp).toISOString() }));
      out.push(format === "json" ? Buffer.from(JSON.stringify(trades)) : packed(trades));
    }
  }
  return out;
}

async function pour(socket: WebSocket, data: readonly Buffer[], binary: boolean): Promise<void> {
  for (const frame of data) {
    socket.send(frame, { binary });
    if (socket.bufferedAmount > MOST_BUFFERED) while (socket.bufferedAmount > MOST_BUFFERED / 2) await sleep(1);
  }
}

const flow = (url: string, encoding: Format, batchSize: number, wait: number, latency: boolean): object[] => [
  { id: "a000000000000001", type: "tab", label: "feed" },
  { id: "a000000000000002", type: "alpaca-account", feed: "custom", url },
  { id: "a000000000000003", type: "alpaca-in", z: "a000000000000001", account: "a000000000000002", symbols: "*", encoding, batchSize, batchMaxWaitMs: wait, maxBuffered: 4_000_000, maxInFlightBytes: 1 << 30, wires: [["a000000000000004"], []], x: 100, y: 100 },
  {
    id: "a000000000000004", type: "function", z: "a000000000000001", outputs: 0, wires: [], x: 300, y: 100,
    func: `let n = context.get("n") || 0;
if (n === 0) console.log("@@" + JSON.stringify({ ev: "first", at: Date.now() }));
const late = context.get("late") || [];
${latency ? "const now = Date.now(); for (const t of msg.payload) late.push(now - t.t); context.set('late', late);" : ""}
n += msg.payload.length;
context.set("n", n);
if (n >= ${latency ? 25_000 : TRADES}) console.log("@@" + JSON.stringify({ ev: "done", at: Date.now(), late }));`,
  },
];
const KEYS = { APCA_API_KEY_ID: "test-key", APCA_API_SECRET_KEY: "test-secret" };

interface Receiver { readonly pid: number; event(ev: string): Record<string, unknown> | undefined; loop(): number[]; stop(): Promise<unknown> }

async function nodeRed(url: string, encoding: Format, batchSize: number, wait: number, latency = false): Promise<Receiver> {
  const red = await startNodeRed({ flow: flow(url, encoding, batchSize, wait, latency), nodesDir: root, env: { ...KEYS, NODE_OPTIONS: `--require ${join(__dirname, "children/loop-monitor.cjs")}` } });
  return { pid: red.pid, event: (ev) => red.events.find((e) => e.ev === ev), loop: () => red.events.filter((e) => e.ev === "loop").map((e) => e["p99"] as number), stop: () => red.stop() };
}

function sdk(url: string, latency = false): Receiver {
  const child: ChildProcess = spawn(process.execPath, ["--require", join(__dirname, "children/loop-monitor.cjs"), join(__dirname, "children/alpaca-sdk.cjs"), url, String(latency ? 25_000 : TRADES)], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...(latency ? { BENCH_LATENCY: "1" } : {}) } });
  let text = "";
  child.stdout!.on("data", (data) => { text += String(data); });
  const events = (): Record<string, unknown>[] => text.split("\n").slice(0, -1).filter((line) => line.startsWith("@@")).map((line) => JSON.parse(line.slice(2)) as Record<string, unknown>);
  return { pid: child.pid!, event: (ev) => events().find((e) => e["ev"] === ev), loop: () => events().filter((e) => e["ev"] === "loop").map((e) => e["p99"] as number), stop: async () => { child.kill(); } };
}

async function throughput(data: readonly Buffer[], format: Format, open: (url: string) => Promise<Receiver> | Receiver): Promise<Run> {
  const server = await feed();
  const subscribed = server.subscribed();
  const receiver = await open(server.url);
  try {
    const socket = await subscribed;
    await sleep(1000);
    const before = usage(receiver.pid).cpuSeconds, quiet = receiver.loop().length, begun = Date.now();
    await pour(socket, data, format === "msgpack");
    const done = await eventually("the last trade", () => receiver.event("done"));
    const cpu = usage(receiver.pid).cpuSeconds - before;
    await sleep(1100);
    return { rate: (TRADES * 1000) / ((done["at"] as number) - begun), cpuUs: (cpu * 1e6) / TRADES, loop: median(receiver.loop().slice(quiet)) };
  } finally {
    await receiver.stop();
    server.close();
  }
}

/** 5,000 trades a second in frames of ten: ms from the time of a trade (when it was sent) to the node behind. */
async function latency(format: Format, open: (url: string) => Promise<Receiver> | Receiver): Promise<{ p50: number; p99: number }> {
  const server = await feed();
  const subscribed = server.subscribed();
  const receiver = await open(server.url);
  try {
    const socket = await subscribed;
    await sleep(1000);
    const begun = Date.now();
    for (let n = 0; n < 26_000;) {
      for (const due = ((Date.now() - begun) * 5000) / 1000; n < due && n < 26_000;) {
        const t = new Date().toISOString();
        const trades = Array.from({ length: 10 }, () => ({ T: "t", S: "AAPL", i: ++n, x: "V", p: 180.5, s: 100, t, c: ["@"], z: "C" }));
        socket.send(format === "json" ? JSON.stringify(trades) : packed(trades));
      }
      await sleep(1);
    }
    const { late } = await eventually("the last trade", () => receiver.event("done")) as { late: number[] };
    // The first second compiles.
    const sorted = late.slice(5000).sort((a, b) => a - b);
    return { p50: sorted[sorted.length >> 1]!, p99: sorted[Math.floor(sorted.length * 0.99)]! };
  } finally {
    await receiver.stop();
    server.close();
  }
}

async function main(): Promise<void> {
  const packs = await frames("msgpack"), texts = await frames("json");
  const ours = (encoding: Format) => (url: string): Promise<Receiver> => nodeRed(url, encoding, 1000, 250);
  const runs: Record<string, Run[]> = { "Alpaca's SDK, MessagePack": [], "alpaca-in, MessagePack": [], "alpaca-in, JSON": [] };
  for (let round = 0; round < ROUNDS; round++) {
    runs["Alpaca's SDK, MessagePack"]!.push(await throughput(packs, "msgpack", (url) => sdk(url)));
    runs["alpaca-in, MessagePack"]!.push(await throughput(packs, "msgpack", ours("msgpack")));
    runs["alpaca-in, JSON"]!.push(await throughput(texts, "json", ours("json")));
  }
  const of = (name: string, what: keyof Run): number => median(runs[name]!.map((run) => run[what]));
  const peer = "Alpaca's SDK, MessagePack";
  console.log(table(["client", "", "trades/s", "ratio", "CPU us a trade", "ratio", "loop delay p99 ms"], Object.keys(runs).map((name) => [
    name, "", Math.round(of(name, "rate")).toLocaleString("en-US"), (of(name, "rate") / of(peer, "rate")).toFixed(1), of(name, "cpuUs").toFixed(2), (of(peer, "cpuUs") / of(name, "cpuUs")).toFixed(1), of(name, "loop").toFixed(1),
  ])));
  console.log(`${TRADES.toLocaleString("en-US")} trades in frames of ${PER_FRAME}, median of ${ROUNDS} alternating runs; alpaca-in in a real Node-RED, batches of 1,000 into a function node that reads them.\n`);
  const rows: string[][] = [];
  for (const [name, format, open] of [
    ["Alpaca's SDK", "msgpack", (url: string) => sdk(url, true)], ["alpaca-in, each frame at once", "msgpack", (url: string) => nodeRed(url, "msgpack", 100, 0, true)], ["alpaca-in, default (100 trades or 250 ms)", "json", (url: string) => nodeRed(url, "json", 100, 250, true)],
  ] as const) {
    const { p50, p99 } = await latency(format, open);
    rows.push([name, format, String(p50), String(p99)]);
  }
  console.log(table(["feed to wire at 5,000 trades/s", "", "p50 ms", "p99 ms"], rows));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
