/**
 * MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) as far as the stream speaks it: whole numbers keep all
 * their digits (beyond 2^53 they become decimal text), times (extension -1) become RFC 3339 text with the digits that they have.
 */

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Deeper than this nothing of the stream is nested. */
const MAX_DEPTH = 32;
const TIMESTAMP = -1;
/** The last second that a Date holds (ECMA-262, 21.4.1.1). */
const LAST_SECOND = 8.64e12;

/** @throws RangeError or TypeError for bytes that are no single, whole value */
export function decodeMsgpack(data: Uint8Array): unknown {
  const decoder = new MsgpackReader(data, 0);
  const value = decoder.value();
  if (decoder.at !== data.length) throw new RangeError(`${data.length - decoder.at} bytes behind the end of the message`);
  return value;
}

/** Reads values one after the other. */
export class MsgpackReader {
  private readonly view: DataView;

  constructor(private readonly data: Uint8Array, public at: number) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  /** The number of elements of the list that begins here, -1 for anything else (nothing is read then). */
  list(): number {
    const type = this.data[this.at]!;
    if (type >= 0x90 && type <= 0x9f) { this.at++; return type & 0x0f; }
    if (type === 0xdc) { this.at += 3; return this.view.getUint16(this.at - 2); }
    if (type === 0xdd) { this.at += 5; return this.view.getUint32(this.at - 4); }
    return -1;
  }

  value(depth = 0): unknown {
    if (depth > MAX_DEPTH) throw new RangeError("nested too deep");
    const type = this.view.getUint8(this.at);
    if (type <= 0x7f) { this.at++; return type; }
    if (type >= 0xe0) { this.at++; return type - 0x100; }
    if (type <= 0x8f) { this.at++; return this.map(type & 0x0f, depth); }
    if (type <= 0x9f) { this.at++; return this.array(type & 0x0f, depth); }
    if (type <= 0xbf) { this.at++; return this.text(type & 0x1f); }
    this.at++;
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bytes(this.uint8());
      case 0xc5: return this.bytes(this.uint16());
      case 0xc6: return this.bytes(this.uint32());
      case 0xc7: return this.extension(this.uint8());
      case 0xc8: return this.extension(this.uint16());
      case 0xc9: return this.extension(this.uint32());
      case 0xca: this.at += 4; return this.view.getFloat32(this.at - 4);
      case 0xcb: this.at += 8; return this.view.getFloat64(this.at - 8);
      case 0xcc: return this.uint8();
      case 0xcd: return this.uint16();
      case 0xce: return this.uint32();
      case 0xcf: this.at += 8; return exact(this.view.getBigUint64(this.at - 8));
      case 0xd0: this.at += 1; return this.view.getInt8(this.at - 1);
      case 0xd1: this.at += 2; return this.view.getInt16(this.at - 2);
      case 0xd2: this.at += 4; return this.view.getInt32(this.at - 4);
      case 0xd3: this.at += 8; return exact(this.view.getBigInt64(this.at - 8));
      case 0xd4: return this.extension(1);
      case 0xd5: return this.extension(2);
      case 0xd6: return this.extension(4);
      case 0xd7: return this.extension(8);
      case 0xd8: return this.extension(16);
      case 0xd9: return this.text(this.uint8());
      case 0xda: return this.text(this.uint16());
      case 0xdb: return this.text(this.uint32());
      case 0xdc: return this.array(this.uint16(), depth);
      case 0xdd: return this.array(this.uint32(), depth);
      case 0xde: return this.map(this.uint16(), depth);
      case 0xdf: return this.map(this.uint32(), depth);
      default: throw new TypeError(`no value begins with 0x${type.toString(16)}`);
    }
  }

  private uint8(): number { return this.view.getUint8(this.at++); }
  private uint16(): number { this.at += 2; return this.view.getUint16(this.at - 2); }
  private uint32(): number { this.at += 4; return this.view.getUint32(this.at - 4); }

  private bytes(length: number): Uint8Array {
    if (this.at + length > this.data.length) throw new RangeError("the message ends too early");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  private text(length: number): string { return utf8.decode(this.bytes(length)); }

  private array(length: number, depth: number): unknown[] {
    // A length that the rest cannot hold must not allocate.
    if (length > this.data.length - this.at) throw new RangeError("the message ends too early");
    const list: unknown[] = [];
    for (let k = 0; k < length; k++) list.push(this.value(depth + 1));
    return list;
  }

  private map(length: number, depth: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let k = 0; k < length; k++) {
      const key = this.value(depth + 1);
      const name = typeof key === "string" ? key : String(key as number);
      const value = this.value(depth + 1);
      if (name === "__proto__") Object.defineProperty(map, name, { value, enumerable: true, configurable: true, writable: true });
      else map[name] = value;
    }
    return map;
  }

  private extension(length: number): unknown {
    const type = this.view.getInt8(this.at++);
    const start = this.at;
    const bytes = this.bytes(length);
    return type === TIMESTAMP ? this.timestamp(start, length) : bytes;
  }

  /** The three forms of a time: 32 bits of seconds; 30 bits of nanoseconds and 34 of seconds; 32 and 64 (signed). */
  private timestamp(at: number, length: number): string {
    if (length === 4) return rfc3339(this.view.getUint32(at), 0);
    if (length === 8) return rfc3339((this.view.getUint32(at) & 3) * 4_294_967_296 + this.view.getUint32(at + 4), this.view.getUint32(at) >>> 2);
    if (length === 12) return rfc3339(Number(this.view.getBigInt64(at + 4)), this.view.getUint32(at));
    return `a time of ${length} bytes`;
  }
}

