import assert from "node:assert/strict";
import fc from "fast-check";
import { TimeReader, ZoneClock, dayOf, type TimeFormat } from "../../../../lib/trades/csv/time";
import { ByteCache, billionths, decimal, tradeId } from "../../../../lib/trades/csv/values";
import { listOfConditions } from "../../../../lib/trades/csv/decoder";
import { parseRfc3339Ms } from "../../../../lib/trades/time";

const on = <T>(read: (buf: Buffer, start: number, end: number) => T) => (text: string): T => {
  const buf = Buffer.from(`x${text}y`);
  return read(buf, 1, buf.length - 1);
};

describe("numbers from bytes", () => {
  const parse = on(decimal);

  it("are those of the language, to the last bit", () => {
    fc.assert(fc.property(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.float({ noNaN: true, noDefaultInfinity: true })), (n) => {
      assert.equal(parse(Object.is(n, -0) ? "-0" : String(n)), n);
    }), { numRuns: 2000 });
    fc.assert(fc.property(fc.nat({ max: 99_999_999 }), fc.nat({ max: 999_999 }), (whole, fraction) => {
      const text = `${whole}.${String(fraction).padStart(6, "0")}`;
      assert.equal(parse(text), Number(text));
    }), { numRuns: 2000 });
  });

  it("are nothing else", () => {
    for (const text of ["", " ", "nan", "NaN", "inf", "Infinity", "0x10", "1_000", "1,5", "1e", "--1", "1-", ".", "1.2.3", "12a"]) assert.ok(Number.isNaN(parse(text)), text);
    assert.equal(parse(" 12.50 "), 12.5);
    assert.equal(parse("1.5e2"), 150);
    assert.equal(parse(".5"), 0.5);
  });

  it("billionths are exact", () => {
    const fixed = on(billionths);
    assert.equal(fixed("167410000000"), 167.41);
    assert.equal(fixed("1"), 1e-9);
    assert.equal(fixed("9223372036854775806"), 9223372036.854775806);
    assert.ok(Number.isNaN(fixed("1.5")));
  });
});

describe("trade ids", () => {
  const id = on(tradeId);

  it("are never rounded", () => {
    assert.equal(id("0"), 0);
    assert.equal(id("52983525029461"), 52983525029461);
    assert.equal(id("9007199254740991"), 9007199254740991);
    assert.equal(id("9007199254740993"), "9007199254740993");
    assert.equal(id("9223372036854775807"), "9223372036854775807");
    assert.equal(id("0009007199254740993"), "9007199254740993");
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (n) => { assert.equal(BigInt(id(String(n))!), n); }), { numRuns: 1000 });
  });

  it("may have been written by pandas as 123.0", () => {
    assert.equal(id("123.0"), 123);
    assert.equal(id("9007199254740993.0"), "9007199254740993");
  });

  it("are whole numbers below 2^63", () => {
    for (const text of ["", "-1", "1.5", "abc", "9223372036854775808", "99999999999999999999", "1e5"]) assert.equal(id(text), undefined, text);
  });
});

