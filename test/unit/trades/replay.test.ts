import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import fc from "fast-check";
import { parseReplayConfig } from "../../../lib/trades/replay-config";
import { Schedule, formatWait } from "../../../lib/trades/pace";
import { describeReplay } from "../../../lib/trades/replay-status";
import { ALPACA, alpacaFile, folder, gz } from "./csv/support";
import { until, World } from "./replay-world";

const files = folder();
after(() => files.clean());

const START = Date.UTC(2013, 9, 7, 13, 30);
let files_ = 0;
/** A file with a trade at each of these times (ms after the start), ids from 1; `null` is a bad row. */
const at = (...times: (number | null)[]): string => files.write(`r${++files_}.csv`, [ALPACA, ...times.map((ms, i) => (ms === null ? "bad row" : `A,${new Date(START + ms).toISOString()},V,1,1,${i + 1},[],C`))].join("\n"));
const range = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

describe("replay: pace", () => {
  it("original: every trade at its time after the first, however long it takes", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(0, 1000, 1500, 60_000, 3_600_000))).run();
    assert.deepEqual(world.sent.map((s) => s.at - begin), [0, 1000, 1500, 60_000, 3_600_000]);
    assert.deepEqual(world.ids, [1, 2, 3, 4, 5]);
  });

  it("original: trades within 250 ms share a batch, sent when the last of them is due", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(0, 100, 250, 251, 400, 1000))).run();
    assert.deepEqual(world.sent.map((s) => [s.at - begin, s.batch.trades.map((t) => t.i)]), [[250, [1, 2, 3]], [400, [4, 5]], [1000, [6]]]);
  });

  it("speed: so many times faster", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(0, 10_000, 20_000), { pace: "speed", speed: 10 })).run();
    assert.deepEqual(world.sent.map((s) => s.at - begin), [0, 1000, 2000]);
  });

  it("rate: so many trades a second, whatever their times; batches span 250 ms at the most", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(...range(40)), { pace: "rate", rate: 10 })).run();
    assert.equal(world.sent.at(-1)!.at - begin, 3900);
    for (const s of world.sent) assert.ok(s.batch.trades.length <= 3);
  });

  it("max: in full batches, without a wait, the last one marked", async () => {
    const world = new World();
    const begin = world.clock.time;
    const statistics = await (await world.start(files.write("max.csv", alpacaFile(1050)), { pace: "max" })).run();
    assert.deepEqual(world.sent.map((s) => s.batch.trades.length), [...Array<number>(10).fill(100), 50]);
    assert.deepEqual(world.sent.map((s) => s.batch.complete), [...Array<boolean>(10).fill(false), true]);
    assert.equal(world.clock.time, begin);
    assert.deepEqual([statistics.outcome, statistics.trades, statistics.deliveredRows, statistics.batches, statistics.progress], ["complete", 1050, 1050, 11, 1]);
    assert.deepEqual(world.sent.map((s) => s.delivery.records), world.sent.map((s) => s.batch.trades.length));
  });

  it("max: the last batch is marked when the file ends with a full one, too", async () => {
    const world = new World();
    await (await world.start(files.write("even.csv", alpacaFile(200)), { pace: "max" })).run();
    assert.deepEqual(world.sent.map((s) => [s.batch.trades.length, s.batch.complete]), [[100, false], [100, true]]);
  });

  it("property: no drift: the schedule depends on the first trade only", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 86_400_000 }), { minLength: 1, maxLength: 50 }), fc.double({ min: 0.01, max: 1000, noNaN: true }), (times, speed) => {
      const schedule = new Schedule({ name: "speed", speed, rate: 1 });
      schedule.begin(5000, START);
      times.forEach((ms, i) => { assert.ok(Math.abs(schedule.wait(schedule.due(START + ms, i), 5000) - ms / speed) < 1e-3); });
    }));
  });

  it("shifts times so that the first trade happens at the start", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(0, 1000, 60_000), { timeShift: "now" })).run();
    assert.deepEqual(world.sent.flatMap((s) => s.batch.trades.map((t) => t.t)), [begin, begin + 1000, begin + 60_000]);
    assert.equal(world.replay.statistics().marketTime, START + 60_000);
  });

  it("waits no longer than the first batch for rejects that come before a long gap", async () => {
    const world = new World();
    const begin = world.clock.time;
    await (await world.start(at(0, null, 3_600_000, null))).run();
    assert.deepEqual(world.sent.map((s) => [s.at - begin, s.batch.trades.length, s.batch.rejects.map((r) => r.line), s.batch.complete]), [[0, 1, [3], false], [3_600_000, 1, [5], true]]);
  });

  it("tells when the next trade is due, and where the market is", async () => {
    const world = new World();
    const replay = await world.start(at(0, 15 * 3_600_000));
    world.clock.held = true;
    const run = replay.run();
    await until(() => world.sent.length === 1 && replay.statistics().nextInMs !== undefined);
    assert.match(describeReplay(replay.statistics(), 0, 0).text, /^\d+ %, next trade in 15 h, 2013-10-07 13:30:00Z$/);
    world.clock.release();
    await run;
  });
});

