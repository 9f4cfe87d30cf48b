import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { readContainer, recordType, writeContainer, type AvroSchema } from "../../../lib/iceberg/avro/container";
import { crc32, decompressSnappy } from "../../../lib/iceberg/avro/codecs";
import { decodeManifest, ManifestWriter } from "../../../lib/iceberg/avro/manifest";
import { decodeManifestList, encodeManifestList } from "../../../lib/iceberg/avro/manifest-list";
import { decimalBytes } from "../../../lib/iceberg/schema";
import { partitionTypes } from "../../../lib/iceberg/partition-type";
import type { DataFile, ManifestEntry, ManifestFile, PartitionSpec, PartitionValue, PrimitiveType, Schema } from "../../../lib/iceberg/types";
import { dataFile, SCHEMA, SPEC } from "../../support/iceberg";

const snappyjs = createRequire(__filename)("snappyjs") as { compress(bytes: Uint8Array): Uint8Array };
const BIG = 8744736658442914487n;

const line = (more: Partial<ManifestFile> = {}): ManifestFile => ({
  path: "/w/db/t/metadata/m0.avro", length: 5000, specId: 0, content: 0, sequenceNumber: 7, minSequenceNumber: 3, addedSnapshotId: BIG,
  addedFiles: 1, existingFiles: 2, deletedFiles: 3, addedRows: 10, existingRows: 20, deletedRows: 30, ...more,
});

/** The container's header as any Avro reader sees it. */
async function header(bytes: Uint8Array): Promise<{ schema: { fields: { name: string; type: never; "field-id": number }[] }; metadata: ReadonlyMap<string, string> }> {
  return (await readContainer(bytes, "test")) as never;
}

