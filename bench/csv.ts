/**
 * Reading trade CSV: rows/s of a CPU second, plain and gzip, beside Node's readline with split, and Python's csv module
 * with the same conversions. Then a whole replay at pace max: rows/s, longest event-loop delay, peak memory.
 *
 *   npx tsx bench/csv.ts [rows] [replay rows]
 */
import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { findFile, Outcome, prepareSource } from "../lib/trades/csv";
import { systemClock } from "../lib/trades/pace";
import { Replay } from "../lib/trades/replay";
import { parseReplayConfig } from "../lib/trades/replay-config";
import type { RawTrade } from "../lib/trades/types";
import { benchTrades, median, table } from "./lib/support";

const ROWS = Number(process.argv[2] ?? 500_000), REPLAY = Number(process.argv[3] ?? 2_000_000);
const dir = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
const PYTHON = `
import csv, gzip, sys, time, resource, ast
from datetime import datetime
path = sys.argv[1]
begin = time.process_time()
n = 0
cache = {}
with (gzip.open(path, "rt") if path.endswith(".gz") else open(path)) as f:
    for S, t, x, p, s, i, c, z in list(csv.reader(f))[1:]:
        if c not in cache: cache[c] = ast.literal_eval(c)
        trade = {"T": "t", "S": S, "i": int(i), "x": x, "p": float(p), "s": int(s), "t": int(datetime.fromisoformat(t).timestamp() * 1000), "c": cache[c], "z": z}
        n += 1
print(n / (time.process_time() - begin))
`;

async function write(name: string, rows: number, bySymbol = false): Promise<string> {
  const path = join(dir, name);
  const out = createWriteStream(path);
  out.write("symbol,timestamp,exchange,price,size,id,conditions,tape\n");
  const line = (t: { S: string; timestamp: number; x: string; p: number; s: number; i: number; c: string[]; z: string }) =>
    `${t.S},${new Date(t.timestamp).toISOString()},${t.x},${t.p},${t.s},${t.i},${t.c.length > 1 ? `"['${t.c.join("','")}']"` : `['${t.c[0] ?? "@"}']`},${t.z}\n`;
  const later = new Map<string, string[]>();
  for await (const batch of benchTrades(rows)) {
    if (bySymbol) for (const t of batch) (later.get(t.S) ?? later.set(t.S, []).get(t.S)!).push(line(t));
    else if (!out.write(batch.map(line).join(""))) await once(out, "drain");
  }
  for (const lines of later.values()) if (!out.write(lines.join(""))) await once(out, "drain");
  out.end();
  await once(out, "finish");
  return path;
}

const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };

/** Rows per CPU second, median of five after one to warm up; other processes on the machine do not count. */
async function rate(read: () => Promise<number>): Promise<number> {
  const rates: number[] = [];
  for (let run = 0; run < 6; run++) {
    const begin = cpu();
    const rows = await read();
    rates.push(rows / (cpu() - begin));
  }
  return median(rates.slice(1));
}

async function ours(path: string, order: "time" | "file"): Promise<number> {
  const source = await prepareSource(await findFile(path, { baseDir: dir }), { dialect: "auto", order, tempDir: dir, signal: new AbortController().signal, breathe: () => systemClock.yield() });
  const cursor = await source.open(source.start);
  let rows = 0, size = 0;
  for (;;) {
    const outcome = cursor.next();
    if (outcome === Outcome.Trade) { rows++; size += cursor.trade.s; } else if (outcome === Outcome.Need) await cursor.fill(); else break;
  }
  await cursor.close();
  await source.dispose();
  return size > 0 ? rows : 0;
}

