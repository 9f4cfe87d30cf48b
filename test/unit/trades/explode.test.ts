import assert from "node:assert/strict";
import fc from "fast-check";
import { explode, type ExplodeOptions, type Exploded } from "../../../lib/trades/explode";
import { DedupeWindow } from "../../../lib/trades/explode-dedupe";
import { scanTrades } from "../../../lib/trades/explode-scan";
import { parseJson } from "../../../lib/trades/explode-json";
import { rawTradeSchema, readableTradeSchema, tradeSchema } from "../../../lib/trades/schema";
import type { Trade } from "../../../lib/trades/types";

const documented: ExplodeOptions = { names: "documented", other: "reject" };
const raw = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, t: 1_699_564_800_000, c: ["@"], z: "C", ...more });
const flat = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, timestamp: 1_699_564_800_000, c: ["@"], z: "C", ...more });
const reasons = (result: Exploded) => result.rejects.map((reject) => reject.reason);

describe("explode: what it takes", () => {
  it("a list of trades, in order", () => {
    const { trades, rejects } = explode([raw({ i: 1 }), raw({ i: 2 }), raw({ i: 3 })], documented);
    assert.deepEqual(trades, [flat({ i: 1 }), flat({ i: 2 }), flat({ i: 3 })]);
    assert.deepEqual(Object.keys(trades[0]!), ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"]);
    assert.deepEqual(rejects, []);
  });
  it("one trade", () => assert.deepEqual(explode(raw(), documented).trades, [flat()]));
  it("JSON text and bytes of one trade and of a list", () => {
    for (const value of [raw(), [raw()]]) {
      assert.deepEqual(explode(JSON.stringify(value), documented).trades, [flat()]);
      assert.deepEqual(explode(Buffer.from(JSON.stringify(value)), documented).trades, [flat()]);
      assert.deepEqual(explode([JSON.stringify(value)], documented).trades, [flat()]);
      assert.deepEqual(explode(`\ufeff${JSON.stringify(value)}`, documented).trades, [flat()]);
    }
  });
  it("a batch of Kafka records whose values are text, bytes, lists or trades", () => {
    const records = [
      { key: null, value: JSON.stringify([raw({ i: 1 }), raw({ i: 2 })]), headers: {}, offset: "7", timestamp: "1" },
      { key: "k", value: Buffer.from(JSON.stringify(raw({ i: 3 }))), offset: "8" },
      { value: [raw({ i: 4 }), raw({ i: 5 })], offset: "9" },
      { value: raw({ i: 6 }), offset: 10 },
    ];
    assert.deepEqual(explode(records, documented).trades.map((trade) => (trade as Trade).i), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(explode(records[0], documented).trades.length, 2, "one record alone");
  });
  it("gives readable names", () => {
    assert.deepEqual(explode(raw(), { ...documented, names: "readable" }).trades, [
      { type: "t", symbol: "AAPL", id: 12345, exchange: "V", price: 150.25, size: 100, timestamp: 1_699_564_800_000, conditions: ["@"], tape: "C" },
    ]);
  });
  it("null for an exchange, tape or conditions that the feed does not have; fields of others are left out", () => {
    const { T, S, i, p, s, t } = raw();
    assert.deepEqual(explode({ T, S, i, p, s, t, tks: "B" }, documented).trades, [flat({ x: null, c: null, z: null })]);
  });
});

describe("explode: times", () => {
  const timestampOf = (t: unknown) => (explode(raw({ t }), documented).trades[0] as Trade | undefined)?.timestamp;
  it("RFC 3339 with 0 to 9 digits, cut off at the millisecond", () => {
    const base = Date.UTC(2024, 1, 29, 14, 30, 1);
    const cases: [string, number][] = [["", 0], [".1", 100], [".12", 120], [".123", 123], [".1239", 123], [".12399", 123], [".123999", 123], [".999999", 999], [".99999999", 999], [".999999999", 999]];
    for (const [digits, ms] of cases) assert.equal(timestampOf(`2024-02-29T14:30:01${digits}Z`), base + ms, digits);
    assert.equal(timestampOf("2024-02-29T09:30:01.5-05:00"), base + 500);
    assert.equal(timestampOf("2024-02-29t20:00:01z"), Date.UTC(2024, 1, 29, 20, 0, 1));
    assert.equal(timestampOf("2016-12-31T23:59:60Z"), Date.UTC(2017, 0, 1), "leap second");
  });
  it("refuses times that do not exist or are no RFC 3339", () => {
    for (const t of ["2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01 00:00", "2024-01-01T00:00:00", "2024-01-01T00:00:00.1234567890Z", "1969-12-31T23:59:59Z", "now", ""]) {
      assert.equal(timestampOf(t), undefined, t);
    }
  });
  it("refuses numbers in another unit than milliseconds", () => {
    for (const t of [1_699_564_800_000_000, 1.6995648e18, 1.5, -1, NaN, Infinity, null]) assert.equal(timestampOf(t), undefined, String(t));
  });
  it("agrees with Date for every valid time (random)", () => {
    fc.assert(fc.property(fc.date({ min: new Date(0), max: new Date("9999-12-31T23:59:59.999Z"), noInvalidDate: true }), (date) => {
      assert.equal(timestampOf(date.toISOString()), date.getTime());
    }), { numRuns: 300 });
  });
});

describe("explode: ids are never rounded", () => {
  const idOf = (json: string) => (explode(json, documented).trades[0] as Trade | undefined)?.i;
  const text = (id: string) => JSON.stringify(raw()).replace("12345", id);
  it("numbers to 2^53 - 1, decimal text beyond", () => {
    assert.equal(idOf(text("9007199254740991")), 9007199254740991);
    assert.equal(idOf(text("9007199254740992")), "9007199254740992");
    assert.equal(idOf(text("9007199254740993")), "9007199254740993");
    assert.equal(idOf(text("9223372036854775807")), "9223372036854775807");
    assert.equal(idOf(text('"71697180000123456789"')), undefined, "no 64-bit number");
    assert.equal(idOf(text('"0012"')), 12);
  });
  it("refuses a number that was rounded before it came here", () => {
    const { rejects } = explode(raw({ i: 2 ** 53 }), documented);
    assert.match(rejects[0]!.reason, /decimal text beyond 2\^53/);
  });
  it("any id, anywhere in the text, whatever else is in it (random)", () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), fc.string(), (id, note) => {
      const json = JSON.stringify({ note: `${note}\\":${id},`, ...raw(), more: [`${id}`, { n: 1 }] }).replace('"i":12345', `"i" : ${id}`);
      const got = idOf(`[${json}]`);
      assert.equal(String(got), String(id));
      assert.equal(typeof got, id < 2n ** 53n ? "number" : "string");
    }), { numRuns: 300 });
  });
  it("leaves all other JSON as it is (random)", () => {
    fc.assert(fc.property(fc.json().filter((json) => !/(^|[^.\d])[1-9]\d{15}/.test(json)), (json) => { assert.deepEqual(parseJson(json), JSON.parse(json)); }), { numRuns: 500 });
    for (const json of ['{"p":150.12345678901234567}', '[1e-1234567890123456]', '"1234567890123456789"', '{"a\\\\":"b\\"12345678901234567890"}', "[0.00000000000000001234]"]) {
      assert.deepEqual(parseJson(json), JSON.parse(json), json);
    }
    assert.deepEqual(parseJson("[-12345678901234567890]"), ["-12345678901234567890"]);
    for (const json of ["[01234567890123456789]", '["1234567890123456789', "12345678901234567890 x"]) assert.throws(() => parseJson(json), SyntaxError);
  });
});

