/**
 * Times as Spark's SQL takes them: `2024-11-01`, `2024-11-01 10:00:00.123`, with or without a zone (`Z`, `+02:00`,
 * `Europe/Berlin`). Without one they are in UTC. Pure; no I/O.
 */

const TIME = /^(\d{4})-(\d{1,2})(?:-(\d{1,2})(?:(?:[ T]|\s+)(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\s*(\S+)?)?)?$/;

/** Unix ms; undefined for what is no time. */
export function timeText(text: string): number | undefined {
  const match = TIME.exec(text.trim());
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part, index) => Number(part ?? (index === 2 ? 1 : 0))) as [number, number, number, number, number, number];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const local = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(local);
  // The calendar has no such day: 2024-02-30 would be taken for March.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset = match[8] === undefined ? 0 : zoneOffset(match[8], local);
  return offset === undefined ? undefined : local - offset + Number((match[7] ?? "").padEnd(3, "0").slice(0, 3));
}

/** Milliseconds that a zone is ahead of UTC at a local time; undefined for a zone that there is not. */
function zoneOffset(zone: string, local: number): number | undefined {
  const fixed = /^(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?$/i.exec(zone);
  if (fixed) {
    const minutes = Number(fixed[2]) * 60 + Number(fixed[3] ?? 0);
    return minutes <= 18 * 60 ? (fixed[1] === "-" ? -1 : 1) * minutes * 60_000 : undefined;
  }
  if (/^(?:Z|UTC|GMT|UT)$/i.test(zone)) return 0;
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
    const offsetAt = (utc: number): number => {
      const parts = Object.fromEntries(format.formatToParts(utc).map(({ type, value }) => [type, Number(value)])) as Record<string, number>;
      return Date.UTC(parts["year"]!, parts["month"]! - 1, parts["day"], parts["hour"], parts["minute"], parts["second"]) - Math.floor(utc / 1000) * 1000;
    };
    // The offset depends on the moment, which depends on the offset: the second look settles it.
    return offsetAt(local - offsetAt(local));
  } catch {
    return undefined;
  }
}
