/**
 * Rows that were laid out for one schema, placed into a newer version of their table: which of its columns they go to, by field id, and which columns the
 * table gets for them. Pure; no I/O. https://iceberg.apache.org/spec/#schema-evolution
 */
import { TicklakeError } from "../errors";
import { currentSchema } from "./metadata";
import { allFields, assignFreshIds, canPromote, childFields, isList, isMap, isPrimitive, isStruct, lastColumnId, leafColumns, typeText } from "./schema";
import type { ListType, MapType, NestedField, PartitionSpec, PrimitiveType, Schema, StructType, TableMetadata, Type } from "./types";
import type { MetadataUpdate } from "./updates";

/** Ids of fields that a table does not have yet. Real ones have 32 bits. */
export const FIRST_PROVISIONAL_ID = 2 ** 32;

/** Whether a field waits for its column: the table has none for it yet. */
export const isProvisional = (id: number): boolean => id >= FIRST_PROVISIONAL_ID;

/** A column that a commit adds, or widens. */
export interface ColumnChange {
  /** Full name: `quote.venue`. */
  readonly name: string;
  readonly type: Type;
  /** What it was, where it was widened. */
  readonly from?: PrimitiveType;
}

/** Where rows go. */
export interface Placement {
  /** With which the rows are written: names, ids and types of the table. */
  readonly schema: Schema;
  /** For each leaf of `schema` the leaf of the layout, or -1 (all null). */
  readonly origins: readonly number[];
  /** The table's schema once this is committed. */
  readonly table: Schema;
  readonly changes: readonly ColumnChange[];
  /** What makes the base's schema that one; empty when it is. */
  readonly updates: readonly MetadataUpdate[];
}

/**
 * Places rows into a table.
 *
 * @param layout their schema: fields by the ids that they had in an earlier version of the table, new ones by provisional ids
 * @param counts how many values each leaf of the layout has: what has none needs no column
 * @param spec whose source columns the rows are written with, null where they do not have them
 * @throws TicklakeError SCHEMA_MISMATCH when values would be lost or land in a column that they do not fit: others dropped the column, took its name for another type, or
 *   require one that the rows lack
 */
export function placeRows(layout: Schema, counts: readonly number[], base: TableMetadata, spec?: PartitionSpec): Placement {
  const table = currentSchema(base);
  if (layout["schema-id"] === table["schema-id"]) return { schema: layout, origins: counts.map((_, i) => i), table, changes: [], updates: [] };
  return new Placing(counts, base, table).place(layout, spec);
}

/** Whether files written for one placement say the same under another. */
export function sameColumns(a: Placement, b: Placement): boolean {
  const key = ({ schema, origins }: Placement): string => JSON.stringify([leafColumns(schema).map(({ id, path, type, maxDefinition }) => [id, path, type, maxDefinition]), origins, allFields(schema).map(({ field }) => field.id)]);
  return a.schema === b.schema || key(a) === key(b);
}

class Placing {
  readonly #origins: number[] = [];
  readonly #added = new Map<number, NestedField[]>();
  readonly #widened = new Map<number, PrimitiveType>();
  readonly #changes: ColumnChange[] = [];
  readonly #taken = new Set<number>();
  /** Next leaf of the layout. */
  #leaf = 0;
  #lastId: number;

  constructor(private readonly counts: readonly number[], private readonly base: TableMetadata, private readonly table: Schema) {
    this.#lastId = Math.max(base["last-column-id"], lastColumnId(table));
  }

