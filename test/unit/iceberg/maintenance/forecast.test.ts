import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { RateMeter } from "../../../../lib/iceberg/maintenance/rate";

interface Part { key: string; values: Record<string, string> }

describe("the forecast of files", () => {
  const root = join(__dirname, "../../../..");
  const context: { window: { ticklake?: { forecast(o: object): Part[] } } } = { window: {} };
  runInNewContext(readFileSync(join(root, "resources/editor.js"), "utf8"), context);
  const labels = (JSON.parse(readFileSync(join(root, "nodes/iceberg-out/locales/en-US/iceberg-out.json"), "utf8")) as { "iceberg-out": { forecast: Record<string, string> } })["iceberg-out"].forecast;
  const say = (o: object): string => context.window.ticklake!.forecast(o).map(({ key, values }) => labels[key]!.replace(/__(\w+)__/g, (_all, name: string) => values[name]!)).join(" ");

  it("says files a day and their size at the measured rate, and what to do", () => {
    const at = { seconds: 10, maxRows: 250_000, rowsPerSecond: 8000, bytesPerRow: 15 };
    assert.equal(say(at), "A commit every 10 s at 8,000 rows/s makes 8,640 files a day of about 1.2 MB. Turn on maintenance, or raise the interval: engines read fewer, larger files faster.");
    assert.equal(say({ ...at, maintenance: true }), "A commit every 10 s at 8,000 rows/s makes 8,640 files a day of about 1.2 MB. Maintenance merges them, so that about 78 are left of a day.");
    assert.equal(say({ ...at, filesPerCommit: 4 }), "A commit every 10 s at 8,000 rows/s makes 34,560 files a day of about 300 kB. Turn on maintenance, or raise the interval: engines read fewer, larger files faster.");
  });

  it("knows that commits come earlier when they are full, and leaves sizes out where no rate is known", () => {
    assert.equal(say({ seconds: 3600, maxRows: 1_000_000, rowsPerSecond: 50_000, bytesPerRow: 20 }), "A commit every 20 s at 50,000 rows/s makes 4,320 files a day of about 20 MB. That is a good size.");
    assert.equal(say({ seconds: 10, maxRows: 250_000 }), "A commit every 10 s makes up to 8,640 data files a day and partition while rows arrive. Turn on maintenance, or raise the interval: engines read fewer, larger files faster.");
    assert.equal(say({ seconds: 600, maxRows: 250_000 }), "A commit every 10 min makes up to 144 data files a day and partition while rows arrive.");
    assert.match(say({ seconds: 0 }), /very many small files/);
    assert.match(say({ seconds: undefined }), /^Enter how long/);
  });

  it("is fed by what commits show", () => {
    let now = 0;
    const meter = new RateMeter(() => now);
    meter.add({ rows: 5000, files: 1, bytes: 75_000 });
    assert.equal(meter.rate, undefined, "one commit says nothing of the pace");
    for (let n = 0; n < 3; n++) { now += 10_000; meter.add({ rows: 10_000, files: 2, bytes: 150_000 }); }
    assert.deepEqual(meter.rate, { rowsPerSecond: 1000, bytesPerRow: 15, filesPerCommit: 2 });
    now += 3_600_000;
    meter.add({ rows: 36_000, files: 1, bytes: 36_000 });
    assert.deepEqual(meter.rate, { rowsPerSecond: 10, bytesPerRow: 1, filesPerCommit: 1 }, "what is long ago no longer counts");
  });
});
