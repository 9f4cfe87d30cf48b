import assert from "node:assert/strict";
import type { BatchSpec, Delivery, Failure } from "../../../lib/delivery/types";
import { parseGeneratorConfig } from "../../../lib/trades/generator-config";
import { formatCount, RateMeter } from "../../../lib/trades/generator-rate";
import { GeneratorRun } from "../../../lib/trades/generator-run";
import type { GeneratorStatistics, Position, RunClock } from "../../../lib/trades/generator-contract";
import type { RawTrade } from "../../../lib/trades/types";
import { TicklakeError } from "../../../lib/errors";

/** A clock whose hand the test moves. */
class FakeClock implements RunClock {
  ms = 0;
  wall = Date.UTC(2024, 2, 6, 15);
  private timers: { at: number; callback: () => void; id: number }[] = [];
  private turns: (() => void)[] = [];
  private ids = 0;
  longestTimer = 0;
  now(): number { return this.wall + this.ms; }
  monotonic(): number { return this.ms; }
  setTimeout(callback: () => void, ms: number): unknown {
    assert.ok(ms >= 0 && ms <= 2_147_483_647, `setTimeout cannot wait ${ms} ms`);
    this.longestTimer = Math.max(this.longestTimer, ms);
    this.timers.push({ at: this.ms + ms, callback, id: ++this.ids });
    return this.ids;
  }
  clearTimeout(handle: unknown): void { this.timers = this.timers.filter((timer) => timer.id !== handle); }
  setImmediate(callback: () => void): void { this.turns.push(callback); }
  /** Runs what is to run now, at most that many turns. */
  turn(most = 100_000): number {
    let count = 0;
    for (; count < most && this.turns.length > 0; count++) this.turns.shift()!();
    return count;
  }
  /** Lets time pass. `late`: how much later than asked a timer fires. */
  pass(ms: number, late = 0): void {
    const end = this.ms + ms;
    this.turn();
    for (;;) {
      const next = this.timers.filter((timer) => timer.at + late <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.ms = Math.max(this.ms, next.at + late);
      next.callback();
      this.turn();
    }
    this.ms = end;
  }
}

interface Sent { spec: BatchSpec<Position>; trades: RawTrade[]; complete: boolean; at: number; delivery: Delivery<Position> }

function setup(config: Record<string, unknown> = {}, options: { maxAttempts?: number; room?: number } = {}) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const open: Sent[] = [];
  const finished: GeneratorStatistics[] = [];
  const errors: Error[] = [];
  let room = options.room ?? Infinity;
  let attempts = 0;
  const run = new GeneratorRun(
    parseGeneratorConfig({ seed: "test", ...config }),
    {
      hasRoom: () => open.length < room,
      send(spec, trades, complete) {
        const one = { spec, trades, complete, at: clock.ms, delivery: { ...spec } as Delivery<Position> };
        sent.push(one);
        open.push(one);
      },
    },
    {
      failed: () => (++attempts >= (options.maxAttempts ?? Infinity) ? { action: "stop" } : { action: "retry", delayMs: 1000 * attempts }),
      reset: () => { attempts = 0; },
    },
    { changed() {}, finished: (statistics) => finished.push(statistics), gaveUp: (error) => errors.push(error) },
    clock,
    () => "random",
  );
  return {
    run, clock, sent, open, finished, errors,
    setRoom(n: number) { room = n; },
    deliver(count = open.length) { for (const one of open.splice(0, count)) run.delivered(one.delivery); },
    fail(at = 0) {
      const aborted = open.splice(at).map((one) => one.delivery);
      run.failed({ partition: "0", error: new Error("down"), failed: aborted[0]!, aborted } as Failure<Position>);
    },
    begin() { run.allow(true); run.start(); clock.turn(); },
  };
}

const code = (expected: string) => (error: unknown) => error instanceof TicklakeError && error.code === expected;

