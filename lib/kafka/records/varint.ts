/**
 * Variable-length integers of record batches: zigzag, then 7 bits a byte, lowest first (Kafka protocol guide, "Record"). An int takes
 * at most 5 bytes, a long at most 10.
 */

/** Bytes that `value` (an int32) takes. */
export function sizeOfVarint(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  return zigzag < 0x80 ? 1 : zigzag < 0x4000 ? 2 : zigzag < 0x200000 ? 3 : zigzag < 0x10000000 ? 4 : 5;
}

/** Writes an int32 and returns where it ends. The caller has made room for 5 bytes. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  while (rest > 0x7f) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Writes a whole number of up to 53 bits and returns where it ends. The caller has made room for 10 bytes. */
export function writeVarlong(bytes: Uint8Array, at: number, value: number): number {
  if (value >= -0x40000000 && value < 0x40000000) return writeVarint(bytes, at, value);
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  while (rest > 0x7fn) {
    bytes[at++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  bytes[at++] = Number(rest);
  return at;
}

/** Reads one after another. Past the end it reads zeros: whoever uses it compares `at` with the end that it knows. */
export class VarintReader {
  constructor(private readonly bytes: Uint8Array, public at = 0) {}

  /** An int32; a sixth byte is never read. */
  int(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[this.at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** A long; beyond 2^53 the nearest double. An eleventh byte is never read. */
  long(): number {
    const { bytes } = this;
    let low = 0;
    let high = 0;
    let scale = 1;
    for (let n = 0; n < 10; n++) {
      const byte = bytes[this.at++] ?? 0;
      if (n < 4) low |= (byte & 0x7f) << (n * 7);
      else {
        high += (byte & 0x7f) * scale;
        scale *= 128;
      }
      if (byte < 0x80) break;
    }
    const half = high * 0x8000000 + (low >>> 1);
    return low & 1 ? -half - 1 : half;
  }
}