describe("times from bytes", () => {
  const time = (text: string, format: TimeFormat = "auto", zone = "UTC", day?: number) => {
    const reader = new TimeReader(format, new ZoneClock(zone), day);
    const buf = Buffer.from(`,${text},`);
    return reader.read(buf, 1, buf.length - 1) ? [reader.ms, reader.ns] : undefined;
  };
  const at = Date.UTC(2013, 9, 7, 13, 30, 0, 464);

  it("read epochs beyond 2^53 exactly, telling the unit by the digits", () => {
    assert.deepEqual(time("1381152600464123456"), [1381152600464, 123456]);
    assert.deepEqual(time("1381152600464123"), [1381152600464, 123000]);
    assert.deepEqual(time("1381152600464"), [1381152600464, 0]);
    assert.deepEqual(time("1381152600"), [1381152600000, 0]);
    assert.deepEqual(time("1381152600.464123456"), [1381152600464, 123456]);
    // 1 ns before the next millisecond must not become that millisecond.
    assert.deepEqual(time("1704067199999999999", "ns"), [1704067199999, 999999]);
    assert.deepEqual(time("5", "ns"), [0, 5]);
    assert.deepEqual(time("1500", "us"), [1, 500000]);
    assert.deepEqual(time("2", "s"), [2000, 0]);
  });

  it("property: nanosecond epochs lose nothing", () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 9_999_999_999_999_999_999n }), (ns) => {
      assert.deepEqual(time(String(ns), "ns"), [Number(ns / 1_000_000n), Number(ns % 1_000_000n)]);
    }), { numRuns: 1000 });
  });

  it("read RFC 3339 with 0 to 9 digits, T or blank, and any offset", () => {
    assert.deepEqual(time("2013-10-07T13:30:00.464Z"), [at, 0]);
    assert.deepEqual(time("2013-10-07 13:30:00.464123456+00:00"), [at, 123456]);
    assert.deepEqual(time("2013-10-07T09:30:00.464-04:00"), [at, 0]);
    assert.deepEqual(time("2013-10-07T09:30:00.464-0400"), [at, 0]);
    assert.deepEqual(time("2013-10-07T19:00:00.464+05:30"), [at, 0]);
    assert.deepEqual(time("2013-10-07T13:30:00Z"), [at - 464, 0]);
    assert.deepEqual(time("2013-10-07 13:30:00.464 UTC"), [at, 0]);
    assert.deepEqual(time("2013-10-07 09:30:00.464", "auto", "America/New_York"), [at, 0]);
  });

  it("property: agree with the schema's own reading of RFC 3339", () => {
    fc.assert(fc.property(fc.date({ min: new Date("1970-01-02"), max: new Date("9999-12-30"), noInvalidDate: true }), fc.nat({ max: 999_999 }), fc.integer({ min: -14 * 4, max: 14 * 4 }), (date, ns, quarter) => {
      const offset = `${quarter < 0 ? "-" : "+"}${String(Math.floor(Math.abs(quarter) / 4)).padStart(2, "0")}:${String((Math.abs(quarter) % 4) * 15).padStart(2, "0")}`;
      const text = `${date.toISOString().slice(0, 23)}${String(ns).padStart(6, "0")}${offset}`;
      assert.deepEqual(time(text), [parseRfc3339Ms(text), ns]);
    }), { numRuns: 1000 });
  });

  it("refuse what is no time", () => {
    for (const text of ["", "2013-10-07", "2013-02-30T00:00:00Z", "2013-10-07T25:00:00Z", "2013-10-07T13:60:00Z", "2013-10-07T13:30:00.Z", "2013-10-07T13:30:00+99:00",
      "2013-10-07T13:30:00.1234567890Z", "07/10/2013 13:30", "-5", "1e12", "99999999999999999999", "noon", "2013-1a-07T13:30:00Z"]) assert.equal(time(text), undefined, text);
  });

  it("read times of day in New York, summer and winter", () => {
    const summer = dayOf("EQY_US_ALL_TRADE_20131007.gz"), winter = dayOf("2014-01-07");
    assert.deepEqual(time("093000464123456", "clock", "America/New_York", summer), [at, 123456]);
    assert.deepEqual(time("93000464123456", "clock", "America/New_York", summer), [at, 123456]);
    assert.deepEqual(time("093000464", "clock", "America/New_York", summer), [at, 0]);
    assert.deepEqual(time("09:30:00.464", "clock", "America/New_York", summer), [at, 0]);
    assert.deepEqual(time("093000464", "clock", "America/New_York", winter), [Date.UTC(2014, 0, 7, 14, 30, 0, 464), 0]);
    assert.equal(time("253000464", "clock", "America/New_York", summer), undefined);
    assert.equal(time("093000464", "clock"), undefined);
  });

  it("know the hours around a change of the clocks", () => {
    const zone = new ZoneClock("America/New_York");
    const iso = (local: string) => new Date(zone.toUtc(Date.parse(`${local}Z`))).toISOString();
    assert.equal(iso("2024-03-10T01:59:00"), "2024-03-10T06:59:00.000Z");
    assert.equal(iso("2024-03-10T03:00:00"), "2024-03-10T07:00:00.000Z");
    assert.equal(iso("2024-11-03T00:59:00"), "2024-11-03T04:59:00.000Z");
    assert.equal(iso("2024-11-03T01:30:00"), "2024-11-03T05:30:00.000Z"); // occurs twice: the first
    assert.equal(iso("2024-11-03T02:00:00"), "2024-11-03T07:00:00.000Z");
  });

  it("find the date in a file name", () => {
    for (const name of ["EQY_US_ALL_TRADE_20131007.gz", "2013-10-07.csv.gz", "trades_2013_10_07_all.csv", "20131007"]) assert.equal(dayOf(name), Date.UTC(2013, 9, 7), name);
    for (const name of ["trades.csv", "12345678.csv", "2013-13-40.csv", "1201310071.csv"]) assert.equal(dayOf(name), undefined, name);
  });
});

describe("conditions from text", () => {
  it("read the text of Python, JSON and NumPy lists", () => {
    assert.deepEqual(listOfConditions("['@', 'I']"), ["@", "I"]);
    assert.deepEqual(listOfConditions("['@','T','I']"), ["@", "T", "I"]);
    assert.deepEqual(listOfConditions("['@' 'I']"), ["@", "I"]);
    assert.deepEqual(listOfConditions('["@"]'), ["@"]);
    assert.deepEqual(listOfConditions("[' ', 'F']"), [" ", "F"]);
    assert.deepEqual(listOfConditions("[]"), []);
    assert.deepEqual(listOfConditions("nan"), []);
    assert.deepEqual(listOfConditions("@;I"), ["@", "I"]);
  });

  it("property: a cache gives what was put in, whatever collides", () => {
    const cache = new ByteCache((bytes) => bytes.toString());
    fc.assert(fc.property(fc.string({ maxLength: 12 }), (text) => { assert.equal(on((b, s, e) => cache.get(b, s, e))(text), text); }), { numRuns: 5000 });
  });
});
