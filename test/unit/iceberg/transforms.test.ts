import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { parseSchema, TRADES_SCHEMA } from "../../../lib/iceberg/schema";
import { applyTransform, bucketHash, humanValue, parsePartitionBy, parseTransform, partitionPath } from "../../../lib/iceberg/transforms";
import type { PrimitiveType } from "../../../lib/iceberg/types";
import { bigintToBytes, type Literal } from "../../../lib/iceberg/values";

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll("-", ""), "hex"));
const micros = (iso: string): bigint => BigInt(Date.parse(iso)) * 1000n;

const refusal = (text: string, reason: RegExp): void => {
  assert.throws(() => parsePartitionBy(text, TRADES_SCHEMA), (error: unknown) => error instanceof TicklakeError && error.code === "PARTITION_SPEC_INVALID" && reason.test(error.message), text);
};

describe("partition transforms", () => {
  it("hash as the specification's appendix B prescribes", () => {
    const vectors: [PrimitiveType, Literal, number][] = [
      ["int", 34, 2017239379],
      ["long", 34n, 2017239379],
      ["decimal(9, 2)", 1420n, -500754589],
      ["date", 17486, -653330422],
      ["time", 81068000000n, -662762989],
      ["timestamp", 1510871468000000n, -2047944441],
      ["timestamptz", 1510871468000000n, -2047944441],
      ["timestamp", 1510871468000001n, -1207196810],
      ["string", "iceberg", 1210000089],
      ["uuid", bytes("f79c3e09-677c-4bbd-a479-3f349cb785e7"), 1488055340],
      ["fixed[4]", bytes("00010203"), -188683207],
      ["binary", bytes("00010203"), -188683207],
    ];
    for (const [type, value, expected] of vectors) assert.equal(bucketHash(type, value), expected, `${type} ${String(value)}`);
  });

  it("truncate as the specification's examples", () => {
    const truncate = (type: PrimitiveType, width: number, value: Literal): unknown => applyTransform({ kind: "truncate", width }, type, value);
    assert.equal(truncate("int", 10, 1), 0);
    assert.equal(truncate("int", 10, -1), -10);
    assert.equal(truncate("long", 10, -1n), -10n);
    assert.equal(truncate("long", 86400000, 1381132800464n), 1381104000000n);
    assert.deepEqual(truncate("decimal(9, 2)", 50, 1065n), bigintToBytes(1050n));
    assert.deepEqual(truncate("decimal(9, 2)", 50, -5n), bigintToBytes(-50n));
    assert.equal(truncate("string", 3, "iceberg"), "ice");
    assert.equal(truncate("string", 2, "a😀b"), "a😀");
    assert.deepEqual(truncate("binary", 3, bytes("0102030405")), bytes("010203"));
  });

  it("count years, months, days and hours from 1970, downwards before it", () => {
    const at = (kind: "year" | "month" | "day" | "hour", iso: string): unknown => applyTransform({ kind }, "timestamptz", micros(iso));
    assert.deepEqual([at("year", "2017-11-16T22:31:08Z"), at("month", "2017-11-16T22:31:08Z"), at("day", "2017-11-16T22:31:08Z"), at("hour", "2017-11-16T22:31:08Z")], [47, 574, 17486, 419686]);
    assert.deepEqual([at("year", "1969-12-31T23:59:59Z"), at("month", "1969-12-31T23:59:59Z"), at("day", "1969-12-31T23:59:59Z"), at("hour", "1969-12-31T23:59:59Z")], [-1, -1, -1, -1]);
    assert.equal(applyTransform({ kind: "month" }, "date", -1), -1);
  });

  it("leave null null", () => {
    for (const text of ["identity", "bucket[4]", "truncate[4]", "year", "month", "day", "hour", "void"]) assert.equal(applyTransform(parseTransform(text), "timestamp", null), null, text);
    assert.equal(applyTransform({ kind: "void" }, "int", 3), null);
  });
});

describe("partitioning as users write it", () => {
  const schema = parseSchema({
    fields: [
      { name: "ts", type: "timestamp" }, { name: "S", type: "string" }, { name: "timestamp", type: "long" }, { name: "x", type: "string" },
      { name: "venue", type: { type: "struct", fields: [{ name: "mic", type: "string" }] } }, { name: "odd, name", type: "int" },
    ],
  });

  it("gets the names that Spark and Java give", () => {
    const spec = parsePartitionBy("truncate[86400000](timestamp), bucket[16](S), day(ts), x, identity venue.mic, `odd, name`", schema, 3);
    assert.equal(spec["spec-id"], 3);
    assert.deepEqual(spec.fields.map((f) => [f["field-id"], f["source-id"], f.name, f.transform]), [
      [1000, 3, "timestamp_trunc", "truncate[86400000]"], [1001, 2, "S_bucket", "bucket[16]"], [1002, 1, "ts_day", "day"],
      [1003, 4, "x", "identity"], [1004, 7, "venue.mic", "identity"], [1005, 6, "odd, name", "identity"],
    ]);
  });

  it("takes Spark's spelling", () => {
    const spec = parsePartitionBy("days(ts), bucket(16, S), truncate(x, 4)", schema);
    assert.deepEqual(spec.fields.map((f) => `${f.transform} ${f.name}`), ["day ts_day", "bucket[16] S_bucket", "truncate[4] x_trunc"]);
  });

  it("means no partitions when empty", () => assert.deepEqual(parsePartitionBy("  ", schema).fields, []));

  it("says what is wrong", () => {
    refusal("day(timestamp)", /timestamp \(long\).*truncate\[86400000\]/);
    refusal("TIMESTAMP", /there is "timestamp" \(upper and lower case differ\)/);
    refusal("price", /no column "price".*T, S, i, x, p, s, timestamp, c, z/);
    refusal("bucket(S)", /bucket\[16\]\(S\)/);
    refusal("bucket[0](S)", /from 1 to/);
    refusal("bucket[4](p)", /does not apply to p \(double\)/);
    refusal("c.element", /inside a list/);
    refusal("identity(c)", /single value/);
    refusal("week(timestamp)", /unknown transform "week"/);
    refusal("truncate[2](S", /ends inside brackets/);
    refusal("S,,x", /nothing between two commas/);
    refusal("S, identity S", /says again/);
    refusal("day[3](timestamp)", /only bucket and truncate/);
  });

  it("names folders as Iceberg's Java library does", () => {
    const spec = parsePartitionBy("truncate[86400000](timestamp), day(ts), x", schema);
    assert.equal(partitionPath(spec, schema, [1381104000000n, 15985, "a b/ü=*"]), "timestamp_trunc=1381104000000/ts_day=2013-10-07/x=a+b%2F%C3%BC%3D*");
    assert.equal(partitionPath(spec, schema, [null, null, null]), "timestamp_trunc=null/ts_day=null/x=null");
    assert.equal(humanValue({ kind: "hour" }, "int", 419686), "2017-11-16-22");
    assert.equal(humanValue({ kind: "month" }, "int", -1), "1969-12");
    assert.equal(humanValue({ kind: "year" }, "int", 47), "2017");
    assert.equal(humanValue({ kind: "identity" }, "timestamptz", micros("2017-11-16T22:31:08Z") + 1n), "2017-11-16T22:31:08.000001+00:00");
    assert.equal(humanValue({ kind: "identity" }, "decimal(9, 2)", bigintToBytes(-1250n)), "-12.50");
  });
});
