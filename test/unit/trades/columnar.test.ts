import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBatch, decodeValue, recordOf, Refusal } from "../../../lib/kafka/source/decode";
import type { RecordSet } from "../../../lib/kafka/types";
import { TradeColumns, TradeDictionary } from "../../../lib/trades/columnar/columns";
import { jsonArray, tradeJsonWriter } from "../../../lib/trades/columnar/json";
import { LazyRecords } from "../../../lib/trades/columnar/lazy-records";
import { LazyRawTrades, LazyTrades } from "../../../lib/trades/columnar/lazy-trades";
import { FORM, TradeScanner } from "../../../lib/trades/columnar/scanner";
import { explode, type ExplodeOptions } from "../../../lib/trades/explode";
import { DedupeWindow } from "../../../lib/trades/explode-dedupe";
import { explodeColumns, explodeRecords } from "../../../lib/trades/explode-records";
import type { Trade } from "../../../lib/trades/types";
import { recordSet } from "../../support/record-sets";

const documented: ExplodeOptions = { names: "documented", other: "reject" };
const raw = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, t: 1_699_564_800_000, c: ["@"], z: "C", ...more });
const flat = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, timestamp: 1_699_564_800_000, c: ["@"], z: "C", ...more });

const scanner = new TradeScanner();
/** What the scanner makes of bytes; undefined where it gives up. */
function scan(value: Buffer | string): Trade[] | undefined {
  const bytes = Buffer.from(value as string);
  scanner.begin();
  if (scanner.scan(bytes, 0, bytes.length) < 0) {
    assert.equal(scanner.columns.count, 0, "nothing of it is left");
    return undefined;
  }
  return scanner.columns.seal().objects("documented") as Trade[];
}
/** The general way: undefined where anything is refused. */
function generally(value: Buffer): unknown[] | undefined {
  const { trades, rejects } = explode(value, documented);
  return rejects.length === 0 ? trades : undefined;
}

const word = fc.oneof(fc.constantFrom("AAPL", "MSFT", "@", "V", "", "é€", "𝄞", "a]b", "__proto__"), fc.string({ unit: fc.constantFrom(..."AZ @/é]["), maxLength: 5 }), fc.string({ maxLength: 3 }));
const price = fc.oneof({ arbitrary: fc.nat(2_000_000).map((cents) => cents / 100), weight: 6 }, fc.double({ min: 0, max: 1e22, noNaN: true }), fc.constantFrom(0, 1e-7, 0.1, 123456789012345, 0.000001, 999999999999999));
const id = fc.oneof({ arbitrary: fc.nat(), weight: 3 }, { arbitrary: fc.maxSafeNat(), weight: 3 }, fc.bigInt({ min: 0n, max: 2n ** 64n }));
const tradeFields = fc.record({
  S: fc.oneof({ arbitrary: word.filter((text) => text !== ""), weight: 9 }, word), i: id, x: fc.option(word), p: price, s: fc.oneof({ arbitrary: fc.nat(100_000), weight: 9 }, fc.maxSafeNat()), t: fc.oneof({ arbitrary: fc.nat(2 ** 31 - 1), weight: 4 }, { arbitrary: fc.integer({ min: 0, max: 2 ** 31 - 1 }).map((n) => n * 1000), weight: 4 }, fc.constantFrom("2021-02-22T15:51:44.208123456Z", "2021-02-30T00:00:00Z", "now")),
  c: fc.option(fc.array(word, { maxLength: 4 })), z: fc.option(word),
});
/** JSON text of a trade in every form that writers give it: order of fields, spaces, raw or flattened, fields that are missing, twice or foreign. */
const written = fc.tuple(tradeFields, fc.shuffledSubarray(["T", "S", "i", "x", "p", "s", "t", "c", "z"], { minLength: 8 }), fc.constantFrom("", "", " ", "\n  "), fc.boolean(), fc.option(fc.constantFrom("S", "i", "q", "toString"), { freq: 1 }))
  .map(([fields, order, space, flattened, extra]) => {
    const values: Record<string, unknown> = { T: "t", ...fields, q: 1, toString: 2 };
    const names = extra === null ? order : [...order, extra];
    const text = (value: unknown): string => (typeof value === "bigint" ? String(value) : JSON.stringify(value));
    return `{${names.map((name) => `${space}"${name === "t" && flattened ? "timestamp" : name}"${space}:${space}${text(values[name])}`).join(`${space},`)}${space}}`;
  });
