import { MAX_TIME_MS } from "../schema";

/**
 * Times straight from bytes to whole Unix milliseconds plus the nanoseconds below them, by digits: no floating point
 * and no BigInt, so 19 digits stay exact. What lies below the millisecond is cut off `ms`, never rounded up.
 */

export type EpochUnit = "s" | "ms" | "us" | "ns";

/** How a column writes its time. `auto`: RFC 3339 text, or an epoch whose unit the number of digits tells. */
export type TimeFormat = "auto" | "text" | EpochUnit | "clock";

const DIGITS_OF_MS: Record<EpochUnit, number> = { s: -3, ms: 0, us: 3, ns: 6 };
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const HOUR = 3_600_000;

/** Unix ms of midnight UTC; undefined for a day that does not exist. */
export function utcDay(year: number, month: number, day: number): number | undefined {
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month < 1 || month > 12 || day < 1 || day > MONTH_DAYS[month - 1]! + (leap ? 1 : 0) || year < 1900) return undefined;
  return Date.UTC(year, month - 1, day);
}

/** Wall-clock times of a time zone in UTC, daylight saving included (by the ICU data of the runtime, one look-up an hour). */
export class ZoneClock {
  private readonly format: Intl.DateTimeFormat | undefined;
  private readonly offsets = new Map<number, number>();

  /** @throws RangeError for an unknown zone */
  constructor(readonly zone: string) {
    if (zone === "UTC") return;
    this.format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    });
  }

  /** `local`: a wall-clock time as if it were UTC (ms). The hour that daylight saving repeats counts as its first. */
  toUtc(local: number): number {
    if (!this.format) return local;
    const hour = Math.floor(local / HOUR);
    let offset = this.offsets.get(hour);
    if (offset === undefined) {
      // In the hour that occurs twice the offset in force before the change gives the first of the two.
      const start = hour * HOUR;
      const before = this.offsetAt(start - 24 * HOUR);
      offset = this.offsetAt(start - before) === before ? before : this.offsetAt(start + 24 * HOUR);
      if (this.offsets.size > 1000) this.offsets.clear();
      this.offsets.set(hour, offset);
    }
    return local - offset;
  }

  private offsetAt(utc: number): number {
    const part: Record<string, number> = {};
    for (const { type, value } of this.format!.formatToParts(utc)) part[type] = Number(value);
    return Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute, part.second) - utc;
  }
}

/** Reads the times of one column; the result of the last successful `read` is in `ms` and `ns`. */
export class TimeReader {
  /** Whole Unix milliseconds, and the nanoseconds below them (0 to 999,999). */
  ms = 0;
  ns = 0;
  private cachedDate = -1;
  private cachedDay = 0;

  /**
   * @param zone for texts without an offset and for `clock`
   * @param day for `clock` (time of day without a date): midnight of its date as if it were UTC, ms
   */
  constructor(private readonly format: TimeFormat, private readonly zone: ZoneClock = new ZoneClock("UTC"), public day?: number) {}

  /** False when the bytes are no time in this format. */
  read(buf: Buffer, start: number, end: number): boolean {
    while (start < end && buf[start] === 32) start++;
    while (end > start && buf[end - 1] === 32) end--;
    let ok: boolean;
    if (this.format === "clock") ok = this.clock(buf, start, end);
    else if (this.format !== "text" && digitsOnly(buf, start, end)) ok = this.epoch(buf, start, end);
    else ok = this.format !== "s" && this.format !== "ms" ? this.text(buf, start, end) : false;
    return ok && this.ms >= 0 && this.ms <= MAX_TIME_MS;
  }

  /** Digits, with a fraction allowed (`1381132800.464` seconds). */
  private epoch(buf: Buffer, start: number, end: number): boolean {
    let dot = start;
    while (dot < end && buf[dot] !== 46) dot++;
    const digits = dot - start;
    if (digits === 0 || digits > 19) return false;
    const unit = this.format === "auto" ? unitOf(digits) : this.format as EpochUnit;
    // The point moves by `shift`: digits before it are milliseconds, the six after it nanoseconds.
    const cut = digits - DIGITS_OF_MS[unit];
    let ms = 0, ns = 0, i = 0;
    for (let p = start; p < end; p++) {
      if (p === dot) continue;
      const d = buf[p]! - 48;
      if (i < cut) ms = ms * 10 + d;
      else if (i < cut + 6) ns = ns * 10 + d;
      i++;
    }
    for (; i < cut; i++) ms *= 10;
    for (i = Math.max(i, cut); i < cut + 6; i++) ns *= 10;
    this.ms = ms;
    this.ns = ns;
    return true;
  }