describe("replay: control", () => {
  it("pause holds the schedule, resume goes on where it was", async () => {
    const world = new World();
    const replay = await world.start(at(0, 10_000, 20_000));
    const begin = world.clock.time;
    world.onSend = ({ batch }) => {
      if (batch.trades[0]!.i === 2) {
        replay.pause();
        setImmediate(() => { world.clock.time += 100_000; replay.resume(); });
      }
      return true;
    };
    await replay.run();
    assert.deepEqual(world.sent.map((s) => s.at - begin), [0, 10_000, 120_000]);
  });

  it("a pause before the first trade, and words that change nothing, do no harm", async () => {
    const world = new World();
    const replay = await world.start(at(0, 1));
    replay.resume();
    replay.pause();
    replay.pause();
    const run = replay.run();
    await until(() => replay.statistics().state === "paused");
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    assert.equal(world.sent.length, 0);
    replay.resume();
    assert.equal((await run).trades, 2);
    replay.stop();
    replay.pause();
    assert.equal(replay.statistics().state, "over");
  });

  it("stop ends it: nothing further is sent, no batch is called the last", async () => {
    const world = new World();
    const replay = await world.start(at(0, 10_000, 20_000));
    world.onSend = ({ batch }) => { if (batch.trades[0]!.i === 2) replay.stop(); return true; };
    const statistics = await replay.run();
    assert.deepEqual(world.ids, [1, 2]);
    assert.deepEqual([statistics.outcome, world.sent.some((s) => s.batch.complete)], ["stopped", false]);
  });

  it("stop waits for what is under way, and reads that again if it fails, but no more", async () => {
    const world = new World();
    const replay = await world.start(files.write("stop.csv", alpacaFile(1000)), { pace: "max" });
    world.onSend = ({ delivery }) => {
      if (world.sent.length === 3) {
        replay.stop();
        setImmediate(() => world.fail(world.open[0]!));
      }
      return delivery.batch >= 3;
    };
    const statistics = await replay.run();
    assert.deepEqual(world.ids, [...range(300), ...range(300)]);
    assert.equal(statistics.trades, 300);
    assert.equal(statistics.deliveredRows, 300);
  });

  it("stop while preparing ends it before anything is sent", async () => {
    const world = new World();
    const [header, ...rows] = alpacaFile(40_000).trim().split("\n");
    const replay = await world.start(files.write("prepare.csv", [header, ...rows.reverse()].join("\n")), { pace: "max" });
    const run = replay.run();
    await until(() => replay.statistics().phase === "sorting");
    replay.stop();
    assert.equal((await run).outcome, "stopped");
    assert.equal(world.sent.length, 0);
  });

  it("close ends it at once, whatever it is waiting for", async () => {
    for (const wait of ["gap", "room", "delivery", "pause"] as const) {
      const world = new World();
      const replay = await world.start(at(0, 1e9), { pace: wait === "gap" ? "original" : "max", batchSize: 1 });
      world.clock.held = true;
      world.onSend = () => {
        if (wait === "room") world.room = false;
        if (wait === "pause") replay.pause();
        return wait !== "delivery";
      };
      const run = replay.run();
      await until(() => world.sent.length >= 1 && (wait !== "delivery" || replay.statistics().state === "ending"));
      replay.close();
      await run;
      assert.equal(replay.statistics().state, "over", wait);
    }
  });

  it("loop begins again at the end; each pass ends with complete, and keeps pace from its own start", async () => {
    const world = new World();
    const begin = world.clock.time;
    const replay = await world.start(at(0, 1000, null), { loop: true, timeShift: "now" });
    world.onSend = ({ batch }) => { if (batch.pass === 3) replay.stop(); return true; };
    const statistics = await replay.run();
    assert.deepEqual(world.sent.map((s) => [s.at - begin, s.batch.pass, s.batch.complete]), [[0, 1, false], [1000, 1, true], [1000, 2, false], [2000, 2, true], [2000, 3, false]]);
    assert.deepEqual(world.sent.flatMap((s) => s.batch.trades.map((t) => t.t - begin)), [0, 1000, 1000, 2000, 2000]);
    assert.equal(statistics.passes, 3);
  });

  it("loop over a file without trades ends instead of spinning", async () => {
    const world = new World();
    const statistics = await (await world.start(at(null, null), { loop: true })).run();
    assert.deepEqual([statistics.outcome, statistics.rejects, world.sent.length], ["complete", 2, 1]);
  });
});