describe("explode: rejects", () => {
  it("say why, hold the value, say where it stood, and cost no neighbour", () => {
    const bad = raw({ p: "abc" });
    const result = explode(
      [{ offset: "41", key: "k", value: [raw({ i: 1 }), bad, raw({ i: 2 })] }, { offset: "42", value: "{" }, { offset: "43", value: null }, { offset: "44", value: raw({ i: 3 }) }],
      documented, { topic: "iex_data", partition: 2 },
    );
    assert.deepEqual(result.trades.map((trade) => (trade as Trade).i), [1, 2, 3]);
    assert.deepEqual(result.rejects.map(({ value, source }) => ({ value, source })), [
      { value: bad, source: { index: 0, topic: "iex_data", partition: 2, offset: "41", key: "k", element: 1 } },
      { value: "{", source: { index: 1, topic: "iex_data", partition: 2, offset: "42" } },
      { value: null, source: { index: 2, topic: "iex_data", partition: 2, offset: "43" } },
    ]);
    assert.equal(reasons(result)[0], 'p must be a number (p is "abc")');
    assert.match(reasons(result)[1]!, /^not JSON/);
    assert.equal(reasons(result)[2], "the record has no value (a tombstone)");
  });

  const poison: [string, unknown, RegExp][] = [
    ["NaN price", raw({ p: NaN }), /^p must be a number \(p is NaN\)/],
    ["infinite price", raw({ p: Infinity }), /^p must/],
    ["negative price", raw({ p: -0.01 }), /^p must not be negative/],
    ["negative size", raw({ s: -100 }), /^s must not be negative/],
    ["fractional size", raw({ s: 0.5 }), /whole number of shares/],
    ["size as text", raw({ s: "100" }), /^s must be a number/],
    ["no symbol", raw({ S: undefined }), /^S must be text \(S is missing\)/],
    ["empty symbol", raw({ S: "" }), /^S is empty/],
    ["huge symbol", raw({ S: "A".repeat(1_000_000) }), /^S has more than 64 characters/],
    ["conditions that are no list", raw({ c: "@" }), /^c must be a list/],
    ["conditions that are no texts", raw({ c: [1] }), /element of c must be text/],
    ["a million conditions", raw({ c: Array(1_000_000).fill("@") }), /^c has more than/],
    ["no time", raw({ t: undefined }), /^t must be .*missing/],
    ["flattened, its time in another unit", flat({ timestamp: 1.5 }), /^timestamp must be .*timestamp is 1.5/],
    ["negative id", raw({ i: -1 }), /^i must be a whole number/],
    ["fractional id", raw({ i: 1.5 }), /^i must be a whole number/],
    ["no type", { S: "AAPL" }, /^T must be "t" \(T is missing\)/],
    ["a number", 42, /a number is no trade/],
    ["true", true, /a boolean is no trade/],
    ["null", null, /is null/],
    ["undefined", undefined, /is missing/],
    ["empty text", "  ", /empty/],
    ["broken JSON", '[{"T":"t"', /not JSON/],
    ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe, 0x00]), /UTF-8/],
    ["JSON null", "null", /is null/],
    ["text within text within text ...", Array.from({ length: 12 }).reduce<string>((text) => JSON.stringify(text), "x"), /levels deep/],
  ];
  for (const [name, value, reason] of poison) {
    it(`${name}`, () => {
      const result = explode([raw({ i: 1 }), value, raw({ i: 2 })], documented);
      assert.deepEqual(result.trades.map((trade) => (trade as Trade).i), [1, 2]);
      assert.equal(result.rejects.length, 1);
      assert.match(result.rejects[0]!.reason, reason);
      assert.ok(result.rejects[0]!.reason.length < 300);
      assert.deepEqual(result.rejects[0]!.source, { index: 1 });
    });
  }

  it("deep nesting: the text is kept, a deep or circular object is named instead of carried along", () => {
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    const result = explode(deep, documented);
    assert.equal(result.rejects.length, 1);
    assert.equal(result.rejects[0]!.value, deep);
    const circular: Record<string, unknown> = { T: "t" };
    circular.self = circular;
    assert.match(String(explode([circular], documented).rejects[0]!.value), /nested/);
  });

  it("__proto__ and constructor in the text touch nothing", () => {
    const json = `[{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},${JSON.stringify(raw()).slice(1)}]`;
    const { trades } = explode(json, documented);
    assert.deepEqual(trades, [flat()]);
    assert.equal(({} as { polluted?: number }).polluted, undefined);
    assert.equal(Object.getPrototypeOf(trades[0]), Object.prototype);
    assert.equal(explode(`{"__proto__":${JSON.stringify(raw())}}`, documented).trades.length, 0, "fields do not come from a prototype");
  });

  it("other messages of the feed: rejected, or passed in order; session messages always to the rejects", () => {
    const quote = { T: "q", S: "AAPL", bp: 1, ap: 2 };
    const messages = [{ T: "success", msg: "connected" }, raw({ i: 1 }), quote, raw({ i: 2 }), { T: "error", code: 406, msg: "connection limit exceeded" }, { T: "subscription", trades: ["AAPL"] }];
    const rejecting = explode(messages, documented);
    assert.equal(rejecting.trades.length, 2);
    assert.deepEqual(reasons(rejecting), [
      "a session message, no trade: success connected", 'no trade: T is "q"',
      "a session message, no trade: error 406 connection limit exceeded", "a session message, no trade: subscription",
    ]);
    const passing = explode(messages, { ...documented, other: "pass" });
    assert.deepEqual(passing.trades, [flat({ i: 1 }), quote, flat({ i: 2 })]);
    assert.equal(passing.rejects.length, 3);
  });

  it("an empty list is no error", () => assert.deepEqual([explode([], documented).trades, explode("[]", documented).rejects], [[], []]));
});