const exact = (value: bigint): number | string => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
};

/** A time that does not exist is text that is no time: it costs its own message, not the frame. */
function rfc3339(seconds: number, nanos: number): string {
  if (nanos > 999_999_999 || !(Math.abs(seconds) <= LAST_SECOND)) return `${seconds} s and ${nanos} ns since 1970`;
  const whole = new Date(seconds * 1000).toISOString().slice(0, -5);
  return nanos === 0 ? `${whole}Z` : `${whole}.${String(nanos).padStart(9, "0").replace(/0+$/, "")}Z`;
}

/** Encodes what a client says: objects and lists of texts, whole numbers from 0, booleans and null. */
export function encodeMsgpack(value: unknown): Buffer {
  const parts: Uint8Array[] = [];
  put(value, parts);
  return Buffer.concat(parts);
}

function put(value: unknown, parts: Uint8Array[]): void {
  if (value === null || value === undefined) parts.push(Buffer.of(0xc0));
  else if (typeof value === "boolean") parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number") {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new TypeError(`${value} is not said to the stream`);
    parts.push(value <= 0x7f ? Buffer.of(value) : head(value, 0xcc, 0xcd, 0xce));
  } else if (typeof value === "string") {
    const text = Buffer.from(value);
    parts.push(text.length <= 31 ? Buffer.of(0xa0 | text.length) : head(text.length, 0xd9, 0xda, 0xdb), text);
  } else if (Array.isArray(value)) {
    parts.push(value.length <= 15 ? Buffer.of(0x90 | value.length) : head(value.length, undefined, 0xdc, 0xdd));
    for (const item of value) put(item, parts);
  } else {
    const entries = Object.entries(value as object);
    parts.push(entries.length <= 15 ? Buffer.of(0x80 | entries.length) : head(entries.length, undefined, 0xde, 0xdf));
    for (const [key, item] of entries) {
      put(key, parts);
      put(item, parts);
    }
  }
}

/** The type for a number of 8, 16 or 32 bits, and the number. */
function head(n: number, type8: number | undefined, type16: number, type32: number): Buffer {
  if (type8 !== undefined && n <= 0xff) return Buffer.of(type8, n);
  if (n <= 0xffff) return Buffer.of(type16, n >> 8, n & 0xff);
  const out = Buffer.alloc(5);
  out[0] = type32;
  out.writeUInt32BE(n, 1);
  return out;
}