describe("manifests", () => {
  const writer = new ManifestWriter(SCHEMA, SPEC, ["long"]);

  it("come back as they were written", async () => {
    const file = dataFile("/w/db/t/data/ts_trunc=100/ü😀.parquet", [100n, 177n], { sortOrderId: 0, nanValueCounts: new Map([[1, 0]]) });
    const entries: ManifestEntry[] = [
      { status: 0, snapshotId: 5n, sequenceNumber: 4, fileSequenceNumber: 3, file },
      { status: 2, snapshotId: BIG, sequenceNumber: 2, fileSequenceNumber: 2, file: dataFile("/deleted") },
    ];
    const back = await decodeManifest(await writer.encode(entries), line(), SPEC);
    assert.deepEqual(JSON.stringify(back, replace), JSON.stringify(entries, replace));
  });

  it("added entries inherit the sequence numbers of their manifest, others keep their own", async () => {
    const entries: ManifestEntry[] = [
      { status: 1, snapshotId: BIG, sequenceNumber: null, fileSequenceNumber: null, file: dataFile("/added") },
      { status: 0, snapshotId: 5n, sequenceNumber: 4, fileSequenceNumber: 3, file: dataFile("/existing") },
    ];
    const back = await decodeManifest(await writer.encode(entries), line({ sequenceNumber: 42 }), SPEC);
    assert.deepEqual(back.map((entry) => [entry.snapshotId, entry.sequenceNumber, entry.fileSequenceNumber]), [[BIG, 42, 42], [5n, 4, 3]]);
  });

  it("carry in their header what the specification asks for, field ids and logical types included", async () => {
    const { schema, metadata } = await header(await writer.encode([]));
    assert.deepEqual(JSON.parse(metadata.get("schema")!), SCHEMA);
    assert.deepEqual(JSON.parse(metadata.get("partition-spec")!), SPEC.fields);
    assert.deepEqual(["schema-id", "partition-spec-id", "format-version", "content", "avro.codec"].map((key) => metadata.get(key)), ["0", "0", "2", "data", "deflate"]);
    assert.deepEqual(schema.fields.map((field) => [field.name, field["field-id"]]), [["status", 0], ["snapshot_id", 1], ["sequence_number", 3], ["file_sequence_number", 4], ["data_file", 2]]);
    const file = (schema.fields[4]!.type as { fields: { name: string; "field-id": number; type: unknown }[] }).fields;
    assert.deepEqual(file.map((field) => field["field-id"]), [134, 100, 101, 102, 103, 104, 108, 109, 110, 137, 125, 128, 131, 132, 135, 140, 143]);
    assert.deepEqual(file.find((field) => field.name === "lower_bounds")!.type, ["null", {
      type: "array", logicalType: "map",
      items: { type: "record", name: "k126_v127", fields: [{ name: "key", type: "int", "field-id": 126 }, { name: "value", type: "bytes", "field-id": 127 }] },
    }]);
    assert.deepEqual((file[3]!.type as unknown as { fields: unknown[] }).fields, [{ name: "ts_trunc", type: ["null", "long"], default: null, "field-id": 1000 }]);
  });

  it("hold partition values of every type, nulls included", async () => {
    const cases: [PrimitiveType, PartitionValue][] = [
      ["boolean", true], ["int", -5], ["long", BIG], ["float", 1.5], ["double", -2.25], ["date", 19723], ["time", 86_399_999_999n], ["timestamp", 1_730_419_200_000_001n],
      ["timestamptz", -1n], ["string", "Ü.✓"], ["uuid", Buffer.from("0123456789abcdef0123456789abcdef", "hex")], ["fixed[3]", Buffer.from([1, 2, 3])], ["binary", Buffer.from([0, 255])],
      ["decimal(9, 2)", Buffer.from([0xff, 0x38])], ["decimal(9, 2)", Buffer.from([0x7f])], ["decimal(38, 0)", Buffer.from([0])],
    ];
    const schema: Schema = { type: "struct", "schema-id": 0, fields: cases.map(([type], i) => ({ id: i + 1, name: `c${i}`, required: false, type })) };
    const spec: PartitionSpec = { "spec-id": 0, fields: cases.map((_, i) => ({ "source-id": i + 1, "field-id": 1000 + i, name: `c ${i}/x`, transform: "identity" })) };
    const types = partitionTypes(spec, [schema]) as PrimitiveType[];
    const values = cases.map(([, value]) => value);
    const entries = [values, values.map(() => null)].map((partition): ManifestEntry => ({ status: 1, snapshotId: 1n, sequenceNumber: 1, fileSequenceNumber: 1, file: dataFile("/x", [0n], { partition }) }));
    const back = await decodeManifest(await new ManifestWriter(schema, spec, types).encode(entries), line(), spec);
    assert.deepEqual(back.map((entry) => entry.file.partition.map(plain)), [values.map(plain), values.map(() => null)]);
  });

  it("hold any file with any metrics", async () => {
    const map = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Map<number, T>> => fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 31 - 1 }), value), { maxLength: 5 }).map((pairs) => new Map(pairs));
    const count = fc.maxSafeNat();
    const bytes = fc.uint8Array({ maxLength: 20 }).map((value) => Buffer.from(value));
    const file: fc.Arbitrary<DataFile> = fc.record({
      content: fc.constant(0 as const), filePath: fc.string({ unit: "grapheme" }), fileFormat: fc.constant("PARQUET"), specId: fc.constant(0),
      partition: fc.tuple(fc.option(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n))), recordCount: count, fileSizeInBytes: count,
      columnSizes: map(count), valueCounts: map(count), nullValueCounts: map(count), nanValueCounts: map(count), lowerBounds: map(bytes), upperBounds: map(bytes), splitOffsets: fc.array(count, { maxLength: 3 }),
    });
    await fc.assert(fc.asyncProperty(fc.array(file, { maxLength: 5 }), async (files) => {
      const entries = files.map((one): ManifestEntry => ({ status: 1, snapshotId: BIG, sequenceNumber: 9, fileSequenceNumber: 9, file: one }));
      const back = await decodeManifest(await writer.encode(entries), line(), SPEC);
      assert.equal(JSON.stringify(back, replace), JSON.stringify(entries, replace));
    }), { numRuns: 60 });
  });

  it("of thousands of entries let other work go on", async () => {
    const entries = Array.from({ length: 5000 }, (_, i): ManifestEntry => ({ status: 1, snapshotId: BIG, sequenceNumber: null, fileSequenceNumber: null, file: dataFile(`/w/data/${i}.parquet`, [BigInt(i)]) }));
    const bytes = await writer.encode(entries);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const back = await decodeManifest(bytes, line(), SPEC);
    clearInterval(timer);
    assert.equal(back.length, 5000);
    assert.equal(back[4999]!.file.filePath, "/w/data/4999.parquet");
    assert.ok(turns >= 3, `the event loop turned ${turns} times`);
  });
});

