import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import type { Delivery } from "../../../lib/delivery/types";
import { TicklakeError } from "../../../lib/errors";
import { findFile } from "../../../lib/trades/csv";
import { parseReplayConfig } from "../../../lib/trades/replay-config";
import { replayIdentity } from "../../../lib/trades/replay-identity";
import type { ReplayPosition } from "../../../lib/trades/replay-batch";
import { describeReplay } from "../../../lib/trades/replay-status";
import { ALPACA, folder, gz } from "./csv/support";
import { World } from "./replay-world";

const files = folder();
after(() => files.clean());

const START = Date.UTC(2013, 9, 7, 13, 30);
const LOG = { cluster: "c", group: "ticklake-replay-x", topic: "iex_data", partition: 0 };
let count = 0;
/** A file with a trade at each of these times (ms after the start), ids from 1; `null` is a bad row. */
const at = (times: readonly (number | null)[]): string => files.write(`resume${++count}.csv`, [ALPACA, ...times.map((ms, i) => (ms === null ? "bad row" : `A,${new Date(START + ms).toISOString()},V,1,1,${i + 1},[],C`))].join("\n"));
const resumed = (next: number) => ({ position: () => Promise.resolve({ at: LOG, next }) });
const rowsOf = (world: World): (number | string)[] => world.sent.flatMap(({ batch }) => [...batch.trades.map(({ i }) => i as number), ...batch.rejects.map(({ line }) => `bad ${line}`)]);

describe("replay: going on where another was ended", () => {
  it("property: whatever the file, wherever each process ends, and however large its batches: every row comes to the target once", async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 5000 }) }, { weight: 1, arbitrary: fc.constant(null) }), { minLength: 1, maxLength: 60 }),
      fc.array(fc.record({ batches: fc.nat(6), batchSize: fc.integer({ min: 1, max: 9 }) }), { minLength: 1, maxLength: 5 }), fc.constantFrom("time", "file"),
      async (times, lives, order) => {
        const file = at(times);
        const whole = new World();
        await (await whole.start(file, { pace: "max", order })).run();
        const target: (number | string)[] = [];
        let next = 0;
        for (const { batches, batchSize } of [...lives, { batches: Infinity, batchSize: 7 }]) {
          const world = new World();
          let taken = 0;
          // What is committed counts; everything else of this process is gone, whatever it had sent.
          world.onSend = ({ batch, delivery: { lineage } }) => {
            assert.equal(Number(lineage!.firstOffset) >= next, true, "nothing is sent that is in the target");
            if (taken++ < batches) {
              assert.equal(Number(lineage!.firstOffset), next, "nothing is left out");
              target.push(...batch.trades.map(({ i }) => i as number), ...batch.rejects.map(({ line }) => `bad ${line}`));
              next = Number(lineage!.nextOffset);
            }
            return true;
          };
          await (await world.start(file, { pace: "max", order, batchSize }, resumed(next))).run();
          assert.equal(world.sent.at(-1)!.batch.complete, true);
        }
        assert.deepEqual([...target].sort(), rowsOf(whole).sort());
        assert.deepEqual(target.filter((row) => typeof row === "number"), rowsOf(whole).filter((row) => typeof row === "number"), "in the order of the replay");
      }), { numRuns: 60 });
  });

  it("keeps the pace of what is left, from its first trade on: a rate owes nothing for rows that were there", async () => {
    for (const [config, waits] of [[{ pace: "rate", rate: 1, batchSize: 1 }, [0, 1000]], [{ pace: "original" }, [0, 60_000]]] as const) {
      const world = new World();
      const began = world.clock.time;
      await (await world.start(at([0, 3_600_000, 7_200_000, 7_260_000]), config, resumed(2))).run();
      assert.deepEqual(world.sent.map((sent) => sent.at - began), waits);
      assert.deepEqual(rowsOf(world), [3, 4]);
    }
  });

  it("a file that is in the target whole ends with an empty last batch, and says how many rows were there", async () => {
    const world = new World();
    const statistics = await (await world.start(at([0, 1, 2]), { pace: "max" }, resumed(3))).run();
    assert.deepEqual(world.sent.map(({ batch }) => [batch.trades.length, batch.complete, batch.resumedAfter]), [[0, true, 3]]);
    assert.match(describeReplay(statistics, 0, 0).text, /complete: 0 trades, 3 were there/);
  });

  it("a sink that knows of more than was asked cuts the batch: it comes again without what is there", async () => {
    const world = new World();
    let cut: Delivery<ReplayPosition> | undefined;
    world.onSend = ({ delivery }) => {
      if (cut) return true;
      cut = delivery;
      setImmediate(() => {
        world.open.splice(0);
        world.replay.failed({ partition: "0", error: new TicklakeError("DELIVERY_CUT", "cut"), failed: delivery, aborted: [delivery], cutAt: 5n });
      });
      return false;
    };
    world.decide = () => ({ action: "retry", delayMs: 0 });
    await (await world.start(at([0, 1, 2, 3, 4, 5, 6, 7]), { pace: "max" }, resumed(2))).run();
    assert.deepEqual(world.sent.map(({ batch, delivery: { lineage } }) => [batch.trades.map(({ i }) => i), Number(lineage!.firstOffset), Number(lineage!.nextOffset)]), [[[3, 4, 5, 6, 7, 8], 2, 8], [[6, 7, 8], 5, 8]]);
  });

  it("without a place for its position it says nothing of one", async () => {
    const world = new World();
    await (await world.start(at([0]), { pace: "max" })).run();
    assert.equal(world.sent[0]!.delivery.lineage, undefined);
  });
});

describe("the identity of a replay", () => {
  const identity = async (name: string, config: Record<string, unknown> = {}): Promise<string> => replayIdentity(await findFile(name, { baseDir: "/" }), parseReplayConfig(config), new AbortController().signal);

  it("is that of its content and of what chooses and orders rows, not of its name or pace", async () => {
    const text = [ALPACA, `A,${new Date(START).toISOString()},V,1,1,1,[],C`].join("\n");
    const [a, b] = [files.write("one.csv", text), files.write("two.csv", text)];
    assert.equal(await identity(a), await identity(b));
    assert.match(await identity(a), /^[0-9a-f]{24}$/);
    assert.equal(await identity(a), await identity(a, { pace: "max", batchSize: 7, timeShift: "now", keepNanos: true }));
    assert.equal(await identity(a, { symbols: "A B" }), await identity(a, { symbols: "B,A" }));
    const others = [{ symbols: "A" }, { from: "2013-10-07" }, { to: "2014-01-01" }, { order: "file" }, { dialect: "alpaca" }, { timeZone: "UTC" }, { date: "2013-10-07" }, { fractionalSizes: true }];
    const all = await Promise.all([identity(a), ...others.map((config) => identity(a, config)), identity(files.write("packed.csv.gz", gz(text)))]);
    assert.equal(new Set(all).size, all.length);
    writeFileSync(b, `${text}\n`);
    assert.notEqual(await identity(a), await identity(b));
  });
});
