/** Random schemas with rows for them, and what a reader must give back. */
import fc from "fast-check";
import { ColumnAccumulator } from "../../lib/iceberg/columns";
import { encodeBatch, type EncodedFile } from "../../lib/iceberg/parquet";
import { assignFreshIds, decimalOf, fixedLengthOf, isList, isPrimitive, isStruct } from "../../lib/iceberg/schema";
import { parsePartitionBy } from "../../lib/iceberg/transforms";
import type { Codec, NestedField, PrimitiveType, Schema, Type } from "../../lib/iceberg/types";

/**
 * The canonical form of a value, the same in test/support/py/read_parquet.py: whole numbers, days, µs and unscaled decimals as text; floats as the
 * hex of their 8 bytes ("nan" for NaN); bytes as hex; a map as a list of pairs.
 */
export type Canonical = null | boolean | string | Canonical[] | { [name: string]: Canonical };

/** A value as a message may hold it, and what it means. */
export interface Sample { readonly input: unknown; readonly canonical: Canonical }

export interface Table { readonly schema: Schema; readonly rows: Sample[] }

const both = (input: unknown, canonical: Canonical): Sample => ({ input, canonical });

export function canonicalFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes.toString("hex");
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const long = fc.oneof(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), fc.bigInt({ min: -10n, max: 10n }));
const moment = fc.record({ ms: fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9000, 0, 1) }), extra: fc.nat({ max: 999 }) });
const iso = (ms: number, extra: number): string => `${new Date(ms).toISOString().slice(0, 23)}${String(extra).padStart(3, "0")}`;
const us = (ms: number, extra = 0): bigint => BigInt(ms) * 1000n + BigInt(extra);
const text = fc.oneof(fc.constantFrom("", "a", "SPY", "ü", "漢字", "😀", "a\u0000b", "long text that is longer than sixteen"), fc.string({ unit: "grapheme", maxLength: 40 }));

/** Values of a primitive type in all the forms that a message may use. */
function primitive(type: PrimitiveType): fc.Arbitrary<Sample> {
  switch (type) {
    case "boolean": return fc.boolean().map((v) => both(v, v));
    case "int": return fc.integer().chain((v) => fc.constantFrom<unknown>(v, String(v), BigInt(v)).map((input) => both(input, String(v))));
    case "long": return long.chain((v) => fc.constantFrom<unknown>(v, String(v), ...(BigInt(Number(v)) === v && Number.isSafeInteger(Number(v)) ? [Number(v)] : [])).map((input) => both(input, String(v))));
    case "float": return fc.float().map((v) => both(v, canonicalFloat(v)));
    case "double": return fc.double().map((v) => both(v, canonicalFloat(v)));
    case "date": return fc.integer({ min: -300_000, max: 80_000 }).chain((v) => fc.constantFrom<unknown>(v, new Date(v * 86_400_000).toISOString().slice(0, 10), new Date(v * 86_400_000 + 5)).map((input) => both(input, String(v))));
    case "time": return fc.integer({ min: 0, max: 86_399_999_999 }).chain((v) => fc.constantFrom<unknown>(iso(Math.floor(v / 1000), v % 1000).slice(11), BigInt(v)).map((input) => both(input, String(v))));
    case "timestamp": return moment.chain(({ ms, extra }) => fc.constantFrom<unknown>(iso(ms, extra), us(ms, extra), `${iso(ms, extra)}+00:00`).map((input) => both(input, String(us(ms, extra)))));
    case "timestamptz": return moment.chain(({ ms, extra }) => fc.constantFrom<[unknown, bigint]>(
      [`${iso(ms, extra)}Z`, us(ms, extra)], [`${iso(ms + 5_400_000, extra)}+01:30`, us(ms, extra)], [ms, us(ms)], [new Date(ms), us(ms)]).map(([input, value]) => both(input, String(value))));
    case "string": return text.map((v) => both(v, v));
    case "uuid": return fc.uuid().chain((v) => fc.constantFrom<unknown>(v, Buffer.from(v.replaceAll("-", ""), "hex")).map((input) => both(input, v.replaceAll("-", ""))));
    case "binary": return fc.uint8Array({ maxLength: 30 }).chain((v) => fc.constantFrom<unknown>(v, Buffer.from(v).toString("base64"), Buffer.from(v).toJSON()).map((input) => both(input, hex(v))));
    default: {
      const decimal = decimalOf(type);
      if (!decimal) return fc.uint8Array({ minLength: fixedLengthOf(type)!, maxLength: fixedLengthOf(type)! }).map((v) => both(v, hex(v)));
      const limit = 10n ** BigInt(decimal.precision) - 1n;
      return fc.bigInt({ min: -limit, max: limit }).map((v) => both(decimalInput(v, decimal.scale), String(v)));
    }
  }
}

