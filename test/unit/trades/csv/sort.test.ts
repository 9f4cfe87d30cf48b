import assert from "node:assert/strict";
import { createWriteStream, readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import fc from "fast-check";
import { findFile, Outcome, prepareSource } from "../../../../lib/trades/csv";
import { ALPACA, alpacaFile, folder, gz, read } from "./support";

const files = folder();
after(() => files.clean());

const START = Date.UTC(2024, 0, 2, 14, 30);
const row = (symbol: string, ms: number, id: number, ns = "000000") => `${symbol},${new Date(START + ms).toISOString().slice(0, 23)}${ns}Z,V,1,1,${id},[],C`;

describe("files that are not in time order", () => {
  it("are replayed in time order, to the nanosecond; equal times keep the order of the file", async () => {
    const path = files.write("s.csv", [ALPACA, row("A", 5, 1), row("A", 7, 2, "000002"), row("A", 7, 3, "000002"), row("B", 5, 4), row("B", 7, 5, "000001"), row("B", 9, 6), row("C", 1, 7)].join("\n"));
    const { trades, sorted } = await read(path, { order: "time" });
    assert.equal(sorted, true);
    assert.deepEqual(trades.map((t) => t.i), [7, 1, 4, 5, 2, 3, 6]);
    const asInFile = await read(path, { order: "file" });
    assert.deepEqual([asInFile.sorted, asInFile.trades.map((t) => t.i)], [false, [1, 2, 3, 4, 5, 6, 7]]);
  });

  it("are not sorted where the filters leave rows that are in order", async () => {
    const path = files.write("f.csv", [ALPACA, row("A", 5, 1), row("A", 7, 2), row("B", 5, 3), row("B", 9, 4)].join("\n"));
    const { trades, sorted } = await read(path, { order: "time", symbols: new Set(["B"]) });
    assert.deepEqual([sorted, trades.map((t) => t.i)], [false, [3, 4]]);
  });

  it("keep their bad rows, beside the row before, with line and reason", async () => {
    const path = files.write("b.csv", [ALPACA, "oops", row("A", 5, 1), row("A", 7, 2).replace(",1,1,", ",NaN,1,"), '"broken', row("B", 3, 3), "short,row"].join("\n"));
    const { trades, rejects } = await read(path, { order: "time" });
    assert.deepEqual(trades.map((t) => t.i), [3, 1]);
    assert.deepEqual(rejects.map((r) => [r.line, r.text.slice(0, 6), r.reason]).sort(), [
      [2, "oops", "1 columns instead of 8"], [4, "A,2024", 'price "NaN" is not a number'], [5, '"broke', "a quote is never closed"], [7, "short,", "2 columns instead of 8"],
    ]);
  });

  it("of any kind give the same trades, sorted (generated: by symbol, late reports, shuffled, reversed; plain and packed)", async () => {
    const text = alpacaFile(60_000, ["AAPL", "MSFT", "IBM"]);
    const [header, ...rows] = text.trim().split("\n");
    const expected = (await read(files.write("g.csv", text), { order: "time" })).trades;
    let seed = 1;
    const random = () => { seed = (seed * 48271) % 2147483647; return seed / 2147483647; };
    const shuffled = rows.map((r) => [random(), r] as const).sort((a, b) => a[0] - b[0]).map(([, r]) => r);
    const late = rows.map((r, i) => [i + (random() < 0.05 ? 400 : 0), r] as const).sort((a, b) => a[0] - b[0]).map(([, r]) => r);
    for (const [name, some] of Object.entries({ bySymbol: [...rows].sort((a, b) => (a.split(",")[0]! < b.split(",")[0]! ? -1 : a.split(",")[0] === b.split(",")[0] ? 0 : 1)), late, shuffled, reversed: [...rows].reverse() })) {
      const content = [header, ...some].join("\n");
      for (const path of [files.write(`${name}.csv`, content), files.write(`${name}.csv.gz`, gz(content))]) {
        const result = await read(path, { order: "time" });
        assert.equal(result.sorted, true, name);
        assert.deepEqual(result.trades, expected, name);
        const rest = await read(path, { order: "time" }, result.positions[12_345]);
        assert.deepEqual(rest.trades, expected.slice(12_345), "from a position");
      }
    }
  }).timeout(60_000);

  it("property: sorting is what a stable sort in memory does", async function () {
    this.timeout(60_000);
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat({ max: 20 }), fc.nat({ max: 2 })), { minLength: 1, maxLength: 60 }), async (times) => {
      const path = files.write("prop.csv", [ALPACA, ...times.map(([ms, ns], i) => row("A", ms, i, `00000${ns}`))].join("\n"));
      const expected = times.map(([ms, ns], i) => ({ ms, ns, i })).sort((a, b) => a.ms - b.ms || a.ns - b.ns || a.i - b.i);
      const inOrder = times.every(([ms], i) => i === 0 || ms >= times[i - 1]![0]);
      const { trades, sorted } = await read(path, { order: "time" });
      assert.equal(sorted, !inOrder);
      // A file that is in order to the millisecond is taken as it is.
      if (sorted) assert.deepEqual(trades.map((t) => t.i), expected.map((e) => e.i));
      else assert.deepEqual(trades.map((t) => t.i), times.map((_, i) => i));
    }), { numRuns: Number(process.env["TICKLAKE_RUNS"] ?? 30) });
  });

  it("need memory for a part of them only, and leave no files", async function () {
    this.timeout(120_000);
    const path = join(files.dir, "large.csv");
    const out = createWriteStream(path);
    out.write("ticker,conditions,exchange,id,price,sip_timestamp,size,tape\n");
    // 40 symbols one after the other, each over the whole day: 1.2 M rows, 65 MB.
    const perSymbol = 30_000;
    let written = 0;
    for (let s = 0; s < 40; s++) {
      let text = "";
      for (let i = 0; i < perSymbol; i++) text += `SYM${s},"12,37",11,${i},138.5,${1704186000000 + i * 500 + s}${"000000"},8,1\n`;
      written += perSymbol;
      if (!out.write(text)) await once(out, "drain");
    }
    out.end();
    await once(out, "finish");
    const spill = join(files.dir, "spill");
    await mkdir(spill);
    const before = process.memoryUsage().rss;
    let peak = 0;
    const phases = new Set<string>();
    const source = await prepareSource(await findFile(path, { baseDir: "/" }), {
      dialect: "auto", order: "time", tempDir: spill, signal: new AbortController().signal,
      breathe: () => new Promise((resolve) => { peak = Math.max(peak, process.memoryUsage.rss()); setImmediate(resolve); }),
      progress: (phase, share) => { phases.add(phase); assert.ok(share >= 0 && share <= 1.001); },
    });
    assert.equal(source.sorted, true);
    const cursor = await source.open(source.start);
    let last = 0, count = 0;
    for (;;) {
      const outcome = cursor.next();
      if (outcome === Outcome.Trade) {
        assert.ok(cursor.trade.t >= last);
        last = cursor.trade.t;
        count++;
      } else if (outcome === Outcome.Need) {
        await cursor.fill();
        peak = Math.max(peak, process.memoryUsage.rss());
      } else break;
    }
    await source.dispose();
    assert.equal(count, written);
    assert.deepEqual([...phases], ["checking", "sorting"]);
    assert.ok(peak - before < 120e6, `memory grew by ${Math.round((peak - before) / 1e6)} MB for a file of 65 MB`);
    assert.deepEqual(readdirSync(spill), []);
  });

  it("that are too large for that say what to do, and leave no files", async () => {
    const [header, ...rows] = alpacaFile(60_000).trim().split("\n");
    const path = files.write("too.csv", [header, ...rows.reverse()].join("\n"));
    const dir = join(files.dir, "spill2");
    await mkdir(dir);
    await assert.rejects(read(path, { order: "time", tempDir: dir, maxSortBytes: 3_000_000 }), { code: "CSV_MERGE_TOO_LARGE", message: /Sort it by time beforehand.*as in the file.*maxSortBytes/s });
    assert.deepEqual(readdirSync(dir), []);
  });

  it("need a folder for it that can be written", async () => {
    const [header, ...rows] = alpacaFile(10).trim().split("\n");
    const path = files.write("nodir.csv", [header, ...rows.reverse()].join("\n"));
    await assert.rejects(read(path, { order: "time", tempDir: join(path, "x") }), { code: "STORAGE_FAILED", message: /ticklake.sortDir/ });
  });

  it("stop being sorted when nobody wants them any more", async () => {
    const [header, ...rows] = alpacaFile(60_000).trim().split("\n");
    const path = files.write("abort.csv", [header, ...rows.reverse()].join("\n"));
    const abort = new AbortController();
    const dir = join(files.dir, "spill3");
    await mkdir(dir);
    await assert.rejects(read(path, { order: "time", tempDir: dir, signal: abort.signal, progress: (phase, share) => { if (phase === "sorting" && share > 0.2) abort.abort(new Error("enough")); } }), /enough/);
    assert.deepEqual(readdirSync(dir), []);
  });
});