describe("replay: the end", () => {
  it("is told with an empty batch when nothing is left to send", async () => {
    for (const [path, trades, rejects] of [[files.write("e.csv", ""), 0, 0], [files.write("h.csv", `${ALPACA}\n`), 0, 0], [at(null), 0, 1]] as const) {
      const world = new World();
      await (await world.start(path, { pace: "max" })).run();
      assert.deepEqual(world.sent.map((s) => [s.batch.trades.length, s.batch.rejects.length, s.batch.complete]), [[trades, rejects, true]]);
    }
  });

  it("goes with the last trades when only rejects follow them", async () => {
    const world = new World();
    await (await world.start(at(0, 1, null, null), { pace: "max" })).run();
    assert.deepEqual(world.sent.map((s) => [s.batch.trades.length, s.batch.rejects.length, s.batch.complete]), [[2, 2, true]]);
  });

  it("comes after everything is delivered", async () => {
    const world = new World();
    world.onSend = () => false;
    const replay = await world.start(at(0, 1), { pace: "max", batchSize: 1 });
    let over = false;
    const run = replay.run().then(() => { over = true; });
    await until(() => replay.statistics().state === "ending");
    world.deliver(world.open[0]!);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
    assert.equal(over, false);
    world.deliver(world.open[0]!);
    await run;
  });
});

describe("replay: pressure", () => {
  it("waits for room and says so", async () => {
    const world = new World();
    const replay = await world.start(files.write("room.csv", alpacaFile(1000)), { pace: "max" });
    world.onSend = () => { if (world.sent.length === 4) world.room = false; return true; };
    const run = replay.run();
    await until(() => replay.statistics().blocked);
    assert.equal(world.sent.length, 4);
    assert.match(describeReplay(replay.statistics(), 0, 0).text, /waiting for room/);
    world.makeRoom();
    await run;
    assert.deepEqual(world.ids, range(1000));
  });

  it("afterwards the original pace catches up; a rate makes up for one second only", async () => {
    for (const [config, expected] of [[{ pace: "original" }, [0, 60_000, 60_000, 60_000]], [{ pace: "rate", rate: 0.2 }, [0, 60_000, 64_000, 69_000]]] as const) {
      const world = new World();
      const begin = world.clock.time;
      const replay = await world.start(at(0, 5000, 10_000, 15_000), config);
      world.onSend = () => {
        if (world.sent.length === 1) {
          world.room = false;
          void until(() => replay.statistics().blocked).then(() => { world.clock.time = begin + 60_000; world.makeRoom(); });
        }
        return true;
      };
      await replay.run();
      assert.deepEqual(world.sent.map((s) => s.at - begin), expected);
    }
  });
});

