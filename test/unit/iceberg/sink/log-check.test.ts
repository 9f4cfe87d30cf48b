import assert from "node:assert/strict";
import type { Delivery, LogView, Part, PartState } from "../../../../lib/delivery/types";
import { TicklakeError } from "../../../../lib/errors";
import { LogCheck } from "../../../../lib/iceberg/sink/log-check";
import { Standing } from "../../../../lib/iceberg/sink/standing";
import type { Watermark } from "../../../../lib/iceberg/watermarks";
import { tick } from "./harness";

interface Message { readonly part: Part; readonly name: string }

/** A log with records of time 1000 + offset, from `start` to `end`. */
class Log implements LogView {
  asked = 0;
  fails: unknown;
  constructor(public end_: number, public start = 0, public shift = 0) {}
  end(): Promise<bigint> {
    this.asked++;
    return this.fails === undefined ? Promise.resolve(BigInt(this.end_)) : Promise.reject(this.fails as Error);
  }
  timestampAt(offset: bigint): Promise<number | undefined> { return Promise.resolve(Number(offset) < this.start ? undefined : 1000 + Number(offset) + this.shift); }
}

const mark = (nextOffset: number, more: Partial<Watermark> = {}): Watermark => ({
  writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: BigInt(nextOffset), lastOffset: BigInt(nextOffset - 1), lastTimestamp: 1000 + nextOffset - 1, ...more,
});

/** A check with a table that stands at 10. */
class Scene {
  readonly standing = new Standing("w", "u");
  readonly released: string[] = [];
  readonly refused: { code: string; names: string[] }[] = [];
  readonly retries: TicklakeError[] = [];
  readonly warnings: string[] = [];
  readonly stop = new AbortController();
  readonly check = new LogCheck<Message>({ table: "db.t", signal: this.stop.signal, onRetry: (error) => this.retries.push(error), warn: (text) => this.warnings.push(text) });

  constructor(...marks: Watermark[]) { this.standing.follow({ watermarks: marks.length > 0 ? marks : [mark(10)], from: "snapshot", reversed: [], reset: [] }); }

  message(name: string, ...deliveries: Delivery[]): Message {
    return { name, part: { deliveries, state: "held" as PartState, park: () => undefined, done: () => undefined, fail: () => undefined } };
  }

  holds(message: Message): boolean {
    return this.check.holds(message, this.standing, (one) => this.released.push(one.name), (error, all) => this.refused.push({ code: error.code, names: all.map((one) => one.name) }));
  }
}

let batches = 0;
const delivery = (log: LogView | undefined, first: number, options: { epoch?: number; cluster?: string; partition?: number } = {}): Delivery => {
  const { epoch = 0, cluster = "c", partition = 0 } = options, batch = batches++;
  return {
    token: `ticklake|p|s|1|${partition}|${epoch}|${batch}`, source: "s", partition: String(partition), epoch, batch, records: 5, bytes: 5, context: undefined, state: "open", openedAt: 0,
    lineage: { cluster, group: "g", topic: "t", partition, firstOffset: BigInt(first), lastOffset: BigInt(first + 4), lastTimestamp: 1, nextOffset: BigInt(first + 5), ...(log ? { log } : {}) },
  };
};
const settle = async (): Promise<void> => { for (let i = 0; i < 5; i++) await tick(); };