describe("explode: the hand-written path and the schema agree", () => {
  const odd = fc.oneof(fc.anything(), fc.constantFrom(NaN, -1, 0, 1.5, 2 ** 53, -0, "", "7", "2024-01-01T00:00:00.5Z", null, undefined, [], [""], ["@", 1], 10n, 2n ** 64n));
  const trade = fc.record({
    T: fc.constant("t"), S: fc.string({ maxLength: 70 }), i: fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 2n ** 64n }).map(String)), x: fc.string({ maxLength: 2 }),
    p: fc.double({ min: 0, max: 1e6, noNaN: true }), s: fc.nat(), t: fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 2e12 })), c: fc.array(fc.string({ maxLength: 2 }), { maxLength: 4 }), z: fc.constantFrom("A", "B", "C"),
  }, { requiredKeys: [] });
  const field = fc.constantFrom("S", "i", "x", "p", "s", "t", "c", "z");

  it("accepts what it accepts, with the same result, and rejects the rest (random)", () => {
    fc.assert(fc.property(trade, fc.option(fc.tuple(field, odd), { nil: undefined }), (base, change) => {
      const value: Record<string, unknown> = { ...base, T: "t" };
      if (change) value[change[0]] = change[1];
      const parsed = rawTradeSchema.safeParse(value);
      const result = explode([value], documented);
      assert.equal(result.trades.length + result.rejects.length, 1);
      assert.equal(result.trades.length === 1, parsed.success, parsed.error?.message ?? reasons(result)[0]);
      if (!parsed.success) return;
      const { t, ...rest } = parsed.data;
      assert.deepEqual(result.trades[0], { ...rest, timestamp: t });
      assert.ok(tradeSchema.safeParse(result.trades[0]).success);
      assert.ok(readableTradeSchema.safeParse(explode([value], { ...documented, names: "readable" }).trades[0]).success);
    }), { numRuns: 2000 });
  });

  const generally = (text: string): unknown[] | undefined => {
    try {
      const { trades, rejects } = explode(parseJson(text), documented);
      return rejects.length === 0 ? trades : undefined;
    } catch { return undefined; }
  };

  it("the quick scanner of JSON text agrees with JSON.parse, wherever it does not give up (random)", () => {
    const spaces = fc.constantFrom("", "", " ", "\n  ", "\t");
    const fields = fc.shuffledSubarray(["T", "S", "i", "x", "p", "s", "t", "c", "z"], { minLength: 8 });
    const word = fc.string({ unit: fc.constantFrom(..."AZ @/é"), maxLength: 3 });
    const plain = fc.record({ S: word, i: fc.maxSafeNat(), x: word, p: fc.nat(2_000_000).map((cents) => cents / 100), s: fc.nat(), t: fc.nat(), c: fc.array(word, { maxLength: 3 }), z: word });
    const texts = fc.tuple(fc.array(fc.tuple(fc.oneof({ arbitrary: plain, weight: 5 }, { arbitrary: trade, weight: 1 }), fields), { maxLength: 3 }), spaces, fc.boolean()).map(([list, space, single]) => {
      const written = list.map(([base, order]) => `{${order.map((name) => `${space}"${name}"${space}:${space}${JSON.stringify((({ ...raw(), ...base }) as Record<string, unknown>)[name]) ?? "null"}`).join(`${space},`)}${space}}`);
      return single && written.length === 1 ? written[0]! : `${space}[${written.join(`${space},${space}`)}]${space}`;
    });
    let quick = 0;
    fc.assert(fc.property(texts, fc.option(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(..."{}[]:,\"\\.-+0eE1 tTn\u0001\u00e9")), { nil: undefined, freq: 1 }), (text, change) => {
      if (change) {
        const [where, cut, put] = change;
        const at = where % (text.length + 1);
        text = text.slice(0, at) + put + text.slice(at + cut);
      }
      const scanned = scanTrades(text);
      if (scanned === undefined) return;
      quick++;
      assert.deepEqual(scanned, generally(text), text);
    }), { numRuns: 3000 });
    assert.ok(quick > 200, `${quick} texts taken the quick way`);
  });

  it("the quick scanner takes what Alpaca and Python write, with every id and price exact", () => {
    const python = '[{"T": "t", "S": "AAPL", "i": 52849183745, "x": "V", "p": 182.45, "s": 150, "t": 1731408245123, "c": ["@", "I"], "z": "C"}]';
    const alpaca = '[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208123456Z","c":["@","I"],"z":"C"},{"T":"t","S":"BTC/USD","p":0.1,"s":0,"t":0,"i":9223372036854775807}]';
    for (const text of [python, alpaca]) assert.deepEqual(scanTrades(text), generally(text));
    assert.deepEqual(scanTrades("[]"), []);
    fc.assert(fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (p, id) => {
      const text = JSON.stringify(raw({ p })).replace("12345", String(id));
      assert.deepEqual(scanTrades(text) ?? generally(text), generally(text));
    }), { numRuns: 500 });
    for (const id of ["9223372036854775808", "01", "1e3", "-1", "1.0", "12345678901234567890"]) assert.equal(scanTrades(JSON.stringify(raw()).replace("12345", id)), undefined, id);
  });

  it("never throws, and loses nothing: every element is a trade or a reject (random)", () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.anything().filter((v) => !Array.isArray(v)), trade.map((t) => ({ ...t, T: "t" })))), (values) => {
      const { trades, rejects } = explode(values, documented);
      const packed = values.some((v) => typeof v === "object" && v !== null && "value" in v);
      if (!packed) assert.equal(trades.length + rejects.length, values.length);
    }), { numRuns: 500 });
  });
});

