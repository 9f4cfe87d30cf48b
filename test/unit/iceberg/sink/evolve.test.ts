import assert from "node:assert/strict";
import type { TableState } from "../../../../lib/iceberg/catalog/types";
import { stringifyJson } from "../../../../lib/iceberg/json";
import { LocalFileIO } from "../../../../lib/iceberg/io/local";
import { currentSchema, currentSnapshot } from "../../../../lib/iceberg/metadata";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { allFields, assignFreshIds, typeText } from "../../../../lib/iceberg/schema";
import type { NestedField, PartitionSpec, Schema } from "../../../../lib/iceberg/types";
import type { MetadataUpdate } from "../../../../lib/iceberg/updates";
import { readById } from "../../../support/read-by-id";
import { dataFiles } from "../../../support/read-table";
import { type Fault, ScriptedIO, turns } from "../../../support/scripted-io";
import { lineage, range, ScriptedSource, tick, trade, trades, type TestSink, until, World } from "./harness";

const EVOLVE = { evolve: "add-columns" };
const PLAIN = { ...EVOLVE, schema: '{"type":"struct","fields":[{"name":"i","type":"long"},{"name":"q","type":{"type":"struct","fields":[{"name":"bid","type":"double"}]}},{"name":"n","type":"int"},{"name":"f","type":"float"}]}', partitionBy: "" };