  place(layout: Schema, spec: PartitionSpec | undefined): Placement {
    const fields = this.#fields(layout.fields, this.table.fields, "", 0);
    for (const source of this.#lackingSources(fields, spec)) {
      fields.push(source);
      this.#origins.push(-1);
    }
    const schema: Schema = { type: "struct", "schema-id": this.table["schema-id"], fields };
    if (this.#changes.length === 0) return { schema, origins: this.#origins, table: this.table, changes: [], updates: [] };
    const id = Math.max(...this.base.schemas.map((other) => other["schema-id"])) + 1;
    const grown: Schema = { ...this.table, "schema-id": id, fields: this.#grown(this.table.fields, 0) };
    return {
      schema: { ...schema, "schema-id": id }, origins: this.#origins, table: grown, changes: this.#changes,
      updates: [{ action: "add-schema", schema: grown, "last-column-id": this.#lastId }, { action: "set-current-schema", "schema-id": -1 }],
    };
  }

  /** The fields of a struct as they are written. `parent` is the id of the table's field that the struct is the type of; 0 = the row. */
  #fields(layout: readonly NestedField[], table: readonly NestedField[], path: string, parent: number): NestedField[] {
    const out: NestedField[] = [];
    for (const field of layout) {
      const name = path + field.name;
      const target = table.find((other) => (isProvisional(field.id) ? other.name === field.name : other.id === field.id));
      if (target) {
        const placed = this.#into(field, target, path);
        if (placed) out.push(placed);
        continue;
      }
      const from = this.#leaf, to = this.#leaf += leavesOf(field);
      if (!this.#holds(from, to)) continue;
      if (!isProvisional(field.id)) throw conflict(`the column ${name} was dropped`);
      this.#leaf = from;
      const added = this.#add(this.#onlyHeld(field)!, name, parent);
      this.#leaf = to;
      out.push(added);
    }
    for (const field of table) {
      if (field.required && !layout.some((other) => (isProvisional(other.id) ? other.name === field.name : other.id === field.id))) throw conflict(`the table requires the column ${path}${field.name}`);
    }
    return out;
  }

  /** A field written to a column that the table has; undefined when nothing of it is written. */
  #into(field: NestedField, target: NestedField, path: string): NestedField | undefined {
    const name = path + field.name;
    if (this.#taken.has(target.id)) throw conflict(`the column ${path}${target.name} took a name that the rows use for another`);
    this.#taken.add(target.id);
    const from = this.#leaf, to = from + leavesOf(field), origins = this.#origins.length;
    const type = this.#intoType(field, target, name);
    this.#leaf = to;
    if (type === undefined) {
      this.#origins.length = origins;
      if (this.#holds(from, to)) throw conflict(`the column ${name} is ${typeText(target.type)} there, the rows have ${typeText(field.type)}`);
      return undefined;
    }
    if (target.required && !field.required) throw conflict(`the table requires a value in the column ${name}`);
    return { ...target, required: field.required, type };
  }

  #intoType(field: NestedField, target: NestedField, name: string): Type | undefined {
    const { type: ours } = field, { type: theirs } = target;
    if (isPrimitive(ours)) {
      const written = isPrimitive(theirs) ? this.#intoPrimitive(ours, theirs, target.id, name) : undefined;
      if (written !== undefined) this.#origins.push(this.#leaf++);
      return written;
    }
    if (isStruct(ours) && isStruct(theirs)) {
      const fields = this.#fields(ours.fields, theirs.fields, `${name}.`, target.id);
      return fields.length > 0 ? { type: "struct", fields } : undefined;
    }
    if (isList(ours) && isList(theirs)) {
      const [element] = this.#children(ours, theirs, name);
      return element && { ...theirs, element: element.type, "element-required": element.required };
    }
    if (isMap(ours) && isMap(theirs)) {
      const [key, value] = this.#children(ours, theirs, name);
      return key && value && { ...theirs, key: key.type, value: value.type, "value-required": value.required };
    }
    return undefined;
  }

  #children(ours: ListType | MapType, theirs: ListType | MapType, name: string): (NestedField | undefined)[] {
    const targets = childFields(theirs);
    return childFields(ours).map((child, i) => this.#into(child, targets[i]!, `${name}.`));
  }

  /** The type in which values are written; undefined when they do not fit. */
  #intoPrimitive(ours: PrimitiveType, theirs: PrimitiveType, id: number, name: string): PrimitiveType | undefined {
    if (canPromote(ours, theirs)) return theirs;
    // Whole numbers that a double holds exactly: whether these are is seen when they are carried over.
    if (ours === "long" && theirs === "double") return theirs;
    if (!canPromote(theirs, ours) || isPartitionSource(this.base, id)) return undefined;
    this.#widened.set(id, ours);
    this.#changes.push({ name, type: ours, from: theirs });
    return ours;
  }

  /** A new column. Its leaves are those of the layout from here on that hold values. */
  #add(field: NestedField, name: string, parent: number): NestedField {
    const fresh = assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ ...field, required: false }] }, this.#lastId + 1);
    this.#lastId = lastColumnId(fresh);
    const added = fresh.fields[0]!;
    this.#added.set(parent, [...this.#added.get(parent) ?? [], added]);
    this.#changes.push({ name, type: added.type });
    return added;
  }

  /** A new field without what holds no value; its leaves are taken over. */
  #onlyHeld(field: NestedField): NestedField | undefined {
    const from = this.#leaf;
    if (!this.#holds(from, from + leavesOf(field)) || isPrimitive(field.type)) {
      this.#leaf += leavesOf(field);
      if (!this.#holds(from, this.#leaf)) return undefined;
      this.#origins.push(from);
      return field;
    }
    const { type } = field;
    if (isStruct(type)) return { ...field, type: { type: "struct", fields: type.fields.map((child) => this.#onlyHeld(child)).filter((child) => child !== undefined) } };
    // New columns are structs and lists only; of a list something is held.
    const element = this.#onlyHeld(childFields(type)[0]!)!;
    return { ...field, type: { ...(type as ListType), element: element.type } };
  }

  #holds(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.counts[i]! > 0) return true;
    return false;
  }

  /** Columns by which the table is partitioned and that the rows do not have. */
  #lackingSources(fields: readonly NestedField[], spec: PartitionSpec | undefined): NestedField[] {
    const there = new Set(allFields({ type: "struct", fields: [...fields] }).map(({ field }) => field.id));
    return this.table.fields.filter((field) => !there.has(field.id) && isPrimitive(field.type) && spec?.fields.some((part) => part["source-id"] === field.id));
  }

  #grown(fields: readonly NestedField[], parent: number): NestedField[] {
    return [...fields.map((field) => ({ ...field, type: this.#grownType(field.type, field.id) })), ...(this.#added.get(parent) ?? [])];
  }

  #grownType(type: Type, id: number): Type {
    if (isPrimitive(type)) return this.#widened.get(id) ?? type;
    if (isStruct(type)) return { ...type, fields: this.#grown(type.fields, id) };
    if (isList(type)) return { ...type, element: this.#grownType(type.element, type["element-id"]) };
    return { ...type, key: this.#grownType(type.key, type["key-id"]), value: this.#grownType(type.value, type["value-id"]) };
  }
}

/** Whether the table is partitioned by a column: its type stays, for partition values of older files have it. */
export function isPartitionSource(metadata: TableMetadata, id: number): boolean {
  return metadata["partition-specs"].some((spec) => spec.fields.some((field) => field["source-id"] === id));
}

const leavesOf = (field: NestedField): number => leafColumns({ type: "struct", fields: [field] } satisfies StructType).length;

function conflict(what: string): TicklakeError {
  return new TicklakeError("SCHEMA_MISMATCH", `Another writer changed the table's columns while rows waited: ${what}. None of these rows was written by the old columns; they are judged anew.`);
}
