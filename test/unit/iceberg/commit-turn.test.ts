import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { commitChange, type TableChange } from "../../../lib/iceberg/commit-change";
import { inTurn } from "../../../lib/iceberg/commit-turn";
import { LocalFileIO } from "../../../lib/iceberg/io/local";
import { SCHEMA, SPEC } from "../../support/iceberg";

interface Held { readonly promise: Promise<string>; resolve(value: string): void; reject(error: Error): void }
function held(): Held {
  let resolve!: Held["resolve"], reject!: Held["reject"];
  const promise = new Promise<string>((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
}
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

describe("whose turn it is to commit", () => {
  it("one that lost twice waits for attempts under way, and the others for it, however it ends", async () => {
    const [early, slow] = [held(), held()], order: string[] = [];
    const began = (name: string, work: Held) => (): Promise<string> => { order.push(name); return work.promise; };
    const first = inTurn("a", 0, undefined, began("early", early));
    const second = inTurn("a", 2, undefined, began("slow", slow));
    const third = inTurn("a", 0, undefined, began("late", { ...early, promise: Promise.resolve("late") }));
    await turn();
    assert.deepEqual(order, ["early"]);
    assert.equal(await inTurn("b", 0, undefined, () => Promise.resolve("other table")), "other table");
    early.resolve("early");
    await first;
    await turn();
    assert.deepEqual(order, ["early", "slow"]);
    slow.reject(new Error("lost again"));
    await assert.rejects(second, /lost again/);
    assert.equal(await third, "late");
    assert.deepEqual(order, ["early", "slow", "late"]);
  });

  it("one that hangs holds up nobody for long, and nobody who is stopped", async () => {
    const hangs = held();
    const first = inTurn("a", 2, undefined, () => hangs.promise);
    assert.equal(await inTurn("a", 0, undefined, () => Promise.resolve("went on"), 20), "went on");
    const stop = new AbortController();
    const stopped = inTurn("a", 3, stop.signal, () => Promise.resolve("stopped"), 600_000);
    stop.abort();
    assert.equal(await stopped, "stopped");
    hangs.resolve("at last");
    assert.equal(await first, "at last");
  });

  it("a change that takes long to build lands in its third attempt, although others commit all the time", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ticklake-turn-test-"));
    try {
      const catalog = new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() }), id = { namespace: ["db"], name: "t" };
      await catalog.createTable(id, { schema: SCHEMA, spec: SPEC });
      const property = (name: string, build: () => Promise<unknown>): TableChange<string> => ({
        build: async (_base, { number }) => { await build(); return { updates: [{ action: "set-properties", updates: { [name]: String(number) } }], value: name }; },
        landed: ({ metadata }) => metadata.properties[name] !== undefined,
      });
      let commits = 0, done = false;
      const busy = (async () => {
        for (const table = await catalog.loadTable(id); !done; commits++) await commitChange(table, property(`quick-${commits}`, () => Promise.resolve()));
      })();
      // As long as it takes the others to commit twice; where they wait for it, it goes on.
      const slow = await commitChange(await catalog.loadTable(id), property("slow", async () => {
        const seen = commits;
        for (let n = 0; n < 200 && commits < seen + 2; n++) await new Promise((resolve) => setTimeout(resolve, 5));
      }));
      done = true;
      await busy;
      assert.equal(slow!.conflicts, 2);
      assert.equal((await (await catalog.loadTable(id)).refresh()).metadata.properties["slow"], "3");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
