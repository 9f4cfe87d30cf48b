/** The schema in the footer: Iceberg types as Parquet's physical and logical types, a field id on every element that has one. */
import { childFields, decimalBytes, decimalOf, fixedLengthOf, isList, isPrimitive, isStruct } from "../schema";
import type { NestedField, PrimitiveType, Schema } from "../types";
import type { CompactWriter } from "./thrift";

const TYPE = { BOOLEAN: 0, INT32: 1, INT64: 2, FLOAT: 4, DOUBLE: 5, BYTE_ARRAY: 6, FIXED: 7 } as const;
const REPETITION = { REQUIRED: 0, OPTIONAL: 1, REPEATED: 2 } as const;
const CONVERTED = { UTF8: 0, MAP: 1, LIST: 3, DECIMAL: 5, DATE: 6, TIME_MICROS: 8, TIMESTAMP_MICROS: 10 } as const;

type Write = (w: CompactWriter) => void;
const empty: Write = () => undefined;

/** Number of a primitive type in Parquet's Type. */
export function physicalType(type: PrimitiveType): number {
  switch (type) {
    case "boolean": return TYPE.BOOLEAN;
    case "int":
    case "date": return TYPE.INT32;
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz": return TYPE.INT64;
    case "float": return TYPE.FLOAT;
    case "double": return TYPE.DOUBLE;
    case "string":
    case "binary": return TYPE.BYTE_ARRAY;
    default: break;
  }
  const precision = decimalOf(type)?.precision ?? 99;
  return precision <= 9 ? TYPE.INT32 : precision <= 18 ? TYPE.INT64 : TYPE.FIXED;
}

interface Element { name: string; repetition?: number; children?: number; id?: number; type?: PrimitiveType; group?: "LIST" | "MAP" }

/** Elements depth first, with the standard three levels of lists (`list.element`) and maps (`key_value.key`, `.value`). */
function elements(schema: Schema): Element[] {
  const out: Element[] = [{ name: "table", children: schema.fields.length }];
  const visit = (field: NestedField): void => {
    const { type } = field;
    const own: Element = { name: field.name, repetition: field.required ? REPETITION.REQUIRED : REPETITION.OPTIONAL, id: field.id };
    if (isPrimitive(type)) {
      out.push({ ...own, type });
      return;
    }
    const children = childFields(type);
    if (isStruct(type)) out.push({ ...own, children: children.length });
    else {
      out.push({ ...own, children: 1, group: isList(type) ? "LIST" : "MAP" });
      out.push({ name: isList(type) ? "list" : "key_value", repetition: REPETITION.REPEATED, children: children.length });
    }
    children.forEach(visit);
  };
  schema.fields.forEach(visit);
  return out;
}

/** Writes the list of SchemaElement as field `id` of the footer. */
export function writeSchema(w: CompactWriter, id: number, schema: Schema): void {
  w.structs(id, elements(schema), (e, element) => {
    const { type, group } = element;
    const decimal = type && decimalOf(type);
    const physical = type && physicalType(type);
    e.i32(1, physical)
      .i32(2, physical === TYPE.FIXED ? (decimal ? decimalBytes(decimal.precision) : fixedLengthOf(type!)) : undefined)
      .i32(3, element.repetition)
      .binary(4, element.name)
      .i32(5, element.children)
      .i32(6, group ? CONVERTED[group] : type && convertedType(type))
      .i32(7, decimal?.scale)
      .i32(8, decimal?.precision)
      .i32(9, element.id)
      .struct(10, group ? (l) => l.struct(group === "LIST" ? 3 : 2, empty) : type && logicalType(type));
  });
}

/** The older annotation, for older readers. Local timestamps have none. */
function convertedType(type: PrimitiveType): number | undefined {
  switch (type) {
    case "string": return CONVERTED.UTF8;
    case "date": return CONVERTED.DATE;
    case "time": return CONVERTED.TIME_MICROS;
    case "timestamptz": return CONVERTED.TIMESTAMP_MICROS;
    default: return decimalOf(type) ? CONVERTED.DECIMAL : undefined;
  }
}

const inMicros = (utc: boolean): Write => (w) => w.bool(1, utc).struct(2, (unit) => unit.struct(2, empty));

function logicalType(type: PrimitiveType): Write | undefined {
  switch (type) {
    case "string": return (l) => l.struct(1, empty);
    case "date": return (l) => l.struct(6, empty);
    case "time": return (l) => l.struct(7, inMicros(false));
    case "timestamp": return (l) => l.struct(8, inMicros(false));
    case "timestamptz": return (l) => l.struct(8, inMicros(true));
    case "uuid": return (l) => l.struct(14, empty);
    default: break;
  }
  const decimal = decimalOf(type);
  return decimal && ((l) => l.struct(5, (d) => d.i32(1, decimal.scale).i32(2, decimal.precision)));
}