const document = fc.oneof(
  { arbitrary: fc.tuple(fc.array(written, { maxLength: 3 }), fc.constantFrom("", " ", "\n")).map(([list, space]) => `${space}[${list.join(`${space},${space}`)}]${space}`), weight: 3 },
  { arbitrary: written, weight: 2 },
);
const mutation = fc.option(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(..."{}[]:,\"\\.-+0eE1 tTnN\u0001\u00e9")), { freq: 2 });
/** A document, perhaps broken in one place, sometimes in the middle of a character. */
const bytes = fc.tuple(document, mutation, fc.option(fc.nat(), { freq: 1 })).map(([text, change, cut]) => {
  let out = Buffer.from(text);
  if (change) {
    const [where, remove, put] = change;
    const at = where % (out.length + 1);
    out = Buffer.concat([out.subarray(0, at), Buffer.from(put), out.subarray(at + remove)]);
  }
  return cut === null ? out : out.subarray(0, cut % (out.length + 1));
});

describe("trades from bytes", () => {
  it("are what the general way makes of them, wherever the scanner does not give up (random)", () => {
    let quick = 0;
    fc.assert(fc.property(bytes, (value) => {
      const scanned = scan(value);
      if (scanned === undefined) return;
      quick++;
      assert.deepEqual(scanned, generally(value), value.toString());
    }), { numRuns: 6000 });
    assert.ok(quick > 800, `${quick} taken the quick way`);
  });

  it("are taken in the forms that our writers, Python, Spark and Alpaca give them", () => {
    const python = '[{"T": "t", "S": "AAPL", "i": 52849183745, "x": "V", "p": 182.45, "s": 150, "t": 1731408245123, "c": ["@", "I"], "z": "C"}]';
    const alpaca = '[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208123456Z","c":["@","I"],"z":"C"},{"T":"t","S":"BTC/USD","p":0.1,"s":0,"t":0,"i":9223372036854775807}]';
    const spark = '{"T":"t","S":"AAPL","i":123,"x":"V","p":150.25,"s":100,"timestamp":1699564800000,"c":["@"],"z":"C"}';
    for (const text of [python, alpaca, spark, JSON.stringify(raw({ x: null, c: null, z: null })), JSON.stringify(raw({ c: [] })), JSON.stringify(raw({ S: "Ünïcode €" })), "[]", " [ ] "]) {
      assert.deepEqual(scan(text), generally(Buffer.from(text)), text);
      assert.notEqual(scan(text), undefined, text);
    }
  });

  it("keep every digit of ids and the exact double of prices", () => {
    fc.assert(fc.property(id, price, (i, p) => {
      const text = JSON.stringify(raw({ p })).replace("12345", String(i));
      const scanned = scan(text);
      if (scanned) assert.deepEqual(scanned, generally(Buffer.from(text)), text);
      else assert.ok(BigInt(i) >= 2n ** 63n || !/^\d{1,15}$/.test(JSON.stringify(p).replace(".", "")), text);
    }), { numRuns: 2000 });
    for (const i of ["9223372036854775808", "01", "1e3", "-1", "1.0", "12345678901234567890", "-0", ""]) assert.equal(scan(JSON.stringify(raw()).replace("12345", i)), undefined, i);
    for (const p of ["-0", "1.", ".5", "1e2", "0x1", "00.5", "1234567890.123456"]) assert.equal(scan(JSON.stringify(raw()).replace("150.25", p)), undefined, p);
  });

  it("end where their record ends, whatever stands behind it in the same memory", () => {
    const [one, other] = [JSON.stringify([raw()]), JSON.stringify(raw({ S: "MSFT" }))];
    const all = Buffer.from(`${other}${one}${other}`);
    const start = other.length, end = start + one.length;
    scanner.begin();
    assert.equal(scanner.scan(all, start, end), FORM.list | FORM.raw);
    for (let cut = start; cut < end; cut++) assert.equal(scanner.scan(all, start, cut), -1, all.toString("utf8", start, cut));
    assert.equal(scanner.scan(all, start, end + 1), -1);
    assert.equal(scanner.columns.count, 1);
  });

  it("with ever new symbols fill no memory: old batches keep their texts, new ones begin anew", () => {
    const own = new TradeScanner();
    const sealed: TradeColumns[] = [];
    const dictionaries = new Set<TradeDictionary>();
    for (let batch = 0; batch < 90; batch++) {
      own.begin();
      const text = Buffer.from(JSON.stringify(Array.from({ length: 1000 }, (_, k) => raw({ S: `S${batch}-${k}` }))));
      assert.ok(own.scan(text, 0, text.length) > 0);
      sealed.push(own.columns.seal());
      dictionaries.add(own.columns.dictionary);
    }
    assert.ok(dictionaries.size >= 3);
    sealed.forEach((columns, batch) => { assert.deepEqual([columns.trade(0).S, columns.trade(999).S], [`S${batch}-0`, `S${batch}-999`]); });
  });

  it("of one huge batch with more texts than a dictionary holds go the general way", () => {
    const text = Buffer.from(JSON.stringify(Array.from({ length: 70_000 }, (_, k) => raw({ S: `S${k}` }))));
    const { records } = decodeBatch([recordSet([{ value: JSON.stringify(raw()) }, { value: text }])], "json");
    const { trades, rejects } = explodeRecords(records as LazyRecords, documented);
    assert.equal(rejects.length, 0);
    const objects = trades instanceof LazyTrades ? trades.materialise() : trades;
    assert.deepEqual([objects.length, (objects[0] as Trade).S, (objects[70_000] as Trade).S], [70_001, "AAPL", "S69999"]);
  });
});