describe("generator run: schedule", () => {
  it("has the documented defaults: three symbols, 50 trades every second, without end", () => {
    assert.deepEqual(parseGeneratorConfig({}), { symbols: ["AAPL", "GOOGL", "MSFT"], batchSize: 50, intervalMs: 1000, batchCount: 0, seed: "", priceModel: "uniform", autoStart: true });
    const { begin, clock, sent, deliver } = setup();
    begin();
    clock.pass(10_000);
    deliver();
    assert.equal(sent.length, 11, "the first at once");
    assert.ok(sent.every((one, k) => one.trades.length === 50 && one.at === k * 1000 && one.trades[0]!.t === clock.wall + one.at));
  });

  it("does not drift, though every timer fires late", () => {
    const { begin, clock, sent } = setup({ interval: "100 ms" });
    begin();
    clock.pass(100_000, 7);
    assert.equal(sent.length, 1000);
    assert.equal(sent[999]!.at, 99_907);
  });

  it("waits longer than a timer can", () => {
    const { begin, clock, sent } = setup({ interval: "60 days" });
    begin();
    clock.pass(60 * 86_400_000 - 1);
    assert.equal(sent.length, 1);
    clock.pass(1);
    assert.equal(sent.length, 2);
    assert.equal(sent[1]!.at, 60 * 86_400_000);
  });

  it("with interval 0 sends as fast as it drains, a batch per turn of the event loop, and waits at the bound", () => {
    const { run, clock, sent, deliver } = setup({ interval: 0 }, { room: 5 });
    run.allow(true);
    run.start();
    clock.turn(1);
    assert.equal(sent.length, 1);
    clock.turn();
    assert.equal(sent.length, 5);
    assert.equal(run.blocked, true);
    deliver(3);
    run.room();
    clock.turn();
    assert.equal(sent.length, 8);
  });

  it("does not make up for a long wait with a burst", () => {
    const { begin, run, clock, sent, deliver, setRoom } = setup({}, { room: 2 });
    begin();
    clock.pass(60_000);
    assert.equal(sent.length, 2);
    setRoom(100);
    deliver();
    run.room();
    clock.turn();
    assert.equal(sent.length, 3);
    clock.pass(999);
    assert.equal(sent.length, 3);
    clock.pass(1);
    assert.equal(sent.length, 4);
  });

  it("makes a large batch in slices, so that others have their turn", () => {
    const { run, clock, sent } = setup({ batchSize: 20_000, interval: 0, batchCount: 1 });
    run.allow(true);
    run.start();
    assert.equal(clock.turn(4), 4);
    assert.equal(sent[0]!.trades.length, 20_000);
  });

  it("sends nothing before it may, and nothing while flows stop", () => {
    const { run, clock, sent } = setup();
    run.start();
    clock.pass(5000);
    assert.equal(sent.length, 0);
    run.allow(true);
    clock.turn();
    assert.equal(sent.length, 1);
    run.allow(false);
    clock.pass(5000);
    assert.equal(sent.length, 1);
    run.allow(true);
    clock.turn();
    assert.equal(sent.length, 2);
  });
});

describe("generator run: the simulated clock", () => {
  it("begins at startTime and advances by the interval", () => {
    const { begin, clock, sent } = setup({ startTime: "2024-11-01T13:30:00Z", interval: 2 });
    begin();
    clock.pass(4000, 300);
    assert.deepEqual(sent.map((one) => one.trades[0]!.t), [0, 2000].map((ms) => Date.UTC(2024, 10, 1, 13, 30) + ms));
  });
  it("gives the same bytes in every run of the same seed", () => {
    const bytes = (interval: number | string) => {
      const { begin, clock, sent, deliver } = setup({ startTime: "2024-11-01", interval, batchCount: 20, priceModel: "gbm" });
      begin();
      for (let k = 0; k < 40; k++) { clock.pass(500, k % 3); deliver(); }
      return JSON.stringify(sent.map((one) => one.trades));
    };
    assert.equal(bytes(1), bytes("1 second"));
    assert.equal(bytes(0), bytes(1), "interval 0 stands for one second of market time");
  });
  it("keeps realistic times in the past and in order when it follows the real clock", () => {
    const { begin, clock, sent } = setup({ priceModel: "gbm", interval: 1 });
    begin();
    clock.pass(10_000, 40);
    const times = sent.flatMap((one) => one.trades.map((trade) => trade.t));
    assert.deepEqual(times, times.slice().sort((a, b) => a - b));
    assert.ok(sent.every((one) => one.trades.every((trade) => trade.t <= clock.wall + one.at && trade.t >= clock.wall + one.at - 1040)));
  });
});

