/**
 * Random numbers that are the same on every platform: integers modulo 2^32, and of floating point only what IEEE 754
 * rounds exactly (+ - * / and comparisons). `Math.log`, `Math.sin` and the like are left out on purpose, because the
 * language lets engines differ in their last digit.
 */

/** The 128 bits of the generator; plain numbers, so that a state can be kept, copied and compared. */
export type RandomState = readonly [number, number, number, number];

/** Finalizer of MurmurHash3: every bit of the input changes about half of the output. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/** A 32-bit hash of text (FNV-1a, finalized); `salt` gives independent hashes of the same text. Unsigned. */
export function hash32(text: string, salt = 0): number {
  let h = 0x811c9dc5 ^ mix(salt);
  for (let k = 0; k < text.length; k++) {
    const unit = text.charCodeAt(k);
    h = Math.imul(h ^ (unit & 0xff), 0x01000193);
    h = Math.imul(h ^ (unit >>> 8), 0x01000193);
  }
  return mix(h) >>> 0;
}

/** xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it), seeded from text. */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private d = 0;

  constructor(seed: string) {
    this.a = hash32(seed, 1) | 0;
    this.b = hash32(seed, 2) | 0;
    this.c = hash32(seed, 3) | 0;
    this.d = hash32(seed, 4) | 0;
    if ((this.a | this.b | this.c | this.d) === 0) this.a = 1; // the one state that the generator never leaves
  }

  /** 32 random bits, as an unsigned number. */
  bits(): number {
    const b = this.b;
    const rotated = Math.imul(b, 5);
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9);
    const c = this.c ^ this.a;
    const d = this.d ^ b;
    this.b = b ^ c;
    this.a ^= d;
    this.c = c ^ (b << 9);
    this.d = (d << 11) | (d >>> 21);
    return result >>> 0;
  }

  /** A whole number from 0 to n - 1, n up to 2^20: all of them equally likely but for one part in 2^12 or less. */
  below(n: number): number {
    return Math.floor((this.bits() * n) / 4294967296);
  }

  /** From 0 up to but not including 1, in steps of 2^-32. */
  unit(): number {
    return this.bits() / 4294967296;
  }

  /**
   * Normally distributed with mean 0 and variance 1, as the sum of twelve uniform numbers: additions only, hence exact
   * everywhere. Never beyond 6 standard deviations.
   */
  normal(): number {
    let sum = 0;
    for (let k = 0; k < 6; k++) {
      const bits = this.bits();
      sum += (bits >>> 16) + (bits & 0xffff);
    }
    return (sum + 6) / 65536 - 6; // +6: the middle of each of the twelve steps of 2^-16
  }

  save(): RandomState {
    return [this.a, this.b, this.c, this.d];
  }

  restore(state: RandomState): void {
    [this.a, this.b, this.c, this.d] = state;
  }
}

/** e^x from multiplications and additions only (see above); relative error below 1e-9 for |x| <= 2. */
export function exp(x: number): number {
  const y = x / 1024;
  let e = 1 + y * (1 + (y / 2) * (1 + (y / 3) * (1 + y / 4)));
  for (let k = 0; k < 10; k++) e *= e;
  return e;
}
