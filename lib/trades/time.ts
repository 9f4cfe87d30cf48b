const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))$/;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * RFC 3339 text with 0 to 9 fractional digits to whole Unix milliseconds. Digits below the millisecond are cut off,
 * never rounded up: a trade must not move into the next millisecond (or day). Undefined for anything else, for days
 * that do not exist, and for times before 1970. A leap second (`:60`) counts as the first of the next minute.
 */
export function parseRfc3339Ms(text: string): number | undefined {
  if (text.length < 20 || text.length > 40) return undefined;
  const m = RFC3339.exec(text);
  if (!m) return undefined;
  const year = Number(m[1]), month = Number(m[2]), day = Number(m[3]);
  const hour = Number(m[4]), minute = Number(m[5]), second = Number(m[6]);
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60) return undefined;
  const leap = month === 2 && (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0));
  if (day > DAYS[month - 1]! + (leap ? 1 : 0)) return undefined;
  let ms = Date.UTC(year, month - 1, day, hour, minute, second);
  if (year < 100) return undefined;
  if (m[7] !== undefined) ms += Number(m[7].slice(0, 3).padEnd(3, "0"));
  if (m[9] !== undefined) {
    const offsetHour = Number(m[10]), offsetMinute = Number(m[11]);
    if (offsetHour > 23 || offsetMinute > 59) return undefined;
    ms -= (m[9] === "+" ? 1 : -1) * (offsetHour * 60 + offsetMinute) * 60_000;
  }
  return ms >= 0 && ms <= 253_402_300_799_999 ? ms : undefined;
}