function decimalInput(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  return `${unscaled < 0n ? "-" : ""}${digits.slice(0, digits.length - scale)}.${digits.slice(digits.length - scale)}`;
}

function valueOf(type: Type): fc.Arbitrary<Sample> {
  if (isPrimitive(type)) return primitive(type);
  if (isStruct(type)) return structOf(type.fields);
  if (isList(type)) {
    return fc.array(fieldValue(type.element, type["element-required"]), { maxLength: 4 }).map((items) => both(items.map((s) => s.input), items.map((s) => s.canonical)));
  }
  const entry = fc.tuple(valueOf(type.key), fieldValue(type.value, type["value-required"]));
  return fc.uniqueArray(entry, { maxLength: 4, selector: ([key]) => JSON.stringify(key.canonical) }).chain((entries) => {
    const canonical = entries.map(([k, v]) => [k.canonical, v.canonical]);
    return fc.constantFrom<unknown>(new Map(entries.map(([k, v]) => [k.input, v.input])), entries.map(([k, v]) => ({ key: k.input, value: v.input })), entries.map(([k, v]) => [k.input, v.input])).map((input) => both(input, canonical));
  });
}

function fieldValue(type: Type, required: boolean): fc.Arbitrary<Sample> {
  const value = valueOf(type);
  return required ? value : fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constantFrom(both(null, null), both(undefined, null)) });
}

function structOf(fields: readonly NestedField[]): fc.Arbitrary<Sample> {
  return fc.tuple(...fields.map((f) => fieldValue(f.type, f.required))).map((values) => {
    const [input, canonical]: [Record<string, unknown>, Record<string, Canonical>] = [{}, {}];
    fields.forEach((field, i) => {
      if (values[i]!.input !== undefined) input[field.name] = values[i]!.input;
      canonical[field.name] = values[i]!.canonical;
    });
    return both(input, canonical);
  });
}

export const ALL_PRIMITIVES: readonly PrimitiveType[] = [
  "boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "uuid", "binary", "fixed[5]", "decimal(7, 2)", "decimal(16, 3)", "decimal(38, 10)",
];

const types: fc.Arbitrary<Type> = fc.letrec<{ type: Type }>((tie) => ({
  type: fc.oneof({ depthSize: "small", withCrossShrink: true },
    fc.constantFrom<Type>(...ALL_PRIMITIVES),
    fc.record({ element: tie("type"), required: fc.boolean() }).map(({ element, required }): Type => ({ type: "list", "element-id": 0, element, "element-required": required })),
    fc.array(fc.record({ type: tie("type"), required: fc.boolean() }), { minLength: 1, maxLength: 3 }).map((items): Type => ({ type: "struct", fields: fieldsOf(items) })),
    fc.record({ key: fc.constantFrom<PrimitiveType>("string", "int", "long", "uuid", "date"), value: tie("type"), required: fc.boolean() }).map(({ key, value, required }): Type => ({ type: "map", "key-id": 0, key, "value-id": 0, value, "value-required": required }))),
})).type;

const fieldsOf = (items: readonly { type: Type; required: boolean }[]): NestedField[] => items.map(({ type, required }, i) => ({ id: 0, name: `f${i}`, required, type }));

/** Any schema with up to `maxRows` rows. */
export const tables = (maxRows = 40): fc.Arbitrary<Table> =>
  fc.array(fc.record({ type: types, required: fc.boolean() }), { minLength: 1, maxLength: 5 }).chain((items) => tableOf(assignFreshIds({ type: "struct", "schema-id": 0, fields: fieldsOf(items) }), maxRows));

export const tableOf = (schema: Schema, maxRows: number, minRows = 1): fc.Arbitrary<Table> =>
  fc.array(structOf(schema.fields), { minLength: minRows, maxLength: maxRows }).map((rows) => ({ schema, rows }));

/** Every primitive type, optional and required, in one flat schema. */
export const flatSchema = (): Schema => assignFreshIds({
  type: "struct", "schema-id": 0,
  fields: ALL_PRIMITIVES.flatMap((type, i): NestedField[] => [{ id: 0, name: `o${i}`, required: false, type }, { id: 0, name: `r${i}`, required: true, type }]),
});

/** Rows through accumulator and encoder. Throws when a row is rejected. */
export function encodeRows(schema: Schema, rows: readonly unknown[], options: { codec?: Codec; partitionBy?: string; rowGroupRows?: number } = {}): EncodedFile[] {
  const columns = new ColumnAccumulator(schema);
  columns.append(rows, (_row, index, reason) => {
    throw new Error(`row ${index}: ${reason}`);
  });
  const spec = parsePartitionBy(options.partitionBy ?? "", schema);
  return encodeBatch({ batch: columns.take([[0, rows.length]]), schema, spec, codec: options.codec ?? "snappy", ...(options.rowGroupRows ? { rowGroupRows: options.rowGroupRows } : {}) });
}