describe("explode: dedupe", () => {
  const setup = (seconds = 60, maxKeys?: number) => {
    const clock = { ms: 0, now() { return this.ms; } };
    const dedupe = new DedupeWindow(seconds * 1000, clock, maxKeys);
    const take = (payload: unknown, from: { log?: string; token?: { failed: boolean } } = {}) => {
      const origin = dedupe.open(from.log, from.token && (() => from.token!.failed));
      return explode(payload, { ...documented, dedupe }, { origin });
    };
    return { clock, dedupe, take };
  };

  it("leaves out a trade that passed within the window; symbol, exchange, id and time make the key", () => {
    const { clock, take } = setup();
    assert.equal(take([raw(), raw()]).trades.length, 1);
    assert.equal(take([raw({ S: "MSFT" }), raw({ x: "Q" }), raw({ i: 2 }), raw({ t: 1 })]).trades.length, 4);
    const again = take([raw({ p: 1 }), raw({ i: 77 })]);
    assert.deepEqual([again.trades.length, again.duplicates], [1, 1]);
    clock.ms = 60_000;
    assert.equal(take([raw()]).trades.length, 1, "the window has passed");
  });

  it("never takes a record for a duplicate of itself when it is read again", () => {
    const { take } = setup();
    const batch = [{ offset: "5", value: JSON.stringify([raw({ i: 1 }), raw({ i: 2 }), raw({ i: 1 })]) }];
    assert.equal(take(batch, { log: "iex_data/0" }).trades.length, 2);
    assert.equal(take(batch, { log: "iex_data/0" }).trades.length, 2, "the same record again");
    assert.equal(take([{ ...batch[0], offset: "6" }], { log: "iex_data/0" }).trades.length, 0, "another offset");
    assert.equal(take(batch, { log: "iex_data/1" }).trades.length, 0, "another partition");
  });

  it("forgets the keys of a delivery that failed, and only those", () => {
    const { take } = setup();
    const first = { failed: false }, second = { failed: false };
    take([raw({ i: 1 })], { token: first });
    take([raw({ i: 2 })], { token: second });
    first.failed = true;
    assert.deepEqual(take([raw({ i: 1 }), raw({ i: 2 })]).trades.map((trade) => (trade as Trade).i), [1]);
  });

  it("is bounded: beyond its size the oldest keys leave early, counted", () => {
    const { take, dedupe } = setup(60, 100);
    take(Array.from({ length: 150 }, (_, i) => raw({ i })));
    assert.deepEqual([dedupe.size, dedupe.cut], [100, 50]);
    assert.equal(take([raw({ i: 149 })]).duplicates, 1);
    assert.equal(take([raw({ i: 0 })]).duplicates, 0);
  });

  it("drops what is older than the window", () => {
    const { take, dedupe, clock } = setup(10);
    for (let k = 0; k < 100; k++) { clock.ms = k * 1000; take([raw({ i: k })]); }
    assert.equal(dedupe.size, 10);
  });
});
