/** Where a moment lies in the trading day of the US exchanges (New York time, the DST rules in force since 2007). */

const DAY = 86_400_000;
const HOUR = 3_600_000;
/** Regular trading hours, ms after midnight in New York. */
export const OPEN = 9.5 * HOUR;
export const CLOSE = 16 * HOUR;

/** Days since 1970 of the nth Sunday of a month (0 = January). */
function nthSunday(year: number, month: number, n: number): number {
  const first = Date.UTC(year, month, 1) / DAY;
  const weekday = (first + 4) % 7; // 1970-01-01 was a Thursday
  return first + ((7 - weekday) % 7) + (n - 1) * 7;
}

/** What is to be added to Unix ms to read New York wall-clock time off its UTC fields. */
export function newYorkOffset(ms: number): number {
  const year = new Date(ms).getUTCFullYear();
  const begins = nthSunday(year, 2, 2) * DAY + 7 * HOUR; // 02:00 EST
  const ends = nthSunday(year, 10, 1) * DAY + 6 * HOUR; // 02:00 EDT
  return ms >= begins && ms < ends ? -4 * HOUR : -5 * HOUR;
}

/** Reads the session off moments; keeps the last day's answer, because moments come in order. Holidays are not known. */
export class Session {
  private from = Infinity;
  private to = -Infinity;
  private midnight = 0;
  private weekday = false;

  /** Unix ms of opening and closing on the New York day of that moment, and whether it is a weekday. */
  at(ms: number): { open: number; close: number; weekday: boolean } {
    if (ms < this.from || ms >= this.to) {
      const offset = newYorkOffset(ms);
      const day = Math.floor((ms + offset) / DAY);
      // Between the hours the offset of noon holds: clocks change on Sundays at night only.
      this.midnight = day * DAY - newYorkOffset(day * DAY + 17 * HOUR);
      this.from = day * DAY - offset;
      this.to = Math.min(this.from + DAY, Math.floor(ms / HOUR) * HOUR + HOUR);
      const weekday = (day + 4) % 7;
      this.weekday = weekday !== 0 && weekday !== 6;
    }
    return { open: this.midnight + OPEN, close: this.midnight + CLOSE, weekday: this.weekday };
  }
}

/** How busy a moment of the session is, 1 on average: the U shape of volume over the day. `x` from 0 (open) to 1 (close). */
export function activity(x: number): number {
  const fromMiddle = 2 * x - 1;
  return 0.6 + 1.2 * fromMiddle * fromMiddle;
}
