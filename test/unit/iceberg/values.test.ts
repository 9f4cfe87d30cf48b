import assert from "node:assert/strict";
import fc from "fast-check";
import type { PrimitiveType } from "../../../lib/iceberg/types";
import { compareBytes, compareValues, deserializeValue, serializeValue, truncateLower, truncateUpper, type Literal } from "../../../lib/iceberg/values";

const hex = (type: PrimitiveType, value: Literal): string => Buffer.from(serializeValue(type, value)).toString("hex");

describe("single-value serialization", () => {
  it("has the bytes of the specification's appendix D", () => {
    assert.equal(hex("boolean", true), "01");
    assert.equal(hex("int", -2), "feffffff");
    assert.equal(hex("date", 17486), "4e440000");
    assert.equal(hex("long", 9007199254740993n), "0100000000002000");
    assert.equal(hex("timestamptz", 1n), "0100000000000000");
    assert.equal(hex("float", 1.5), "0000c03f");
    assert.equal(hex("double", -0), "0000000000000080");
    assert.equal(hex("string", "ü"), "c3bc");
    assert.equal(hex("decimal(9, 2)", 1420n), "058c");
    assert.equal(hex("decimal(9, 2)", -1n), "ff");
    assert.equal(hex("decimal(9, 2)", 128n), "0080");
    assert.equal(hex("uuid", Uint8Array.from(Buffer.from("f79c3e09677c4bbda4793f349cb785e7", "hex"))), "f79c3e09677c4bbda4793f349cb785e7");
  });

  it("reads back what it wrote, for every type", () => {
    const long = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
    const cases: [PrimitiveType, fc.Arbitrary<Literal>][] = [
      ["boolean", fc.boolean()], ["int", fc.integer()], ["date", fc.integer()], ["long", long], ["time", long], ["timestamp", long], ["timestamptz", long],
      ["float", fc.float()], ["double", fc.double()], ["string", fc.string({ unit: "grapheme" })], ["binary", fc.uint8Array()], ["fixed[4]", fc.uint8Array({ minLength: 4, maxLength: 4 })],
      ["decimal(38, 4)", fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n })],
    ];
    for (const [type, values] of cases) {
      fc.assert(fc.property(values, (value) => assert.deepEqual(deserializeValue(type, serializeValue(type, value)), value)), { numRuns: 60 });
    }
  });

  it("reads bounds that were written before a column was widened", () => {
    assert.equal(deserializeValue("long", serializeValue("int", -7)), -7n);
    assert.equal(deserializeValue("double", serializeValue("float", 1.5)), 1.5);
    assert.throws(() => deserializeValue("int", Uint8Array.of(1)), /1 bytes are no value of type int/);
  });
});

describe("order and bounds", () => {
  const strings = fc.string({ unit: "binary", maxLength: 40 }).map((s) => Buffer.from(s).toString());

  it("orders text by code point, as its UTF-8 bytes do", () => {
    assert.ok(compareValues("string", "\uffee", "😀") < 0);
    fc.assert(fc.property(strings, strings, (a, b) => assert.equal(Math.sign(compareValues("string", a, b)), Math.sign(compareBytes(Buffer.from(a), Buffer.from(b))))));
  });

  it("shortens bounds so that they still hold", () => {
    fc.assert(fc.property(strings, (s) => {
      const [lower, upper] = [truncateLower("string", s), truncateUpper("string", s)];
      assert.ok(compareValues("string", lower, s) <= 0 && [...lower].length <= 16);
      if (upper !== undefined) assert.ok(compareValues("string", upper, s) >= 0 && [...upper].length <= 16 && Buffer.from(upper).toString() === upper);
    }));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 30 }), (b) => {
      const upper = truncateUpper("binary", b);
      assert.ok(compareBytes(truncateLower("binary", b), b) <= 0);
      if (upper) assert.ok(compareBytes(upper, b) >= 0 && upper.length <= 16);
    }));
  });

  it("increments whole characters, and has no upper bound where none exists", () => {
    assert.equal(truncateUpper("string", "aaaaaaaaaaaaaaaa!"), "aaaaaaaaaaaaaaab");
    assert.equal(truncateUpper("string", `${"a".repeat(15)}\u{10ffff}x`), `${"a".repeat(14)}b`);
    assert.equal(truncateUpper("string", `${"a".repeat(15)}\ud7ffx`), `${"a".repeat(15)}\ue000`);
    assert.equal(truncateUpper("string", "\u{10ffff}".repeat(17)), undefined);
    assert.equal(truncateUpper("binary", new Uint8Array(17).fill(255)), undefined);
    assert.equal(truncateUpper("string", "short"), "short");
  });
});