describe("replay: failed deliveries", () => {
  it("are read again from the first that failed, with everything after it, after the pause", async () => {
    for (const packed of [false, true]) {
      const world = new World();
      const text = alpacaFile(1000, ["A", "B"]);
      const replay = await world.start(files.write("again.csv", packed ? gz(text) : text), { pace: "max" });
      const begin = world.clock.time;
      let failures = 0;
      world.onSend = ({ delivery }) => {
        if (world.sent.length === 6 && failures++ === 0) setImmediate(() => world.fail(world.open.find((d) => d.batch === 3)!));
        return failures > 0 ? delivery.batch > 5 : delivery.batch < 3;
      };
      const statistics = await replay.run();
      const again = world.sent.findIndex((s, i) => i > 3 && s.batch.trades[0]!.i === 301);
      assert.ok(again >= 6, `${again}`);
      assert.deepEqual(world.sent.slice(again).flatMap((s) => s.batch.trades.map((t) => t.i)), range(1000).slice(300));
      assert.equal(world.sent[again]!.at, begin + 1000);
      assert.deepEqual([statistics.trades, statistics.failedBatches >= 3], [1000, true]);
    }
  });

  it("at the end of the file are read again, too", async () => {
    const world = new World();
    const replay = await world.start(at(0, 1, 2), { pace: "max", batchSize: 1 });
    let failed = false;
    world.onSend = ({ delivery }) => {
      if (world.sent.length === 3 && !failed) {
        failed = true;
        void until(() => replay.statistics().state === "ending").then(() => world.fail(world.open[1]!));
        return false;
      }
      return failed ? delivery.batch > 2 : false;
    };
    const run = replay.run();
    await until(() => world.sent.length === 5);
    world.deliver(world.open.find((d) => d.batch === 0)!);
    await run;
    assert.deepEqual(world.ids, [1, 2, 3, 2, 3]);
    assert.deepEqual(world.sent.map((s) => s.batch.complete), [false, false, true, false, true]);
  });

  it("of a file that was sorted are read again from the sorted copy; rejects come again with them", async () => {
    const world = new World();
    const path = at(50, 40, null, 30, 20, 10);
    const replay = await world.start(path, { pace: "max", batchSize: 2 });
    world.onSend = ({ delivery }) => {
      if (delivery.batch === 1) setImmediate(() => world.fail(delivery));
      return delivery.batch !== 1;
    };
    await replay.run();
    const rejects = world.sent.map((s) => s.batch.rejects.length);
    assert.deepEqual(world.sent.filter((s) => s.delivery.batch !== 1).flatMap((s) => s.batch.trades.map((t) => t.i)).slice(0, 2), [6, 5]);
    assert.deepEqual([...new Set(world.ids)], [6, 5, 4, 2, 1]);
    assert.ok(rejects.reduce((a, b) => a + b) >= 1);
  });

  it("keep the shift of times and the pass they belong to", async () => {
    const world = new World();
    const begin = world.clock.time;
    const replay = await world.start(at(0, 1000, 2000), { timeShift: "now" });
    world.onSend = ({ delivery }) => {
      if (delivery.batch === 1) setImmediate(() => world.fail(delivery));
      return delivery.batch !== 1;
    };
    await replay.run();
    assert.deepEqual(world.sent.map((s) => [s.batch.trades[0]!.i, s.batch.trades[0]!.t - begin]), [[1, 0], [2, 1000], [2, 1000], [3, 2000]]);
  });

  it("stop it after the attempts; resume goes on", async () => {
    const world = new World();
    world.decide = () => (world.sent.length >= 3 ? { action: "stop" } : { action: "retry", delayMs: 10 });
    const replay = await world.start(at(0, 1), { pace: "max", batchSize: 1 });
    let broken = true;
    world.onSend = ({ delivery }) => {
      if (broken) setImmediate(() => world.open.includes(delivery) && world.fail(world.open[0]!));
      return !broken;
    };
    const run = replay.run();
    await until(() => replay.statistics().state === "stopped");
    assert.equal(world.gaveUp!.message, "sink is gone");
    const before = world.sent.length;
    broken = false;
    replay.resume();
    const statistics = await run;
    assert.deepEqual(world.sent.slice(before).map((s) => s.batch.trades[0]!.i), [1, 2]);
    assert.equal(statistics.outcome, "complete");
  });

  it("that stopped it are given up by stop", async () => {
    const world = new World();
    world.decide = () => ({ action: "stop" });
    world.onSend = ({ delivery }) => { setImmediate(() => world.open.includes(delivery) && world.fail(delivery)); return false; };
    const replay = await world.start(at(0, 10_000));
    const run = replay.run();
    await until(() => replay.statistics().state === "stopped");
    replay.stop();
    assert.equal((await run).outcome, "stopped");
  });

  it("cannot be read again from a file that changed meanwhile: that is said", async () => {
    const world = new World();
    const path = files.write("changed.csv", alpacaFile(300));
    world.onSend = ({ delivery }) => {
      if (delivery.batch === 0) setImmediate(() => { appendFileSync(path, "x\n"); world.fail(delivery); });
      return delivery.batch !== 0;
    };
    await assert.rejects((await world.start(path, { pace: "max" })).run(), { code: "FILE_UNREADABLE", message: /changed while/ });
    assert.equal(world.replay.statistics().outcome, "failed");
  });

  it("property: whatever fails and when, every row is delivered at the end, once and in order", async () => {
    await fc.assert(fc.asyncProperty(
      fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 20 }), fc.array(fc.nat({ max: 12 }), { maxLength: 5 }), fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }), fc.boolean(), fc.constantFrom("plain", "gz", "unsorted"),
      async (rows, batchSize, failures, slow, rate, kind) => {
        const world = new World();
        const times: (number | null)[] = range(rows).map((i) => (i % 9 === 4 ? null : kind === "unsorted" ? 1000 - i : i));
        const text = [ALPACA, ...times.map((ms, i) => (ms === null ? "bad" : `A,${new Date(START + ms).toISOString()},V,1,1,${i + 1},[],C`))].join("\n");
        const path = files.write(`prop-${kind}`, kind === "gz" ? gz(text) : text);
        const replay = await world.start(path, { pace: rate ? "rate" : "max", rate: 100, batchSize });
        const plan = [...failures];
        const done: { ids: unknown[]; rejects: number[]; complete: boolean }[] = [];
        const settle = () => {
          // The oldest open one is delivered; now and then one fails, and all after it.
          const oldest = world.open[0];
          if (!oldest) return;
          const fail = plan[0] !== undefined && world.open.length > plan[0] ? plan.shift() : undefined;
          if (fail !== undefined) { world.fail(world.open[fail]!); return; }
          const { batch } = world.sent[oldest.batch]!;
          done.push({ ids: batch.trades.map((t) => t.i), rejects: batch.rejects.map((r) => r.line), complete: batch.complete });
          world.deliver(oldest);
        };
        let over = false;
        world.onSend = () => false;
        const run = replay.run().finally(() => { over = true; });
        for (let turn = 0; !over; turn++) {
          if (slow[turn % slow.length] || replay.statistics().state === "ending") settle();
          await new Promise((resolve) => { setImmediate(resolve); });
        }
        await run;
        const good = times.flatMap((ms, i) => (ms === null ? [] : [i + 1]));
        assert.deepEqual(done.flatMap((d) => d.ids), kind === "unsorted" ? good.reverse() : good);
        assert.deepEqual(done.flatMap((d) => d.rejects).sort((a, b) => a - b), times.flatMap((ms, i) => (ms === null ? [i + 2] : [])));
        assert.deepEqual(done.map((d) => d.complete), done.map((_, i) => i === done.length - 1));
      },
    ), { numRuns: 150 });
  }).timeout(60_000);
});

