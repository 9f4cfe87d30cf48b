import assert from "node:assert/strict";
import { TicklakeError } from "../../lib/errors";
import { SinkStatus } from "../../nodes/iceberg-out/sink-status";
import { short } from "../../nodes/shared/define";
import type { StatusLine } from "../../nodes/shared/status";

describe("what stands under a node", () => {
  it("is one line; of a long one's paths only the ends stay, so that what is wrong can be read", () => {
    assert.equal(short("1,000 rows\n wait"), "1,000 rows wait");
    assert.equal(short("/data/a/b is a folder"), "/data/a/b is a folder");
    assert.equal(short("Cannot read /srv/node-red/user/warehouse/db/trades/metadata/version-hint.text: no permission"), "Cannot read …/version-hint.text: no permission");
    assert.equal(short(`Read https://example.org/a/b/c ${"x".repeat(80)}`), `Read https://example.org/a/b/c ${"x".repeat(28)}…`);
    assert.equal(short("/".repeat(500)).length, 60);
  });

  it("says in words what is in the way of a sink", () => {
    const shown: string[] = [];
    const line = { ok: (t: string) => shown.push(t), idle: (t: string) => shown.push(t), warn: (t: string) => shown.push(t), fail: (t: string) => shown.push(t) } as unknown as StatusLine;
    const status = new SinkStatus(line);
    status.waiting("db.t", 1200);
    status.retrying("db.t", new TicklakeError("STORAGE_FULL", "The disk is full."), 1500);
    assert.equal(shown.at(-1), "disk full, next try in 2 s, 1,200 rows wait");
    status.failed("db.t", new TicklakeError("TABLE_NOT_FOUND", "There is no table db.t in catalog local."));
    assert.equal(shown.at(-1), "There is no table db.t in catalog local.");
  });

  it("of a sink whose rows all go to output 2 is no green light", () => {
    const shown: string[] = [];
    const line = { ok: (t: string) => shown.push(`green ${t}`), idle: () => 0, warn: (t: string) => shown.push(`yellow ${t}`), fail: () => 0 } as unknown as StatusLine;
    const status = new SinkStatus(line);
    status.rejected();
    status.rejected();
    status.waiting("db.t", 0);
    assert.equal(shown.at(-1), "yellow no row fits the table: 2 rejected, reasons on output 2");
    status.waiting("db.t", 5);
    assert.equal(shown.at(-1), "green 5 rows wait · 2 rejected");
  });
});