describe("generator run: the end and its statistics", () => {
  it("marks the last batch and tells the result when everything is delivered", () => {
    const { begin, clock, sent, deliver, finished, run } = setup({ batchCount: 3, batchSize: 10 });
    begin();
    clock.pass(2500);
    assert.deepEqual(sent.map((one) => one.complete), [false, false, true]);
    clock.pass(10_000);
    assert.equal(sent.length, 3);
    deliver(2);
    assert.equal(finished.length, 0);
    assert.equal(run.describe().text, "finishing: 30 trades, 100 % acked");
    clock.ms = 3000;
    deliver();
    assert.equal(finished.length, 1);
    assert.deepEqual([finished[0]!.outcome, finished[0]!.trades, finished[0]!.seconds, finished[0]!.tradesPerSecond], ["complete", 30, 3, 10]);
    assert.equal(run.describe().text, "complete: 30 trades, 100 % acked, 10/s");
  });

  it("counts trades, batches, success rate and trades/s", () => {
    const { begin, clock, deliver, fail, finished, run, sent } = setup({ batchCount: 4, batchSize: 10, interval: 1 });
    begin();
    clock.pass(1500);
    assert.equal(sent.length, 2);
    deliver(1);
    fail();
    clock.pass(3000);
    deliver();
    clock.pass(500);
    deliver();
    assert.deepEqual(finished, [{
      outcome: "complete", trades: 40, batches: 4, deliveredTrades: 40, deliveredBatches: 4, failedBatches: 1,
      successRate: 80, tradesPerSecond: finished[0]!.tradesPerSecond, seconds: finished[0]!.seconds, seed: "test",
    }]);
    assert.equal(finished[0]!.tradesPerSecond, 40 / finished[0]!.seconds);
    assert.match(run.describe().text, /^complete: 40 trades, 80.0 % acked, /);
  });

  it("tells the seed it chose, so that the run can be repeated", () => {
    const { begin, clock, deliver, finished } = setup({ seed: "", batchCount: 1 });
    begin();
    deliver();
    clock.turn();
    assert.equal(finished[0]!.seed, "random");
  });

  it("starts over with the same trades", () => {
    const { begin, run, clock, sent, deliver, finished } = setup({ batchCount: 2, startTime: "2024-11-01" });
    begin();
    clock.pass(2000);
    deliver();
    clock.turn();
    run.control("start");
    clock.pass(2000);
    deliver();
    assert.equal(finished.length, 2);
    assert.deepEqual(sent.slice(2).map((one) => one.trades), sent.slice(0, 2).map((one) => one.trades));
  });
});

describe("generator run: control messages", () => {
  it("pause and resume", () => {
    const { begin, run, clock, sent } = setup();
    begin();
    run.control("pause");
    clock.pass(10_000);
    assert.equal(sent.length, 1);
    assert.match(run.describe().text, /^paused/);
    run.control(" Resume ");
    clock.pass(1000);
    assert.equal(sent.length, 3, "one at once, then in its rhythm");
  });
  it("stop ends the run once all is delivered; start meanwhile begins the next one after that", () => {
    const { begin, run, clock, sent, deliver, finished } = setup();
    begin();
    clock.pass(2000);
    run.control("stop");
    clock.pass(5000);
    assert.equal(sent.length, 3);
    assert.equal(finished.length, 0);
    run.control("start");
    deliver();
    assert.equal(finished[0]!.outcome, "stopped");
    clock.turn();
    assert.equal(sent.length, 4);
    assert.equal(sent[3]!.spec.context.index, 0);
  });
  it("words that change nothing are fine, other words are refused", () => {
    const { run, clock, sent } = setup();
    run.allow(true);
    for (const word of ["stop", "pause", "resume"]) run.control(word);
    clock.turn();
    assert.equal(sent.length, 0);
    run.control("start");
    run.control("start");
    clock.turn();
    assert.equal(sent.length, 1);
    for (const word of ["go", "", 1, null, undefined, { start: true }]) assert.throws(() => run.control(word), code("CONTROL_INVALID"));
  });
});

