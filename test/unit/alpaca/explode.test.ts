import assert from "node:assert/strict";
import { encode, ExtData } from "@msgpack/msgpack";
import fc from "fast-check";
import { FrameReader } from "../../../lib/alpaca/frames";
import { decodeMsgpack } from "../../../lib/alpaca/msgpack";
import { LazyRawTrades } from "../../../lib/trades/columnar/lazy-trades";
import { TradeColumns } from "../../../lib/trades/columnar/columns";
import { explode, type ExplodeOptions } from "../../../lib/trades/explode";
import { parseJson } from "../../../lib/trades/explode-json";
import { explodeColumns } from "../../../lib/trades/explode-records";
import type { LazyTrades } from "../../../lib/trades/columnar/lazy-trades";
import type { RawTrade, TradeNames } from "../../../lib/trades/types";
import { jsonOf } from "../../support/alpaca-server";

/** What the reader lets pass: as columns, and one by one as objects. */
function passed(data: Uint8Array, binary: boolean): { columns: TradeColumns; objects: RawTrade[]; malformed: number } {
  const objects: RawTrade[] = [];
  let malformed = 0;
  const reader = new FrameReader({ rows: () => undefined, trade: (trade) => objects.push(trade), other: () => undefined, malformed: () => { malformed++; } });
  reader.read(data, binary);
  return { columns: reader.columns.seal(), objects, malformed };
}

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, true, "", " ", "t", "1", "-1", "0.5", "9223372036854775807", "9223372036854775808", "99999999999999999999", "2024-01-02", "2024-13-01T00:00:00Z", "2024-01-02T03:04:05.1234567890Z", "1969-12-31T23:59:59Z"),
  fc.constantFrom<unknown>(-1, -0, 0.5, 1e-7, 1e300, 2 ** 53, 2 ** 53 + 2, 253_402_300_799_999, 253_402_300_800_000, 9_223_372_036_854_775_807n, -1n),
  fc.constantFrom<unknown>([], {}, [1], ["@", null], [["@"]], "x".repeat(65), new Array(65).fill("I"), ["y".repeat(65)], "Ünïcödé", "a\u0000b", '"\\'),
  fc.double(), fc.integer(), fc.string(), fc.array(fc.string({ maxLength: 3 }), { maxLength: 3 }),
);
/** What MessagePack has and JSON has not. */
const packedOnly: fc.Arbitrary<unknown> = fc.constantFrom<unknown>(
  NaN, Infinity, -Infinity, new Uint8Array([1, 2]), new ExtData(5, new Uint8Array(4)),
  ...["ffffffff", "ffffffffffffffff", "0000000065939325", "3b9ac9ff00000000ffffffff", "3b9aca007fffffffffffffff", "00000000ffffffffffffffff", "00"].map((hex) => new ExtData(-1, Buffer.from(hex, "hex"))),
);
const good = fc.record({
  T: fc.constant("t"), S: fc.constantFrom("AAPL", "BRK.B", "A"), i: fc.nat(), x: fc.constantFrom("V", "P"), p: fc.constantFrom(0, 1, 182.45), s: fc.nat(),
  t: fc.constantFrom("2024-01-02T14:30:00Z", "2024-01-02T14:30:00.123456789Z"), c: fc.constantFrom(["@"], ["@", "I"], []), z: fc.constantFrom("A", "C"),
}) as fc.Arbitrary<Record<string, unknown>>;
const FIELDS = ["T", "S", "i", "x", "p", "s", "t", "c", "z", "tns"] as const;

/** Trades of which some have lost a field, or have something else in its place. */
const messages = (binary: boolean): fc.Arbitrary<Record<string, unknown>[]> => fc.array(
  fc.tuple(good, fc.array(fc.tuple(fc.constantFrom(...FIELDS), fc.oneof(fc.constant("gone" as const), odd.map((value) => ({ value })), ...(binary ? [packedOnly.map((value) => ({ value }))] : []))), { maxLength: 2 }))
    .map(([trade, changes]) => {
      const changed = { ...trade };
      for (const [field, change] of changes) {
        if (change === "gone") delete changed[field];
        else changed[field] = change.value;
      }
      return changed;
    }), { maxLength: 12 });

describe("what alpaca-in hands to explode-trades as columns", () => {
  for (const binary of [false, true]) for (const names of ["documented", "readable"] as TradeNames[]) {
    it(`${binary ? "MessagePack" : "JSON"}, ${names} names: is exactly what explode-trades would let pass of the same messages (random)`, () => {
      const options: ExplodeOptions = { names, other: "reject" };
      fc.assert(fc.property(messages(binary), (list) => {
        const data = binary ? Buffer.from(encode(list, { useBigInt64: true, ignoreUndefined: true })) : Buffer.from(jsonOf(list));
        const { columns, objects } = passed(data, binary);
        const seen = (binary ? decodeMsgpack(data) : parseJson(data.toString())) as Record<string, unknown>[];
        // The stream's messages have their time in t; what has it in `timestamp` was flattened before and does not come from there.
        const reference = explode(seen, options);
        const quick = explodeColumns(new LazyRawTrades(columns), options).trades as LazyTrades;
        assert.deepEqual(quick.materialise(), reference.trades);
        // What travels as an object is what columns cannot hold: fractions of a share, which explode-trades rejects with its reason.
        for (const { reason } of explode(objects, options).rejects) assert.match(reason, /^s must be a whole number of shares/);
        assert.equal(explode(objects, options).trades.length, 0);
      }), { numRuns: 500 });
    });
  }

  it("a time that does not exist costs its own trade, not the frame (MessagePack)", () => {
    const one = { T: "t", S: "AAPL", i: 1, x: "V", p: 1, s: 1, t: "2024-01-02T14:30:00Z", c: ["@"], z: "C" };
    const never = new ExtData(-1, Buffer.from("3b9aca007fffffffffffffff", "hex"));
    const { columns, malformed } = passed(Buffer.from(encode([one, { ...one, i: 2, t: never }, { ...one, i: 3 }])), true);
    assert.deepEqual([columns.rawObjects().map(({ i }) => i), malformed], [[1, 3], 1]);
  });
});
