import { formatCount } from "./generator-rate";
import { formatWait } from "./pace";
import type { ReplayStatistics } from "./replay-contract";

/** Waiting times shorter than this are not told. */
const TELL_WAIT_MS = 3000;

const PHASES = { checking: "checking order", sorting: "sorting by time", resuming: "asking how far it came" } as const;

/** What to show under the node. `rate`: trades a second at present; `queued`: files that wait. */
export function describeReplay(s: ReplayStatistics, rate: number, queued: number): { kind: "ok" | "idle" | "warn" | "fail"; text: string } {
  const more = queued > 0 ? `, ${queued} more` : "";
  const percent = `${Math.floor(s.progress * 100)} %`;
  const time = s.marketTime === undefined ? "" : `, ${marketTime(s.marketTime)}`;
  const counts = `${formatCount(s.trades)} trades${s.rejects > 0 ? `, ${formatCount(s.rejects)} rejected` : ""}${s.resumedAfter > 0 ? `, ${formatCount(s.resumedAfter)} were there` : ""}`;
  switch (s.state) {
    case "preparing": return { kind: "ok", text: s.phase === undefined ? "opening" : `${PHASES[s.phase]} ${percent}${more}` };
    case "paused": return { kind: "idle", text: `paused at ${percent}${time}` };
    case "backing-off": return { kind: "warn", text: `delivery failed, reading again: ${percent}${time}` };
    case "stopped": return { kind: "fail", text: `stopped after failures at ${percent}; send resume` };
    case "ending": return { kind: "ok", text: `delivering the last batches: ${counts}${more}` };
    case "over": return { kind: s.outcome === "failed" ? "fail" : "idle", text: `${s.outcome}: ${counts}` };
    case "running":
      if (s.nextInMs !== undefined && s.nextInMs > TELL_WAIT_MS) return { kind: "ok", text: `${percent}, next trade in ${formatWait(s.nextInMs)}${time}` };
      return { kind: "ok", text: `${percent}, ${formatCount(rate)}/s${time}${s.blocked && rate === 0 ? ", waiting for room" : ""}${more}` };
  }
}

/** `2013-10-07 14:30:01Z` */
export function marketTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}Z`;
}
