import assert from "node:assert/strict";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { FrameReader } from "../../../lib/alpaca/frames";
import { decodeMsgpack, encodeMsgpack } from "../../../lib/alpaca/msgpack";
import { SeenTrades } from "../../../lib/alpaca/seen";
import { TradeColumns, TradeDictionary } from "../../../lib/trades/columnar/columns";
import { UtcReader } from "../../../lib/trades/columnar/utc";
import { parseRfc3339Ms } from "../../../lib/trades/time";
import type { RawTrade } from "../../../lib/trades/types";
import { jsonOf, packed, type ServerTrade } from "../../support/alpaca-server";
import { someTrades } from "../../support/alpaca-trades";

/** What a reader makes of a frame: trades, other messages, reasons, control. */
function read(data: Uint8Array | string, binary: boolean, keepNanos = false) {
  const trades: RawTrade[] = [], others: object[] = [], reasons: string[] = [];
  const reader = new FrameReader({
    rows: (columns, from) => { for (let k = from; k < columns.count; k++) trades.push(columns.raw(k)); },
    trade: (trade) => trades.push(trade), other: (message) => others.push(message), malformed: (reason) => reasons.push(reason),
  }, keepNanos);
  const control = reader.read(Buffer.from(data), binary);
  return { trades, others, reasons, control };
}

const digits = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 999_999_999 })).map(([n, f]) => (n === 0 ? "" : `.${String(f).padStart(9, "0").slice(0, n)}`));
const time = fc.tuple(fc.date({ min: new Date(0), max: new Date("2200-01-01"), noInvalidDate: true }), digits).map(([at, f]) => `${at.toISOString().slice(0, 19)}${f}Z`);
const id = fc.oneof(fc.nat(), fc.bigInt(0n, 9_223_372_036_854_775_807n).map((n) => (n <= 9_007_199_254_740_991n ? Number(n) : n)));
const trade = fc.record({
  T: fc.constant("t" as const), S: fc.stringMatching(/^[A-Z]{1,8}$/), i: id, x: fc.stringMatching(/^[A-Z]$/), p: fc.double({ min: 0, max: 1e6, noNaN: true }).map((p) => Math.abs(p)), s: fc.nat(), t: time, c: fc.array(fc.stringMatching(/^[A-Z@]{1,2}$/), { maxLength: 5 }), z: fc.constantFrom("A", "B", "C"),
}) as fc.Arbitrary<ServerTrade>;
const expected = ({ t, i, ...rest }: ServerTrade): RawTrade => ({ ...rest, i: typeof i === "bigint" ? String(i) : i, t: parseRfc3339Ms(t)! });

