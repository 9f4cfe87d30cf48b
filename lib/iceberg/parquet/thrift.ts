/** Thrift's compact protocol, writing only (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md). */
import { Output } from "./output";

const TRUE = 1;
const FALSE = 2;
const I16 = 4;
const I32 = 5;
const I64 = 6;
const BINARY = 8;
const LIST = 9;
const STRUCT = 12;

/** Writes fields of structs in ascending order of their ids; an undefined value leaves its field out. */
export class CompactWriter {
  private lastId = 0;

  constructor(readonly out: Output) {}

  private header(id: number, type: number): void {
    const delta = id - this.lastId;
    if (delta > 0 && delta < 16) this.out.byte((delta << 4) | type);
    else {
      this.out.byte(type);
      this.zigzag(id);
    }
    this.lastId = id;
  }

  private zigzag(value: number): void {
    this.out.varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  private whole(id: number, type: number, value: number | undefined): this {
    if (value !== undefined) {
      this.header(id, type);
      this.zigzag(value);
    }
    return this;
  }

  i16(id: number, value: number | undefined): this {
    return this.whole(id, I16, value);
  }

  i32(id: number, value: number | undefined): this {
    return this.whole(id, I32, value);
  }

  /** Safe integers only: sizes, counts and offsets. */
  i64(id: number, value: number | undefined): this {
    return this.whole(id, I64, value);
  }

  bool(id: number, value: boolean | undefined): this {
    if (value !== undefined) this.header(id, value ? TRUE : FALSE);
    return this;
  }

  binary(id: number, value: Uint8Array | string | undefined): this {
    if (value !== undefined) {
      this.header(id, BINARY);
      this.bytes(value);
    }
    return this;
  }

  private bytes(value: Uint8Array | string): void {
    const raw = typeof value === "string" ? Buffer.from(value) : value;
    this.out.varint(raw.length);
    this.out.write(raw);
  }

  struct(id: number, write: ((w: this) => void) | undefined): this {
    if (write) {
      this.header(id, STRUCT);
      this.body(() => write(this));
    }
    return this;
  }

  /** Fields and the stop byte. */
  body(write: (w: this) => void): this {
    const outer = this.lastId;
    this.lastId = 0;
    write(this);
    this.out.byte(0);
    this.lastId = outer;
    return this;
  }

  private listHeader(id: number, type: number, size: number): void {
    this.header(id, LIST);
    if (size < 15) this.out.byte((size << 4) | type);
    else {
      this.out.byte(0xf0 | type);
      this.out.varint(size);
    }
  }

  structs<T>(id: number, items: readonly T[], write: (w: this, item: T) => void): this {
    this.listHeader(id, STRUCT, items.length);
    for (const item of items) this.body(() => write(this, item));
    return this;
  }

  i32s(id: number, items: readonly number[]): this {
    this.listHeader(id, I32, items.length);
    for (const item of items) this.zigzag(item);
    return this;
  }

  strings(id: number, items: readonly string[]): this {
    this.listHeader(id, BINARY, items.length);
    for (const item of items) this.bytes(item);
    return this;
  }
}