/** The records of sets as objects, decoded one by one. */
function eagerly(sets: readonly RecordSet[]): { records: unknown[]; rejects: unknown[] } {
  const records: unknown[] = [], rejects: unknown[] = [];
  for (const set of sets) {
    for (let index = 0; index < set.count; index++) {
      const value = decodeValue(set, index, "json");
      if (value instanceof Refusal) rejects.push({ index, reason: value.reason });
      else records.push(recordOf(set, index, value, "json"));
    }
  }
  return { records, rejects };
}

const other = fc.oneof(fc.json().map((json) => Buffer.from(json)), fc.constantFrom(null, Buffer.from("{"), Buffer.from([0xff]), Buffer.from('[{"T":"q","S":"AAPL"}]'), Buffer.from(JSON.stringify([raw({ tks: "B" }), raw({ p: -1 })])), Buffer.from(JSON.stringify({ value: [raw()] })), Buffer.from(JSON.stringify([[raw()], JSON.stringify(raw({ S: "MSFT" }))]))));
const good = fc.array(tradeFields, { minLength: 1, maxLength: 4 }).map((list) => Buffer.from(JSON.stringify(list.map(({ i, t, ...rest }) => raw({ ...rest, S: rest.S === "" ? "X" : rest.S, i: Number(i) % 2 ** 40, ...(typeof t === "number" ? { t } : {}) })))));
const values = fc.array(fc.oneof({ arbitrary: good, weight: 4 }, { arbitrary: bytes, weight: 2 }, { arbitrary: other, weight: 1 }), { maxLength: 6 });
const sets = fc.array(fc.tuple(values, fc.option(fc.string({ maxLength: 2 }))), { maxLength: 3 }).map((list) => list.map(([records, key], k) => recordSet(records.map((value) => ({ value, key })), { baseOffset: BigInt(k * 100) })));