describe("generator run: failed deliveries", () => {
  for (const priceModel of ["uniform", "gbm"]) {
    it(`are made again from the seed, the same trades in the same order (${priceModel})`, () => {
      const { begin, clock, sent, open, deliver, fail } = setup({ priceModel, batchSize: 7, interval: 1, symbols: Array.from({ length: 50 }, (_, k) => `S${k}`) });
      begin();
      clock.pass(9000);
      deliver(3);
      const lost = open.slice(2).map((one) => one.trades);
      fail(2);
      assert.equal(open.length, 2);
      clock.pass(999);
      assert.equal(sent.length, 10, "it backs off first");
      clock.pass(1);
      assert.deepEqual(open.slice(2, 2 + lost.length).map((one) => one.trades), lost);
      const ids = open.flatMap((one) => one.trades.map((trade) => `${trade.S}${trade.i}`));
      assert.equal(new Set(ids).size, ids.length);
    });
  }

  it("that fail again while they are made again keep their order", () => {
    const { begin, clock, open, sent, deliver, fail, setRoom, run } = setup({ interval: 0, batchSize: 5 }, { room: 6 });
    begin();
    const wanted = open.map((one) => one.trades);
    fail(3);
    setRoom(5);
    clock.pass(1000);
    assert.equal(open.length, 5, "3 and 4 again, 5 waits");
    fail(1);
    setRoom(6);
    clock.pass(2000);
    assert.deepEqual(open.map((one) => one.trades), wanted);
    deliver();
    run.room();
    clock.turn();
    assert.deepEqual(sent.slice(-6).map((one) => one.spec.context.index), [6, 7, 8, 9, 10, 11]);
  });

  it("an ending run delivers them before it is over", () => {
    const { begin, clock, deliver, fail, finished, run } = setup({ batchCount: 2 });
    begin();
    clock.pass(1000);
    run.control("stop");
    fail();
    assert.equal(finished.length, 0);
    clock.pass(1000);
    deliver();
    assert.equal(finished[0]!.deliveredBatches, 2);
  });

  it("with onFailure stop the run stops, says so, and goes on when told", () => {
    const { begin, clock, sent, open, fail, errors, run } = setup({}, { maxAttempts: 2 });
    begin();
    const first = open[0]!.trades;
    fail();
    clock.pass(1000);
    fail();
    assert.equal(errors[0]!.message, "down");
    assert.deepEqual([run.state, run.describe().kind], ["stopped", "fail"]);
    clock.pass(100_000);
    assert.equal(sent.length, 3);
    run.control("resume");
    clock.turn();
    assert.deepEqual(sent[3]!.trades, first);
  });

  it("goes on at once after a deploy that came while it backed off", () => {
    const { begin, clock, sent, fail, run } = setup();
    begin();
    fail();
    run.allow(false);
    clock.pass(60_000);
    assert.equal(sent.length, 1);
    run.allow(true);
    clock.turn();
    assert.equal(sent.length, 3, "the failed one, and the next one, which is overdue");
  });

  it("random order of events: nothing is lost, doubled or changed", () => {
    for (let seed = 1; seed <= 60; seed++) {
      let state = seed;
      const random = (n: number) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return (state >>> 8) % n; };
      const gbm = seed % 2 === 0;
      const one = setup({ batchCount: 30, batchSize: 3, interval: seed % 3, startTime: "2024-11-01", priceModel: gbm ? "gbm" : "uniform", symbols: "A B C D E F G H I J" }, { room: 1 + random(6) });
      one.begin();
      const delivered: RawTrade[][] = [];
      for (let step = 0; step < 3000 && one.finished.length === 0; step++) {
        switch (random(7)) {
          case 0: if (one.open.length > 0) one.fail(random(one.open.length)); break;
          case 1: one.run.allow(random(2) === 0); break;
          case 2: one.run.control(["pause", "resume"][random(2)]); break;
          case 3: one.clock.turn(1); break;
          default: {
            one.clock.pass(random(3000));
            const count = random(one.open.length + 1);
            delivered.push(...one.open.slice(0, count).map((batch) => batch.trades));
            one.deliver(count);
            one.run.room();
          }
        }
      }
      const undisturbed = setup({ batchCount: 30, batchSize: 3, interval: 0, startTime: "2024-11-01", priceModel: gbm ? "gbm" : "uniform", symbols: "A B C D E F G H I J" });
      undisturbed.begin();
      assert.equal(one.finished.length, 1, `seed ${seed} came to an end`);
      const plain = (batches: RawTrade[][]) => batches.map((batch) => batch.map(({ t, ...trade }) => (seed % 3 === 2 ? trade : { t, ...trade })));
      if (gbm && seed % 3 === 2) continue; // another interval moves prices otherwise
      assert.deepEqual(plain(delivered), plain(undisturbed.sent.map((batch) => batch.trades)), `seed ${seed}`);
    }
  });
});