describe("a sink whose table evolves", () => {
  const encoder = new EncoderPool();
  let world: World;
  beforeEach(async () => { world = await World.create(encoder); });
  afterEach(() => world.end());
  after(() => encoder.close());

  const schema = async (): Promise<Schema> => currentSchema((await world.table()).state.metadata);
  const columns = async (): Promise<string[]> => (await schema()).fields.map((f) => `${f.name} ${typeText(f.type)}`);
  const rows = async (): Promise<Record<string, unknown>[]> => (await readById(await world.table())).sort((a, b) => Number(a["i"]) - Number(b["i"]));
  const column = async (name: string): Promise<unknown[]> => (await rows()).map((row) => row[name]);

  /** Sends rows one message each, without delivery unless there is a source, and commits. */
  async function write(sink: TestSink, ...messages: unknown[][]): Promise<void> {
    const parts = messages.map((message) => sink.receive(message));
    await until("the rows are taken", () => parts.every((part) => part.state !== "held"));
    await sink.sink.flush();
  }

  /** Changes the table as another engine does. */
  async function change(make: (state: TableState) => MetadataUpdate[]): Promise<void> {
    const table = await world.table();
    await table.commit(table.state, make(table.state));
  }
  const alter = (fields: (schema: Schema, lastId: number) => NestedField[]): Promise<void> => change(({ metadata }) => {
    const now = currentSchema(metadata), changed = fields(now, metadata["last-column-id"]);
    const next: Schema = { ...now, "schema-id": Math.max(...metadata.schemas.map((s) => s["schema-id"])) + 1, fields: changed };
    return [{ action: "add-schema", schema: next }, { action: "set-current-schema", "schema-id": -1 }];
  });
  const addColumn = (name: string, type: NestedField["type"]): Promise<void> => alter((now, lastId) => [...now.fields, assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ id: 0, name, required: false, type }] }, lastId + 1).fields[0]!]);
  const dropColumn = (name: string): Promise<void> => alter((now) => now.fields.filter((f) => f.name !== name));
  const renameColumn = (name: string, to: string): Promise<void> => alter((now) => now.fields.map((f) => (f.name === name ? { ...f, name: to } : f)));

  it("gives new fields columns in the commit of their rows; older rows have null there", async () => {
    const sink = world.sink("sink", EVOLVE);
    await write(sink, trades(0, 2));
    await write(sink, [{ ...trade(2), venue: "X", live: true, at: new Date(5), raw: Buffer.from("b"), levels: [{ px: 1.5, qty: 2 }] }, trade(3)]);
    const { metadata } = (await world.table()).state;
    assert.deepEqual((await columns()).slice(9), ["venue string", "live boolean", "at timestamptz", "raw binary", "levels list<struct<px: double, qty: long>>"]);
    assert.ok(currentSchema(metadata).fields.slice(9).every((f) => !f.required && f.id > 10));
    assert.deepEqual(currentSnapshot(metadata)!["schema-id"], metadata["current-schema-id"]);
    assert.equal(metadata.snapshots.length, 2, "no commit of its own for the columns");
    assert.equal(metadata["last-column-id"], Math.max(...allFields(currentSchema(metadata)).map(({ field }) => field.id)));
    assert.deepEqual(await column("venue"), [null, null, "X", null]);
    assert.deepEqual((await column("levels"))[2], [{ px: 1.5, qty: 2n }]);
    assert.deepEqual(sink.evolved, ["venue string", "live boolean", "at timestamptz", "raw binary", "levels list<struct<px: double, qty: long>>"]);
    assert.deepEqual(sink.warnings, []);
    await write(sink, [{ ...trade(4), venue: "Y" }]);
    assert.equal(sink.results.at(-1)!.columns, undefined, "told once");
    assert.deepEqual(await column("venue"), [null, null, "X", null, "Y"]);
  });

  it("rejects what comes before the first value when the rows draw the table, once and with the reason; a field of nulls waits for its value", async () => {
    const sink = world.sink("sink", { ...EVOLVE, schema: "infer", partitionBy: "" });
    const source = new ScriptedSource(world.ledger);
    const nothing: unknown[][] = [[{ i: null, a: null }], [{}, { i: undefined, list: [], deep: { er: null } }, 7]];
    for (const [n, message] of nothing.entries()) source.send(message, [sink], { lineage: lineage(n, n + 1) });
    sink.receive([{ i: null }]);
    await until("all are done", () => source.delivered.length === 2 && sink.ended.length === 3);
    assert.deepEqual([source.failures, sink.failed, sink.ended], [[], [], [undefined, undefined, undefined]]);
    assert.deepEqual(sink.rejects.map(({ row }) => row), [...nothing.flat(), { i: null }]);
    for (const { reason } of sink.rejects) assert.match(reason, /no field has a value: there is no table db\.trades yet/);
    assert.equal(await world.catalog.tableExists({ namespace: ["db"], name: "trades" }), false);

    source.send([{ i: 1, a: null, b: [] }, { i: 2, a: null }], [sink], { lineage: lineage(2, 4) });
    await until("it is parked", () => sink.parts.at(-1)!.state === "parked");
    await sink.sink.flush();
    assert.deepEqual(await columns(), ["i long"]);
    source.send([{ i: 3, a: "now", b: [1.5] }, { i: null, a: null }], [sink], { lineage: lineage(4, 6) });
    await until("it is parked", () => sink.parts.at(-1)!.state === "parked");
    await sink.sink.flush();
    assert.deepEqual(await columns(), ["i long", "a string", "b list<double>"]);
    assert.deepEqual((await rows()).map((row) => [row["i"], row["a"]]), [[null, null], [1n, null], [2n, null], [3n, "now"]]);
    assert.equal(source.delivered.length, 4);
  });

  it("lets structs and lists of structs grow inside, whatever waits already", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, [{ i: 1, q: { bid: 1.5 } }, { i: 2, q: null }, { i: 3, q: {} }, { i: 4, l: [{ a: 1 }, null, { a: 2 }] }],
      [{ i: 5, q: { bid: 2.5, ask: 3 } }, { i: 6, l: [{ b: "x" }, {}] }, { i: 7, l: [] }, { i: 8, q: { deep: { er: [1] } } }]);
    await write(sink, [{ i: 9, q: { deep: { er: [2], est: "z" } }, l: [{ a: 3, c: [true] }] }]);
    assert.deepEqual(await columns(), ["i long", "q struct<bid: double, ask: long, deep: struct<er: list<long>, est: string>>", "n int", "f float", "l list<struct<a: long, b: string, c: list<boolean>>>"]);
    assert.deepEqual((await column("q")).map((q) => q && JSON.stringify(q, (_k, v: unknown) => (typeof v === "bigint" ? Number(v) : v ?? undefined))), [
      '{"bid":1.5}', null, "{}", null, '{"bid":2.5,"ask":3}', null, null, '{"deep":{"er":[1]}}', '{"deep":{"er":[2],"est":"z"}}',
    ]);
    assert.deepEqual((await column("l")).map((l) => l && JSON.stringify(l, (_k, v: unknown) => (typeof v === "bigint" ? Number(v) : v ?? undefined))), [
      null, null, null, '[{"a":1},null,{"a":2}]', null, '[{"b":"x"},{}]', "[]", null, '[{"a":3,"c":[true]}]',
    ]);
    assert.deepEqual(sink.rejects, []);
  });

  it("decides no type by nulls, and the widest by what comes before the commit", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, [{ i: 0, later: null, none: [], nothing: {} }]);
    assert.equal((await columns()).length, 4);
    await write(sink, [{ i: 1, later: 5, d: 1, id: "12" }, { i: 2, d: 2 }], [{ i: 3, d: 2.5, id: 9007199254740991, none: ["a"] }, { i: 4, d: 3, id: "9007199254740993" }]);
    assert.deepEqual((await columns()).slice(4), ["later long", "d double", "id long", "none list<string>"]);
    assert.deepEqual(await column("d"), [null, 1, 2, 2.5, 3]);
    assert.deepEqual(await column("id"), [null, 12n, null, 9007199254740991n, 9007199254740993n]);
    assert.deepEqual(sink.rejects, []);
  });

  it("keeps a type once it is committed: what does not fit is rejected alone, also while the commit is under way", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, [{ i: 1, x: 1 }, { i: 2, x: "text" }, { i: 3, x: 3 }, { i: 4, x: [1, "a"] }]);
    assert.deepEqual(sink.rejects.map(({ reason }) => reason).sort(), ['x.element is long in one row and string in another.', 'x: expected a whole number, got "text"']);
    await write(sink, [{ i: 5, x: 1.5 }, { i: 6, x: 6, y: "N" }, { i: 7, y: 5 }]);
    assert.deepEqual(sink.evolved, ["x long", "y string"], "what came first decides");
    assert.match(sink.rejects[2]!.reason, /x: expected a whole number, got 1.5/);
    assert.deepEqual(await column("x"), [1n, 3n, 6n]);
  });

  it("does not hold values that a wider type would round", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, [{ i: 1, x: 9007199254740993n }], [{ i: 2, x: 1.5 }]);
    assert.match(sink.rejects[0]!.reason, /x: expected a whole number, got 1.5/);
    assert.deepEqual(await column("x"), [9007199254740993n]);
  });

  it("widens int to long and float to double, but no column that the table is partitioned by", async () => {
    const sink = world.sink("sink", { ...PLAIN, partitionBy: "bucket[4](n)" });
    await write(sink, [{ i: 1, n: 1, f: 1.5 }], [{ i: 2, f: 1e300 }, { i: 3, n: 3e9 }]);
    assert.deepEqual(sink.evolved, ["f float -> double"]);
    assert.deepEqual(await column("f"), [1.5, 1e300]);
    assert.match(sink.rejects[0]!.reason, /n: expected a whole number of 32 bits/);
    const other = world.sink("other", { ...PLAIN, table: "db.trades", evolve: "no" });
    await write(other, [{ i: 4, f: 1e300 }]);
    assert.equal(other.rejects.length, 0, "follows what is there");
  });

  it("rejects what cannot be a column, with the reason, and the neighbours land", async () => {
    const sink = world.sink("sink", PLAIN);
    const own: Record<string, unknown> = { i: 5 };
    own["self"] = own;
    await write(sink, [{ i: 1, "": 1 }, { i: 2, "a\nb": 1 }, JSON.parse('{"i":3,"__proto__":{"x":1}}'), { i: 4, f1: () => 1 }, own, { i: 6, constructor: "c", toString: "s" }, { i: 7, o: JSON.parse('{"__proto__":1}') as unknown }, { t: 1, timestamp: null }]);
    assert.deepEqual(sink.rejects.map(({ reason }) => reason.slice(0, 45)), [
      '"": a field without a name cannot be a column', '"a\\nb": a name with control characters cannot'.slice(0, 45), '"__proto__": this name cannot be a column', "f1: a function cannot be stored.",
      "self.self.self.self.self.self.self.self.self.", '"o.__proto__": this name cannot be a column',
    ]);
    assert.deepEqual(await column("constructor"), [null, "c"].slice(0, 2));
    assert.equal(({} as Record<string, unknown>)["x"], undefined);
  });

  it("stops adding columns at a bound, and says what may be wrong", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, range(0, 150).map((i) => ({ i, [`key-${i}`]: i })));
    assert.equal(sink.rejects.length, 50);
    assert.match(sink.rejects[0]!.reason, /key-100: no more columns are added \(at most 100 in a commit and 1000 in a table\); are these names data\?/);
    // Somebody else makes the table wide: with 105 of its own there is room for one more commit's columns.
    await alter((now, lastId) => [...now.fields, ...range(0, 750).map((n): NestedField => ({ id: lastId + 1 + n, name: `wide-${n}`, required: false, type: "long" }))]);
    for (let k = 1; k < 4; k++) await write(sink, [Object.fromEntries([["i", 1000 + k], ...range(0, 100).map((n) => [`k${k}-${n}`, n])])]);
    assert.equal(allFields(await schema()).length, 955);
    assert.equal(sink.rejects.length, 52);
    await write(sink, [{ i: 5000 }]);
    assert.ok((await column("i")).includes(5000n), "rows without new fields land as ever");
  });

  it("warns of names that differ only by case", async () => {
    const sink = world.sink("sink", PLAIN);
    await write(sink, [{ i: 1, I: 2, Venue: 1, venue: 2 }]);
    assert.equal(sink.warnings.length, 2);
    assert.match(sink.warnings[0]!, /"I" differs from "i" only by case/);
    assert.deepEqual(await rows(), [{ i: 1n, q: null, n: null, f: null, I: 2n, Venue: 1n, venue: 2n }]);
  });

  it("takes columns that the dialog draws in their type", async () => {
    await write(world.sink("first", { ...PLAIN, evolve: "no" }), [{ i: 1 }]);
    const sink = world.sink("sink", { ...EVOLVE, schema: '{"type":"struct","fields":[{"name":"i","type":"long"},{"name":"price","type":"decimal(9,2)"},{"name":"unused","type":"date"}]}' });
    await write(sink, [{ i: 2, price: 1 }, { i: 3, price: "2.50" }]);
    assert.deepEqual(sink.evolved, ["price decimal(9, 2)"]);
    assert.deepEqual(sink.rejects, []);
  });

  it("adds nothing with evolve no: the field is named once and not written", async () => {
    const sink = world.sink("sink", { evolve: "no" });
    await write(sink, [{ ...trade(1), venue: "X" }], [{ ...trade(2), venue: "X" }]);
    assert.equal((await columns()).length, 9);
    assert.match(sink.warnings.join(), /^Field "venue" is not written/);
    assert.equal(sink.warnings.length, 1);
  });

  it("adds no column for rows that were aborted before the commit", async () => {
    const sink = world.sink("sink", EVOLVE);
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 2), [sink]);
    const other = world.sink("other");
    source.send([{ ...trade(2), venue: "X", q: { a: 1 } }], [sink, other], { hold: true });
    await until("taken", () => [...sink.parts, ...other.parts].every((p) => p.state === "parked"));
    other.parts[0]!.fail(new Error("poison"));
    await until("the failure is known", () => source.failures.length === 1);
    await sink.sink.flush();
    assert.equal((await columns()).length, 9);
    source.send([{ ...trade(2), venue: 5 }], [sink]);
    await tick(); await tick();
    await sink.sink.flush();
    assert.deepEqual(sink.evolved, ["venue long"], "the type is that of what is written");
    assert.deepEqual(await column("venue"), [null, null, 5n]);
  });

  describe("beside another writer", () => {
    it("that added the same column, uses that one", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, trades(0, 1));
      sink.receive([{ ...trade(1), other: 1, venue: "X" }]);
      await addColumn("new", "string");
      await addColumn("venue", "string");
      await sink.sink.flush();
      assert.deepEqual((await columns()).slice(9), ["new string", "venue string", "other long"]);
      assert.deepEqual(await column("venue"), [null, "X"]);
      assert.deepEqual(sink.evolved, ["other long"]);
    });

    it("that adds it between two attempts, writes the rows by the ids of the winner", async () => {
      for (const [other, theirs] of [["sink-a", "string"], ["sink-b", "int"], ["sink-c", "double"]] as const) {
        const fresh = await World.create(encoder);
        try {
          world = fresh;
          let raced = false;
          const io = new ScriptedIO(new LocalFileIO());
          fresh.sinks.length = 0;
          const scripted = await World.create(encoder, (inner) => Object.assign(io, { inner }));
          world = scripted;
          const sink = scripted.sink(other, EVOLVE);
          await write(sink, trades(0, 1));
          const value = theirs === "string" ? "X" : 7;
          const create = io.create.bind(io);
          io.create = async (location, bytes, options) => {
            if (!raced && location.includes("metadata.json")) {
              raced = true;
              await addColumn("first", "string");
              await addColumn("venue", theirs);
            }
            return create(location, bytes, options);
          };
          await write(sink, [{ ...trade(1), venue: value }]);
          assert.ok(raced);
          assert.equal(sink.results.at(-1)!.conflicts, 0, "the files were written anew, in an append of their own");
          assert.deepEqual(await column("venue"), [null, theirs === "string" ? "X" : theirs === "int" ? 7n : 7], theirs);
          assert.deepEqual(sink.evolved, theirs === "int" ? ["venue int -> long"] : [], theirs);
          await scripted.end();
        } finally {
          await fresh.end();
        }
      }
      world = await World.create(encoder);
    });

    it("that added it with another type: rows are judged by that one, each for itself", async () => {
      const sink = world.sink("sink", { ...EVOLVE, exactlyOnce: true });
      const source = new ScriptedSource(world.ledger);
      await write(sink, trades(0, 1));
      source.send([{ ...trade(1), venue: 1.5 }, trade(2)], [sink], { lineage: lineage(0, 2) });
      sink.receive([{ ...trade(3), venue: 2.5 }, { ...trade(4), venue: "4" }, trade(5)]);
      await until("taken", () => sink.parts.every((p) => p.state !== "held"));
      await addColumn("venue", "string");
      await sink.sink.flush();
      await until("the source is told", () => source.failures.length === 1);
      source.send([{ ...trade(1), venue: 1.5 }, trade(2)], [sink], { lineage: lineage(0, 2) });
      await tick(); await tick();
      await sink.sink.flush();
      await sink.sink.flush();
      assert.deepEqual(await world.ids(), [0, 2, 5]);
      assert.equal(sink.rejects.filter(({ row }) => (row as { i: number }).i === 4).length, 1, "what was rejected stays rejected");
      assert.ok(sink.rejects.some(({ row, reason }) => (row as { i: number }).i === 1 && /venue: expected text, got 1.5/.test(reason)));
      assert.ok(sink.rejects.some(({ row, reason }) => (row as { i: number }).i === 3 && /venue: expected text, got 2.5/.test(reason)));
      await until("all is over", () => source.delivered.length === 1 && sink.ended.filter((e) => e === undefined).length >= 3);
    });

    it("that drops and adds a column of the same name while rows wait, never lands values under the old one", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [{ ...trade(0), venue: "old" }]);
      sink.receive([{ ...trade(1), venue: "waits" }]);
      await dropColumn("venue");
      await addColumn("venue", "string");
      await sink.sink.flush();
      await sink.sink.flush();
      assert.deepEqual(await column("venue"), [null, "waits"]);
      await write(sink, [{ ...trade(2), venue: "after" }]);
      assert.deepEqual(await column("venue"), [null, "waits", "after"]);
    });

    it("that drops a column: rows that wait with values get it back, and without evolving they are judged anew", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [{ ...trade(0), venue: "old" }]);
      const keeps = world.sink("keeps", { evolve: "no" });
      sink.receive([{ ...trade(1), venue: "waits" }]);
      await dropColumn("venue");
      await sink.sink.flush();
      await sink.sink.flush();
      assert.deepEqual(await column("venue"), [null, "waits"]);
      await write(keeps, [{ ...trade(2), venue: "w" }]);
      keeps.receive([{ ...trade(3), venue: "w" }]);
      await dropColumn("venue");
      await keeps.sink.flush();
      await keeps.sink.flush();
      assert.deepEqual(await world.ids(), [0, 1, 2, 3]);
      assert.match(keeps.warnings.join("\n"), /the column venue was dropped[^]*Field "venue" is not written/);
    });

    it("that renames a column: what waits stays in it, and what comes gets one of its own", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [{ ...trade(0), venue: "a" }]);
      sink.receive([{ ...trade(1), venue: "b" }]);
      await renameColumn("venue", "place");
      await sink.sink.flush();
      await write(sink, [{ ...trade(2), venue: "c" }]);
      assert.deepEqual([await column("place"), await column("venue")], [["a", "b", null], [null, null, "c"]]);
    });

    it("that gives a column a name that waits for one: nothing lands in it that was not meant for it", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [{ ...trade(0), venue: "a" }]);
      sink.receive([{ ...trade(1), venue: "b", place: "c" }]);
      await renameColumn("venue", "place");
      await sink.sink.flush();
      await sink.sink.flush();
      assert.deepEqual([await column("place"), await column("venue")], [["a", "c"], [null, "b"]]);
    });

    it("that requires a new column: rows without it are rejected, none is written that readers would choke on", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [trade(0)]);
      sink.receive([trade(1), { ...trade(2), must: "x" }]);
      await alter((now, lastId) => [...now.fields, { id: lastId + 1, name: "must", required: true, type: "string" }]);
      await sink.sink.flush();
      await sink.sink.flush();
      assert.deepEqual(await world.ids(), [0, 2]);
      assert.match(sink.rejects[0]!.reason, /must: expected a value \(the column is required\)/);
    });

    const byVenue: PartitionSpec = { "spec-id": 1, fields: [{ "source-id": 11, "field-id": 1001, name: "venue", transform: "identity" }] };

    it("that changes the partitioning: rows that wait land by the old one, and what comes by the new one", async () => {
      const sink = world.sink("sink", EVOLVE);
      await write(sink, [trade(0)]);
      sink.receive([trade(1)]);
      await addColumn("venue", "string");
      await change(() => [{ action: "add-spec", spec: byVenue }, { action: "set-default-spec", "spec-id": 1 }]);
      await sink.sink.flush();
      await write(sink, [{ ...trade(2), venue: "X" }]);
      assert.deepEqual((await dataFiles(await world.table())).map((f) => [f.specId, ...f.partition].join()).sort(), ["0,1381104000000", "0,1381104000000", "1,X"]);
      assert.deepEqual(await column("venue"), [null, null, "X"]);
      assert.deepEqual(sink.failed, []);
    });

    it("that removes the partition spec: rows that wait are written by the one that holds now, null where they lack its column", async () => {
      const sink = world.sink("sink", EVOLVE);
      const source = new ScriptedSource(world.ledger);
      source.send([trade(0), { ...trade(1), more: "m" }], [sink], { lineage: lineage(0, 2) });
      await until("taken", () => sink.parts[0]!.state === "parked");
      await addColumn("venue", "string");
      await change(() => [{ action: "add-spec", spec: byVenue }, { action: "set-default-spec", "spec-id": 1 }]);
      const { state } = await world.table();
      const next = { ...state.metadata, "partition-specs": state.metadata["partition-specs"].filter((spec) => spec["spec-id"] === 1) };
      await world.io.create(state.metadataLocation.replace(`v${state.version}.`, `v${state.version + 1}.`), Buffer.from(stringifyJson(next)));
      await sink.sink.flush();
      await until("it is delivered", () => source.delivered.length === 1);
      assert.deepEqual((await dataFiles(await world.table())).map((f) => [f.specId, ...f.partition]), [[1, null]]);
      assert.deepEqual([await world.ids(), await column("more"), sink.failed], [[0, 1], [null, "m"], []]);
    });

    it("follows columns of others although rows always wait", async () => {
      const sink = world.sink("sink", { evolve: "no" });
      const source = new ScriptedSource(world.ledger);
      await write(sink, [trade(0)]);
      await addColumn("venue", "string");
      source.send([trade(1)], [sink], { hold: true });
      await write(sink, [trade(2)]);
      await write(sink, [{ ...trade(3), venue: "X" }]);
      assert.deepEqual(await column("venue"), [null, null, "X"]);
    });
  });

  describe("exactly once", () => {
    for (const fault of ["before", "after", "lost", "landed", "late"] as const) {
      it(`survives a call that fails (${fault}) anywhere in a commit that adds columns`, async () => {
        const calls = range(0, 30);
        assert.ok((await Promise.all(calls.map((at) => commitWithFault(fault, at)))).includes(false), "the last calls are behind the commit");
      }).timeout(60_000);
    }

    /** One commit with a new column, whose call number `at` fails. Returns whether there was such a call. */
    async function commitWithFault(fault: Fault, at: number): Promise<boolean> {
      const io = new ScriptedIO(new LocalFileIO());
      const own = await World.create(encoder, (inner) => Object.assign(io, { inner }));
      try {
        const sink = own.sink("sink", EVOLVE);
        const source = new ScriptedSource(own.ledger);
        const send = async (rows: unknown[], from: number): Promise<void> => {
          const part = sink.parts.length;
          source.send(rows, [sink], { lineage: lineage(from, from + 1) });
          await until("it is taken", () => sink.parts[part]?.state !== "held");
          await sink.sink.flush();
        };
        await send([trade(0)], 0);
        const from = io.log.length;
        io.plan = ({ n }) => (n === from + at ? fault : undefined);
        await send([{ ...trade(1), venue: "X" }], 1);
        const reached = io.log.length > from + at;
        await io.settled();
        await turns(8);
        if (source.failures.length > 0) await send([{ ...trade(1), venue: "X" }], 1);
        io.plan = () => undefined;
        const table = await own.table();
        assert.deepEqual((await readById(table)).map((row) => [Number(row["i"]), row["venue"]]).sort(), [[0, null], [1, "X"]], `${fault} at call ${at}`);
        assert.deepEqual(currentSchema(table.state.metadata).fields.slice(9).map((f) => f.name), ["venue"], `${fault} at call ${at}`);
        return reached;
      } finally {
        await own.end();
      }
    }

    it("recognises what another process of the writer committed, columns included", async () => {
      const first = world.sink("sink", { ...EVOLVE, writerId: "w" });
      const source = new ScriptedSource(world.ledger);
      source.send([{ ...trade(0), venue: 1 }], [first], { lineage: lineage(0, 1) });
      await until("taken", () => first.parts[0]!.state === "parked");
      await first.sink.flush();
      world.restart();
      const second = world.sink("again", { ...EVOLVE, writerId: "w" });
      const again = new ScriptedSource(world.ledger);
      again.send([{ ...trade(0), venue: 1 }], [second], { lineage: lineage(0, 1) });
      again.send([{ ...trade(1), venue: 1.5 }, { ...trade(2), more: 1 }], [second], { lineage: lineage(1, 3) });
      await until("both are judged", () => second.parts.every((p) => p.state !== "held"));
      await second.sink.flush();
      assert.deepEqual(await world.ids(), [0, 2]);
      assert.deepEqual(await column("more"), [null, 1n]);
      assert.equal(second.rejects.length, 1);
    });

    it("fails nothing that a column of another process straddles", async () => {
      const sink = world.sink("sink", { ...EVOLVE, writerId: "w" });
      const source = new ScriptedSource(world.ledger);
      await write(sink, [trade(0)]);
      source.send([{ ...trade(1), venue: "X" }, { ...trade(2), venue: "Y" }], [sink], { lineage: lineage(0, 2) });
      await until("taken", () => sink.parts[1]!.state === "parked");
      const other = world.sink("other", { ...EVOLVE, writerId: "w" });
      const zombie = new ScriptedSource(world.ledger, "zombie");
      zombie.send([{ ...trade(1), venue: "X" }], [other], { lineage: lineage(0, 1) });
      await until("taken", () => other.parts[0]!.state === "parked");
      await other.sink.flush();
      await sink.sink.flush();
      await until("it is cut", () => source.failures.length === 1);
      assert.equal(source.failures[0]!.cutAt, 1n);
      source.send([{ ...trade(2), venue: "Y" }], [sink], { lineage: lineage(1, 2) });
      await tick(); await tick();
      await sink.sink.flush();
      assert.deepEqual(await column("venue"), [null, "X", "Y"]);
      assert.equal((await schema()).fields.filter((f) => f.name === "venue").length, 1);
    });
  });
});
