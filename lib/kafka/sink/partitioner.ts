/**
 * Which partition a key belongs to: as Java's default partitioner decides it, so that other producers of the topic agree. Pure.
 */

/** MurmurHash2, 32 bits, as org.apache.kafka.common.utils.Utils.murmur2 computes it (seed 0x9747b28c). Signed. */
export function murmur2(data: Uint8Array): number {
  const { length } = data;
  const m = 0x5bd1e995;
  let h = 0x9747b28c ^ length;
  const words = length >> 2;
  for (let i = 0; i < words; i++) {
    const at = i << 2;
    let k = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    k = Math.imul(k, m);
    h = Math.imul(h, m) ^ k;
  }
  const tail = words << 2;
  const rest = length & 3;
  if (rest === 3) h ^= data[tail + 2]! << 16;
  if (rest >= 2) h ^= data[tail + 1]! << 8;
  if (rest >= 1) h = Math.imul(h ^ data[tail]!, m);
  h ^= h >>> 13;
  h = Math.imul(h, m);
  return h ^ (h >>> 15);
}

/** Partition of a key among `count` (Utils.toPositive keeps the lower 31 bits). */
export function partitionOfKey(key: Uint8Array, count: number): number {
  return (murmur2(key) & 0x7fffffff) % count;
}

/** Keys kept: symbols and the like come again and again; beyond this many they are no such keys. */
const KEPT_KEYS = 20_000;

/** The bytes of texts that are keys, each made once. */
export class KeyCache {
  readonly #bytes = new Map<string, Uint8Array>();

  bytesOf(text: string): Uint8Array {
    let bytes = this.#bytes.get(text);
    if (!bytes) {
      if (this.#bytes.size >= KEPT_KEYS) this.#bytes.clear();
      this.#bytes.set(text, bytes = Buffer.from(text));
    }
    return bytes;
  }
}

/** The partitions of one topic's keys; a new one when their number changes. */
export class Partitioner {
  readonly #known = new Map<Uint8Array, number>();

  constructor(readonly count: number) {}

  /** `key` is best the same object for the same key (KeyCache): its partition is remembered. */
  of(key: Uint8Array): number {
    let partition = this.#known.get(key);
    if (partition === undefined) {
      if (this.#known.size >= KEPT_KEYS) this.#known.clear();
      this.#known.set(key, partition = partitionOfKey(key, this.count));
    }
    return partition;
  }
}
