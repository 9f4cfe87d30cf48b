import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { TicklakeError } from "../../../../lib/errors";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { currentSnapshot } from "../../../../lib/iceberg/metadata";
import { readWatermarks, WATERMARKS } from "../../../../lib/iceberg/watermarks";
import { lineage, range, ScriptedSource, tick, trades, until, World, type TestSink } from "./harness";

const marks = async (world: World): Promise<Record<string, bigint>> =>
  Object.fromEntries(readWatermarks((await world.table()).state.metadata).watermarks.map((w) => [`${w.writer}/${w.topic}/${w.partition}`, w.nextOffset]));

const parked = (sink: TestSink): Promise<void> => until("everything is parked or over", () => sink.parts.every((p) => p.state !== "held"));

/** The partition's new owner, in a process with a ledger of its own, commits records [from, to) first. */
async function commitElsewhere(world: World, from: number, to: number): Promise<void> {
  const here = world.ledger;
  world.restart();
  const owner = world.sink("w");
  new ScriptedSource(world.ledger).send(trades(from, to), [owner], { lineage: lineage(from, to) });
  await parked(owner);
  await owner.sink.flush();
  world.ledger = here;
}

describe("exactly once into Iceberg", () => {
  const encoder = new EncoderPool();
  let world: World;
  beforeEach(async () => { world = await World.create(encoder); });
  afterEach(() => world.end());
  after(() => encoder.close());

  it("writes the watermark with the rows, in the snapshot and in the table's properties", async () => {
    const sink = world.sink("w");
    new ScriptedSource(world.ledger).send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    await sink.sink.flush();
    const { metadata } = (await world.table()).state;
    assert.ok(currentSnapshot(metadata)!.summary[WATERMARKS]);
    assert.ok(metadata.properties[WATERMARKS]);
    assert.deepEqual(readWatermarks(metadata).watermarks, [{ writer: "w", cluster: "c1", group: "g1", topic: "iex_data", partition: 0, nextOffset: 10n, lastOffset: 9n, lastTimestamp: lineage(0, 10).lastTimestamp, firstOffset: 0n }]);
  });

  it("recognises after a restart what is in the table already, and counts it", async () => {
    const first = world.sink("w");
    new ScriptedSource(world.ledger).send(trades(0, 10), [first], { lineage: lineage(0, 10) });
    await parked(first);
    await first.close();
    world.restart();

    const second = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [second], { lineage: lineage(0, 10) });
    await until("the doubled batch is done without a commit", () => source.delivered.length === 1);
    source.send(trades(10, 20), [second], { lineage: lineage(10, 20) });
    await parked(second);
    await second.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 20));
    assert.equal(second.results[0]!.duplicates, 10);
    assert.deepEqual(await marks(world), { "w/iex_data/0": 20n });
  });

  it("asks the source to cut a batch that straddles the watermark", async () => {
    const first = world.sink("w");
    new ScriptedSource(world.ledger).send(trades(0, 10), [first], { lineage: lineage(0, 10) });
    await parked(first);
    await first.close();
    world.restart();

    const second = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(5, 15), [second], { lineage: lineage(5, 15) });
    await until("the source hears of it", () => source.failures.length === 1);
    assert.equal(source.failures[0]!.cutAt, 10n);
    source.send(trades(5, 10), [second], { lineage: lineage(5, 10) });
    source.send(trades(10, 15), [second], { lineage: lineage(10, 15) });
    await parked(second);
    await second.sink.flush();
    await until("all is delivered", () => source.delivered.length === 2);
    assert.deepEqual(await world.ids(), range(0, 15));
  });

  it("keeps two sinks on one table apart: each has its own watermarks, none blocks the other", async () => {
    const a = world.sink("a");
    const b = world.sink("b");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [a], { lineage: lineage(0, 10) });
    source.send(trades(10, 20), [b], { lineage: lineage(10, 20) });
    source.send(trades(20, 30), [a, b], { lineage: lineage(20, 30) });
    await parked(a); await parked(b);
    await Promise.all([a.sink.flush(), b.sink.flush()]);
    await until("all is delivered", () => source.delivered.length === 3);
    assert.deepEqual(await world.ids(), [...range(0, 20), ...range(20, 30), ...range(20, 30)].sort((x, y) => x - y));
    assert.deepEqual(await marks(world), { "a/iex_data/0": 30n, "b/iex_data/0": 30n });
  });

  it("passes a filtered batch in its watermark once that is settled, and not before", async () => {
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    const filtered = source.send([], [], { lineage: lineage(0, 10), hold: true });
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await sink.sink.flush();
    assert.equal(sink.results.length, 0, "0-10 may still come here");
    source.handle.release(filtered);
    await until("the wish to commit is remembered", () => sink.results.length === 1);
    assert.deepEqual(await marks(world), { "w/iex_data/0": 20n });
  });

  it("leaves what another process of this writer committed meanwhile out of the commit (zombie)", async () => {
    const zombie = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [zombie], { lineage: lineage(0, 10) });
    source.send(trades(10, 20), [zombie], { lineage: lineage(10, 20) });
    source.send(trades(500, 510), [zombie], { lineage: lineage(500, 510, 1), partition: "1" });
    await parked(zombie);

    await commitElsewhere(world, 0, 10);

    await zombie.sink.flush();
    await until("all of the zombie's is over", () => source.delivered.length === 3);
    assert.deepEqual(await world.ids(), [...range(0, 20), ...range(500, 510)]);
    assert.deepEqual(await marks(world), { "w/iex_data/0": 20n, "w/iex_data/1": 510n });
    assert.equal(zombie.results[0]!.duplicates, 10);
  });

  it("cuts what the new owner committed in part, and never writes a row twice", async () => {
    const zombie = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [zombie], { lineage: lineage(0, 10) });
    source.send(trades(10, 20), [zombie], { lineage: lineage(10, 20) });
    zombie.receive(trades(900, 905));
    await parked(zombie);
    await commitElsewhere(world, 0, 5);

    await zombie.sink.flush();
    await until("the source is told where to cut", () => source.failures.length === 1);
    assert.equal(source.failures[0]!.cutAt, 5n);
    assert.deepEqual(await world.ids(), [...range(0, 5), ...range(900, 905)], "what has no delivery is written all the same");
  });

  it("writes nothing into a table that was made anew under the old name, and goes on there when it is sent again", async () => {
    const sink = world.sink("w");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    await sink.sink.flush();
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await rm(join(world.warehouse, "db"), { recursive: true });
    const other = world.sink("other");
    other.receive(trades(700, 701));
    await parked(other);
    await other.sink.flush();

    await sink.sink.flush();
    await until("the source hears of it", () => source.failures.length === 1);
    assert.equal((source.failures[0]!.error as TicklakeError).code, "TABLE_REPLACED");
    assert.deepEqual(await world.ids(), [700]);
    source.send(trades(10, 20), [sink], { lineage: lineage(10, 20) });
    await parked(sink);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [...range(10, 20), 700]);
  });

  it("writes no watermarks when exactly once is off", async () => {
    const sink = world.sink("w", { exactlyOnce: false });
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
    await parked(sink);
    await sink.sink.flush();
    await until("delivered", () => source.delivered.length === 1);
    assert.deepEqual(await marks(world), {});
  });

  it("drops rows of a delivery that is aborted while its commit is being written", async () => {
    let intrude: (() => void) | undefined;
    const own = await World.create(encoder, (io) => new Proxy(io, {
      get(target, key: keyof FileIO) {
        if (key !== "write") return (target[key] as () => unknown).bind(target);
        return async (location: string, bytes: Uint8Array) => {
          await target.write(location, bytes);
          if (location.endsWith(".parquet")) { intrude?.(); intrude = undefined; await tick(); await tick(); }
        };
      },
    }));
    try {
      const sink = own.sink("w");
      const source = new ScriptedSource(own.ledger);
      source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
      const branch = own.sink("branch");
      source.send(trades(10, 20), [sink, branch], { lineage: lineage(10, 20) });
      await parked(sink); await parked(branch);
      // The other branch of the flow fails the second batch for good, just when the file has been written.
      intrude = () => { branch.parts[0]!.fail(new Error("the other branch failed")); };
      await sink.sink.flush();
      await until("the failure is known", () => source.failures.length === 1);
      assert.deepEqual(await own.ids(), range(0, 10));
      assert.deepEqual(await marks(own), { "w/iex_data/0": 10n });
    } finally {
      await own.end();
    }
  });
});

