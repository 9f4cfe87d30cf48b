import assert from "node:assert/strict";
import fc from "fast-check";
import { applyTransform, parseTransform } from "../../../../lib/iceberg/transforms";
import type { DataFile, ManifestFile, PartitionField, PartitionSpec, PrimitiveType, Schema, Snapshot, TableMetadata } from "../../../../lib/iceberg/types";
import { compareValues, serializeValue, truncateLower, truncateUpper } from "../../../../lib/iceberg/values";
import { planScan, ManifestCache } from "../../../../lib/iceberg/scan/plan";
import { bindPredicate, compareScalars, type Literal, type Predicate } from "../../../../lib/iceberg/scan/predicate";
import { openCatalog } from "../../../../lib/iceberg/catalog/open";
import { addedEntry, summarize, writeManifest, writeManifestList } from "../../../../lib/iceberg/manifests";
import { partitionTypes } from "../../../../lib/iceberg/partition-type";
import { newTableMetadata } from "../../../../lib/iceberg/metadata";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

type Value = Literal | null;

/** One column `v` of each type, with values that meet edges: signs, truncation, surrogates, NaN, days and hours. */
const VALUES: Record<string, fc.Arbitrary<Literal>> = {
  int: fc.integer({ min: -50, max: 50 }),
  long: fc.bigInt({ min: -100n, max: 100n }),
  double: fc.oneof(fc.double({ min: -5, max: 5, noNaN: true }), fc.constantFrom(0, -0, NaN, 1.5)),
  string: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("", "a", "ab", "abc", "abcdefghijklmnopqrstuvwxyz", "\uffff", "😀", "😀x", "\ue000", "Z")),
  date: fc.integer({ min: -800, max: 800 }),
  timestamp: fc.bigInt({ min: -100n, max: 100n }).map((hours) => hours * 1_800_000_000n + 1n),
  boolean: fc.boolean(),
  "decimal(9, 2)": fc.bigInt({ min: -300n, max: 300n }),
};

const TRANSFORMS: Record<string, string[]> = {
  int: ["identity", "bucket[3]", "truncate[7]", "void"],
  long: ["identity", "bucket[3]", "truncate[7]"],
  double: ["identity"],
  string: ["identity", "bucket[3]", "truncate[2]"],
  date: ["identity", "bucket[3]", "year", "month", "day"],
  timestamp: ["identity", "bucket[3]", "year", "month", "day", "hour"],
  boolean: ["identity"],
  "decimal(9, 2)": ["identity", "bucket[3]", "truncate[50]"],
};

/** SQL's truth of a predicate on one row; NaN is equal to itself and greater than all, as in every engine we know. */
function truth(predicate: Predicate, v: Value): boolean | null {
  const compare = (a: Literal, b: Literal): number => {
    const [x, y] = [Number.isNaN(a as number), Number.isNaN(b as number)];
    return x || y ? Number(x) - Number(y) : compareScalars(a, b);
  };
  switch (predicate.op) {
    case "true": return true;
    case "false": return false;
    case "not": { const t = truth(predicate.arg, v); return t === null ? null : !t; }
    case "and": case "or": {
      const all = predicate.args.map((arg) => truth(arg, v));
      const decisive = predicate.op === "or";
      return all.includes(decisive) ? decisive : all.includes(null) ? null : !decisive;
    }
    case "is-null": return v === null;
    case "not-null": return v !== null;
    default:
  }
  if (v === null) return null;
  switch (predicate.op) {
    case "=": return compare(v, predicate.value) === 0;
    case "!=": return compare(v, predicate.value) !== 0;
    case "<": return compare(v, predicate.value) < 0;
    case "<=": return compare(v, predicate.value) <= 0;
    case ">": return compare(v, predicate.value) > 0;
    case ">=": return compare(v, predicate.value) >= 0;
    case "in": return predicate.values.some((value) => compare(v, value) === 0);
    case "not-in": return predicate.values.every((value) => compare(v, value) !== 0);
    case "between": return compare(v, predicate.lower) >= 0 && compare(v, predicate.upper) <= 0;
    case "starts-with": return String(v).startsWith(predicate.value);
    case "not-starts-with": return !String(v).startsWith(predicate.value);
  }
}

function predicates(type: string): fc.Arbitrary<Predicate> {
  const value = VALUES[type]!;
  const column = "v";
  const leaf: fc.Arbitrary<Predicate> = fc.oneof(
    fc.record({ op: fc.constantFrom("=", "!=", "<", "<=", ">", ">=" as const), column: fc.constant(column), value }),
    fc.record({ op: fc.constantFrom("in", "not-in" as const), column: fc.constant(column), values: fc.array(value, { minLength: 1, maxLength: 3 }) }),
    fc.record({ op: fc.constantFrom("is-null", "not-null" as const), column: fc.constant(column) }),
    fc.record({ op: fc.constant("between" as const), column: fc.constant(column), lower: value, upper: value }),
    ...(type === "string" ? [fc.record({ op: fc.constantFrom("starts-with", "not-starts-with" as const), column: fc.constant(column), value: value as fc.Arbitrary<string> })] : []),
  );
  return fc.letrec<{ tree: Predicate }>((tie) => ({
    tree: fc.oneof({ maxDepth: 3 }, leaf, fc.record({ op: fc.constantFrom("and", "or" as const), args: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }) }), fc.record({ op: fc.constant("not" as const), arg: tie("tree") })),
  })).tree;
}