  /** RFC 3339 with 0 to 9 digits of a second, `T` or a blank between; without an offset it is the zone's wall clock. */
  private text(buf: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (length < 16 || buf[start + 4] !== 45 || buf[start + 7] !== 45 || buf[start + 13] !== 58) return false;
    const between = buf[start + 10]!;
    if (between !== 84 && between !== 116 && between !== 32) return false;
    const date = two(buf, start) * 1_000_000 + two(buf, start + 2) * 10_000 + two(buf, start + 5) * 100 + two(buf, start + 8);
    if (date !== this.cachedDate) {
      const day = date >= 0 ? utcDay(Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100) : undefined;
      if (day === undefined) return false;
      this.cachedDate = date;
      this.cachedDay = day;
    }
    let p = start + 16;
    const hour = two(buf, start + 11), minute = two(buf, start + 14);
    let second = 0;
    if (p < end && buf[p] === 58) { second = p + 3 <= end ? two(buf, p + 1) : -1; p += 3; }
    if (!(hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second <= 60)) return false;
    p = this.fraction(buf, p, end);
    if (p < 0) return false;
    const local = this.cachedDay + hour * HOUR + minute * 60_000 + second * 1000 + this.ms;
    return this.offset(buf, p, end, local);
  }

  /** Reads `.fffffffff` at p into ms (0 to 999) and ns; returns where it ends, -1 when there are more than 9 digits. */
  private fraction(buf: Buffer, p: number, end: number): number {
    let ms = 0, ns = 0, n = 0;
    if (p < end && (buf[p] === 46 || buf[p] === 44)) {
      for (p++; p < end; p++, n++) {
        const d = buf[p]! - 48;
        if (d < 0 || d > 9) break;
        if (n < 3) ms = ms * 10 + d;
        else if (n < 9) ns = ns * 10 + d;
        else return -1;
      }
      if (n === 0) return -1;
      for (let i = n; i < 3; i++) ms *= 10;
      for (let i = Math.max(n, 3); i < 9; i++) ns *= 10;
    }
    this.ms = ms;
    this.ns = ns;
    return p;
  }

  private offset(buf: Buffer, p: number, end: number, local: number): boolean {
    if (p === end) { this.ms = this.zone.toUtc(local); return true; }
    const c = buf[p]!;
    if ((c === 90 || c === 122) && p + 1 === end) { this.ms = local; return true; }
    if (c === 32 && buf.toString("latin1", p, end) === " UTC") { this.ms = local; return true; }
    if (c !== 43 && c !== 45) return false;
    const length = end - p;
    const hours = length >= 3 ? two(buf, p + 1) : -1;
    const minutes = length === 3 ? 0 : length === 6 && buf[p + 3] === 58 ? two(buf, p + 4) : length === 5 ? two(buf, p + 3) : -1;
    if (!(hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60)) return false;
    this.ms = local - (c === 43 ? 1 : -1) * (hours * 60 + minutes) * 60_000;
    return true;
  }

  /** Time of day as HHMMSS with 0 to 9 digits of a second, or HH:MM:SS.fff; a leading zero may be missing. */
  private clock(buf: Buffer, start: number, end: number): boolean {
    if (this.day === undefined) return false;
    let text = buf.toString("latin1", start, end);
    const colons = /^(\d{1,2}):(\d\d):(\d\d)(?:\.(\d{1,9}))?$/.exec(text);
    if (colons) text = colons[1]!.padStart(2, "0") + colons[2]! + colons[3]! + (colons[4] ?? "");
    else if (!/^\d{5,15}$/.test(text)) return false;
    else if (text.length === 5 || text.length === 8 || text.length === 11 || text.length === 14) text = `0${text}`;
    const hour = Number(text.slice(0, 2)), minute = Number(text.slice(2, 4)), second = Number(text.slice(4, 6));
    if (hour > 23 || minute > 59 || second > 60) return false;
    const fraction = text.slice(6).padEnd(9, "0");
    this.ms = this.zone.toUtc(this.day + hour * HOUR + minute * 60_000 + second * 1000 + Number(fraction.slice(0, 3)));
    this.ns = Number(fraction.slice(3));
    return true;
  }
}

/** 10, 13, 16 and 19 digits are the present in s, ms, us and ns; a digit fewer or more is still nearest to it. */
function unitOf(digits: number): EpochUnit {
  return digits <= 11 ? "s" : digits <= 14 ? "ms" : digits <= 17 ? "us" : "ns";
}

function digitsOnly(buf: Buffer, start: number, end: number): boolean {
  let dots = 0;
  for (let p = start; p < end; p++) {
    const c = buf[p]!;
    if (c === 46) dots++;
    else if (c < 48 || c > 57) return false;
  }
  return end > start && dots <= 1;
}

/** Two digits; far below zero when they are none. */
function two(buf: Buffer, p: number): number {
  const a = buf[p]! - 48, b = buf[p + 1]! - 48;
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1e12;
}

const DAY_IN_NAME = /(?:^|\D)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)/;

/** The date in a file name (`EQY_US_ALL_TRADE_20131007.gz`, `2013-10-07.csv`), or a text of that form; midnight as if UTC, ms. */
export function dayOf(text: string): number | undefined {
  const m = DAY_IN_NAME.exec(text);
  return m ? utcDay(Number(m[1]), Number(m[2]), Number(m[3])) : undefined;
}
