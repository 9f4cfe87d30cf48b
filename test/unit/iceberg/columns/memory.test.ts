import assert from "node:assert/strict";
import fc from "fast-check";
import { ColumnAccumulator, releaseBatch, type ColumnBatch } from "../../../../lib/iceberg/columns";
import { sliceColumn, rowIndex } from "../../../../lib/iceberg/columns/batch";
import { allocate, release } from "../../../../lib/iceberg/columns/memory";
import { encodeBatch } from "../../../../lib/iceberg/parquet/encode";
import { leafColumns } from "../../../../lib/iceberg/schema";
import type { Schema } from "../../../../lib/iceberg/types";
import { readWithHyparquet } from "../../../support/parquet-read";

const SCHEMA: Schema = {
  type: "struct", "schema-id": 0, fields: [
    { id: 1, name: "n", required: true, type: "long" },
    { id: 2, name: "maybe", required: false, type: "double" },
    { id: 3, name: "few", required: true, type: "string" },
    { id: 4, name: "many", required: false, type: "string" },
    { id: 5, name: "raw", required: true, type: "binary" },
    { id: 6, name: "list", required: false, type: { type: "list", "element-id": 7, element: "int", "element-required": false } },
  ],
};

const rowOf = (n: number): Record<string, unknown> => ({
  n, maybe: n % 7 === 0 ? null : n / 3, few: `few ${n % 5}`, many: n % 11 === 0 ? null : `order ${n} é`, raw: Buffer.from(`raw ${n}`),
  list: n % 13 === 0 ? null : Array.from({ length: n % 4 }, (_, k) => (k === 2 ? null : n + k)),
});
const plain = (row: Record<string, unknown>): unknown => ({ ...row, n: String(row["n"] as number), raw: Buffer.from(row["raw"] as Uint8Array).toString(), list: row["list"] ?? null });

/** Sizes that columns of these tests have, in the steps of `allocate`. */
const SIZES = Array.from({ length: 9 }, (_, k) => 2 ** (15 + k)).flatMap((size) => [1, 1.25, 1.5, 1.75].map((part) => size * part));

/** Another user of the memory: takes whatever was given back, writes over all of it, and gives it back again. Whoever still reads it reads rubbish. */
function squat(): void {
  const taken = SIZES.flatMap((size) => Array.from({ length: 3 }, () => allocate(size)));
  for (const buffer of taken) new Uint8Array(buffer).fill(0xa5);
  for (const buffer of taken) release(buffer);
}

async function rowsIn(batch: ColumnBatch): Promise<unknown[]> {
  if (batch.rows === 0) return [];
  return (await readWithHyparquet(encodeBatch({ batch, schema: SCHEMA, spec: { "spec-id": 0, fields: [] }, codec: "none" })[0]!.bytes)).map(plain);
}

describe("memory of columns, used again", () => {
  type Step = { append: number } | { take: [number, number][]; hold: boolean } | { drop: [number, number][] } | { release: number };
  const ranges = fc.array(fc.tuple(fc.nat({ max: 20_000 }), fc.integer({ min: 1, max: 6000 })), { minLength: 1, maxLength: 3 });
  const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof(
    { weight: 4, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 7000 }) }) },
    { weight: 3, arbitrary: fc.record({ take: ranges, hold: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ drop: ranges }) },
    { weight: 2, arbitrary: fc.record({ release: fc.nat({ max: 5 }) }) },
  ), { minLength: 4, maxLength: 10 });

  it("is never written while somebody reads it, however rows are appended, taken, dropped and given back", async function () {
    this.timeout(60_000);
    await fc.assert(fc.asyncProperty(steps, async (list) => {
      const columns = new ColumnAccumulator(SCHEMA);
      const held = new Set<number>();
      /** Batches that an encoder may still read, with what is in them. */
      const reading: { batch: ColumnBatch; expected: unknown[] }[] = [];
      let next = 0;
      const choose = (wanted: [number, number][]): number[] => [...held].filter((n) => wanted.some(([from, length]) => n >= from && n < from + length));
      for (const step of list) {
        if ("append" in step) {
          columns.append(Array.from({ length: step.append }, (_, k) => rowOf(next + k)), (_row, _index, reason) => assert.fail(reason));
          for (let k = 0; k < step.append; k++) held.add(next++);
        } else if ("take" in step) {
          const chosen = choose(step.take);
          const batch = columns.take(chosen.map((n) => [n, n + 1] as const));
          for (const n of chosen) held.delete(n);
          reading.push({ batch, expected: chosen.map((n) => plain(rowOf(n))) });
        } else if ("drop" in step) {
          for (const n of choose(step.drop)) held.delete(n);
          columns.drop(step.drop.map(([from, length]) => [from, from + length] as const));
        } else if (reading.length > 0) {
          const [over] = reading.splice(step.release % reading.length, 1);
          assert.deepEqual(await rowsIn(over!.batch), over!.expected);
          releaseBatch(over!.batch);
          // Twice is harmless only while nobody has taken it: the sink never does, and the pool does not hand it out twice.
          releaseBatch(over!.batch);
        }
        squat();
      }
      for (const { batch, expected } of reading) assert.deepEqual(await rowsIn(batch), expected);
      const rest = [...held];
      assert.deepEqual(await rowsIn(columns.take(rest.map((n) => [n, n + 1] as const))), rest.map((n) => plain(rowOf(n))));
    }), { numRuns: Number(process.env["TICKLAKE_FAULT_ROUNDS"] ?? 1) * 3, endOnFailure: true });
  });

  it("holds a part of a batch that is written again until all of it is over", async () => {
    const columns = new ColumnAccumulator(SCHEMA);
    columns.append(Array.from({ length: 9000 }, (_, n) => rowOf(n)), () => assert.fail());
    const batch = columns.take([[0, 9000]]);
    const leaves = leafColumns(SCHEMA);
    for (const runs of [[0, 4000], [10, 20, 4000, 9000]]) {
      const part = { rows: runs.reduce((sum, x, i) => sum + (i % 2 === 0 ? -x : x), 0), bytes: 0, columns: batch.columns.map((column, i) => sliceColumn(column, rowIndex(column, leaves[i]!, 9000), runs)) };
      columns.append(Array.from({ length: 9000 }, (_, n) => rowOf(n)), () => assert.fail());
      squat();
      const expected = Array.from({ length: 9000 }, (_, n) => n).filter((n) => runs.some((from, i) => i % 2 === 0 && n >= from && n < runs[i + 1]!));
      assert.deepEqual(await rowsIn(part), expected.map((n) => plain(rowOf(n))));
    }
  });

  it("is handed out once, zeroed", () => {
    const [a, b] = [allocate(40_000), allocate(40_000)];
    new Uint8Array(a).fill(1);
    release(a);
    release(a);
    release(b);
    const again = [allocate(40_000), allocate(40_000), allocate(40_000)];
    assert.equal(new Set(again).size, 3);
    assert.ok(again.every((buffer) => new Uint8Array(buffer).every((byte) => byte === 0)));
  });
});