describe("whether a watermark speaks of the log that is read", () => {
  it("is asked before the first batch of an epoch; messages wait in order, and others do not wait", async () => {
    const scene = new Scene(), log = new Log(20);
    const first = delivery(log, 10);
    assert.deepEqual([scene.holds(scene.message("a", first)), scene.holds(scene.message("b", first)), scene.holds(scene.message("c", delivery(log, 15)))], [true, true, true]);
    assert.equal(scene.holds(scene.message("elsewhere", delivery(log, 0, { partition: 1 }))), false, "the table knows nothing of it");
    assert.equal(scene.holds(scene.message("loose")), false);
    assert.deepEqual(scene.check.waiting.map(({ name }) => name), ["a", "b", "c"]);
    await settle();
    assert.deepEqual([scene.released, log.asked, scene.check.waiting], [["a", "b", "c"], 1, []]);
    assert.equal(scene.holds(scene.message("d", delivery(log, 20))), false);
  });

  it("is asked again in the next epoch, and when a source goes back within one: a log that begins anew does that", async () => {
    const scene = new Scene(), log = new Log(40);
    const old = delivery(log, 10);
    scene.holds(scene.message("a", old));
    await settle();
    assert.equal(scene.holds(scene.message("b", delivery(log, 15, { epoch: 1 }))), true);
    await settle();
    assert.equal(scene.holds(scene.message("c", delivery(log, 20, { epoch: 1 }))), false);
    assert.equal(scene.holds(scene.message("d", delivery(log, 0, { epoch: 1 }))), true);
    await settle();
    assert.equal(log.asked, 3);
  });

  it("is not asked again for a late message of a batch before", async () => {
    const scene = new Scene(), log = new Log(40);
    const one = delivery(log, 10), two = delivery(log, 15);
    scene.holds(scene.message("two", two));
    await settle();
    assert.equal(scene.holds(scene.message("late", one)), false);
    assert.equal(scene.holds(scene.message("piece", two)), false);
  });

  for (const [what, log] of [["ends below it", new Log(9)], ["has another record there", new Log(40, 0, 1)]] as const) {
    it(`no, when the log ${what}: all that waited is refused`, async () => {
      const scene = new Scene();
      scene.holds(scene.message("a", delivery(log, 0)));
      scene.holds(scene.message("b", delivery(log, 5)));
      await settle();
      assert.deepEqual([scene.refused, scene.released], [[{ code: "TOPIC_REPLACED", names: ["a", "b"] }], []]);
      assert.equal(scene.holds(scene.message("c", delivery(log, 10))), true, "nothing passes for known later either");
    });
  }

  it("cannot be told when the record is gone: believed for the same cluster, refused for another one", async () => {
    const same = new Scene(), log = new Log(40, 20);
    same.holds(same.message("a", delivery(log, 20)));
    const other = new Scene();
    other.holds(other.message("b", delivery(log, 20, { cluster: "d" })));
    await settle();
    assert.deepEqual([same.released, other.refused], [["a"], [{ code: "TOPIC_REPLACED", names: ["b"] }]]);
  });

  it("is asked without end while the log does not answer, for whatever reason", async () => {
    const scene = new Scene(), log = new Log(20);
    log.fails = new TypeError("socket hang up");
    scene.holds(scene.message("a", delivery(log, 10)));
    await settle();
    assert.deepEqual([scene.retries.map(({ code }) => code), scene.refused], [["KAFKA_FAILED"], []]);
    log.fails = undefined;
    const end = Date.now() + 5000;
    while (scene.released.length === 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(scene.released, ["a"]);
  });

  it("is asked no more when everybody who waited is gone", async () => {
    const scene = new Scene(), log = new Log(20);
    log.fails = new TicklakeError("KAFKA_UNREACHABLE", "No broker.");
    const a = scene.message("a", delivery(log, 10));
    scene.holds(a);
    await settle();
    scene.check.drop(new Set([a.part]));
    log.fails = undefined;
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.deepEqual([scene.check.waiting, log.asked, scene.released, scene.refused], [[], 1, [], []]);
  });

  it("of several partitions in one message: it waits for each", async () => {
    const scene = new Scene(mark(10), mark(10, { partition: 1 })), log = new Log(20), bad = new Log(5);
    scene.holds(scene.message("a", delivery(log, 10), delivery(bad, 0, { partition: 1 })));
    await settle();
    assert.deepEqual(scene.released, ["a"]);
    const again = scene.message("a", ...[delivery(log, 15), delivery(bad, 0, { partition: 1 })]);
    assert.equal(scene.holds(again), true);
    await settle();
    assert.deepEqual(scene.refused, [{ code: "TOPIC_REPLACED", names: ["a"] }]);
  });

  it("under another cluster id with the same records: the watermark is lent to it, with a warning", async () => {
    const scene = new Scene(), log = new Log(20);
    scene.holds(scene.message("a", delivery(log, 0, { cluster: "d" })));
    await settle();
    assert.equal(scene.standing.mark({ cluster: "d", group: "g", topic: "t", partition: 0 })!.nextOffset, 10n);
    assert.equal(scene.warnings.length, 1);
    assert.deepEqual(scene.released, ["a"]);
  });
});
