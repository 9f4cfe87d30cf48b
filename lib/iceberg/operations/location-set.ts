/** Locations compared as storage sees them: one object has many spellings. Pure; no I/O. */

/** A location apart: who holds it (`s3://bucket`, empty for local paths), and the path there. */
export interface LocationParts { readonly holder: string; readonly path: string }

/** Schemes that mean the same storage. */
const SAME: Readonly<Record<string, string>> = { s3a: "s3", s3n: "s3", file: "" };

/**
 * Takes a location apart. `s3a://b/x` and `s3://b/x`, `file:///x`, `file:/x` and `/x`, `a%20b` and `a b`, doubled slashes and composed accents come out the same: where two spellings could mean
 * one file, they do here.
 */
export function locationParts(location: string): LocationParts {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/]*))?(.*)$/s.exec(location);
  const scheme = match?.[1]?.toLowerCase();
  const local = scheme === undefined || scheme === "file";
  const canonical = scheme === undefined ? "" : (SAME[scheme] ?? scheme);
  return { holder: local ? "" : `${canonical}://${match![2] ?? ""}`, path: decoded(match ? match[3]! : location).replace(/\/{2,}/g, "/").replace(/^(?!\/)/, "/") };
}

/** Escapes undone until there are none left: a listing may have them where the table does not, or the other way round. */
function decoded(path: string): string {
  let text = path;
  for (let i = 0; i < 3 && /%[0-9A-Fa-f]{2}/.test(text); i++) {
    try { text = decodeURIComponent(text); } catch { text = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))); }
  }
  return text.normalize("NFC");
}

/**
 * A set of locations that takes 16 bytes for each, whatever their length. It keeps hashes of 53 bits: it may take a location for one of its own that is none (one in 10^9 at a million), and never
 * the other way round.
 */
export class LocationSet {
  readonly #whole = new HashSet();
  readonly #paths = new HashSet();

  add(location: string): void {
    const { holder, path } = locationParts(location);
    this.#whole.add(hash(`${holder}${path}`));
    this.#paths.add(hash(path));
  }

  has(location: string): boolean {
    const { holder, path } = locationParts(location);
    return this.#whole.has(hash(`${holder}${path}`));
  }

  /** The same path under another scheme or in another bucket. */
  hasPath(location: string): boolean {
    return this.#paths.has(hash(locationParts(location).path));
  }

  get size(): number { return this.#whole.size; }
}

/** Open addressing over doubles; 0 is empty. */
class HashSet {
  #slots = new Float64Array(1024);
  size = 0;

  add(key: number): void {
    if (this.size * 3 >= this.#slots.length * 2) this.#grow();
    if (this.#put(this.#slots, key)) this.size++;
  }

  has(key: number): boolean {
    const mask = this.#slots.length - 1;
    for (let i = key % this.#slots.length; ; i = (i + 1) & mask) {
      const found = this.#slots[i]!;
      if (found === key) return true;
      if (found === 0) return false;
    }
  }

  #put(slots: Float64Array, key: number): boolean {
    const mask = slots.length - 1;
    for (let i = key % slots.length; ; i = (i + 1) & mask) {
      if (slots[i] === key) return false;
      if (slots[i] === 0) { slots[i] = key; return true; }
    }
  }

  #grow(): void {
    const slots = new Float64Array(this.#slots.length * 2);
    for (const key of this.#slots) if (key !== 0) this.#put(slots, key);
    this.#slots = slots;
  }
}

/** Two multiplicative hashes of 32 bits, mixed, as one number of 53 bits; never 0. */
function hash(text: string): number {
  let a = 0xdeadbeef, b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & (b >>> 0)) + (a >>> 0) || 1;
}