describe("records of Kafka that nobody has read yet", () => {
  it("become exactly what decoding each of them gives, anew on every reading (random)", () => {
    let lazy = 0;
    fc.assert(fc.property(sets, (list) => {
      const expected = eagerly(list);
      const { records, rejects } = decodeBatch(list, "json");
      assert.deepEqual(rejects.map(({ index, reason }) => ({ index, reason })), expected.rejects);
      if (!(records instanceof LazyRecords)) {
        assert.deepEqual(records, expected.records);
        return;
      }
      lazy++;
      assert.equal(records.length, expected.records.length);
      const first = records.materialise(), second = records.materialise();
      assert.deepEqual(first, expected.records);
      assert.deepEqual(second, expected.records);
      first.forEach((record, k) => { if (typeof record.value === "object" && record.value !== null) assert.notEqual(record.value, second[k]!.value, "nobody shares an object"); });
    }), { numRuns: 500 });
    assert.ok(lazy > 100, `${lazy} lazy batches`);
  });

  it("explode into exactly what their objects explode into, whatever is among them (random)", () => {
    let columns = 0;
    fc.assert(fc.property(sets, fc.constantFrom("documented", "readable"), fc.constantFrom("reject", "pass"), fc.boolean(), (list, names, rest, dedupe) => {
      const options = (): ExplodeOptions => ({ names, other: rest, ...(dedupe ? { dedupe: new DedupeWindow(1000, { now: () => 0 }) } : {}) });
      const context = { topic: "iex_data", partition: 3 };
      const { records } = decodeBatch(list, "json");
      if (!(records instanceof LazyRecords)) return;
      const [ours, theirs] = [options(), options()];
      // Twice: what is read again is no duplicate of itself.
      for (let pass = 0; pass < 2; pass++) {
        const expected = explode(eagerly(list).records, theirs, { ...context, ...(theirs.dedupe ? { origin: theirs.dedupe.open("iex_data/3") } : {}) });
        const got = explodeRecords(records, ours, { ...context, ...(ours.dedupe ? { origin: ours.dedupe.open("iex_data/3") } : {}) });
        if (got.trades instanceof LazyTrades) columns++;
        const trades = got.trades instanceof LazyTrades ? got.trades.materialise() : got.trades;
        assert.equal(got.trades.length, trades.length);
        assert.deepEqual({ trades, rejects: got.rejects, duplicates: got.duplicates }, { trades: expected.trades, rejects: expected.rejects, duplicates: expected.duplicates });
      }
    }), { numRuns: 600 });
    assert.ok(columns > 200, `${columns} as columns`);
  });

  it("are read where they stand: a batch of trades makes no object", () => {
    const { records } = decodeBatch([recordSet([{ value: JSON.stringify([raw(), raw()]) }, { value: JSON.stringify(flat()) }])], "json");
    assert.ok(records instanceof LazyRecords && records.whole && !records.flat);
    records.record = () => assert.fail("an object was made");
    const { trades } = explodeRecords(records, documented);
    assert.ok(trades instanceof LazyTrades);
    assert.deepEqual(trades.materialise(), [flat(), flat(), flat()]);
  });
});

