import assert from "node:assert/strict";
import { beforeEnd, closeBudget } from "../../nodes/shared/delivery/last-call";

/** SIGHUP stands for all of them: nobody else in this process listens to it. */
const SIGNAL = "SIGHUP";

describe("the last call before the process ends", () => {
  const heard: string[] = [];
  const listener = (signal: string, code: number): void => { heard.push(`${signal} ${code}`); };
  const removed: (() => void)[] = [];
  const call = (drain: (aborted: AbortSignal) => Promise<void>): (() => void) => {
    const stays = beforeEnd(drain);
    removed.push(stays);
    return stays;
  };
  const turns = async (): Promise<void> => { for (let k = 0; k < 5; k++) await new Promise((resolve) => setImmediate(resolve)); };
  beforeEach(() => { heard.length = 0; process.on(SIGNAL, listener); });
  afterEach(async () => {
    for (const stays of removed.splice(0)) stays();
    await turns();
    process.off(SIGNAL, listener);
    assert.equal(process.listenerCount(SIGNAL), 0, "nothing stays behind");
  });

  it("holds a signal back until every source has delivered, then hands it on as it came", async () => {
    const done: (() => void)[] = [];
    for (let k = 0; k < 2; k++) call(() => new Promise((resolve) => { done.push(resolve); }));
    process.emit(SIGNAL, SIGNAL);
    await turns();
    assert.deepEqual(heard, []);
    done[0]!();
    await turns();
    assert.deepEqual(heard, []);
    done[1]!();
    await turns();
    assert.deepEqual(heard, ["SIGHUP 1"]);
    process.emit(SIGNAL, SIGNAL);
    assert.equal(heard.length, 2, "it is nobody's second time");
  });

  it("a source that fails, and one that is removed meanwhile, hold nothing up", async () => {
    call(() => Promise.reject(new Error("no use")));
    const done: (() => void)[] = [];
    const stays = call(() => new Promise((resolve) => { done.push(resolve); }));
    process.emit(SIGNAL, SIGNAL);
    stays();
    done[0]!();
    await turns();
    assert.equal(heard.length, 1);
  });

  it("a second signal ends the wait, and the sources are told", async () => {
    let aborted = false;
    call((signal) => new Promise((resolve) => { signal.addEventListener("abort", () => { aborted = true; resolve(); }); }));
    process.emit(SIGNAL, SIGNAL);
    await turns();
    assert.deepEqual(heard, []);
    process.emit(SIGNAL, SIGNAL);
    await turns();
    assert.equal(aborted, true);
    assert.equal(heard.length, 1);
  });

  it("without a source nothing is held; when the last one goes all is as before, and who listens once hears it once", () => {
    let once = 0;
    process.once(SIGNAL, () => { once++; });
    const before = process.rawListeners(SIGNAL);
    const stays = beforeEnd(() => Promise.resolve());
    assert.notDeepEqual(process.rawListeners(SIGNAL), before);
    stays();
    assert.deepEqual(process.rawListeners(SIGNAL), before);
    process.emit(SIGNAL, SIGNAL);
    process.emit(SIGNAL, SIGNAL);
    assert.equal(once, 1);
    assert.equal(heard.length, 2);
  });

  it("a signal that nobody listens to is left alone: it would end the process, and still does", () => {
    process.off(SIGNAL, listener);
    call(() => Promise.resolve());
    assert.equal(process.listenerCount(SIGNAL), 0);
  });

  it("after the signal closing gets what is left of the time", async () => {
    assert.ok(closeBudget(12_000) <= 12_000);
    call(() => Promise.resolve());
    process.emit(SIGNAL, SIGNAL);
    await turns();
    assert.equal(closeBudget(3000), 3000);
    assert.ok(closeBudget(60_000) <= 14_000);
  });
});
