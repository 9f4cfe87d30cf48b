/** How late Node-RED's event loop is while trades flow into Iceberg at 100,000 a second, beside an idle Node-RED. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNodeRed } from "../test/support/node-red";
import { median, table } from "./lib/support";

const root = join(__dirname, "..");
const rounds = Number(process.argv[2] ?? 3);
const seconds = Number(process.argv[3] ?? 30);
const perSecond = Number(process.argv[4] ?? 100_000);
const WARM_UP = 12;

const tab = { id: "a000000000000001", type: "tab", label: "load" };
const load = (warehouse: string): object[] => [
  tab,
  { id: "a000000000000002", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse },
  { id: "a000000000000003", type: "synthetic-gen", z: tab.id, symbols: "AAPL GOOGL MSFT AMZN TSLA", batchSize: 1000, interval: 1000 / perSecond, priceModel: "gbm", seed: "load", autoStart: true, wires: [["a000000000000004"], []], x: 100, y: 100 },
  { id: "a000000000000004", type: "explode-trades", z: tab.id, wires: [["a000000000000005"], []], x: 300, y: 100 },
  { id: "a000000000000005", type: "iceberg-out", z: tab.id, catalog: "a000000000000002", table: "db.flattened_stocks", commitInterval: "2", wires: [["a000000000000006"], []], x: 500, y: 100 },
  { id: "a000000000000006", type: "function", z: tab.id, func: "console.log('@@' + JSON.stringify({ ev: 'commit', ...msg.payload }));", outputs: 0, wires: [], x: 700, y: 100 },
];

interface Sample { p50: number; p99: number; max: number; rss: number; cpu: number }
interface Result { p99: number; longest: number; rss: number; cpu: number; rate: number }

async function measure(flow: object[]): Promise<Result> {
  const red = await startNodeRed({ flow, nodesDir: root, env: { NODE_OPTIONS: `--require ${join(__dirname, "children/loop-monitor.cjs")}` } });
  try {
    const samples = (): Sample[] => red.events.filter((e) => e.ev === "loop") as unknown as Sample[];
    await red.until("the measured seconds to pass", () => samples().length >= WARM_UP + seconds, (WARM_UP + seconds + 60) * 1000);
    const measured = samples().slice(WARM_UP, WARM_UP + seconds);
    const commits = red.events.filter((e) => e.ev === "commit").slice(1) as unknown as { rows: number }[];
    return {
      p99: median(measured.map((s) => s.p99)), longest: Math.max(...measured.map((s) => s.max)), rss: Math.max(...measured.map((s) => s.rss)),
      cpu: measured.reduce((sum, s) => sum + s.cpu, 0) / seconds, rate: commits.length > 0 ? commits.reduce((sum, c) => sum + c.rows, 0) / commits.length / 2 : 0,
    };
  } finally {
    await red.stop();
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-loop-"));
  const idle: Result[] = [], busy: Result[] = [];
  for (let round = 0; round < rounds; round++) {
    idle.push(await measure([tab]));
    busy.push(await measure(load(join(folder, `w${round}`))));
  }
  const row = (name: string, runs: Result[]): string[] => [
    name, `${Math.round(median(runs.map((r) => r.rate))).toLocaleString("en-US")}`, median(runs.map((r) => r.p99)).toFixed(1), median(runs.map((r) => r.longest)).toFixed(1),
    Math.max(...runs.map((r) => r.longest)).toFixed(1), median(runs.map((r) => r.cpu)).toFixed(2), median(runs.map((r) => r.rss)).toFixed(0),
  ];
  console.log(table(["Node-RED", "trades/s committed", "loop delay p99 ms", "longest ms (median of runs)", "longest ms (worst run)", "cores busy", "RSS MB"], [row("idle", idle), row(`${perSecond.toLocaleString("en-US")} trades/s`, busy)]));
  console.log(`${rounds} alternating runs of ${seconds} s after ${WARM_UP} s of warm-up; p99 is the median of one-second windows.`);
  rmSync(folder, { recursive: true, force: true });
}

void main();
