/**
 * What end-to-end delivery costs: messages without a token through three function nodes of a real Node-RED, with and
 * without our hooks, in alternating runs; then messages with a token, and the ledger by itself.
 *
 *   npm run bench -- hooks [messages per run] [pairs of runs]
 */
import { Ledger } from "../lib/delivery/ledger";
import { startNodeRed } from "../test/support/node-red";
import { NODES } from "../test/support/delivery-flow";
import { median, table } from "./lib/support";

const COUNT = Number(process.argv[2] ?? 20_000), PAIRS = Number(process.argv[3] ?? 20);
type Mode = "off" | "on" | "token";
interface Run { ms: number; cpuMs: number }

const spread = (values: number[], digits = 3): string => `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;

async function hooks(): Promise<void> {
  const fn = (id: string, to: string): object => ({ id, type: "function", z: "t", func: "return msg;", outputs: 1, wires: [[to]], libs: [] });
  const red = await startNodeRed({
    typescript: true, nodesDir: NODES, until: "Started flows",
    flow: [{ id: "t", type: "tab", label: "bench" }, { id: "b", type: "test-bench", z: "t", wires: [["f1"]] }, fn("f1", "f2"), fn("f2", "f3"), fn("f3", "b")],
  });
  try {
    const run = (mode: Mode): Promise<Run> => red.adminPost(`/test-bench/b?count=${COUNT}&mode=${mode}`) as Promise<Run>;
    for (const mode of ["off", "on", "token", "off"] as const) await run(mode);
    const runs: Record<Mode, Run[]> = { off: [], on: [], token: [] };
    for (let i = 0; i < PAIRS; i++) {
      // Which comes first alternates too, so that a drift of the machine favours neither.
      for (const mode of i % 2 === 0 ? ["off", "on"] as const : ["on", "off"] as const) runs[mode].push(await run(mode));
      if (i % 4 === 0) runs.token.push(await run("token"));
    }
    const perMessage = (list: Run[]): string => spread(list.map((r) => (r.cpuMs * 1000) / COUNT), 1);
    const ratio = (key: keyof Run): string => spread(runs.on.map((r, i) => r[key] / runs.off[i]![key]));
    console.log(`${COUNT} messages a run through 3 function nodes, ${PAIRS} alternating pairs of runs; median (min to max)\n`);
    console.log(table(["", "CPU us a message", "messages/s"], [
      ["no hooks", perMessage(runs.off), spread(runs.off.map((r) => (COUNT / r.ms) * 1000), 0)],
      ["hooks, no token", perMessage(runs.on), spread(runs.on.map((r) => (COUNT / r.ms) * 1000), 0)],
      ["hooks, a delivery per message", perMessage(runs.token), spread(runs.token.map((r) => (COUNT / r.ms) * 1000), 0)],
    ]));
    console.log(`\nratio hooks / no hooks: CPU ${ratio("cpuMs")}, time ${ratio("ms")}`);
  } finally {
    await red.stop();
  }
}

/** Deliveries through the ledger alone: sent to a node, on to a sink, parked, taken in commits of 1,000, done. */
function ledgerAlone(): void {
  const later: (() => void)[] = [];
  let turn = 1;
  const ledger = new Ledger({ processId: "bench", turn: () => turn, time: { now: () => performance.now(), after: () => () => {}, later: (f) => later.push(f) } });
  ledger.started();
  let delivered = 0;
  const source = ledger.openSource("s", { maxInFlight: 1e9, maxInFlightBytes: 1e12, deliveryTimeoutMs: 0, caughtIsDone: false }, { delivered: () => { delivered++; }, failed: (f) => { throw f.error; } });
  const sink = ledger.openSink("k", {});
  const s = { id: "s", type: "source" }, f = { id: "f", type: "function" }, k = { id: "k", type: "sink" };
  const rates: number[] = [];
  for (let round = 0; round < 10; round++) {
    const begun = performance.now(), N = 50_000;
    for (let i = 0; i < N; i++) {
      const d = source.open({ partition: String(i % 3), records: 1, bytes: 1, context: i });
      const message = { delivery: d.token, _msgid: `m${i}` }, made = { _msgid: `m${i}`, delivery: undefined };
      ledger.sent(message, s, f);
      source.release(d);
      turn++;
      ledger.received(message, f);
      ledger.sent(made, f, k);
      ledger.completed(message, f);
      ledger.returned(message, f, true);
      turn++;
      ledger.received(made, k);
      sink.accept(made).park();
      ledger.returned(made, k, true);
      if (i % 1000 === 999) {
        for (const run of later.splice(0)) run();
        const runs = sink.take();
        sink.committed(runs);
        for (const run of runs) for (const part of run.parts) part.done();
      }
    }
    for (const run of later.splice(0)) run();
    rates.push(N / ((performance.now() - begun) / 1000));
  }
  console.log(`\nledger alone, two hops and a commit per 1,000: ${spread(rates, 0)} deliveries/s (${delivered} delivered)`);
}

void hooks().then(ledgerAlone);