describe("generator settings", () => {
  it("read text as the dialog saves it", () => {
    const config = parseGeneratorConfig({ symbols: "AAPL, MSFT\nSPY", batchSize: "100", interval: "500 ms", batchCount: "7", seed: 42, priceModel: "gbm", startTime: "2024-11-01 13:30", autoStart: false });
    assert.deepEqual(config, { symbols: ["AAPL", "MSFT", "SPY"], batchSize: 100, intervalMs: 500, batchCount: 7, seed: "42", priceModel: "gbm", startTime: Date.UTC(2024, 10, 1, 13, 30), autoStart: false });
    for (const startTime of ["1730419200000", 1730419200000, "2024-11-01", "2024-11-01T00:00:00Z", "2024-11-01T00:00:00.000"]) assert.equal(parseGeneratorConfig({ startTime }).startTime, 1730419200000);
    assert.equal(parseGeneratorConfig({ interval: "" }).intervalMs, 1000);
    assert.equal(parseGeneratorConfig({ interval: 0 }).intervalMs, 0);
  });
  it("name what is wrong", () => {
    const bad: [object, RegExp][] = [
      [{ symbols: " , " }, /symbols/], [{ batchSize: 0 }, /batchSize: the least is 1/], [{ batchSize: "many" }, /batchSize: enter a number/], [{ batchSize: 1.5 }, /whole/],
      [{ batchSize: 1e9 }, /batchSize: the most/], [{ batchCount: -1 }, /batchCount/], [{ interval: "soon" }, /interval/], [{ interval: -1 }, /interval/],
      [{ priceModel: "heston" }, /uniform or gbm/], [{ startTime: "tomorrow" }, /startTime/],
    ];
    for (const [raw, reason] of bad) assert.throws(() => parseGeneratorConfig(raw as Record<string, unknown>), (error) => code("CONFIG_INVALID")(error) && reason.test((error as Error).message));
  });
  it("shows rates briefly", () => {
    assert.deepEqual([0, 3.456, 12, 950, 1234, 12_345, 340_000, 999_600, 1_250_000, 12_500_000].map(formatCount), ["0", "3.5", "12", "950", "1.2 k", "12 k", "340 k", "1.00 M", "1.25 M", "12.5 M"]);
    const meter = new RateMeter(5000);
    for (let s = 0; s <= 20; s++) meter.sample(s * 1000, Math.min(s, 10) * 100);
    assert.equal(meter.sample(21_000, 1000), 0);
  });
});