function schemaOf(type: PrimitiveType): Schema {
  return { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "v", required: false, type }] };
}

/** A data file as a writer would describe it: with all statistics, or without any. */
function fileOf(name: string, type: PrimitiveType, fields: readonly PartitionField[], values: readonly Value[], statistics: boolean): DataFile {
  const numbers = values.filter((value): value is Literal => value !== null && !Number.isNaN(value as number)).sort((a, b) => compareValues(type, a, b));
  const upper = numbers.length > 0 ? truncateUpper(type, numbers.at(-1)!) : undefined;
  const nans = values.filter((value) => Number.isNaN(value as number) && typeof value === "number").length;
  return {
    content: 0, filePath: name, fileFormat: "PARQUET", specId: 0, recordCount: values.length, fileSizeInBytes: 100, columnSizes: new Map(), splitOffsets: [],
    partition: fields.map((field) => applyTransform(parseTransform(field.transform), type, values[0]!)),
    valueCounts: new Map(statistics ? [[1, values.length]] : []), nullValueCounts: new Map(statistics ? [[1, values.filter((value) => value === null).length]] : []),
    nanValueCounts: new Map(statistics && (type === "double" || type === "float") ? [[1, nans]] : []),
    lowerBounds: new Map(statistics && numbers.length > 0 ? [[1, serializeValue(type, truncateLower(type, numbers[0]!))]] : []),
    upperBounds: new Map(statistics && upper !== undefined ? [[1, serializeValue(type, upper)]] : []),
  };
}

