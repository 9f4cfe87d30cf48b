import assert from "node:assert/strict";
import { KeptProcess, type Underway } from "../../../lib/cli/kept-process";

/** Processes that end as a script says: a code, null for killed, or only when they are told to. */
function world(script: readonly (number | null | "runs")[]) {
  const said: string[] = [], signals: string[] = [], pauses: number[] = [];
  let now = 0, starts = 0;
  const kept = new KeptProcess("part", {
    now: () => now, say: (text) => { said.push(text); }, pause: (ms) => { pauses.push(ms); return Promise.resolve(); },
    start: (): Underway => {
      const next = script[Math.min(starts++, script.length - 1)]!;
      let end: (code: number | null) => void = () => undefined;
      const ended = new Promise<{ code: number | null; words: string }>((done) => { end = (code) => { done({ code, words: "its last words" }); }; });
      if (next !== "runs") setImmediate(() => { end(next); });
      return { pid: starts, ended, kill: (signal) => { signals.push(signal); if (signal === "SIGINT") end(0); } };
    },
  });
  return { kept, said, signals, pauses, later: (ms: number) => { now += ms; } };
}

describe("a process that is started again", () => {
  it("until its work is done, however often it is killed", async () => {
    const { kept, said, pauses } = world([...Array<null>(20).fill(null), 1, null, 0]);
    await kept.run();
    assert.equal(kept.starts, 23);
    assert.deepEqual([said[0], said[1]], ["part: process 1", "part was killed; it is started again"]);
    assert.ok(said.includes("part ended with code 1; it is started again"));
    assert.ok(pauses.length >= 1, "who fails by itself waits a little");
  });

  it("that fails again and again right after its start is given up, with what it said", async () => {
    const { kept } = world([1]);
    await assert.rejects(kept.run(), (error: { code: string; message: string }) => error.code === "WORKER_FAILED" && /4 times with code 1.*its last words/s.test(error.message));
    assert.equal(kept.starts, 4);
  });

  it("whose command line is wrong is given up at once", async () => {
    const { kept } = world([2]);
    await assert.rejects(kept.run(), /ended 1 time with code 2/);
    assert.equal(kept.starts, 1);
  });

  it("is told to end with what it has, and not started again then", async () => {
    const { kept, signals } = world(["runs"]);
    const running = kept.run();
    await kept.stop();
    await running;
    assert.deepEqual([kept.starts, signals[0]], [1, "SIGINT"]);
    const never = world(["runs"]);
    await never.kept.stop();
    await never.kept.run();
    assert.equal(never.kept.starts, 0);
  });
});
