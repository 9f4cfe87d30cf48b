const DASH = 0x2d, DOT = 0x2e, COLON = 0x3a, LETTER_T = 0x54, LETTER_Z = 0x5a;
/** Times from here on are known to be good, and Date.UTC knows the rest. */
const FIRST_YEAR = 1970;

/**
 * Times as the feeds write them (`2024-01-02T14:30:00.123456789Z`, RFC 3339 in UTC with 0 to 9 digits of a second) from bytes, without
 * making a text of them. What it takes it reads as parseRfc3339Ms does: digits below the millisecond are cut off, never rounded.
 */
export class UtcReader {
  /** Unix ms of the time that was read last. */
  ms = 0;
  private date = -1;
  private day = 0;

  /** Reads the time that begins at `at`. Returns the position behind its `Z`, -1 where it has another form (an offset, a leap second, a day that does not exist). */
  read(data: Uint8Array, at: number): number {
    if (data[at + 4] !== DASH || data[at + 7] !== DASH || data[at + 10] !== LETTER_T || data[at + 13] !== COLON || data[at + 16] !== COLON) return -1;
    const high = two(data, at), low = two(data, at + 2), month = two(data, at + 5), day = two(data, at + 8);
    const hour = two(data, at + 11), minute = two(data, at + 14), second = two(data, at + 17);
    if ((high | low | month | day | hour | minute | second) < 0 || hour > 23 || minute > 59 || second > 59) return -1;
    const date = ((high * 100 + low) * 100 + month) * 100 + day;
    if (date !== this.date && !this.newDay(date, high * 100 + low, month, day)) return -1;
    let fraction = 0, end = at + 19;
    if (data[end] === DOT) {
      let digits = 0;
      for (let digit = data[++end]! ^ 0x30; digit <= 9; digit = data[++end]! ^ 0x30) if (++digits <= 3) fraction = fraction * 10 + digit;
      if (digits === 0 || digits > 9) return -1;
      if (digits === 1) fraction *= 100;
      else if (digits === 2) fraction *= 10;
    }
    if (data[end] !== LETTER_Z) return -1;
    this.ms = this.day + hour * 3_600_000 + minute * 60_000 + second * 1000 + fraction;
    return end + 1;
  }

  private newDay(date: number, year: number, month: number, day: number): boolean {
    if (year < FIRST_YEAR || month < 1 || month > 12 || day < 1) return false;
    const midnight = Date.UTC(year, month - 1, day);
    // The 30th of February would be a day in March.
    if (new Date(midnight).getUTCDate() !== day) return false;
    this.date = date;
    this.day = midnight;
    return true;
  }
}

/** Two digits; below zero when they are none. */
function two(data: Uint8Array, at: number): number {
  const a = data[at]! ^ 0x30, b = data[at + 1]! ^ 0x30;
  return a <= 9 && b <= 9 ? a * 10 + b : -1;
}