describe("scan planning", () => {
  let folder: string;
  let n = 0;
  before(async () => { folder = await mkdtemp(join(tmpdir(), "ticklake-test-")); });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Metadata and a snapshot whose manifests list these files, `perManifest` in each. */
  async function snapshotOf(type: PrimitiveType, fields: PartitionField[], files: DataFile[], perManifest = 2): Promise<{ metadata: TableMetadata; snapshot: Snapshot; io: ReturnType<typeof openCatalog>["io"] }> {
    const { io } = openCatalog({ warehouse: folder }, folder);
    const schema = schemaOf(type);
    const spec: PartitionSpec = { "spec-id": 0, fields };
    const metadata = newTableMetadata({ schema, spec, location: folder, uuid: "00000000-0000-4000-8000-000000000000", nowMs: 0 });
    const manifests: ManifestFile[] = [];
    for (let i = 0; i < files.length; i += perManifest) {
      const entries = files.slice(i, i + perManifest).map((file) => addedEntry(file, 1n));
      manifests.push(await writeManifest(io, `${folder}/m-${n++}.avro`, entries, { metadata, schema, spec }, 1n));
    }
    const list = `${folder}/list-${n++}.avro`;
    await writeManifestList(io, list, manifests, { snapshotId: 1n, sequenceNumber: 1 }, metadata);
    return { io, metadata, snapshot: { "snapshot-id": 1n, "sequence-number": 1, "timestamp-ms": 0, "manifest-list": list, summary: {} } };
  }

  const plan = async (type: PrimitiveType, fields: PartitionField[], files: DataFile[], predicate: Predicate) =>
    planScan({ ...(await snapshotOf(type, fields, files)), name: "db.t", schema: schemaOf(type), predicate });

  for (const type of Object.keys(VALUES) as PrimitiveType[]) {
    it(`never leaves out a file with a matching row: ${type}`, async function () {
      this.timeout(60_000);
      const transforms = TRANSFORMS[type]!;
      const value = fc.oneof({ arbitrary: VALUES[type]!, weight: 5 }, { arbitrary: fc.constant(null), weight: 1 });
      let skipped = 0;
      await fc.assert(fc.asyncProperty(
        fc.constantFrom(undefined, ...transforms), fc.array(value, { minLength: 1, maxLength: 12 }), fc.array(predicates(type), { minLength: 1, maxLength: 5 }), fc.boolean(), fc.integer({ min: 1, max: 4 }),
        async (transform, values, filters, statistics, size) => {
          const fields: PartitionField[] = transform === undefined ? [] : [{ "source-id": 1, "field-id": 1000, name: "v_part", transform }];
          // Rows of one partition value come into one file, as a writer does it; else in runs.
          const groups = new Map<string, Value[]>();
          values.forEach((v, i) => {
            const key = fields.length > 0 ? String(applyTransform(parseTransform(fields[0]!.transform), type, v)) : String(Math.floor(i / size));
            groups.set(key, [...(groups.get(key) ?? []), v]);
          });
          const rowsOf = new Map([...groups.values()].map((rows, i) => [`f${i}`, rows]));
          const files = [...rowsOf].map(([name, rows]) => fileOf(name, type, fields, rows, statistics));
          const source = await snapshotOf(type, fields, files);
          const cache = new ManifestCache();
          for (const predicate of filters) {
            const result = await planScan({ ...source, name: "db.t", schema: schemaOf(type), predicate, cache });
            const read = new Set(result.files.map((file) => file.filePath));
            for (const [name, rows] of rowsOf) {
              if (rows.some((row) => truth(predicate, row) === true)) assert.ok(read.has(name), `${name} with ${rows.map(String).join(", ")} was left out`);
            }
            assert.equal(result.filesScanned + result.filesSkipped, files.length);
            skipped += result.filesSkipped;
          }
        },
      ), { numRuns: 40 });
      assert.ok(skipped > 20, `files are skipped (${skipped})`);
    });
  }

  const day = (name: string, ...values: Value[]): DataFile => fileOf(name, "long", DAYS, values, true);
  const DAYS: PartitionField[] = [{ "source-id": 1, "field-id": 1000, name: "v_trunc", transform: "truncate[100]" }];

  it("skips whole manifests by their partition summaries", async () => {
    const files = [day("a", 1n), day("b", 101n), day("c", 201n), day("d", 301n)];
    const result = await plan("long", DAYS, files, { op: ">=", column: "v", value: 200 });
    assert.deepEqual(result.files.map((file) => file.filePath), ["c", "d"]);
    assert.deepEqual([result.manifestsScanned, result.manifestsSkipped, result.filesScanned, result.filesSkipped, result.rows, result.bytes], [1, 1, 2, 2, 2, 200]);
  });

  it("skips files by their statistics inside of a partition, and combines both in OR", async () => {
    const files = [day("a", 1n, 9n), day("b", 10n, 20n), day("c", 110n)];
    assert.deepEqual((await plan("long", DAYS, files, { op: "=", column: "v", value: 15n })).files.map((file) => file.filePath), ["b"]);
    const either: Predicate = { op: "or", args: [{ op: "=", column: "v", value: 5 }, { op: ">", column: "v", value: 100 }] };
    assert.deepEqual((await plan("long", DAYS, files, either)).files.map((file) => file.filePath), ["a", "c"]);
  });

  it("finds the bucket of a value", async () => {
    const fields: PartitionField[] = [{ "source-id": 1, "field-id": 1000, name: "v_bucket", transform: "bucket[16]" }];
    const files = ["AAPL", "AMZN", "MSFT", "TSLA", "GOOGL"].map((symbol) => fileOf(symbol, "string", fields, [symbol], false));
    const result = await plan("string", fields, files, { op: "in", column: "v", values: ["MSFT"] });
    assert.ok(result.files.some((file) => file.filePath === "MSFT"));
    assert.ok(result.filesSkipped >= 3, String(result.filesSkipped));
  });

  it("refuses delete files and other file formats by name", async () => {
    await assert.rejects(plan("long", [], [day("a", 1n), { ...day("gone.parquet", 1n), content: 1 }], { op: "true" }), { code: "TABLE_UNSUPPORTED", message: /position delete files \(gone\.parquet\)/ });
    await assert.rejects(plan("long", [], [{ ...day("gone.parquet", 1n), content: 2 }], { op: "true" }), { code: "TABLE_UNSUPPORTED", message: /equality delete files/ });
    await assert.rejects(plan("long", [], [{ ...day("x.orc", 1n), fileFormat: "ORC" }], { op: "true" }), { code: "TABLE_UNSUPPORTED", message: /ORC/ });
  });

  it("plans nothing for a table without snapshots", async () => {
    const { io, metadata } = await snapshotOf("long", [], [day("a", 1n)]);
    assert.equal((await planScan({ io, metadata, name: "db.t", snapshot: undefined, schema: schemaOf("long") })).filesScanned, 0);
  });

  it("says which columns there are, and which values they take", () => {
    assert.throws(() => bindPredicate(schemaOf("long"), { op: "=", column: "w", value: 1 }), { code: "SQL_INVALID", message: /No column `w`.*has v/ });
    assert.throws(() => bindPredicate(schemaOf("long"), { op: "=", column: "v", value: "x" }), { code: "SQL_INVALID", message: /type long and cannot be compared with a string/ });
  });

  it("summaries of manifests are what this relies on", () => {
    const spec: PartitionSpec = { "spec-id": 0, fields: DAYS };
    const [summary] = summarize([addedEntry(day("a", 1n), 1n), addedEntry(day("b", 250n), 1n)], partitionTypes(spec, [schemaOf("long")]) as PrimitiveType[]);
    assert.equal(Buffer.from(summary!.upperBound!).readBigInt64LE(), 200n);
  });
});
