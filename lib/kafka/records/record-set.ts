import { TicklakeError } from "../../errors";
import type { RecordSet } from "../types";
import { VarintReader } from "./varint";

type HeaderValue = Buffer | null | (Buffer | null)[];

/** What a record set is made of: see `RecordSet`. The arrays have `count` elements. */
export type RecordIndex = Omit<RecordSet, "offset" | "key" | "value" | "headers" | "slice">;

/** Records of a partition as bytes with an index into them; made by `decodeRecords`. */
export class IndexedRecordSet implements RecordSet {
  readonly topic: string;
  readonly partition: number;
  readonly data: Buffer;
  readonly count: number;
  /** What `offsetDelta` counts from; `offset(0)` is the offset of the first record. */
  readonly baseOffset: bigint;
  readonly nextOffset: bigint;
  readonly offsetDelta: Float64Array;
  readonly timestamps: Float64Array;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly headersStart: Int32Array;

  constructor(index: RecordIndex) {
    this.topic = index.topic;
    this.partition = index.partition;
    this.data = index.data;
    this.count = index.count;
    this.baseOffset = index.baseOffset;
    this.nextOffset = index.nextOffset;
    this.offsetDelta = index.offsetDelta;
    this.timestamps = index.timestamps;
    this.keyStart = index.keyStart;
    this.keyEnd = index.keyEnd;
    this.valueStart = index.valueStart;
    this.valueEnd = index.valueEnd;
    this.headersStart = index.headersStart;
  }

  offset(index: number): bigint {
    return this.baseOffset + BigInt(this.offsetDelta[index]!);
  }

  key(index: number): Buffer | null {
    const start = this.keyStart[index]!;
    return start < 0 ? null : this.data.subarray(start, this.keyEnd[index]!);
  }

  value(index: number): Buffer | null {
    const start = this.valueStart[index]!;
    return start < 0 ? null : this.data.subarray(start, this.valueEnd[index]!);
  }

  headers(index: number): Record<string, HeaderValue> | undefined {
    const reader = new VarintReader(this.data, this.headersStart[index]!);
    const count = reader.int();
    if (count <= 0) return undefined;
    const headers: Record<string, HeaderValue> = {};
    for (let k = 0; k < count; k++) {
      const nameEnd = reader.int() + reader.at;
      const name = this.data.toString("utf8", reader.at, nameEnd);
      reader.at = nameEnd;
      const length = reader.int();
      const value = length < 0 ? null : this.data.subarray(reader.at, reader.at + length);
      if (value) reader.at += length;
      const known = Object.hasOwn(headers, name) ? headers[name] : undefined;
      const now = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value];
      // A header may be called __proto__: assigning to that would change what the object is.
      if (name === "__proto__") Object.defineProperty(headers, name, { value: now, enumerable: true, configurable: true, writable: true });
      else headers[name] = now;
    }
    return headers;
  }

  /**
   * The records from `from` up to `to`, sharing bytes and index. `nextOffset` of the last slice is that of the whole set, so that
   * gaps at the end are passed; of the others it is the offset behind their last record.
   */
  slice(from: number, to: number): IndexedRecordSet {
    if (!(from >= 0 && from < to && to <= this.count)) throw new TicklakeError("INTERNAL", `Records ${from} to ${to} of ${this.count} cannot be cut out.`);
    if (from === 0 && to === this.count) return this;
    return new IndexedRecordSet({
      topic: this.topic, partition: this.partition, data: this.data, count: to - from, baseOffset: this.baseOffset,
      nextOffset: to === this.count ? this.nextOffset : this.offset(to - 1) + 1n,
      offsetDelta: this.offsetDelta.subarray(from, to),
      timestamps: this.timestamps.subarray(from, to),
      keyStart: this.keyStart.subarray(from, to),
      keyEnd: this.keyEnd.subarray(from, to),
      valueStart: this.valueStart.subarray(from, to),
      valueEnd: this.valueEnd.subarray(from, to),
      headersStart: this.headersStart.subarray(from, to),
    });
  }
}
