import assert from "node:assert/strict";
import fc from "fast-check";
import { LocalFileIO } from "../../../../lib/iceberg/io/local";
import { currentSchema } from "../../../../lib/iceberg/metadata";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import type { PrimitiveType, Schema } from "../../../../lib/iceberg/types";
import { readById } from "../../../support/read-by-id";
import { ScriptedIO } from "../../../support/scripted-io";
import { World, until } from "./harness";

const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];
type Row = { i: number } & Partial<Record<Name, unknown>>;

const value = fc.oneof(fc.integer(), fc.constantFrom(0.5, -2.25, 1e300), fc.constantFrom("text", "12", "-7"), fc.boolean(), fc.constant(null), fc.constant(undefined));
const rowsOf = fc.array(fc.record({ a: value, b: value, c: value }), { minLength: 1, maxLength: 4 });
const change = fc.record({ name: fc.constantFrom(...NAMES), to: fc.constantFrom<(PrimitiveType | "drop")[]>("drop", "long", "int", "double", "string", "boolean") });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("rows" as const), rows: rowsOf }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("change" as const), change }) },
  // Another writer changes the table while the commit's metadata is being written.
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("commit" as const), race: fc.option(change, { nil: undefined }) }) },
);

/** A value as it reads back, whatever the type of its column. */
const plain = (v: unknown): string => (v === null || v === undefined ? "null" : typeof v === "string" && /^-?\d+$/.test(v) ? v : typeof v === "string" ? JSON.stringify(v) : String(v));

describe("rows whose fields drift, beside a writer who changes the columns", () => {
  const encoder = new EncoderPool();
  after(() => encoder.close());

  it("land once or are rejected once, and every value that landed reads back under its name for as long as its column is there", async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 14 }), async (steps) => {
      const io = new ScriptedIO(new LocalFileIO());
      const world = await World.create(encoder, (inner) => Object.assign(io, { inner }));
      try {
        const sink = world.sink("sink", { evolve: "add-columns", partitionBy: "", schema: '{"type":"struct","fields":[{"name":"i","type":"long"}]}' });
        const sent: Row[] = [];
        /** Columns in which the values of a row landed, by name. */
        const landed = new Map<number, Map<Name, number>>();
        const schema = async (): Promise<Schema> => currentSchema((await world.table()).state.metadata);
        const alter = async ({ name, to }: { name: Name; to: PrimitiveType | "drop" }): Promise<void> => {
          const table = await world.table();
          const { metadata } = table.state, now = currentSchema(metadata), there = now.fields.some((f) => f.name === name);
          if (there !== (to === "drop")) return;
          const fields = to === "drop" ? now.fields.filter((f) => f.name !== name) : [...now.fields, { id: metadata["last-column-id"] + 1, name, required: false, type: to }];
          await table.commit(table.state, [{ action: "add-schema", schema: { ...now, fields, "schema-id": Math.max(...metadata.schemas.map((s) => s["schema-id"])) + 1 } }, { action: "set-current-schema", "schema-id": -1 }]);
        };
        const create = io.create.bind(io);
        const commit = async (race?: Parameters<typeof alter>[0]): Promise<void> => {
          io.create = async (location, bytes, options) => {
            io.create = create;
            if (race) await alter(race);
            return create(location, bytes, options);
          };
          // What is judged anew goes into a commit of its own.
          for (let k = 0; k < 3; k++) await sink.sink.flush();
          io.create = create;
          const now = await schema();
          for (const row of await readById(await world.table())) {
            const i = Number(row["i"]);
            if (!landed.has(i)) landed.set(i, new Map(now.fields.map((f) => [f.name as Name, f.id])));
          }
        };
        const write = async (rows: Partial<Row>[]): Promise<void> => {
          const numbered = rows.map((row, k): Row => ({ ...row, i: sent.length + k }));
          sent.push(...numbered);
          const part = sink.receive(numbered);
          await until("the rows are taken", () => part.state !== "held");
        };
        await write([{}]);
        await commit();
        for (const one of steps) {
          if (one.kind === "rows") await write(one.rows as Partial<Row>[]);
          else if (one.kind === "change") await alter(one.change);
          else await commit(one.race);
        }
        await commit();
        const now = await schema(), read = await readById(await world.table());
        const rejected = sink.rejects.map(({ row }) => (row as Row).i);
        assert.deepEqual([...read.map((row) => Number(row["i"])), ...rejected].sort((x, y) => x - y), sent.map(({ i }) => i), "each row once");
        for (const row of read) {
          const i = Number(row["i"]);
          for (const name of NAMES) {
            const column = now.fields.find((f) => f.name === name), stays = column && landed.get(i)!.get(name) === column.id;
            const expected = stays ? sent[i]![name] : null;
            if (column) assert.equal(plain(row[name]), plain(expected), `row ${i}, ${name}`);
          }
        }
        for (const { metadata } of [(await world.table()).state]) {
          const ids = metadata.schemas.flatMap((s) => s.fields.map((f) => `${f.id} ${f.name}`));
          assert.equal(new Set(ids.map((x) => x.split(" ")[0])).size, new Set(ids).size, "no id has ever had two names");
        }
      } finally {
        await world.end();
      }
    }), { numRuns: 40 });
  }).timeout(120_000);
});
