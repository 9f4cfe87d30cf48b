import assert from "node:assert/strict";
import { World } from "./world";

const error = (code: number) => ({ T: "error", code, msg: "scripted" });
const confirm = (...trades: string[]) => ({ T: "subscription", trades, quotes: [] });

describe("Alpaca's stream session", () => {
  it("connects, is greeted, logs in, subscribes and is live", () => {
    const world = new World();
    const { session } = world;
    session.start({ trades: ["AAPL"], quotes: ["MSFT"] });
    assert.equal(session.state, "connecting");
    world.socket.events.opened();
    assert.equal(world.socket.said.length, 0, "nothing is said before the greeting");
    world.socket.says({ T: "success", msg: "connected" });
    assert.deepEqual([session.state, world.socket.last], ["authenticating", { action: "auth", key: "K", secret: "S" }]);
    world.socket.says({ T: "success", msg: "authenticated" });
    assert.deepEqual([session.state, world.socket.last], ["subscribing", { action: "subscribe", trades: ["AAPL"], quotes: ["MSFT"] }]);
    world.socket.says({ T: "subscription", trades: ["AAPL"], quotes: ["MSFT"], bars: [] });
    assert.deepEqual([session.state, session.force, world.log], ["live", { trades: ["AAPL"], quotes: ["MSFT"] }, ["live"]]);
  });

  for (const [step, bring] of [
    ["the handshake", () => undefined],
    ["the greeting", (w: World) => w.socket.events.opened()],
    ["the login", (w: World) => { w.socket.events.opened(); w.socket.says({ T: "success", msg: "connected" }); }],
    ["the subscription", (w: World) => w.login()],
  ] as [string, (w: World) => void][]) {
    it(`gives ${step} 10 s, then ends the socket without waiting and tries again`, async () => {
      const world = new World();
      world.session.start({ trades: ["AAPL"] });
      bring(world);
      await world.clock.pass(9990);
      assert.equal(world.sockets.length, 1);
      assert.equal(world.socket.over, false);
      await world.clock.pass(20);
      assert.ok(world.sockets[0]!.over, "terminated");
      assert.equal(world.session.state, "backing-off");
      await world.clock.pass(500);
      assert.equal(world.sockets.length, 2);
    });
  }

  it("backs off with full jitter from half a second to 30, and begins anew only after a minute live", async () => {
    const world = new World();
    world.clock.chance = 1;
    world.session.start({ trades: ["AAPL", "MSFT"] });
    const waits: number[] = [];
    for (let k = 0; k < 9; k++) {
      world.socket.end("gone");
      waits.push(Math.round(world.session.retryInMs!));
      await world.clock.pass(world.session.retryInMs!);
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    world.goLive();
    for (let k = 0; k < 59; k++) { await world.clock.pass(1000); world.socket.events.pong(); world.socket.says({ T: "t" }); }
    world.socket.end("gone");
    assert.equal(world.session.retryInMs, 30_000, "59 s are not enough");
    await world.clock.pass(30_000);
    world.goLive();
    for (let k = 0; k < 61; k++) { await world.clock.pass(1000); world.socket.events.pong(); world.socket.says({ T: "t" }); }
    world.socket.end("gone");
    assert.equal(world.session.retryInMs, 500);
  });

  for (const [code, fatal] of [[402, true], [408, true], [409, true], [411, true], [401, false], [404, false], [407, false], [500, false], [999, false]] as const) {
    it(`${code}: ${fatal ? "is red and tries nothing again" : "begins a new session"}`, async () => {
      const world = new World();
      world.goLive();
      world.socket.says(error(code));
      assert.equal(world.session.state, fatal ? "fatal" : "backing-off");
      assert.ok(world.sockets[0]!.over);
      assert.equal(world.errors.length, fatal ? 1 : 0);
      if (fatal) assert.match(world.errors[0]!.message, new RegExp(String(code)));
      await world.clock.pass(120_000);
      assert.equal(world.sockets.length > 1, !fatal);
      if (code === 407) assert.ok(world.session.slowClient === 1 && world.log.some((line) => /not read fast enough/.test(line)));
      if (code === 409) assert.match(world.errors[0]!.message, /iex/);
      assert.ok(world.errors.every(({ message }) => !/\bK\b.*\bS\b/.test(message)), "no secret");
    });
  }

  it("403 is nothing", () => {
    const world = new World();
    world.goLive();
    world.socket.says(error(403));
    assert.deepEqual([world.session.state, world.errors.length], ["live", 0]);
  });

  for (const [code, ours] of [[400, "ALPACA_REFUSED"], [405, "ALPACA_LIMIT"], [410, "ALPACA_REFUSED"]] as const) {
    it(`${code} for a change: keeps the socket and the old subscriptions, and the error names what was refused`, async () => {
      const world = new World();
      world.goLive();
      const change = world.session.change({ trades: ["NEW", "OLD"] }, {});
      world.socket.says(error(code));
      await assert.rejects(change, (e: { code: string; message: string }) => e.code === ours && (code === 410 ? /trades/ : /NEW, OLD/).test(e.message));
      assert.deepEqual([world.session.state, world.session.force, world.session.wanted], ["live", { trades: ["AAPL", "MSFT"] }, { trades: ["AAPL", "MSFT"] }]);
      const next = world.session.change({ trades: ["GOOD"] }, { trades: ["MSFT"] });
      assert.deepEqual(world.socket.last, { action: "subscribe", trades: ["GOOD"] });
      world.socket.says(confirm("AAPL", "MSFT", "GOOD"));
      assert.deepEqual(world.socket.last, { action: "unsubscribe", trades: ["MSFT"] });
      world.socket.says(confirm("AAPL", "GOOD"));
      await next;
      assert.deepEqual(world.session.force, { trades: ["AAPL", "GOOD"] });
    });
  }

  it("405 at the start: live, an error that names the symbols, and they are not asked for again", async () => {
    const world = new World();
    world.session.start({ trades: ["A", "B"] });
    world.login();
    world.socket.says(error(405));
    assert.equal(world.session.state, "live");
    assert.match(world.errors[0]!.message, /A, B/);
    world.socket.end("gone");
    await world.clock.pass(500);
    world.login();
    assert.equal(world.session.state, "live");
    assert.ok(!world.socket.said.some(({ action }) => action === "subscribe"));
  });

  it("410 at the start is fatal", () => {
    const world = new World();
    world.session.start({ lulds: ["A"] });
    world.login();
    world.socket.says(error(410));
    assert.equal(world.session.state, "fatal");
    assert.match(world.errors[0]!.message, /lulds/);
  });

  it("406: logs in again on the same socket, 0.5 s x n up to 5 s, 15 times, then waits 30 to 60 s and says what is wrong", async () => {
    const world = new World();
    world.session.start({ trades: ["A"] });
    world.socket.events.opened();
    world.socket.says({ T: "success", msg: "connected" });
    const waits: number[] = [];
    for (let k = 1; k <= 15; k++) {
      const begun = world.clock.now(), said = world.socket.said.length;
      world.socket.says(error(406));
      while (world.socket.said.length === said) await world.clock.pass(100);
      waits.push(world.clock.now() - begun);
    }
    assert.deepEqual(waits, [500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5000, 5000, 5000, 5000, 5000]);
    assert.equal(world.sockets.length, 1);
    world.socket.says(error(406));
    assert.ok(world.session.retryInMs! >= 30_000 && world.session.retryInMs! <= 60_000);
    assert.ok(world.log.some((line) => /another connection/.test(line)));
  });

  it("406 that ends while it waits is an ordinary login", async () => {
    const world = new World();
    world.session.start({ trades: ["A"] });
    world.socket.events.opened();
    world.socket.says({ T: "success", msg: "connected" });
    world.socket.says(error(406));
    await world.clock.pass(600);
    world.socket.says({ T: "success", msg: "authenticated" });
    world.socket.says(confirm("A"));
    assert.deepEqual([world.session.state, world.sockets.length], ["live", 1]);
  });

  for (const [status, state, least] of [[401, "fatal", 0], [403, "fatal", 0], [404, "fatal", 0], [429, "backing-off", 30_000], [503, "backing-off", 1]] as const) {
    it(`HTTP ${status} at the upgrade: ${state}`, () => {
      const world = new World();
      world.session.start({ trades: ["A"] });
      world.socket.end(`HTTP ${status}`, status);
      assert.equal(world.session.state, state);
      if (state === "backing-off") assert.ok(world.session.retryInMs! >= least);
      else assert.match(world.errors[0]!.message, new RegExp(String(status)));
    });
  }

  it("429 with Retry-After waits at least so long", () => {
    const world = new World();
    world.session.start({ trades: ["A"] });
    world.socket.end("HTTP 429", 429, 90_000);
    assert.ok(world.session.retryInMs! >= 90_000);
  });

  it("pings every 10 s, and ends a socket that does not answer within 5 s", async () => {
    const world = new World();
    world.goLive();
    await world.clock.pass(11_500);
    assert.equal(world.socket.pings, 1);
    world.socket.events.pong();
    await world.clock.pass(10_000);
    assert.equal(world.socket.pings, 2);
    assert.equal(world.session.state, "live");
    await world.clock.pass(5500);
    assert.ok(world.sockets[0]!.over);
    assert.ok(world.log.some((line) => /lost: no answer to a ping/.test(line)));
  });

  /** Answers pings all the time. */
  async function alive(world: World, seconds: number, answersProbes: boolean): Promise<void> {
    for (let k = 0; k < seconds && world.session.state === "live"; k++) {
      const said = world.socket.said.length;
      await world.clock.pass(1000);
      world.socket.events.pong();
      if (answersProbes && world.socket.said.length > said && world.session.state === "live") world.socket.says(confirm("AAPL", "MSFT"));
    }
  }

  it("mute while the market is open: asks after a minute, and begins anew when nobody answers", async () => {
    const world = new World({}, {}, "exchange");
    world.goLive();
    await alive(world, 62, false);
    assert.deepEqual(world.socket.last, { action: "subscribe", trades: ["AAPL", "MSFT"] });
    await alive(world, 11, false);
    assert.equal(world.session.state, "backing-off");
  });

  it("answers but stays silent: begins anew after another minute; a feed that is only quiet is asked less and less often", async () => {
    const world = new World({}, {}, "exchange");
    const lives: number[] = [];
    for (let k = 0; k < 3; k++) {
      world.goLive();
      const begun = world.clock.now();
      await alive(world, 3000, true);
      lives.push(Math.round((world.clock.now() - begun) / 60_000));
      await world.clock.pass(30_000);
    }
    assert.deepEqual(lives, [2, 4, 8]);
  });

  it("sparse symbols at night are no alarm", async () => {
    const world = new World({}, {}, "exchange");
    await world.clock.pass(9 * 3_600_000);
    world.goLive();
    await alive(world, 600, false);
    assert.deepEqual([world.session.state, world.sockets.length], ["live", 1]);
  });

  it("what is changed before it is live is subscribed as soon as it is", async () => {
    const world = new World();
    world.session.start({ trades: ["A"] });
    world.login();
    await world.session.change({ trades: ["B"] }, {});
    world.socket.says(confirm("A"));
    assert.deepEqual(world.socket.last, { action: "subscribe", trades: ["B"] });
  });

  it("stops: unsubscribes, waits for the answer, says goodbye, and is not called lost", async () => {
    const world = new World();
    world.goLive();
    const stopped = world.session.stop();
    assert.deepEqual(world.socket.last, { action: "unsubscribe", trades: ["AAPL", "MSFT"] });
    assert.equal(world.socket.closes, 0, "not before the answer");
    world.socket.says(confirm());
    await world.clock.pass(10);
    await stopped;
    assert.deepEqual([world.socket.closes, world.session.state, world.log], [1, "idle", ["live"]]);
    await world.clock.pass(60_000);
    assert.equal(world.sockets.length, 1);
  });

  it("stops a connection that answers nothing any more within 3 s", async () => {
    const world = new World();
    world.goLive();
    world.socket.close = () => undefined;
    const stopped = world.session.stop();
    await world.clock.pass(3100);
    await stopped;
    assert.ok(world.socket.over);
  });
});
