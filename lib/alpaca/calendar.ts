import { ZoneClock } from "../trades/csv/time";

/**
 * When the New York Stock Exchange (and Nasdaq, and with them the feeds) trades, by its rules (NYSE Rule 7.2,
 * https://www.nyse.com/markets/hours-calendars), so that no list has to be kept. Checked in the tests against the published lists.
 */

export interface TradingDay {
  /** Unix ms. */
  readonly open: number;
  readonly close: number;
  /** It closes at 13:00. */
  readonly early: boolean;
}

const DAY = 86_400_000, HOUR = 3_600_000, MINUTE = 60_000;
const SUNDAY = 0, MONDAY = 1, THURSDAY = 4, SATURDAY = 6;
const newYork = new ZoneClock("America/New_York");

/** Closures that no rule foretells: storms and days of mourning. */
const CLOSED = new Set(["2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"]);

const date = (year: number, month: number, day: number): number => Date.UTC(year, month - 1, day);
const weekday = (day: number): number => new Date(day).getUTCDay();
/** The n-th of a weekday in a month, n from 1; -1: the last one. */
function nth(year: number, month: number, wanted: number, n: number): number {
  if (n < 0) {
    const last = date(year, month + 1, 0);
    return last - ((weekday(last) - wanted + 7) % 7) * DAY;
  }
  const first = date(year, month, 1);
  return first + (((wanted - weekday(first) + 7) % 7) + (n - 1) * 7) * DAY;
}

/** A holiday on a Saturday is kept on the Friday, one on a Sunday on the Monday. */
function observed(day: number): number {
  return weekday(day) === SATURDAY ? day - DAY : weekday(day) === SUNDAY ? day + DAY : day;
}

/** Easter Sunday (Gregorian; the anonymous algorithm of Meeus, Astronomical Algorithms, chapter 8). */
function easter(year: number): number {
  const a = year % 19, b = Math.floor(year / 100), c = year % 100;
  const d = Math.floor(b / 4), e = b % 4, f = Math.floor((b + 8) / 25), g = Math.floor((b - f + 1) / 3);
  const h = (19 * a + b - d - g + 15) % 30, i = Math.floor(c / 4), k = c % 4;
  const l = (32 + 2 * e + 2 * i - h - k) % 7, m = Math.floor((a + 11 * h + 22 * l) / 451);
  const month = Math.floor((h + l - 7 * m + 114) / 31), day = ((h + l - 7 * m + 114) % 31) + 1;
  return date(year, month, day);
}

/** Holidays of a year, as midnights in UTC, ascending. */
export function holidays(year: number): number[] {
  const newYear = date(year, 1, 1);
  return [
    // On a Saturday it is not kept: the Friday belongs to the old year, whose books are closed on it.
    ...(weekday(newYear) === SATURDAY ? [] : [observed(newYear)]),
    nth(year, 1, MONDAY, 3), nth(year, 2, MONDAY, 3), easter(year) - 2 * DAY, nth(year, 5, MONDAY, -1),
    ...(year >= 2022 ? [observed(date(year, 6, 19))] : []),
    observed(date(year, 7, 4)), nth(year, 9, MONDAY, 1), nth(year, 11, THURSDAY, 4), observed(date(year, 12, 25)),
  ];
}

/** Days on which trading ends at 13:00, as midnights in UTC, ascending: before Independence Day, after Thanksgiving, Christmas Eve. */
export function earlyCloses(year: number): number[] {
  const monToThu = (day: number): number[] => (weekday(day) >= MONDAY && weekday(day) <= THURSDAY ? [day] : []);
  return [...monToThu(date(year, 7, 3)), nth(year, 11, THURSDAY, 4) + DAY, ...monToThu(date(year, 12, 24))];
}

/** The regular session of a day (midnight in UTC of its date); undefined when there is none. */
export function tradingDay(day: number): TradingDay | undefined {
  const year = new Date(day).getUTCFullYear();
  if (weekday(day) === SUNDAY || weekday(day) === SATURDAY || holidays(year).includes(day) || CLOSED.has(new Date(day).toISOString().slice(0, 10))) return undefined;
  const early = earlyCloses(year).includes(day);
  return { open: newYork.toUtc(day + 9 * HOUR + 30 * MINUTE), close: newYork.toUtc(day + (early ? 13 : 16) * HOUR), early };
}

/** The market's regular hours as a watchdog and a status need them; remembers the day it was asked about last. */
export class MarketClock {
  private day = NaN;
  private session: TradingDay | undefined;

  /** @param delayMs how far the feed is behind the market */
  constructor(private readonly hours: "exchange" | "always", private readonly delayMs = 0) {}

  get always(): boolean { return this.hours === "always"; }

  /** Whether trades are to be expected. */
  isOpen(now: number): boolean {
    if (this.always) return true;
    const at = now - this.delayMs;
    // The regular session lies within one day of UTC, the same as in New York.
    const day = Math.floor(at / DAY) * DAY;
    if (day !== this.day) {
      this.day = day;
      this.session = tradingDay(day);
    }
    return this.session !== undefined && at >= this.session.open && at < this.session.close;
  }
}
