import assert from "node:assert/strict";
import type { GapRecord } from "../../../lib/alpaca/gaps";
import type { RawTrade } from "../../../lib/trades/types";
import { loadAlpaca, QUICK } from "../../support/alpaca-flow";
import { AlpacaServer } from "../../support/alpaca-server";
import { dayOfTrades, keyOf } from "../../support/alpaca-trades";
import { useHelper } from "../../support/helper";
import { randomOf } from "../../support/random";

const FAULTS = ["disconnect", "mute", "slow-client", "internal", "half-open"] as const;
const SEED = Number(process.env.TICKLAKE_SEED ?? 20131007);
/** Trades sent between two looks at the event loop. */
const STEP = 500;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a whole day by the stream, with random faults", function () {
  this.timeout(180_000);
  let server: AlpacaServer;
  useHelper({ ticklake: { alpaca: { ...QUICK, pingMs: 800, pongMs: 800 } } });
  afterEach(() => server.stop());

  for (const { encoding, share } of [{ encoding: "json", share: 1 }, { encoding: "msgpack", share: 0.1 }] as const) {
    it(`${encoding}${share < 1 ? " and permessage-deflate, the first tenth" : ""}: after backfill every trade has left alpaca-in, none twice, and every gap is reported (seed ${SEED})`, async () => {
      const day = dayOfTrades().trades;
      const trades = day.slice(0, day.length * share), faults = 20 * Math.sqrt(share) | 0;
      const random = randomOf(SEED);
      server = await AlpacaServer.start({ restPerMinute: 10_000, zombieMs: 60, deflate: encoding === "msgpack" });
      const rig = await loadAlpaca(server, { symbols: "SPY BAC AIG IBM", encoding, compression: encoding === "msgpack", batchSize: 1000, silenceTimeout: "800 ms", timeout: "2 s" }, { account: { restPerMinute: 10_000 } });
      const live = (): boolean => [...server.clients].some((client) => client.authenticated && (client.subscriptions["trades"]?.size ?? 0) === 4);
      const becomesLive = async (): Promise<void> => { for (const end = Date.now() + 20_000; !live();) { if (Date.now() > end) throw new Error("not live within 20 s"); await pause(5); } };
      await becomesLive();

      // Where the faults strike, and how many trades are published before anybody can have noticed.
      const at = Array.from({ length: faults }, (_, k) => Math.floor(((k + 0.2 + 0.6 * random()) * trades.length) / faults));
      const strikes: { kind: (typeof FAULTS)[number]; from: number; to: number }[] = [];
      let next = 0;
      for (let k = 0; k < trades.length; k += STEP) {
        if (next < at.length && k >= at[next]!) {
          const kind = FAULTS[next++ % FAULTS.length]!;
          const seen = server.history.length;
          if (kind === "disconnect") server.disconnect();
          else if (kind === "mute") server.mute();
          else if (kind === "half-open") server.halfOpen();
          else server.error(kind === "slow-client" ? 407 : 500);
          const strike = { kind, from: Date.parse(trades[k]!.t), to: 0 };
          // The market goes on while the client is away.
          for (const end = Date.now() + 30_000; server.history.length === seen || !live();) {
            if (Date.now() > end) throw new Error(`not live again within 30 s after ${kind}: ${JSON.stringify(await rig.statistics())}`);
            server.publish(trades.slice(k, k + 50));
            strike.to = Date.parse(trades[Math.min(k + 49, trades.length - 1)]!.t);
            k += 50;
            await pause(10);
          }
          strikes.push(strike);
          k -= STEP;
          continue;
        }
        server.publish(trades.slice(k, k + STEP));
        await pause(1);
        // A gap begins with the latest trade, or where none has come yet with the time of the login, which is years behind the trades of this day.
        if (k === 0) while ((await rig.statistics()).received === 0) await pause(5);
      }
      assert.equal(strikes.length, faults);
      assert.equal(server.published.length, trades.length, "the server published the whole day");

      // The market goes on until everything is here: silence would be a gap up to the present, years of history to ask for.
      const last = trades.at(-1)!;
      const later = (n: number): typeof last => ({ ...last, i: 10_000_000_000 + n, t: new Date(Date.parse(last.t) + n).toISOString() });
      const end = Date.now() + 60_000;
      for (let n = 1; Date.now() < end; n++) {
        const count = rig.out.reduce((sum, msg) => sum + (msg.payload as RawTrade[]).length, 0);
        const { backfills } = await rig.statistics();
        if (count >= server.published.length && backfills === 0) break;
        // In between nothing comes for half a second, so that the last one can arrive (a batch waits 250 ms).
        if (n % 5 === 1) server.publish([later(n)]);
        await pause(100);
      }
      const want = new Set(server.published.map(keyOf));
      const got = new Set<string>();
      let twice = 0;
      for (const msg of rig.out) for (const trade of msg.payload as RawTrade[]) { const key = keyOf(trade); if (got.has(key)) twice++; got.add(key); }
      const missing = [...want].filter((key) => !got.has(key)), strange = [...got].filter((key) => !want.has(key));
      const gaps = rig.records("gaps") as unknown as GapRecord[];
      const { malformed, dropped, duplicates } = await rig.statistics();
      assert.deepEqual({ missing: missing.length, strange: strange.length, twice, malformed, dropped }, { missing: 0, strange: 0, twice: 0, malformed: 0, dropped: 0 });
      for (const { kind, from, to } of strikes) {
        assert.ok(gaps.some((gap) => gap.kind === "connection" && gap.from <= from && gap.to >= from && gap.symbols.length === 4), `${kind} at ${new Date(from).toISOString()} to ${new Date(to).toISOString()}`);
      }
      // What the stream did not bring lies in a gap that was told, to the millisecond.
      const untold = rig.out.filter((msg) => msg.backfill === true).flatMap((msg) => msg.payload as RawTrade[]).filter(({ t }) => !gaps.some(({ from, to }) => from <= t && t <= to));
      assert.equal(untold.length, 0);
      assert.ok(gaps.length >= 1 && gaps.every(({ backfill }) => backfill === "scheduled"));
      const fills = rig.records("backfills");
      assert.equal(fills.length, gaps.length);
      console.log(`      ${gaps.length} gaps, ${fills.reduce((sum, fill) => sum + (fill["trades"] as number), 0)} trades by backfill, ${duplicates} duplicates left out, ${server.history.length} connections`);
      assert.deepEqual(rig.caught.map((msg) => (msg.error as { message: string }).message), []);
    });
  }
});
