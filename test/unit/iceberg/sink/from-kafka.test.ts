import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { append } from "../../../../lib/iceberg/commit";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { currentSnapshot } from "../../../../lib/iceberg/metadata";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { keepWatermarks, readWatermarks } from "../../../../lib/iceberg/watermarks";
import type { MetadataUpdate } from "../../../../lib/iceberg/updates";
import { range, trade, trades, until, World, type TestSink } from "./harness";
import { Group, Reader, Topic, type ReaderOptions } from "./scripted-kafka";

describe("from Kafka into Iceberg, every record once", () => {
  const encoder = new EncoderPool();
  let world: World;
  let topic: Topic;
  let group: Group;
  beforeEach(async () => {
    world = await World.create(encoder);
    topic = new Topic();
    group = new Group();
  });
  afterEach(() => world.end());
  after(() => encoder.close());

  /** A process: one reader and its sinks. */
  function start(options: ReaderOptions & { sinks?: readonly TestSink[]; topic?: Topic; group?: Group } = {}): { reader: Reader; sink: TestSink } {
    const sinks = options.sinks ?? [world.sink("w")];
    return { reader: new Reader(world.ledger, options.topic ?? topic, options.group ?? group, sinks, options), sink: sinks[0]! };
  }

  /** The process is gone; what it had open is lost. */
  async function crash(): Promise<void> {
    const sinks = world.sinks.splice(0);
    world.restart();
    for (const sink of sinks) sink.handle.close();
    await Promise.all(sinks.map((sink) => sink.close()));
  }

  async function update(...updates: MetadataUpdate[]): Promise<void> {
    const table = await world.table();
    await table.commit(table.state, updates);
  }

  /** What an operator does: the table's branch goes back to its nth snapshot. */
  async function rollBack(to: number, more: (target: bigint) => Promise<MetadataUpdate[]> = () => Promise.resolve([])): Promise<void> {
    const target = (await world.table()).state.metadata.snapshots[to]!["snapshot-id"];
    await update({ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": target }, ...await more(target));
  }

  /** Another engine commits: a snapshot without our watermarks. */
  const foreignCommit = async (): Promise<unknown> => append(await world.table(), { files: [], summary: { "engine-name": "spark" } });

  const marks = async (): Promise<Record<string, string>> =>
    Object.fromEntries(readWatermarks((await world.table()).state.metadata).watermarks.map((w) => [`${w.writer}/${w.cluster}/${w.topic}/${w.partition}`, `${w.firstOffset}-${w.nextOffset}`]));

  describe("the group's offset is a cache, the table tells the truth", () => {
    it("finds its place when the group lost its offsets: nothing twice, nothing missing", async () => {
      topic.append(0, 35);
      await start().reader.run();
      await crash();
      group.offsets.clear();
      topic.append(35, 50);
      const { reader, sink } = start({ batch: 8 });
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 50));
      assert.equal(sink.results.reduce((sum, { duplicates }) => sum + duplicates, 0), 35);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-50" });
    });

    it("with other engines' commits between ours", async () => {
      const { reader } = start();
      for (const to of [10, 20, 30]) {
        topic.append(to - 10, to);
        await reader.run();
        await foreignCommit();
      }
      await crash();
      group.offsets.clear();
      await start({ batch: 7 }).reader.run();
      assert.deepEqual(await world.ids(), range(0, 30));
    });

    it("with every snapshot of ours expired: the properties hold what they knew", async () => {
      topic.append(0, 20);
      await start().reader.run();
      await foreignCommit();
      const { metadata } = (await world.table()).state;
      const current = metadata["current-snapshot-id"];
      await update({ action: "remove-snapshots", "snapshot-ids": metadata.snapshots.map((one) => one["snapshot-id"]).filter((id) => id !== current) });
      await crash();
      group.offsets.clear();
      await start().reader.run();
      assert.deepEqual(await world.ids(), range(0, 20));
    });

    it("one entry for all partitions, written in the commit of the rows and nowhere else", async () => {
      topic = new Topic("c1", "iex_data", 3).append(0, 10, 0).append(100, 110, 1).append(200, 205, 2);
      await start().reader.run();
      const { metadata } = (await world.table()).state;
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-10", "w/c1/iex_data/1": "0-10", "w/c1/iex_data/2": "0-5" });
      assert.equal(metadata.snapshots.filter((one) => one.summary["ticklake.watermarks"] !== undefined).length, metadata.snapshots.length, "no commit of watermarks alone");
    });
  });

  describe("a commit takes what is settled, from the oldest that the table does not have", () => {
    it("two sinks on one table are two writers; each goes on where it stands", async () => {
      topic.append(0, 20);
      const both = (): TestSink[] => [world.sink("a"), world.sink("b")];
      const byParity: ReaderOptions["map"] = ({ id }, sink) => ((sink.id === "a") === (id % 2 === 0) ? trade(id) : undefined);
      const first = start({ sinks: both(), map: byParity }).reader;
      first.read(15);
      await until("all is parked", () => world.sinks.every((sink) => sink.parts.every((part) => part.state !== "held")));
      await world.sinks[0]!.sink.flush();
      await crash();
      await start({ sinks: both(), map: byParity, batch: 6 }).reader.run();
      assert.deepEqual(await world.ids(), range(0, 20));
      assert.deepEqual(await marks(), { "a/c1/iex_data/0": "0-20", "b/c1/iex_data/0": "0-20" });
    });

    it("splits and fan-out: a batch that arrives in pieces, by several ways, is committed with all of them", async () => {
      topic.append(0, 30);
      const sink = world.sink("w");
      let asked = 0;
      // Even ids by the first way, odd ones by the second.
      const { reader } = start({ sinks: [sink, sink], map: ({ id }) => (id % 2 === Math.floor(asked++ / 10) % 2 ? trade(id) : undefined) });
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 30));
      assert.deepEqual([reader.delivered.length, sink.parts.length], [3, 6]);
    });

    it("filtered batches are passed by the watermark and hold nobody up", async () => {
      topic.append(0, 40);
      await start({ map: ({ id }) => (id >= 10 && id < 30 ? undefined : trade(id)) }).reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 10), ...range(30, 40)]);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-40" });
    });
  });

  describe("a batch that straddles the watermark", () => {
    it("is read again and cut there; the sink beside it still gets all of it, and gets it once", async () => {
      topic.append(0, 15);
      const sinks = (): TestSink[] => [world.sink("a"), world.sink("b")];
      const to: ReaderOptions["map"] = ({ id }, { id: name }) => trade(id, { S: name });
      const before = start({ sinks: sinks(), map: to, batch: 15 });
      before.reader.read();
      await until("both have their rows", () => world.sinks.every((sink) => sink.parts[0]?.state === "parked"));
      await world.sinks[0]!.sink.flush();
      await crash();
      topic.append(15, 40);
      const { reader } = start({ sinks: sinks(), map: to, batch: 20 });
      await reader.run();
      assert.deepEqual(reader.failures.map(({ cutAt }) => cutAt), [15n]);
      const rows = await world.ids();
      assert.deepEqual(rows, range(0, 40).flatMap((id) => [id, id]));
      assert.deepEqual(await marks(), { "a/c1/iex_data/0": "0-40", "b/c1/iex_data/0": "0-40" });
    });
  });

  describe("other processes of the same writer", () => {
    it("on other partitions: each commit keeps what the others have written down", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 30, 0).append(100, 130, 1);
      const here = start({ partitions: [0] });
      here.reader.read(10);
      await until("parked", () => here.sink.parts[0]?.state === "parked");
      const ledger = world.ledger;
      world.restart();
      await start({ partitions: [1] }).reader.run();
      world.ledger = ledger;
      await here.reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(100, 130)]);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-30", "w/c1/iex_data/1": "0-30" });
      assert.equal(here.reader.rewinds.length, 0);
    });

    it("on the same partition, after we lost it without knowing (a zombie): what it has is not written again", async () => {
      topic.append(0, 30);
      const zombie = start({ batch: 10 });
      zombie.reader.read();
      await until("parked", () => zombie.sink.parts.length === 3 && zombie.sink.parts.every((part) => part.state === "parked"));
      const ledger = world.ledger;
      world.restart();
      const owner = start({ batch: 7, group: new Group() });
      owner.reader.read(21);
      await until("parked", () => owner.sink.parts.every((part) => part.state === "parked"));
      await owner.sink.sink.flush();
      world.ledger = ledger;
      await zombie.reader.run();
      assert.deepEqual(await world.ids(), range(0, 30));
    });

    it("a partition that was revoked: what was parked of it is not committed, its next owner writes it", async () => {
      topic.append(0, 20);
      const here = start();
      here.reader.read();
      await until("parked", () => here.sink.parts.every((part) => part.state === "parked"));
      here.reader.revoke(0);
      await here.sink.sink.flush();
      world.restart();
      await start().reader.run();
      assert.deepEqual(await world.ids(), range(0, 20));
    });
  });

  describe("the table went back", () => {
    it("behind what this process has written: the source goes back once, with a warning that names table and range", async () => {
      const { reader, sink } = start();
      for (const to of [10, 20, 30]) { topic.append(to - 10, to); await reader.run(); }
      await rollBack(0);
      topic.append(30, 40);
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 40));
      assert.deepEqual(reader.rewinds.map(({ to, from, node }) => [to, from, node]), [[10n, 30n, "w"]]);
      assert.equal(sink.warnings.length, 1);
      assert.deepEqual(readWatermarks((await world.table()).state.metadata).reversed, [], "nothing is owed any more");
      assert.match(sink.warnings[0]!, /db\.trades was rolled back .*iex_data\/0 \(group g1\) is back at offset 10, it was at 30\. Records 10 to 29 are read again/);
    });

    it("while nobody wrote: the next process sends its source back as soon as it has the partition, even if nothing new comes", async () => {
      const { reader } = start();
      for (const to of [10, 20, 30]) { topic.append(to - 10, to); await reader.run(); }
      await crash();
      await rollBack(0);
      await foreignCommit();
      const { reader: next, sink } = start();
      sink.sink.warm();
      await until("it is sent back", () => next.rewinds.length === 1);
      await next.run();
      assert.deepEqual(await world.ids(), range(0, 30));
      assert.deepEqual([next.rewinds.length, sink.warnings.length], [1, 1]);
    });

    it("while nobody wrote, and the source says nothing before its first batch: noticed with that", async () => {
      const { reader } = start();
      for (const to of [10, 20]) { topic.append(to - 10, to); await reader.run(); }
      await crash();
      await rollBack(0);
      const sink = world.sink("w");
      sink.sink.warm();
      await sink.sink.flush();
      const { reader: next } = start({ sinks: [sink], announce: false });
      topic.append(20, 30);
      next.read();
      await until("the source is sent back", () => next.rewinds.length === 1);
      await next.run();
      assert.deepEqual(await world.ids(), range(0, 30));
    });

    it("and the process dies half-way through writing it again, the group's offset still ahead: the next one fetches the rest", async () => {
      const { reader, sink } = start();
      for (const to of [10, 20, 30, 40]) { topic.append(to - 10, to); await reader.run(); }
      await rollBack(0);
      sink.sink.assigned(reader.at());
      await until("it is sent back", () => reader.rewinds.length === 1);
      reader.read(20);
      await until("parked", () => sink.parts.at(-1)!.state === "parked");
      await sink.sink.flush();
      assert.deepEqual(await world.ids(), range(0, 20));
      await crash();
      group.offsets.set(0, 40);
      const next = start();
      next.sink.sink.warm();
      await until("it is sent back", () => next.reader.rewinds.length === 1);
      await next.reader.run();
      assert.deepEqual(await world.ids(), range(0, 40));
      assert.deepEqual(next.reader.rewinds.map(({ to, from }) => [to, from]), [[20n, 40n]]);
      assert.deepEqual(readWatermarks((await world.table()).state.metadata).reversed, []);
    });

    it("to before all that we wrote: it goes back to where this writer began, not to the beginning of the topic", async () => {
      topic.append(0, 5);
      group.offsets.set(0, 5);
      const other = world.sink("other");
      other.receive([trade(999)]);
      await until("parked", () => other.parts[0]!.state === "parked");
      await other.sink.flush();
      const { reader } = start();
      topic.append(5, 20);
      await reader.run();
      await rollBack(0);
      topic.append(20, 25);
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(5, 25), 999]);
      assert.deepEqual(reader.rewinds.map(({ to, from }) => [to, from]), [[5n, 20n]]);
    });

    it("beside another table of the same source: that one gets nothing twice", async () => {
      const a = world.sink("a"), b = world.sink("b", { table: "db.trades" });
      const { reader } = start({ sinks: [a, b], map: ({ id }, { id: name }) => trade(id, { S: name }) });
      for (const to of [10, 20]) { topic.append(to - 10, to); await reader.run(); }
      // Both write into the same table: a rollback takes from both, a reset of one is its own.
      await rollBack(1);
      topic.append(20, 30);
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 30).flatMap((id) => [id, id]));
    });

    it("in partitions of several processes: each goes back for its own, also when the other one has committed since", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 10, 0).append(100, 110, 1);
      const first = start({ partitions: [0], batch: 10 });
      await first.reader.run();
      const ledger = world.ledger;
      world.restart();
      const second = start({ partitions: [1] });
      await second.reader.run();
      const ours = world.ledger;
      topic.append(10, 20, 0).append(110, 120, 1);
      world.ledger = ledger; await first.reader.run();
      world.ledger = ours; await second.reader.run();
      await rollBack(1);
      topic.append(20, 30, 0);
      world.ledger = ledger; await first.reader.run();
      assert.deepEqual(first.reader.rewinds.map(({ partition, to, from }) => [partition, to, from]), [["0", 10n, 20n]]);
      // The second one dies before it has noticed; the table still knows.
      await second.sink.close();
      world.restart();
      const third = start({ partitions: [1] });
      topic.append(120, 130, 1);
      await third.reader.run();
      assert.deepEqual(third.reader.rewinds.map(({ partition, to, from }) => [partition, to, from]), [["1", 10n, 20n]]);
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(100, 130)]);
    });

    it("by an operator who keeps the offsets: what was rolled back stays away", async () => {
      const { reader, sink } = start();
      for (const to of [10, 20]) { topic.append(to - 10, to); await reader.run(); }
      await rollBack(0, async (target) => keepWatermarks((await world.table()).state.metadata, target));
      topic.append(20, 30);
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 10), ...range(20, 30)]);
      assert.deepEqual([reader.rewinds, sink.warnings], [[], []]);
    });

    it("while its rows were being committed: nothing lands on top of the gap", async () => {
      const { reader } = start();
      for (const to of [10, 20]) { topic.append(to - 10, to); await reader.run(); }
      topic.append(20, 30);
      reader.read();
      await until("parked", () => world.sinks[0]!.parts.every((part) => part.state === "parked" || part.state === "done"));
      await rollBack(0);
      await world.sinks[0]!.sink.flush();
      assert.deepEqual(await world.ids(), range(0, 10), "20-30 waits for 10-20");
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 30));
    });

    it("is not said of a look at the table that came late: a commit landed meanwhile", async () => {
      let held: (() => void) | undefined, hold = false;
      const own = await World.create(encoder, (io) => new Proxy(io, {
        get(target, key: keyof FileIO) {
          const method = target[key] as (...args: unknown[]) => unknown;
          if (key !== "stat") return typeof method === "function" ? method.bind(target) : method;
          return async (location: string) => {
            const found = await target.stat(location);
            if (hold && location.endsWith("v2.metadata.json")) { hold = false; await new Promise<void>((resolve) => { held = resolve; }); }
            return found;
          };
        },
      }));
      try {
        const sink = own.sink("w"), reader = new Reader(own.ledger, topic.append(0, 10), group, [sink]);
        await reader.run();
        hold = true;
        sink.sink.assigned(reader.at());
        await until("it looks", () => held !== undefined);
        topic.append(10, 20);
        await reader.run();
        held!();
        topic.append(20, 30);
        await reader.run();
        assert.deepEqual([await own.ids(), reader.rewinds, sink.warnings], [range(0, 30), [], []]);
      } finally {
        await own.end();
      }
    });

    it("and records below the gap are no longer retained: it goes on with what there is", async () => {
      const { reader } = start();
      for (const to of [10, 20, 30]) { topic.append(to - 10, to); await reader.run(); }
      await rollBack(0);
      topic.retain(15).append(30, 40);
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 10), ...range(15, 40)]);
      assert.equal(reader.rewinds.length, 1);
    });
  });

  describe("another table under the same name", () => {
    const drop = (): Promise<void> => rm(join(world.warehouse, "db"), { recursive: true });

    it("without watermarks: nothing of the old layout lands there, and reading goes on at the oldest batch that was open", async () => {
      const { reader, sink } = start();
      topic.append(0, 10);
      await reader.run();
      topic.append(10, 20);
      reader.read();
      await until("parked", () => sink.parts.every((part) => part.state !== "held"));
      await drop();
      const other = world.sink("other");
      other.receive([trade(999)]);
      await until("the new table is there", () => other.parts[0]!.state === "parked");
      await other.sink.flush();
      await reader.run();
      assert.deepEqual(sink.failed.map(({ code }) => code), ["TABLE_REPLACED"]);
      assert.deepEqual(await world.ids(), [...range(10, 20), 999]);
      assert.deepEqual(reader.rewinds, []);
    });

    it("with watermarks of this writer that are behind: the source goes back to them", async () => {
      topic.append(0, 40);
      const { reader, sink } = start();
      reader.read(10);
      await until("parked", () => sink.parts[0]?.state === "parked");
      await sink.sink.flush();
      await drop();
      // Somebody restores the first 5 records from elsewhere, by the same writer.
      const ledger = world.ledger;
      world.restart();
      const restore = start({ group: new Group(), batch: 5 });
      restore.reader.read(5);
      await until("parked", () => restore.sink.parts[0]?.state === "parked");
      await restore.sink.sink.flush();
      world.ledger = ledger;
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 40));
      assert.deepEqual(reader.rewinds.map(({ to, from }) => [to, from]), [[5n, 10n]]);
      assert.match(sink.warnings.join(), /was replaced by one that holds less/);
    });

    it("with watermarks that are ahead: what it has is not written again", async () => {
      topic.append(0, 40);
      const { reader, sink } = start();
      reader.read(10);
      await until("parked", () => sink.parts[0]?.state === "parked");
      await sink.sink.flush();
      await drop();
      const ledger = world.ledger;
      world.restart();
      const ahead = start({ group: new Group() });
      ahead.reader.read(30);
      await until("parked", () => ahead.sink.parts.length === 3 && ahead.sink.parts.every((part) => part.state === "parked"));
      await ahead.sink.sink.flush();
      world.ledger = ledger;
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 40));
    });
  });

  describe("another topic under the same name", () => {
    /** The table holds 0-30 of the topic, and the process is gone. */
    async function holds30(): Promise<void> {
      topic.append(0, 30);
      await start().reader.run();
      await crash();
      topic.recreate();
    }

    it("shorter than what the table holds: the partition stops, nothing is skipped as known", async () => {
      await holds30();
      group.offsets.clear();
      topic.append(100, 120);
      const { reader, sink } = start();
      await reader.run();
      assert.match(reader.stopped.get(0)!.message, /Topic iex_data was made anew: db\.trades holds iex_data\/0 \(group g1\) up to offset 30, but its log ends at 20\. Nothing was written and nothing skipped\..*forget: true/);
      assert.deepEqual([await world.ids(), reader.delivered.length, sink.failed.map(({ code }) => code)], [range(0, 30), 0, ["TOPIC_REPLACED"]]);
    });

    it("longer than that by now: another time stands at the last offset that the table knows", async () => {
      await holds30();
      group.offsets.clear();
      topic.append(100, 180);
      const { reader } = start();
      await reader.run();
      assert.match(reader.stopped.get(0)!.message, /its record 29 is of 20.*, not of 20/);
      assert.equal(reader.delivered.length, 0);
    });

    it("read on from the group's old offset: what the new topic holds below it is not skipped either", async () => {
      await holds30();
      topic.append(100, 180);
      const { reader } = start();
      assert.equal(group.offsets.get(0), 30);
      await reader.run();
      assert.equal(reader.stopped.get(0)!.code, "TOPIC_REPLACED");
    });

    it("made anew while it is being read: noticed when the source begins again", async () => {
      topic.append(0, 30);
      const { reader } = start();
      await reader.run();
      topic.recreate().append(100, 110);
      await reader.seek(0, 0);
      await reader.run();
      assert.equal(reader.stopped.get(0)!.code, "TOPIC_REPLACED");
    });

    it("goes on when the table is told to forget: all of the new topic is written, beside the old rows", async () => {
      await holds30();
      topic.append(100, 120);
      const { reader } = start();
      await reader.run();
      assert.deepEqual(await reader.seek(0, 0, true), ["db.trades"]);
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(100, 120)]);
      await crash();
      group.offsets.clear();
      await start().reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(100, 120)], "and the new one is known from then on");
    });

    it("is no verdict while the broker is away: asked again, and other partitions go on", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 30, 0);
      await start().reader.run();
      await crash();
      topic.append(30, 40, 0).append(100, 110, 1);
      const { reader, sink } = start();
      reader.down = true;
      reader.read();
      await until("partition 1, of which the table knows nothing, is parked", () => sink.parts.some((part) => part.state === "parked"));
      await sink.sink.flush();
      await until("it is asked again", () => sink.retries.length > 0);
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(100, 110)]);
      assert.equal(sink.retries[0]!.code, "KAFKA_UNREACHABLE");
      reader.down = false;
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 40), ...range(100, 110)]);
      assert.equal(reader.failures.length, 0);
    });

    it("is asked no more when the partition goes to another process meanwhile", async () => {
      topic.append(0, 30);
      await start().reader.run();
      await crash();
      topic.append(30, 40);
      const { reader, sink } = start();
      reader.down = true;
      reader.read();
      await until("it is asked", () => sink.retries.length > 0);
      assert.equal(sink.sink.waiting, 10);
      reader.revoke(0);
      await until("nothing waits any more", () => sink.sink.waiting === 0);
      assert.equal(sink.sink.rest(), true);
    });

    it("is asked anew when the table is replaced meanwhile: what waited comes again", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 30, 0);
      await start().reader.run();
      await crash();
      topic.append(30, 40, 0).append(100, 110, 1);
      const { reader, sink } = start();
      reader.down = true;
      reader.read();
      await until("partition 1 is parked", () => sink.parts.some((part) => part.state === "parked"));
      await rm(join(world.warehouse, "db"), { recursive: true });
      const other = world.sink("other");
      other.receive([trade(999)]);
      await until("the new table is there", () => other.parts[0]!.state === "parked");
      await other.sink.flush();
      await sink.sink.flush();
      await until("both partitions come again", () => new Set(reader.failures.map(({ partition }) => partition)).size === 2);
      reader.down = false;
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(30, 40), ...range(100, 110), 999]);
    });

    it("is looked for once per partition and epoch, not per batch", async () => {
      topic.append(0, 30);
      await start().reader.run();
      await crash();
      topic.append(30, 100);
      const { reader } = start({ batch: 5 });
      await reader.run();
      assert.equal(reader.looks, 2, "the end of the log, and one record");
    });

    it("cannot be told where the record is no longer retained: then the table is believed", async () => {
      topic.append(0, 30);
      await start().reader.run();
      await crash();
      topic.retain(30).append(30, 40);
      await start().reader.run();
      assert.deepEqual(await world.ids(), range(0, 40));
    });
  });

  describe("another cluster behind the address", () => {
    beforeEach(async () => {
      topic.append(0, 30);
      await start().reader.run();
      await crash();
    });

    it("with other records: the partition stops and says so, nothing is skipped and nothing doubled", async () => {
      const other = new Topic("c2").append(500, 560);
      const { reader } = start({ topic: other, group: new Group() });
      await reader.run();
      assert.match(reader.stopped.get(0)!.message, /^Another Kafka cluster answers \(c2, it was c1\): db\.trades holds iex_data\/0/);
      assert.deepEqual(await world.ids(), range(0, 30));
      assert.deepEqual(await reader.seek(0, 0, true), ["db.trades"], "forgetting is the way out here, too");
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(500, 560)]);
    });

    it("with the same records (a new id, or a mirror with the same offsets): it goes on where the table is", async () => {
      const moved = topic.movedTo("c2").append(30, 45);
      const { reader, sink } = start({ topic: moved, group: new Group() });
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 45));
      assert.match(sink.warnings.join(), /has another cluster id than before \(c2, it was c1\)/);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-30", "w/c2/iex_data/0": "0-45" });
      await crash();
      const after = start({ topic: moved, group: new Group() }).reader;
      await after.run();
      assert.deepEqual(await world.ids(), range(0, 45));
      await after.seek(0, 0, true);
      await after.run();
      assert.deepEqual(await world.ids(), range(0, 45).flatMap((id) => [id, id]), "what is to be forgotten is forgotten under both ids");
    });

    it("with the same records, told to forget before anything new came", async () => {
      const { reader } = start({ topic: topic.movedTo("c2"), group: new Group() });
      await reader.run();
      await reader.seek(0, 20, true);
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 20), ...range(20, 30).flatMap((id) => [id, id])]);
    });

    it("beside the old one, both read by one flow: they are two", async () => {
      topic.append(30, 40);
      const sink = world.sink("w");
      const old = start({ sinks: [sink] }), more = start({ sinks: [sink], topic: new Topic("c2").append(500, 510), group: new Group() });
      old.reader.read();
      more.reader.read();
      await old.reader.run();
      await more.reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 40), ...range(500, 510)]);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-40", "w/c2/iex_data/0": "0-10" });
      await sink.sink.forget(more.reader.at());
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "0-40" });
    });

    it("where the log cannot be asked: a warning that rows may come twice", async () => {
      const { reader, sink } = start({ topic: new Topic("c2").append(500, 510), group: new Group(), view: false });
      await reader.run();
      assert.match(sink.warnings.join(), /from another Kafka cluster \(c1, this one is c2\).*may be written twice/);
      assert.deepEqual(await world.ids(), [...range(0, 30), ...range(500, 510)]);
    });
  });

  describe("reading something again on purpose", () => {
    it("asks the tables first: how far each is, by its name and node", async () => {
      topic.append(0, 30);
      const { reader, sink } = start();
      assert.deepEqual(await reader.positions(), [], "there is no table yet");
      await reader.run();
      const position = { ...reader.at(), target: "db.trades", node: "w", nextOffset: 30n };
      assert.deepEqual(await reader.positions(), [position]);
      assert.equal(sink.sink.rest(), true);
      assert.deepEqual(await reader.positions(), [position], "also of a table that is not open");
      assert.deepEqual([await reader.positions(1), sink.sink.isOpen], [[], false]);
    });

    it("without forgetting: what the table has is not written again", async () => {
      topic.append(0, 30);
      const { reader } = start();
      await reader.run();
      await reader.seek(0, 0);
      await reader.run();
      assert.deepEqual(await world.ids(), range(0, 30));
    });

    it("with forgetting: it is, once; and a process that knew better takes that for no rollback", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 20, 0).append(100, 120, 1);
      const { reader, sink } = start();
      await reader.run();
      assert.deepEqual(await reader.seek(0, 10, true), ["db.trades"]);
      assert.deepEqual(await marks(), { "w/c1/iex_data/1": "0-20" });
      await reader.run();
      assert.deepEqual(await world.ids(), [...range(0, 20), ...range(10, 20), ...range(100, 120)].sort((a, b) => a - b));
      assert.deepEqual([reader.rewinds, sink.warnings], [[], []]);
      assert.deepEqual(await marks(), { "w/c1/iex_data/0": "10-20", "w/c1/iex_data/1": "0-20" });
    });

    it("is remembered until the partition is written again, whoever commits meanwhile", async () => {
      topic = new Topic("c1", "iex_data", 2).append(0, 20, 0).append(100, 120, 1);
      const { reader, sink } = start();
      await reader.run();
      await sink.sink.forget(reader.at(0));
      const reset = async (): Promise<number[]> => readWatermarks((await world.table()).state.metadata).reset.map(({ partition }) => partition);
      topic.append(120, 130, 1);
      await reader.run();
      assert.deepEqual(await reset(), [0], "partition 1 was committed: other processes still learn that 0 was no rollback");
      topic.append(20, 30, 0);
      await reader.run();
      assert.deepEqual(await reset(), []);
    });

    it("forgets in a table that is not open, without writing a snapshot, and only what is its own", async () => {
      topic.append(0, 20);
      const sinks = [world.sink("a"), world.sink("b")];
      const { reader } = start({ sinks, map: ({ id }, { id: name }) => trade(id, { S: name }) });
      await reader.run();
      const before = currentSnapshot((await world.table()).state.metadata)!["snapshot-id"];
      sinks[0]!.sink.rest();
      assert.deepEqual(await sinks[0]!.sink.forget(reader.at()), ["db.trades"]);
      assert.deepEqual(await sinks[0]!.sink.forget(reader.at()), [], "nothing is left to forget");
      assert.deepEqual(await marks(), { "b/c1/iex_data/0": "0-20" });
      assert.equal(currentSnapshot((await world.table()).state.metadata)!["snapshot-id"], before);
    });

    it("forgets while others commit", async () => {
      topic.append(0, 20);
      const { reader, sink } = start();
      await reader.run();
      const other = world.sink("other");
      await Promise.all([
        sink.sink.forget(reader.at()),
        (async () => { for (let i = 0; i < 5; i++) { other.receive(trades(1000 + i, 1001 + i)); await other.sink.flush(); } })(),
      ]);
      await until("all is committed", () => other.ended.length === 5);
      assert.deepEqual(await marks(), {});
      assert.deepEqual(await world.ids(), [...range(0, 20), ...range(1000, 1005)]);
    });
  });

  it("messages that come late, after their batch was committed, are written once and without protection", async () => {
    topic.append(0, 20);
    const { reader, sink } = start();
    reader.read(10);
    await until("parked", () => sink.parts[0]?.state === "parked");
    const { token } = sink.parts[0]!.deliveries[0]!;
    await sink.sink.flush();
    sink.receive([trade(555)], token);
    await reader.run();
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), [...range(0, 20), 555]);
  });
});
