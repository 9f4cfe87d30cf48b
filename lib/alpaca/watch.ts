import type { MarketClock } from "./calendar";
import type { Timings } from "./session";
import type { AlpacaClock, Subscriptions } from "./types";

export interface WatchActions {
  ping(): void;
  /** Asks the server for something that it has to answer. */
  probe(): void;
  dead(reason: string): void;
}

/** A feed that only goes quiet doubles the time up to so many times. */
const MAX_PATIENCE = 8;
/** Channels in which silence during market hours is suspicious. */
const LIVELY = ["trades", "quotes", "bars", "updatedBars"] as const;

/**
 * Notices a connection that is open and dead. Half-open sockets (the other side is gone, TCP has not noticed) do not answer pings. A mute one answers pings but
 * brings no data: while the market is open and nothing has come for `silenceMs`, the subscription is repeated, which the server must answer; when it does and
 * stays silent for as long again, a new session is begun. A feed that is merely quiet is asked less and less often.
 */
export class Watch {
  private cancel: (() => void) | undefined;
  private force: () => Subscriptions = () => ({});
  private pingedAt = 0;
  private awaitsPong = false;
  private quietSince = 0;
  private probed = false;
  private patience = 1;

  constructor(private readonly timings: Timings, private readonly clock: AlpacaClock, private readonly market: MarketClock, private readonly actions: WatchActions) {}

  begin(force: () => Subscriptions): void {
    this.force = force;
    this.pingedAt = this.quietSince = this.clock.now();
    this.awaitsPong = this.probed = false;
    this.tick();
  }

  end(): void {
    this.cancel?.();
    this.cancel = undefined;
  }

  pong(): void { this.awaitsPong = false; }

  /** Anything that comes proves that somebody is there, too: an answer to a ping may stand behind megabytes of data. */
  data(): void {
    this.awaitsPong = false;
    this.quietSince = this.clock.now();
    this.probed = false;
    this.patience = 1;
  }

  private tick(): void {
    const { pingMs, pongMs, silenceMs } = this.timings;
    this.end();
    const step = Math.max(20, Math.min(1000, pongMs / 2, silenceMs > 0 ? silenceMs / 4 : 1000, pingMs / 2));
    this.cancel = this.clock.after(step, () => {
      this.cancel = undefined;
      // Scheduled first: what follows may end it.
      this.tick();
      // In a turn of its own: if the event loop was late, what has arrived meanwhile is read first.
      const { cancel } = this;
      this.clock.later(() => { if (this.cancel === cancel) this.look(this.clock.now()); });
    });
  }

  private look(now: number): void {
    const { pingMs, pongMs, silenceMs } = this.timings;
    if (this.awaitsPong && now - this.pingedAt >= pongMs) { this.actions.dead(`no answer to a ping for ${pongMs / 1000} s`); return; }
    if (!this.awaitsPong && now - this.pingedAt >= pingMs) {
      this.pingedAt = now;
      this.awaitsPong = true;
      this.actions.ping();
    }
    if (silenceMs === 0) return;
    const force = this.force();
    if (!this.market.isOpen(now) || !LIVELY.some((channel) => force[channel])) {
      this.quietSince = now;
      this.probed = false;
    } else if (now - this.quietSince >= silenceMs * this.patience) {
      if (this.probed) {
        this.patience = Math.min(MAX_PATIENCE, this.patience * 2);
        this.actions.dead(`no data for ${Math.round((silenceMs * 2 * this.patience) / 2000)} s while the market is open`);
      } else {
        this.probed = true;
        this.quietSince = now;
        this.actions.probe();
      }
    }
  }
}