/** What one would write: readline, split, Date.parse. Knows this one dialect, and no bad rows. */
async function readline(path: string): Promise<number> {
  let rows = -1, size = 0;
  const cache = new Map<string, string[]>();
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    if (rows++ < 0) continue;
    const open = line.indexOf('"');
    const head = (open < 0 ? line : line.slice(0, open)).split(","), tail = open < 0 ? [head[6]!, head[7]!] : [line.slice(open + 1, line.lastIndexOf('"')), line.slice(line.lastIndexOf('"') + 2)];
    let c = cache.get(tail[0]!);
    if (!c) cache.set(tail[0]!, c = [...tail[0]!.matchAll(/'([^']*)'/g)].map((m) => m[1]!));
    const trade: RawTrade = { T: "t", S: head[0]!, i: Number(head[5]), x: head[2]!, p: Number(head[3]), s: Number(head[4]), t: Date.parse(head[1]!), c: c.slice(), z: tail[1]! };
    size += trade.s;
  }
  return size > 0 ? rows : 0;
}

interface Measured { seconds: number; rows: number; p99: number; max: number; rss: number }

/** In a process of its own, so that its memory is its own. */
function replayInChild(path: string): Measured {
  return JSON.parse(execFileSync(process.execPath, ["--require", "tsx/cjs", __filename, "--replay", path], { encoding: "utf8" })) as Measured;
}

async function replay(path: string): Promise<Measured> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  let rss = 0;
  const watch = setInterval(() => { rss = Math.max(rss, process.memoryUsage.rss()); }, 20);
  loop.enable();
  const begin = performance.now();
  const run: Replay = new Replay(await findFile(path, { baseDir: dir }), parseReplayConfig({ pace: "max", batchSize: 1000 }), {
    clock: systemClock, tempDir: dir, policy: { failed: () => ({ action: "stop" }), reset: () => undefined },
    port: { ready: () => true, whenReady: () => Promise.resolve(), send: (spec) => { setImmediate(() => run.delivered({ ...spec, token: "", source: "", epoch: 0, batch: 0, state: "delivered", openedAt: 0 })); } },
  });
  const { trades } = await run.run();
  const seconds = (performance.now() - begin) / 1000;
  loop.disable();
  clearInterval(watch);
  return { seconds, rows: trades, p99: loop.percentile(99) / 1e6, max: loop.max / 1e6, rss: rss / 1e6 };
}

const M = (n: number) => `${(n / 1e6).toFixed(2)} M`;

async function main(): Promise<void> {
  const plain = await write("trades.csv", ROWS);
  await pipeline(createReadStream(plain), createGzip(), createWriteStream(`${plain}.gz`));
  const rows: string[][] = [
    ["csv-replay's reader", "plain", M(await rate(() => ours(plain, "file")))],
    ["csv-replay's reader", "gzip", M(await rate(() => ours(`${plain}.gz`, "file")))],
    ["with the check of the order", "plain", M(await rate(() => ours(plain, "time")))],
    ["readline and split", "plain", M(await rate(() => readline(plain)))],
  ];
  const python = join(__dirname, "../.stack/py/bin/python");
  if (existsSync(python)) for (const path of [plain, `${plain}.gz`]) rows.push(["Python csv", path.endsWith(".gz") ? "gzip" : "plain", M(Number(execFileSync(python, ["-c", PYTHON, path])))]);
  console.log(`${table(["reader", "file", "rows per CPU second"], rows)}\n`);

  const results: string[][] = [];
  for (const [name, path] of [["in time order", await write("large.csv", REPLAY)], ["sorted by symbol", await write("by-symbol.csv", REPLAY, true)]] as const) {
    const { seconds, rows: n, p99, max, rss } = replayInChild(path);
    results.push([name, `${n}`, seconds.toFixed(1), M(n / seconds), p99.toFixed(1), max.toFixed(1), rss.toFixed(0)]);
  }
  console.log(table(["replay, pace max, batches of 1,000", "rows", "s", "rows/s", "loop p99 ms", "loop max ms", "peak RSS MB"], results));
}

const work = process.argv[2] === "--replay" ? replay(process.argv[3]!).then((measured) => console.log(JSON.stringify(measured))) : main();
work.finally(() => rmSync(dir, { recursive: true, force: true })).catch((error: unknown) => { console.error(error); process.exitCode = 1; });