describe("replay: settings", () => {
  it("have the documented defaults", () => {
    assert.deepEqual(parseReplayConfig({}), {
      dialect: "auto", pace: { name: "original", speed: 1, rate: 1000 }, batchSize: 100, timeShift: "none", order: "time", loop: false, autoStart: false, fractionalSizes: false, keepNanos: false,
    });
  });

  it("are read from text as the editor stores it", () => {
    const config = parseReplayConfig({ dialect: "taq", pace: "speed", speed: "2.5", batchSize: "500", symbols: "AAPL, MSFT\nBRK.B", from: "2013-10-07", to: "1381152600464", loop: "true", date: "2013-10-07", timeZone: "America/New_York" });
    assert.deepEqual([config.pace.speed, config.batchSize, [...config.symbols!], config.from, config.to, config.loop, config.day, config.timeZone], [2.5, 500, ["AAPL", "MSFT", "BRK.B"], Date.UTC(2013, 9, 7), 1381152600464, true, Date.UTC(2013, 9, 7), "America/New_York"]);
  });

  it("that are wrong are named", () => {
    for (const [raw, message] of [
      [{ dialect: "excel" }, /dialect: choose one of/], [{ pace: "warp" }, /pace: choose/], [{ speed: 0 }, /speed: enter a number above 0/], [{ rate: "fast" }, /rate: enter a number/], [{ batchSize: 0 }, /batchSize: the least is 1/],
      [{ batchSize: 1.5 }, /whole number/], [{ from: "tomorrow" }, /from: "tomorrow" is no time/], [{ from: "2024-01-02", to: "2024-01-01" }, /to: must be later/], [{ timeZone: "Mars/Olympus" }, /timeZone/], [{ date: "7 Oct" }, /date: "7 Oct" is no date/],
      [{ dialect: "custom" }, /columns:/], [{ loop: "maybe" }, /loop/], [{ order: "random" }, /order/],
    ] as const) assert.throws(() => parseReplayConfig(raw), { code: "CONFIG_INVALID", message });
  });

  it("waiting times fit a status", () => {
    assert.deepEqual([800, 59_000, 600_000, 15 * 3_600_000, 64 * 3_600_000].map(formatWait), ["1 s", "59 s", "10 min", "15 h", "3 d"]);
  });
});