describe("manifest lists", () => {
  it("come back as they were written", async () => {
    const manifests = [
      line({ partitions: [{ containsNull: true, containsNan: false, lowerBound: Buffer.from([1]), upperBound: Buffer.from([2]) }, { containsNull: false }] }),
      line({ path: "/w/deletes.avro", content: 1, keyMetadata: Buffer.from([9]) }),
    ];
    const bytes = await encodeManifestList(manifests, { snapshotId: BIG, parentSnapshotId: 5n, sequenceNumber: 7 });
    assert.equal(JSON.stringify(await decodeManifestList(bytes, "list"), replace), JSON.stringify(manifests, replace));
    const { metadata, schema } = await header(bytes);
    assert.deepEqual(["snapshot-id", "parent-snapshot-id", "sequence-number", "format-version"].map((key) => metadata.get(key)), [String(BIG), "5", "7", "2"]);
    assert.deepEqual(schema.fields.map((field) => field["field-id"]), [500, 501, 502, 517, 515, 516, 503, 504, 505, 506, 512, 513, 514, 507, 519]);
  });
});

describe("what other engines write", () => {
  /** Format version 1: other names, no sequence numbers, no content, nullable counts. */
  it("a version 1 manifest list and manifest are read with sequence number 0", async () => {
    const listSchema: AvroSchema = {
      type: "record", name: "manifest_file",
      fields: [
        { name: "manifest_path", type: "string", "field-id": 500 }, { name: "manifest_length", type: "long", "field-id": 501 }, { name: "partition_spec_id", type: "int", "field-id": 502 },
        { name: "added_snapshot_id", type: ["null", "long"], default: null, "field-id": 503 },
        { name: "added_data_files_count", type: ["null", "int"], default: null, "field-id": 504 },
      ],
    };
    const list = await writeContainer(listSchema, recordType(listSchema), [{ manifest_path: "/m", manifest_length: 9n, partition_spec_id: 0, added_snapshot_id: BIG, added_data_files_count: null }], {}, "null");
    const [manifest] = await decodeManifestList(list, "list");
    assert.deepEqual(manifest, {
      path: "/m", length: 9, specId: 0, content: 0, sequenceNumber: 0, minSequenceNumber: 0, addedSnapshotId: BIG,
      addedFiles: undefined, existingFiles: undefined, deletedFiles: undefined, addedRows: undefined, existingRows: undefined, deletedRows: undefined,
    });
    const entrySchema: AvroSchema = {
      type: "record", name: "manifest_entry",
      fields: [
        { name: "status", type: "int", "field-id": 0 }, { name: "snapshot_id", type: ["null", "long"], default: null, "field-id": 1 },
        {
          name: "data_file", "field-id": 2,
          type: {
            type: "record", name: "r2",
            fields: [
              { name: "record_count", type: "long", "field-id": 103 }, { name: "file_path", type: "string", "field-id": 100 }, { name: "file_format", type: "string", "field-id": 101 },
              { name: "partition", type: { type: "record", name: "r102", fields: [{ name: "another_name", type: ["null", "long"], default: null, "field-id": 1000 }] }, "field-id": 102 },
              { name: "file_size_in_bytes", type: "long", "field-id": 104 }, { name: "block_size_in_bytes", type: "long", "field-id": 105 },
            ],
          },
        },
      ],
    };
    const data = { record_count: 3n, file_path: "/f", file_format: "PARQUET", partition: { another_name: 100n }, file_size_in_bytes: 12n, block_size_in_bytes: 67_108_864n };
    const bytes = await writeContainer(entrySchema, recordType(entrySchema), [{ status: 1, snapshot_id: null, data_file: data }, { status: 0, snapshot_id: 4n, data_file: data }], {}, "deflate");
    const entries = await decodeManifest(bytes, manifest!, SPEC);
    assert.deepEqual(entries.map((entry) => [entry.snapshotId, entry.sequenceNumber, entry.file.partition, entry.file.recordCount, entry.file.content]), [[BIG, 0, [100n], 3, 0], [4n, 0, [100n], 3, 0]]);
  });

  it("schemas without field ids are read by name", async () => {
    const list = await encodeManifestList([line()], { snapshotId: 1n, sequenceNumber: 1 });
    const { schema, records } = await readContainer(list, "list");
    const stripped = JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === "field-id" ? undefined : value))) as AvroSchema;
    const bytes = await writeContainer(stripped, recordType(stripped), records, {}, "null");
    assert.equal(JSON.stringify(await decodeManifestList(bytes, "list"), replace), JSON.stringify([line()], replace));
  });

  /** A container of two blocks with a codec that we do not write. */
  async function recompressed(codec: string, compress: (plain: Buffer) => Uint8Array): Promise<Uint8Array> {
    const schema: AvroSchema = { type: "record", name: "r", fields: [{ name: "text", type: "string" }, { name: "n", type: "long" }] };
    const type = recordType(schema);
    const meta = { "avro.schema": JSON.stringify(schema), "avro.codec": codec };
    const varint = (n: number): number[] => (n * 2 < 128 ? [n * 2] : [((n * 2) % 128) | 128, ...varintRest(Math.floor((n * 2) / 128))]);
    const varintRest = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varintRest(Math.floor(n / 128))]);
    const text = (value: string): Buffer => Buffer.concat([Buffer.from(varint(Buffer.byteLength(value))), Buffer.from(value)]);
    const sync = Buffer.alloc(16, 7);
    const parts: Uint8Array[] = [Buffer.from("Obj\u0001"), Buffer.from(varint(2)), ...Object.entries(meta).flatMap(([key, value]) => [text(key), text(value)]), Buffer.from([0]), sync];
    for (const n of [BIG, -1n]) {
      const block = compress(type.toBuffer({ text: "abcabcabc".repeat(500), n }));
      parts.push(Buffer.from([2]), Buffer.from(varint(block.length)), block, sync);
    }
    return Buffer.concat(parts);
  }
  const crcOf = (plain: Buffer): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(crc32(plain));
    return bytes;
  };

  it("snappy blocks are read and their checksum is checked", async () => {
    const good = await recompressed("snappy", (plain) => Buffer.concat([snappyjs.compress(plain), crcOf(plain)]));
    assert.deepEqual((await readContainer(good, "x")).records.map((record) => [(record["text"] as string).length, record["n"]]), [[4500, BIG], [4500, -1n]]);
    const bad = await recompressed("snappy", (plain) => Buffer.concat([snappyjs.compress(plain), Buffer.alloc(4)]));
    await assert.rejects(readContainer(bad, "x"), { code: "TABLE_CORRUPT", message: /checksum/ });
  });

  it("zstandard is read on every Node", async () => {
    // A frame with one block that is stored as it is (RFC 8878): no runtime is needed to write it.
    const stored = (plain: Buffer): Buffer => {
      const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0, 0, 0, 0]);
      header.writeUInt32LE(plain.length, 5);
      header.writeUIntLE((plain.length << 3) | 1, 9, 3);
      return Buffer.concat([header, plain]);
    };
    assert.equal((await readContainer(await recompressed("zstandard", stored), "x")).records.length, 2);
    const zstd = (zlib as unknown as { zstdCompressSync?: (plain: Buffer) => Uint8Array }).zstdCompressSync;
    if (zstd) assert.equal((await readContainer(await recompressed("zstandard", zstd), "x")).records.length, 2);
  });

  it("an unknown codec is named", async () => {
    await assert.rejects(readContainer(await recompressed("xz", (plain) => plain), "x"), { code: "TABLE_UNSUPPORTED", message: /"xz"/ });
  });

  it("damaged files are named, wherever they are damaged", async () => {
    const bytes = await encodeManifestList([line(), line()], { snapshotId: 1n, sequenceNumber: 1 });
    for (let length = 0; length < bytes.length; length += 7) {
      const cut = bytes.subarray(0, length);
      try {
        const { records } = await readContainer(cut, "/w/list.avro");
        assert.equal(records.length, 0, "a file cut off after its header has no records");
      } catch (error) {
        assert.equal((error as { code?: string }).code, "TABLE_CORRUPT");
        assert.match((error as Error).message, /\/w\/list\.avro/);
      }
    }
    await assert.rejects(readContainer(Buffer.from("PAR1 no avro at all"), "f"), { code: "TABLE_CORRUPT" });
  });

  it("snappy: what an independent encoder wrote, of any kind; damaged input is an error, never a hang", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 50 }), fc.integer({ min: 1, max: 300 }))), (parts) => {
      const plain = Buffer.concat(parts.flatMap(([bytes, times]) => Array.from({ length: times }, () => bytes)));
      assert.deepEqual(Buffer.from(decompressSnappy(snappyjs.compress(plain))), plain);
    }), { numRuns: 100 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decompressSnappy(bytes.length > 0 ? Uint8Array.of(bytes[0]! & 0x7f, ...bytes.subarray(1)) : bytes);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "TABLE_CORRUPT");
      }
    }), { numRuns: 500 });
  });

  it("CRC-32 and the sizes of decimals are those of the standards", () => {
    assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926);
    assert.deepEqual([1, 2, 3, 4, 9, 10, 18, 19, 38].map(decimalBytes), [1, 1, 2, 2, 4, 5, 8, 9, 16]);
  });
});

function plain(value: PartitionValue): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

/** Maps, bytes and bigints in a form that compares. */
function replace(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const raw = this[key];
  if (raw instanceof Uint8Array) return Buffer.from(raw).toString("hex");
  if (raw instanceof Map) return [...raw];
  return typeof value === "bigint" ? `${value}n` : value;
}