describe("JSON of trades that are columns", () => {
  /** As JSON.stringify writes it, ids as bare numbers. */
  const text = (trade: unknown): string => JSON.stringify(trade).replace(/("i"|"id"):"(\d+)"/, "$1:$2");
  const collect = (trades: readonly unknown[]): TradeColumns => {
    const columns = new TradeColumns(new TradeDictionary(), 0);
    for (const trade of trades) assert.ok(columns.push(trade as Trade));
    return columns;
  };
  const check = (columns: TradeColumns, names: "documented" | "readable"): void => {
    const lazy = new LazyTrades(columns, names);
    const writer = tradeJsonWriter(lazy);
    const objects = lazy.materialise();
    for (let k = 0; k < writer.length; k++) {
      const most = writer.maxBytes(k);
      const into = Buffer.alloc(most + 6, 0x2e);
      const end = writer.write(k, into, 3);
      assert.equal(into.toString("utf8", 3, end), text(objects[k]));
      assert.ok(end <= 3 + most);
      assert.equal(into.toString("latin1", 0, 3) + into.toString("latin1", end), ".".repeat(3 + into.length - end), "nothing is written beside it");
    }
    assert.equal(jsonArray(writer).toString(), `[${objects.map(text).join(",")}]`);
    assert.equal(jsonArray(writer, 1, writer.length).toString(), `[${objects.slice(1).map(text).join(",")}]`);
  };
  const names = fc.constantFrom("documented" as const, "readable" as const);

  it("is what JSON.stringify writes, of trades read from bytes (random)", () => {
    fc.assert(fc.property(fc.array(bytes, { maxLength: 5 }), names, (list, called) => {
      scanner.begin();
      for (const value of list) scanner.scan(value, 0, value.length);
      check(scanner.columns.seal(), called);
    }), { numRuns: 1500 });
  });

  it("is what JSON.stringify writes, of trades that were objects (random)", () => {
    const any = fc.record({ T: fc.constant("t"), S: fc.string({ unit: "binary", minLength: 1, maxLength: 8 }), i: fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).map(String)), x: fc.option(fc.string({ unit: "binary", maxLength: 3 })), p: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), s: fc.maxSafeNat(), timestamp: fc.nat(253_402_300_799_999), c: fc.option(fc.array(fc.string({ unit: "binary", maxLength: 3 }), { maxLength: 3 })), z: fc.option(fc.constantFrom("A", "B", "\"", "\\")) });
    fc.assert(fc.property(fc.array(any, { maxLength: 5 }), names, (trades, called) => {
      const columns = collect(trades);
      assert.deepEqual(columns.objects("documented"), trades.map((trade) => ({ ...trade })));
      check(columns, called);
    }), { numRuns: 500 });
  });

  it("is what JSON.stringify writes of raw trades, and they explode into what their objects explode into (random)", () => {
    const any = fc.record({ T: fc.constant("t" as const), S: fc.stringMatching(/^[A-Z."\\]{1,8}$/), i: fc.maxSafeNat(), x: fc.option(fc.constantFrom("V", "P")), p: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), s: fc.maxSafeNat(), timestamp: fc.nat(253_402_300_799_999), c: fc.option(fc.array(fc.constantFrom("@", "I"), { maxLength: 3 })), z: fc.option(fc.constantFrom("A", "B")) });
    fc.assert(fc.property(fc.array(any, { maxLength: 5 }), names, (trades, called) => {
      const raw = new LazyRawTrades(collect(trades));
      assert.deepEqual(raw.materialise(), trades.map(({ timestamp, T, S, i, x, p, s, c, z }) => ({ T, S, i, x, p, s, t: timestamp, c, z })));
      assert.equal(jsonArray(tradeJsonWriter(raw)).toString(), JSON.stringify(raw.materialise()));
      const options = { names: called, other: "reject" as const };
      assert.deepEqual((explodeColumns(raw, options).trades as LazyTrades).materialise(), explode(raw.materialise(), options).trades);
    }), { numRuns: 300 });
  });

  it("gives text properties as keys, and leaves numbers to others", () => {
    const writer = tradeJsonWriter(new LazyTrades(collect([flat(), flat({ S: "MSFT", x: null }), flat()]), "documented"));
    const keys = (property: string): (string | null)[] | undefined => {
      const found = writer.keysBy(property);
      return found && [0, 1, 2].map((k) => { const key = found.keys[found.codes[k]!]!; return key === null ? null : Buffer.from(key).toString(); });
    };
    assert.deepEqual(keys("S"), ["AAPL", "MSFT", "AAPL"]);
    assert.deepEqual(keys("x"), ["V", null, "V"]);
    assert.deepEqual(keys("z"), ["C", "C", "C"]);
    assert.deepEqual(keys("T"), ["t", "t", "t"]);
    assert.deepEqual(keys("symbol"), [null, null, null]);
    for (const property of ["i", "p", "s", "timestamp", "c"]) assert.equal(keys(property), undefined, property);
  });
});