describe("trouble with the storage", () => {
  const encoder = new EncoderPool();
  after(() => encoder.close());

  /** A store that fails as told before (or after) it does what was asked. */
  const faulty = (plan: { on: (method: string, location: string) => boolean; times: number; error: () => Error; after?: boolean }) => (io: FileIO): FileIO =>
    new Proxy(io, {
      get(target, key: keyof FileIO) {
        const method = target[key] as (...args: unknown[]) => unknown;
        if (typeof method !== "function" || key === "listAll") return typeof method === "function" ? method.bind(target) : method;
        return async (...args: unknown[]) => {
          const hit = plan.times > 0 && plan.on(key, String(args[0]));
          if (hit) plan.times--;
          if (hit && !plan.after) throw plan.error();
          const result = await method.apply(target, args);
          if (hit) throw plan.error();
          return result;
        };
      },
    });
  const full = () => new TicklakeError("STORAGE_FULL", "No space left.");

  for (const [what, on] of [
    ["data files", (m: string, l: string) => m === "write" && l.endsWith(".parquet")],
    ["manifests", (m: string, l: string) => m === "write" && l.endsWith(".avro")],
    ["the metadata", (m: string, l: string) => m === "create" && l.endsWith("v2.metadata.json")],
    ["opening the table", (m: string, l: string) => m === "create" && l.endsWith("v1.metadata.json")],
  ] as const) {
    it(`tries again without end when ${what} cannot be written, and loses nothing`, async () => {
      const world = await World.create(encoder, faulty({ on, times: 2, error: full }));
      try {
        const sink = world.sink("w");
        const source = new ScriptedSource(world.ledger);
        source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
        await until("the table is open", () => sink.parts[0]!.state !== "held");
        await sink.sink.flush();
        await until("delivered", () => source.delivered.length === 1);
        assert.ok(sink.retries.length >= 1);
        assert.equal(sink.retries[0]!.code, "STORAGE_FULL");
        assert.equal(source.failures.length, 0, "an outage is never taken for poison");
        assert.deepEqual(await world.ids(), range(0, 10));
      } finally {
        await world.end();
      }
    });
  }

  it("finds a commit that landed although its answer was lost, and does not write it again", async () => {
    const world = await World.create(encoder, faulty({
      on: (m, l) => m === "create" && l.endsWith("v2.metadata.json"), times: 1, after: true, error: () => new TicklakeError("COMMIT_UNKNOWN", "The answer was lost."),
    }));
    try {
      const sink = world.sink("w");
      const source = new ScriptedSource(world.ledger);
      source.send(trades(0, 10), [sink], { lineage: lineage(0, 10) });
      await parked(sink);
      await sink.sink.flush();
      await until("delivered", () => source.delivered.length === 1);
      assert.deepEqual(await world.ids(), range(0, 10));
      assert.equal((await world.table()).state.metadata.snapshots.length, 1);
    } finally {
      await world.end();
    }
  });
});
