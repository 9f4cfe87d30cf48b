import type { ElementBytes } from "../../trades/columnar/json";
import type { RecordBatchBuilder } from "../records/builder";
import type { Header } from "../types";
import type { KeyCache, Partitioner } from "./partitioner";

/** What a message brings for Kafka: one record each, in order, made into bytes only when its batch is written. */
export interface Elements {
  readonly count: number;
  /** Memory that it holds, roughly. */
  readonly weight: number;
  /** Bytes of key, value and headers of record k, at the most. */
  mostBytes(k: number): number;
  /** Partition of every record by its key, -1 for one without; undefined when none has a key. */
  partitions(partitioner: Partitioner): ArrayLike<number> | undefined;
  /** Adds record k to a batch. `now`: its time (Unix ms), where it brings none. */
  write(k: number, batch: RecordBatchBuilder, now: number): void;
}

/** Texts take up to three bytes a UTF-16 unit. Above this length it is worth counting. */
const COUNTED_TEXT = 4096;

const most = (value: string | Uint8Array | null): number => (value === null ? 0 : typeof value === "string" ? (value.length > COUNTED_TEXT ? Buffer.byteLength(value) : value.length * 3) : value.length);

/** Records as texts and bytes. `keys`, `headers` and `times` are left out where none has one. */
export interface RecordLists {
  readonly values: readonly (string | Uint8Array | null)[];
  readonly keys?: readonly (Uint8Array | null)[];
  readonly headers?: readonly (readonly Header[] | undefined)[];
  readonly times?: readonly (number | undefined)[];
}

export class ListElements implements Elements {
  readonly count: number;
  readonly weight: number;

  constructor(private readonly lists: RecordLists) {
    this.count = lists.values.length;
    let weight = this.count * 64;
    for (const value of lists.values) weight += value?.length ?? 0;
    this.weight = weight;
  }

  mostBytes(k: number): number {
    const { values, keys, headers } = this.lists;
    let bytes = most(values[k]!) + (keys?.[k]?.length ?? 0);
    const list = headers?.[k];
    if (list) for (const { name, value } of list) bytes += Buffer.byteLength(name) + (value?.length ?? 0) + 4;
    return bytes;
  }

  partitions(partitioner: Partitioner): Int32Array | undefined {
    const { keys } = this.lists;
    if (!keys) return undefined;
    const found = new Int32Array(this.count);
    for (let k = 0; k < found.length; k++) {
      const key = keys[k];
      found[k] = key ? partitioner.of(key) : -1;
    }
    return found;
  }

  write(k: number, batch: RecordBatchBuilder, now: number): void {
    const value = this.lists.values[k]!;
    const key = this.lists.keys?.[k] ?? null;
    const headers = this.lists.headers?.[k];
    const timestamp = this.lists.times?.[k] ?? now;
    if (headers || value === null) {
      batch.add({ key, value: typeof value === "string" ? Buffer.from(value) : value, timestamp, ...(headers ? { headers } : {}) });
    } else {
      const at = batch.open(key, most(value), timestamp);
      if (typeof value === "string") batch.close(at + batch.buffer.write(value, at));
      else {
        batch.buffer.set(value, at);
        batch.close(at + value.length);
      }
    }
  }
}

/** Elements whose JSON is written straight into the batch. */
export class WrittenElements implements Elements {
  readonly count: number;
  readonly #keys: { readonly codes: ArrayLike<number>; readonly keys: readonly (Uint8Array | null)[] } | undefined;

  /** @param weight memory that stands behind them */
  constructor(private readonly elements: ElementBytes, keys: { readonly codes: ArrayLike<number>; readonly keys: readonly (Uint8Array | null)[] } | undefined, cache: KeyCache, readonly weight: number) {
    this.count = elements.length;
    // One object for each key, so that its partition is found again.
    this.#keys = keys && { codes: keys.codes, keys: keys.keys.map((key) => key && cache.bytesOf(Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString())) };
  }

  mostBytes(k: number): number { return this.elements.maxBytes(k) + (this.#keys?.keys[this.#keys.codes[k]!]?.length ?? 0); }

  partitions(partitioner: Partitioner): Int32Array | undefined {
    if (!this.#keys) return undefined;
    const { codes, keys } = this.#keys;
    const byCode = keys.map((key) => (key ? partitioner.of(key) : -1));
    const found = new Int32Array(this.count);
    for (let k = 0; k < found.length; k++) found[k] = byCode[codes[k]!]!;
    return found;
  }

  write(k: number, batch: RecordBatchBuilder, now: number): void {
    const key = this.#keys ? this.#keys.keys[this.#keys.codes[k]!]! : null;
    const at = batch.open(key, this.elements.maxBytes(k), now);
    batch.close(this.elements.write(k, batch.buffer, at));
  }
}