describe("frames of the stream", () => {
  for (const binary of [false, true]) {
    const bytes = (messages: unknown[]): Buffer | string => (binary ? packed(messages) : jsonOf(messages));
    const name = binary ? "MessagePack" : "JSON";

    it(`${name}: trades are exact, whatever their digits (random)`, () => {
      fc.assert(fc.property(fc.array(trade, { maxLength: 20 }), (list) => {
        const { trades, reasons } = read(bytes(list), binary);
        assert.deepEqual([trades, reasons], [list.map(expected), []]);
      }), { numRuns: 300 });
    });

    it(`${name}: the same, element by element, when something else stands among them (random)`, () => {
      fc.assert(fc.property(fc.array(trade, { maxLength: 8 }), fc.nat({ max: 8 }), (list, at) => {
        const odd = { T: "q", S: "A", c: ["R"], t: "2024-01-02T03:04:05.5Z" };
        const { trades, others } = read(bytes([...list.slice(0, at), odd, ...list.slice(at)]), binary);
        assert.deepEqual(trades, list.map(expected));
        assert.deepEqual(others, [{ ...odd, t: Date.UTC(2024, 0, 2, 3, 4, 5, 500) }]);
      }), { numRuns: 150 });
    });

    it(`${name}: the text of the time is kept when asked for, with all its digits`, () => {
      const [one] = someTrades(1);
      const { trades } = read(bytes([{ ...one!, t: "2024-01-02T03:04:05.123456789Z" }]), binary, true);
      assert.deepEqual([trades[0]!.tns, trades[0]!.t], ["2024-01-02T03:04:05.123456789Z", Date.UTC(2024, 0, 2, 3, 4, 5, 123)]);
    });

    it(`${name}: dispatches on T before it looks at c, i, u and d, and never takes a correction or cancel for a trade`, () => {
      const list = [{ T: "b", S: "A", c: 1.5 }, { T: "l", S: "A", u: 1, d: 2, i: "B" }, { T: "c", S: "A", ci: 1, cp: 2 }, { T: "x", S: "A", i: 1, x: "V", p: 1, s: 1, a: "C", z: "C" }, { T: "success", msg: "connected" }];
      const { trades, others, control } = read(bytes(list), binary);
      assert.deepEqual([trades, others, control], [[], list.slice(0, 4), list.slice(4)]);
    });

    it(`${name}: fractions of a share stay what they are`, () => {
      const { trades } = read(bytes([{ T: "t", S: "BTC/USD", i: 1, p: 50_000.5, s: 0.0123, t: "2024-01-02T03:04:05Z" }]), binary);
      assert.deepEqual(trades, [{ T: "t", S: "BTC/USD", i: 1, x: null, p: 50_000.5, s: 0.0123, t: Date.UTC(2024, 0, 2, 3, 4, 5), c: null, z: null }]);
    });
  }

  it("a broken trade costs itself only, and the reason names the field", () => {
    const [a, b] = someTrades(2);
    const { trades, reasons } = read(jsonOf([a, { ...b!, p: -1 }, { ...b!, t: "yesterday" }, { ...b!, i: 1.5 }, null, 5, "x", b]), false);
    assert.deepEqual(trades, [expected(a!), expected(b!)]);
    assert.equal(reasons.length, 6);
    assert.ok(/\bp\b/.test(reasons[0]!) && /\bt\b/.test(reasons[1]!) && /\bi\b/.test(reasons[2]!));
  });

  it("random bytes are malformed and never throw (random)", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (data, binary) => { read(data, binary); }), { numRuns: 1000 });
    const good = packed(someTrades(3));
    for (let cut = 0; cut < good.length; cut++) assert.equal(read(good.subarray(0, cut), true).trades.length, 0, "a frame that ends too early is left out whole");
  });

  it("a length that the message cannot hold allocates nothing", () => {
    for (const data of [Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff), Buffer.of(0xdb, 0xff, 0xff, 0xff, 0xff), Buffer.of(0xdf, 0xff, 0xff, 0xff, 0xff), Buffer.alloc(5000, 0x91)]) assert.throws(() => decodeMsgpack(data));
  });

  it("MessagePack is read and written as the SDK's library does (random)", () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ maxDepth: 3 }, fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double({ noNaN: true }), fc.array(tie("any"), { maxLength: 20 }), fc.dictionary(fc.string().filter((k) => k !== "__proto__"), tie("any"), { maxKeys: 20, noNullPrototype: true })),
    })).any;
    fc.assert(fc.property(value, (v) => { assert.deepEqual(decodeMsgpack(encode(v)), decode(encode(v))); }), { numRuns: 500 });
    const said = fc.dictionary(fc.string({ maxLength: 40 }).filter((k) => k !== "__proto__"), fc.oneof(fc.string({ maxLength: 300 }), fc.nat(), fc.array(fc.string(), { maxLength: 70 })), { maxKeys: 20, noNullPrototype: true });
    fc.assert(fc.property(said, (v) => { assert.deepEqual(decodeMsgpack(encodeMsgpack(v)), v); }), { numRuns: 300 });
  });

  it("times are read from bytes exactly as from text, or not at all (random)", () => {
    const odd = fc.stringMatching(/^[12]\d{3}-[01]\d-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,10})?(Z|\+01:00)?$/);
    const reader = new UtcReader();
    fc.assert(fc.property(fc.oneof(time, odd), (text) => {
      const data = Buffer.from(`"${text}"`);
      const end = reader.read(data, 1);
      const known = parseRfc3339Ms(text);
      if (end === data.length - 1) assert.equal(reader.ms, known);
    }), { numRuns: 3000 });
    fc.assert(fc.property(time, (text) => { assert.ok(reader.read(Buffer.from(`"${text}"`), 1) > 0); }));
  });
});

describe("trades that have passed", () => {
  it("are known by S, x, i and t, and by nothing less (random)", () => {
    const small = fc.record({ T: fc.constant("t" as const), S: fc.constantFrom("A", "B"), i: fc.constantFrom(1, 2, "9007199254740993", "9223372036854775807"), x: fc.constantFrom("V", "P", null), p: fc.constant(1), s: fc.constant(1), t: fc.constantFrom(0, 1, 2 ** 40, 2 ** 40 + 1), c: fc.constant(null), z: fc.constant(null) }) as fc.Arbitrary<RawTrade>;
    fc.assert(fc.property(fc.array(fc.tuple(small, fc.constantFrom("row", "object", "forget")), { maxLength: 200 }), (steps) => {
      const seen = new SeenTrades(1 << 12), model = new Set<string>();
      const columns = new TradeColumns(new TradeDictionary(), 4);
      for (const [trade, how] of steps) {
        const key = JSON.stringify([trade.S, trade.x, trade.i, trade.t]);
        if (how === "forget") { seen.forgetTrade(trade); model.delete(key); continue; }
        columns.count = 0;
        columns.push({ ...trade, timestamp: trade.t });
        assert.equal(how === "row" ? seen.addRow(columns, 0) : seen.addTrade(trade), !model.has(key));
        model.add(key);
      }
    }), { numRuns: 300 });
  });

  it("the last half of the capacity is always remembered, and no more than all of it", () => {
    const seen = new SeenTrades(1 << 12);
    const trade = (k: number): RawTrade => ({ T: "t", S: `S${k % 7}`, i: k, x: "V", p: 1, s: 1, t: k, c: null, z: null });
    for (let k = 0; k < 20_000; k++) {
      assert.ok(seen.addTrade(trade(k)));
      assert.ok(seen.size <= 1 << 12);
      if (k % 1000 === 999) for (let back = 0; back < 1 << 11; back += 97) if (back < k) assert.ok(!seen.addTrade(trade(k - back)), `${back} ago`);
    }
  });
});
