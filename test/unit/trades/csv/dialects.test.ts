import assert from "node:assert/strict";
import { createReadStream, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import type { PrepareOptions } from "../../../../lib/trades/csv";
import { parseMapping } from "../../../../lib/trades/csv";
import { rawTradeSchema } from "../../../../lib/trades/schema";
import { ALPACA, folder, read } from "./support";

const files = folder();
after(() => files.clean());

const file = (name: string, lines: string[]): string => files.write(name, `${lines.join("\n")}\n`);
const reasons = (rejects: { line: number; reason: string }[]) => rejects.map((r) => `${r.line}: ${r.reason}`);
const code = async (work: Promise<unknown>): Promise<{ code: string; message: string }> => work.then(() => assert.fail("no error"), (e: { code: string; message: string }) => e);

describe("CSV of Alpaca's SDK", () => {
  it("becomes raw trades", async () => {
    const { dialect, trades, rejects } = await read(file("a.csv", [ALPACA,
      `AAPL,2024-01-02T14:30:00.123456789Z,V,185.64,100,52983525029461,"['@', 'I']",C`,
      `BRK.B,2024-01-02 14:30:00.5+00:00,N,0.0001,1.0,9007199254740993,"[' ', 'F']",A`,
      `AAPL,2024-01-02T14:30:01Z,V,185.7,2,3.0,['@'],C`,
    ]));
    assert.equal(dialect, "alpaca");
    assert.deepEqual(rejects, []);
    assert.deepEqual(trades, [
      { T: "t", S: "AAPL", i: 52983525029461, x: "V", p: 185.64, s: 100, t: Date.UTC(2024, 0, 2, 14, 30, 0, 123), c: ["@", "I"], z: "C" },
      { T: "t", S: "BRK.B", i: "9007199254740993", x: "N", p: 0.0001, s: 1, t: Date.UTC(2024, 0, 2, 14, 30, 0, 500), c: [" ", "F"], z: "A" },
      { T: "t", S: "AAPL", i: 3, x: "V", p: 185.7, s: 2, t: Date.UTC(2024, 0, 2, 14, 30, 1), c: ["@"], z: "C" },
    ]);
    for (const trade of trades) assert.deepEqual(rawTradeSchema.parse(trade), trade);
  });

  it("may have its columns in any order, others among them, and need not have all", async () => {
    const { trades } = await read(file("order.csv", ["note,Price,SYMBOL,size,timestamp", `"a ""note"", with comma",10.5,MSFT,7,2024-01-02T14:30:00Z`]));
    assert.deepEqual(trades, [{ T: "t", S: "MSFT", i: 2, x: null, p: 10.5, s: 7, t: Date.UTC(2024, 0, 2, 14, 30), c: null, z: null }]);
  });

  it("gives each trade a list of conditions of its own", async () => {
    const { trades } = await read(file("own.csv", [ALPACA, `A,2024-01-02T14:30:00Z,V,1,1,1,"['@']",C`, `A,2024-01-02T14:30:00Z,V,1,1,2,"['@']",C`]));
    trades[0]!.c!.push("X");
    assert.deepEqual(trades[1]!.c, ["@"]);
  });

  it("keeps the text of the time where asked to", async () => {
    const { trades } = await read(file("tns.csv", [ALPACA, "A,2024-01-02T14:30:00.123456789Z,V,1,1,1,[],C"]), { keepNanos: true });
    assert.equal(trades[0]!.tns, "2024-01-02T14:30:00.123456789Z");
  });

  it("sets bad rows aside with line, text and reason, and reads all others", async () => {
    const good = (id: number) => `A,2024-01-02T14:30:00Z,V,1.5,1,${id},[],C`;
    const path = files.write("bad.csv", `\uFEFF${[ALPACA, good(1),
      "A,2024-01-02T14:30:00Z,V,NaN,1,2,[],C", "A,2024-01-02T14:30:00Z,V,,1,2,[],C", "A,2024-01-02T14:30:00Z,V,-1,1,2,[],C", "A,2024-01-02T14:30:00Z,V,1,0.5,2,[],C",
      "A,2024-01-02T14:30:00Z,V,1,1", "A,2024-01-02T14:30:00Z,V,1,1,2,[],C,extra", "A,yesterday,V,1,1,2,[],C", "A,,V,1,1,2,[],C", "A,2024-01-02T14:30:00Z,V,1,1,x1,[],C",
      ",2024-01-02T14:30:00Z,V,1,1,2,[],C", '"A,2024-01-02T14:30:00Z,V,1,1,2,[],C', good(3), "", `${good(4)},,`, "A,2024-01-02T14:30:00Z,V,inf,1,2,[],C", "A,2024-01-02T14:30:00Z,V,1,1,,[],C"].join("\r\n")}`);
    const { trades, rejects } = await read(path);
    assert.deepEqual(trades.map((t) => t.i), [1, 3, 4]);
    assert.deepEqual(reasons(rejects), [
      '3: price "NaN" is not a number', "4: the price is empty", '5: price "-1" is negative', '6: size 0.5 is not a whole number of shares; "Fractional sizes" in the node lets such rows through',
      "7: 5 columns instead of 8", "8: 9 columns instead of 8", '9: time "yesterday" cannot be read', "10: the time is empty", '11: id "x1" is not a whole number below 2^63',
      "12: the symbol is empty", "13: a quote is never closed", '17: price "inf" is not a number', "18: the id is empty",
    ]);
    assert.equal(rejects[0]!.text, "A,2024-01-02T14:30:00Z,V,NaN,1,2,[],C");
  });

  it("lets fractional sizes through where asked to", async () => {
    const { trades } = await read(file("fraction.csv", [ALPACA, "A,2024-01-02T14:30:00Z,V,1,0.25,1,[],C"]), { fractionalSizes: true });
    assert.equal(trades[0]!.s, 0.25);
  });

  it("filters by symbol and time; what is filtered is not judged", async () => {
    const path = file("filter.csv", [ALPACA, ...[1, 2, 3, 4].map((n) => `A,2024-01-02T14:30:0${n}Z,V,1,1,${n},[],C`), "B,2024-01-02T14:30:02Z,V,oops,1,9,[],C", "C,2024-01-02T14:30:02Z,V,1,1,5,[],C"]);
    const at = (s: number) => Date.UTC(2024, 0, 2, 14, 30, s);
    const { trades, rejects } = await read(path, { symbols: new Set(["A", "C"]), from: at(2), to: at(4) });
    assert.deepEqual(trades.map((t) => t.i), [2, 3, 5]);
    assert.deepEqual(rejects, []);
  });
});

describe("CSV of Polygon", () => {
  const HEADER = "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape,trf_id,trf_timestamp";

  it("becomes raw trades, with the tapes' letters", async () => {
    const { dialect, trades, rejects } = await read(file("p.csv", [HEADER,
      `A,"12,37",0,11,1,1704186000019000000,138.5,2041,1704186000019351087,8,1,0,0`,
      `AAPL,,0,12,52983525029461,1704186000019000000,185.5,2042,1704186000019351087,100,3,0,0`,
      `A,"2,41",0,12,2,1704186000019000000,138.5,2043,0,100,1,0,0`,
      `AAPL,2,0,4,3,1704186000019000000,138.5,2044,1704186000999999999,100,3,202,1704186000019000000`,
    ]));
    assert.equal(dialect, "polygon");
    assert.deepEqual(rejects, []);
    assert.deepEqual(trades, [
      { T: "t", S: "A", i: 1, x: "P", p: 138.5, s: 8, t: 1704186000019, c: ["T", "I"], z: "A" },
      { T: "t", S: "AAPL", i: 52983525029461, x: "Q", p: 185.5, s: 100, t: 1704186000019, c: [], z: "C" },
      { T: "t", S: "A", i: 2, x: "T", p: 138.5, s: 100, t: 1704186000019, c: ["B", "41"], z: "A" },
      { T: "t", S: "AAPL", i: 3, x: "D", p: 138.5, s: 100, t: 1704186000999, c: ["W"], z: "C" },
    ]);
  });

  it("sets fractional sizes and correction records aside", async () => {
    const { trades, rejects } = await read(file("p2.csv", [HEADER, "A,,0,11,1,0,138.5,1,1704186000019351087,0.5,1,0,0", "A,,12,11,2,0,138.5,1,1704186000019351087,5,1,0,0", "A,,8,11,3,0,138.5,1,1704186000019351087,5,1,0,0", "A,,0,11,4,0,138.5,1,0,5,1,0,0"]));
    assert.deepEqual(trades.map((t) => t.i), [3]);
    assert.deepEqual(reasons(rejects), ['2: size 0.5 is not a whole number of shares; "Fractional sizes" in the node lets such rows through', "3: correction 12: a correction record about an earlier trade, not a trade", "5: the time is empty"]);
  });
});

describe("CSV of Databento", () => {
  const HEADER = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,symbol";

  it("becomes raw trades, raw and pretty-printed", async () => {
    const { dialect, trades, rejects } = await read(file("d.csv", [HEADER,
      "1704186000019400000,1704186000019351087,0,2,38,T,A,0,185640000000,100,130,165432,99,AAPL",
      "2024-01-02T09:00:00.019400000Z,2024-01-02T09:00:00.019351087Z,0,9,38,T,B,0,185.640000000,7,130,165432,100,IBM",
      "1704186000019400000,18446744073709551615,0,300,38,T,N,0,1,100,130,165432,101,AAPL",
      "1704186000019400000,1704186000019351087,0,2,38,T,A,0,9223372036854775807,100,130,165432,102,AAPL",
      "1704186000019400000,1704186000019351087,0,2,38,C,A,0,185640000000,100,130,165432,103,AAPL",
    ]));
    assert.equal(dialect, "databento");
    assert.deepEqual(trades, [
      { T: "t", S: "AAPL", i: 99, x: "Q", p: 185.64, s: 100, t: 1704186000019, c: null, z: null },
      { T: "t", S: "IBM", i: 100, x: "N", p: 185.64, s: 7, t: 1704186000019, c: null, z: null },
      { T: "t", S: "AAPL", i: 101, x: "300", p: 1e-9, s: 100, t: 1704186000019, c: null, z: null },
    ]);
    assert.deepEqual(reasons(rejects), ["5: the price is undefined", '6: action "C" is not a trade']);
  });
});

describe("CSV of Tardis", () => {
  const HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount";

  it("becomes raw trades where sizes may be fractional; ids that are no numbers become stable ones", async () => {
    const path = file("t.csv", [HEADER, "binance,BTCUSDT,1704186000019351,1704186000020000,3358642384,buy,42000.5,0.25", "bitmex,XBTUSD,1704186000019352,1704186000020001,00000000-006d-1000-0000-001b2e4c3f0e,sell,42001,100", "x,Y,1704186000019353,1704186000020001,,sell,1,1"]);
    const { dialect, trades, rejects } = await read(path, { fractionalSizes: true });
    assert.equal(dialect, "tardis");
    assert.deepEqual(rejects, []);
    assert.deepEqual(trades[0], { T: "t", S: "BTCUSDT", i: 3358642384, x: "binance", p: 42000.5, s: 0.25, t: 1704186000019, c: null, z: null });
    assert.match(String(trades[1]!.i), /^\d{10,19}$/);
    assert.equal(trades[2]!.i, 4);
    assert.deepEqual((await read(path, { fractionalSizes: true })).trades, trades);
    assert.equal((await read(path)).rejects.length, 1);
  });
});

describe("CSV of NYSE TAQ", () => {
  const HEADER = "Time|Exchange|Symbol|Sale Condition|Trade Volume|Trade Price|Trade Stop Stock Indicator|Trade Correction Indicator|Sequence Number|Trade Id|Source of Trade|Trade Reporting Facility|Participant Timestamp|Trade Reporting Facility TRF Timestamp|Trade Through Exempt Indicator";
  const row = (time: string, symbol: string, correction = "00", id = 1) => `${time}|P|${symbol}|@ TI|100|187.31||${correction}|42|${id}|C||093000100000000||0`;

  it("becomes raw trades: New York time, date from the file name, suffixes, footer", async () => {
    const { dialect, trades, rejects } = await read(file("EQY_US_ALL_TRADE_20131007.csv", [HEADER, row("093000464123456", "BRK B"), "160000000000001|Q|MSFT|@   |5|33.3||00|43||N||160000000000000||0", "END|20131007|2||||||||||||"]));
    assert.equal(dialect, "taq");
    assert.deepEqual(rejects, []);
    assert.deepEqual(trades, [
      { T: "t", S: "BRK.B", i: 1, x: "P", p: 187.31, s: 100, t: Date.UTC(2013, 9, 7, 13, 30, 0, 464), c: ["@", "T", "I"], z: null },
      { T: "t", S: "MSFT", i: 43, x: "Q", p: 33.3, s: 5, t: Date.UTC(2013, 9, 7, 20, 0), c: ["@"], z: "C" },
    ]);
  });

  it("rejects a footer whose count is wrong, and cancel records; all their rows count", async () => {
    const right = await read(file("taq-20131007.csv", [HEADER, row("093000464123456", "IBM"), row("093000464123456", "IBM", "10"), "oops", "END|20131007|3"]));
    assert.deepEqual(reasons(right.rejects), ["3: correction 10: a cancel record about an earlier trade, not a trade", "4: 1 columns instead of 15"]);
    const wrong = await read(file("taq2-20131007.csv", [HEADER, row("093000464123456", "IBM"), "END|20131007|5"]));
    assert.equal(wrong.trades.length, 1);
    assert.deepEqual(reasons(wrong.rejects), ["3: the footer counts 5 rows, the file has 1: the file is incomplete or was changed"]);
  });

  it("takes the date from the setting, and says so where there is none", async () => {
    const path = file("taq.csv", [HEADER, row("093000464123456", "IBM")]);
    assert.match((await code(read(path))).message, /names no date. Set the date/);
    assert.equal((await read(path, { day: Date.UTC(2014, 0, 7) })).trades[0]!.t, Date.UTC(2014, 0, 7, 14, 30, 0, 464));
  });
});

describe("custom CSV", () => {
  const custom = (columns: object, extra: Partial<PrepareOptions> = {}) => ({ dialect: "custom" as const, mapping: parseMapping(columns), ...extra });

  it("maps columns by name, position and constant, and tells the unit by the digits", async () => {
    const path = file("c.csv", ["ts;px;qty;venue", "1704186000;1,5;10;X", "1704186000.019351;1.5;10;X", "1704186000019;2.5;20;Y", "1704186000019351;3;30;", "1704186000019351087;4;40;Z"]);
    const { trades, rejects } = await read(path, custom({ symbol: "=AAPL", time: "ts", price: 2, size: "QTY", exchange: "venue", tape: "=C" }));
    assert.deepEqual(trades.map((t) => [t.S, t.t, t.p, t.s, t.x, t.z, t.i]), [
      ["AAPL", 1704186000019, 1.5, 10, "X", "C", 3], ["AAPL", 1704186000019, 2.5, 20, "Y", "C", 4], ["AAPL", 1704186000019, 3, 30, null, "C", 5], ["AAPL", 1704186000019, 4, 40, "Z", "C", 6],
    ]);
    assert.deepEqual(reasons(rejects), ['2: price "1,5" is not a number']);
  });

  it("reads files without a header by position", async () => {
    const { trades } = await read(file("h.csv", ["AAPL\t1704186000019\t1.5\t10\t@ I", "MSFT\t1704186000020\t2.5\t20\t@"]), custom({ symbol: 1, time: 2, price: 3, size: 4, conditions: 5 }));
    assert.deepEqual(trades.map((t) => [t.S, t.t, t.c]), [["AAPL", 1704186000019, ["@", "I"]], ["MSFT", 1704186000020, ["@"]]]);
  });

  it("puts date and time of day together, in the zone that is set", async () => {
    const { trades, rejects } = await read(file("dt.csv", ["day,clock,sym,px,qty", "2013-10-07,09:30:00.464,IBM,1,1", "20131007,093000464,IBM,1,1", "7 Oct,09:30:00,IBM,1,1"]), custom({ symbol: "sym", date: "day", time: "clock", price: "px", size: "qty" }, { timeZone: "America/New_York" }));
    assert.deepEqual(trades.map((t) => t.t), [Date.UTC(2013, 9, 7, 13, 30, 0, 464), Date.UTC(2013, 9, 7, 13, 30, 0, 464)]);
    assert.deepEqual(reasons(rejects), ['4: date "7 Oct" cannot be read; write it as YYYY-MM-DD']);
  });

  it("says what is wrong with a mapping", async () => {
    const path = file("m.csv", ["a,b", "1,2"]);
    assert.match((await code(read(path, custom({ symbol: "sym", time: "b", price: 1, size: 2 })))).message, /columns.symbol: the file has no column "sym"; it has: a, b/);
    assert.match((await code(read(path, custom({ symbol: 1, time: 7, price: 1, size: 2 })))).message, /columns.time: the file has 2 columns, none at position 7/);
    assert.throws(() => parseMapping("{oops"), { code: "CONFIG_INVALID", message: /not valid JSON/ });
    assert.throws(() => parseMapping({ symbol: "a" }), { code: "CONFIG_INVALID", message: /columns: time.*Map at least/ });
    assert.throws(() => parseMapping({ symbol: "a", time: "b", price: "c", size: "d", volume: "e" }), { code: "CONFIG_INVALID" });
  });
});

describe("a header", () => {
  it("that nobody knows is shown, with what to do", async () => {
    const error = await code(read(file("u.csv", ["foo,bar,baz", "1,2,3"])));
    assert.equal(error.code, "CSV_DIALECT_UNKNOWN");
    assert.match(error.message, /"foo, bar, baz".*custom/);
  });

  it("that lacks columns of the dialect asked for is named", async () => {
    const error = await code(read(file("l.csv", ["symbol,timestamp,price", "A,1,1"]), { dialect: "alpaca" }));
    assert.equal(error.code, "CSV_DIALECT_UNKNOWN");
    assert.match(error.message, /column "size" is missing/);
  });

  it("that never ends, or is binary, is refused", async () => {
    assert.equal((await code(read(files.write("long.csv", "x".repeat(200_000))))).code, "CSV_DIALECT_UNKNOWN");
    assert.equal((await code(read(files.write("bin.csv", Buffer.from([1, 0, 2, 0, 3]))))).code, "FILE_UNREADABLE");
  });

  it("alone, or nothing at all, gives no trades and no rejects", async () => {
    for (const content of ["", "\n\n", "\uFEFF", `${ALPACA}\n`, ALPACA]) {
      const { trades, rejects } = await read(files.write("e.csv", content));
      assert.deepEqual([trades, rejects], [[], []]);
    }
  });
});

describe("four days of real trades", () => {
  const dir = join(__dirname, "../../../../../shared/data/trades");
  const days = { "2013-10-07": 388_417, "2013-10-08": 654_140, "2013-10-09": 641_559, "2013-10-10": 661_332 };
  const present = existsSync(dir) ? readdirSync(dir) : [];

  for (const [day, count] of Object.entries(days)) {
    if (!present.includes(`${day}.csv.gz`)) continue;
    it(`${day}: ${count} trades, none rejected, in order, with the sums of the text`, async function () {
      this.timeout(60_000);
      const path = join(dir, `${day}.csv.gz`);
      const { trades, rejects, sorted, dialect } = await read(path, { order: "time" });
      assert.deepEqual([dialect, sorted, rejects, trades.length], ["alpaca", false, [], count]);
      // The same sums by an independent reading: lines and split.
      const sums: Record<string, [number, number, number]> = {};
      let header = true;
      for await (const line of createInterface({ input: createReadStream(path).pipe(createGunzip()) })) {
        if (header) { header = false; continue; }
        const [symbol, time, , price, size] = line.split(",") as [string, string, string, string, string];
        const sum = sums[symbol] ??= [0, 0, 0];
        sum[0] += Number(size);
        sum[1] += Math.round(Number(price) * 1e4);
        sum[2] += Date.parse(time) % 86_400_000;
      }
      const ours: typeof sums = {};
      for (const trade of trades) {
        const sum = ours[trade.S] ??= [0, 0, 0];
        sum[0] += trade.s;
        sum[1] += Math.round(trade.p * 1e4);
        sum[2] += trade.t % 86_400_000;
      }
      assert.deepEqual(ours, sums);
    });
  }
});
