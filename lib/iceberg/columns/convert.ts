/**
 * What a message may hold for a column of a type, as the column's own number. Nothing is ever rounded: a function
 * returns undefined for what does not fit. Pure.
 */

const MAX_LONG = (1n << 63n) - 1n;
const MIN_LONG = -(1n << 63n);
const DAY_MS = 86_400_000;

/** A whole number of 64 bits from text of decimal digits. */
export function longFromText(text: string): bigint | undefined {
  if (!/^[+-]?\d{1,19}$/.test(text)) return undefined;
  const value = BigInt(text.charCodeAt(0) === 43 ? text.slice(1) : text);
  return value <= MAX_LONG && value >= MIN_LONG ? value : undefined;
}

export const fitsLong = (value: bigint): boolean => value <= MAX_LONG && value >= MIN_LONG;

const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/** Microseconds of the fraction digits; what is finer is cut off (Iceberg v2 has no nanoseconds). */
const fractionMicros = (digits: string | undefined): number => (digits === undefined ? 0 : Number(digits.slice(0, 6).padEnd(6, "0")));

/** Unix ms of a day, or undefined when the calendar has no such day. */
function dayMs(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : undefined;
}

/** ms and µs as µs; a bigint where a number would not be exact (before 1684 and after 2255). */
function micros(ms: number, extra = 0): number | bigint | undefined {
  const value = ms * 1000 + extra;
  if (Number.isSafeInteger(value)) return value;
  if (!Number.isSafeInteger(ms) || !Number.isSafeInteger(extra)) return undefined;
  const exact = BigInt(ms) * 1000n + BigInt(extra);
  return fitsLong(exact) ? exact : undefined;
}

/** ISO 8601 text as Unix ms and the µs beyond. `zoned`: an offset or Z is required; without it an offset, where there is one, is converted to UTC. */
function parseIso(text: string, zoned: boolean): { ms: number; extra: number } | undefined {
  const m = ISO.exec(text);
  if (!m) return undefined;
  const day = dayMs(Number(m[1]), Number(m[2]), Number(m[3]));
  const [hour, minute, second] = [Number(m[4] ?? 0), Number(m[5] ?? 0), Number(m[6] ?? 0)];
  const zone = m[8];
  if (day === undefined || hour > 23 || minute > 59 || second > 59 || (zoned && zone === undefined)) return undefined;
  let offset = 0;
  if (zone !== undefined && zone.length > 1) {
    const minutes = Number(zone.length > 3 ? zone.slice(-2) : 0);
    offset = (Number(zone.slice(1, 3)) * 60 + minutes) * (zone[0] === "-" ? -1 : 1);
    if (minutes > 59 || Math.abs(offset) > 18 * 60) return undefined;
  }
  return { ms: day + ((hour * 60 + minute - offset) * 60 + second) * 1000, extra: fractionMicros(m[7]) };
}

/** ISO 8601 text as Unix µs (`zoned`: only with an offset or Z). */
export function microsFromText(text: string, zoned: boolean): number | bigint | undefined {
  const time = parseIso(text, zoned);
  return time && micros(time.ms, time.extra);
}

/** Unix µs of Unix ms; a fraction counts to the µs. */
export function microsFromMillis(ms: number): number | bigint | undefined {
  return Number.isInteger(ms) ? micros(ms) : micros(0, Math.round(ms * 1000));
}

/** Days since 1970-01-01 of ISO text: a day, or a time whose day (UTC) counts. */
export function daysFromText(text: string): number | undefined {
  const time = parseIso(text, false);
  return time && Math.floor(time.ms / DAY_MS);
}

/** µs since midnight of `14:30`, `14:30:05`, `14:30:05.123456`. */
export function timeFromText(text: string): number | undefined {
  const m = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?$/.exec(text);
  if (!m || Number(m[1]) > 23 || Number(m[2]) > 59 || Number(m[3] ?? 0) > 59) return undefined;
  return (Number(m[1]) * 3600 + Number(m[2]) * 60 + Number(m[3] ?? 0)) * 1e6 + fractionMicros(m[4]);
}

/** Unscaled value of a decimal from text such as `-12.50` or `1.5e3`; undefined when it has more digits after the point than `scale`. */
export function decimalFromText(text: string, scale: number): bigint | undefined {
  const m = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/.exec(text);
  if (!m || ((m[2] ?? "") === "" && (m[3] ?? "") === "")) return undefined;
  const fraction = (m[3] ?? "").replace(/0+$/, "");
  const digits = m[2]! + fraction;
  const shift = scale - fraction.length + Number(m[4] ?? 0);
  if (digits.length + Math.max(shift, 0) > 200) return undefined;
  let unscaled = BigInt(digits || "0");
  if (shift >= 0) unscaled *= 10n ** BigInt(shift);
  else {
    const divisor = 10n ** BigInt(-shift);
    if (unscaled % divisor !== 0n) return undefined;
    unscaled /= divisor;
  }
  return m[1] === "-" ? -unscaled : unscaled;
}

/** 16 bytes of a UUID in its usual text form. */
export function uuidFromText(text: string): Uint8Array | undefined {
  return /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i.test(text) ? Buffer.from(text.replaceAll("-", ""), "hex") : undefined;
}

/** Bytes from a Buffer, any typed array, the JSON form of a Buffer, or base64 text. */
export function bytesFrom(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return value.length % 4 === 0 && /^[A-Za-z\d+/]*={0,2}$/.test(value) ? Buffer.from(value, "base64") : undefined;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  const json = value as { type?: unknown; data?: unknown };
  if (json.type === "Buffer" && Array.isArray(json.data) && json.data.every((b) => Number.isInteger(b) && (b as number) >= 0 && (b as number) < 256)) return Uint8Array.from(json.data as number[]);
  return undefined;
}
