import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { findFile, Outcome, prepareSource } from "../../../../lib/trades/csv";
import { folder, options } from "./support";

describe("progress through a file", () => {
  const { write, clean } = folder();
  after(clean);

  it("is that of the rows given out, also for a small file that was read in one piece", async () => {
    const rows = Array.from({ length: 1000 }, (_, n) => `IBM,2025-03-12T14:30:00.000Z,P,100,100,${1000 + n},"['@']",A`);
    const path = write("trades.csv", `symbol,timestamp,exchange,price,size,id,conditions,tape\n${rows.join("\n")}\n`);
    const source = await prepareSource(await findFile(basename(path), { baseDir: dirname(path) }), options());
    const cursor = await source.open(source.start);
    for (let trades = 0; trades < 500;) {
      const outcome = cursor.next();
      if (outcome === Outcome.Trade) trades++;
      else if (outcome === Outcome.Need) await cursor.fill();
      else assert.fail("a row is missing");
    }
    assert.ok(Math.abs(cursor.progress - 0.5) < 0.01, `${cursor.progress}`);
    await cursor.close();
  });
});
