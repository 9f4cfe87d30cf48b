/** What rows have and their table does not: fields without a column, values that a wider column would hold. */
import { asTicklakeError } from "../../errors";
import { fitsLong, longFromText } from "../columns/convert";
import { isProvisional, FIRST_PROVISIONAL_ID } from "../placement";
import { allFields, assignFreshIds, childFields, isList, isMap, isPrimitive, isStruct } from "../schema";
import { mergeSeen, seenIn, typeOfSeen, withoutUndecided, type Seen } from "../schema-infer";
import type { NestedField, PrimitiveType, Schema, StructType, Type } from "../types";

/** New columns of one commit at the most, inner fields of structs counted: rows with random keys must not become a table of them. */
export const MAX_NEW_COLUMNS = 100;
/** Columns of a table, inner fields counted, up to which new ones are added. */
export const MAX_COLUMNS = 1000;

/** New fields of a struct: by the id of the field that the struct is the type of (0 = the row), then by name. */
type NewFields = Map<number, Map<string, Seen>>;

interface Found { readonly parent: number; readonly name: string; readonly path: string; readonly seen: Seen }

/** Finds what rows have and a schema lacks. Made anew for every schema. */
export class Drift {
  readonly #known: ReadonlySet<string>;
  /** Columns in which structs stand: the only ones to look into. */
  readonly #deep: readonly NestedField[];
  readonly #fields: number;
  readonly #provisional: number;
  /** The fields of the last row that had none but known ones, in its order: rows of one source are alike. */
  #shape: readonly string[] = [];

  constructor(readonly schema: Schema) {
    const all = allFields(schema);
    this.#known = new Set(schema.fields.map((field) => field.name));
    this.#deep = schema.fields.filter((field) => holdsStruct(field.type));
    this.#fields = all.length;
    this.#provisional = all.filter(({ field }) => isProvisional(field.id)).length;
  }

  /**
   * The schema with columns for all that these rows have; the same one where it lacks nothing. Nulls, empty lists and empty objects decide nothing.
   *
   * @param drawn types of columns that somebody chose
   * @param refuse told of rows with a field that cannot become a column
   */
  grow(rows: readonly unknown[], drawn: ReadonlyMap<string, Type>, refuse: (index: number, reason: string) => void): Schema {
    const added: NewFields = new Map();
    let room = Math.min(MAX_NEW_COLUMNS - this.#provisional, MAX_COLUMNS - this.#fields);
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (typeof row !== "object" || row === null || Array.isArray(row)) continue;
      let found: Found[];
      try {
        found = this.#look(row as Record<string, unknown>);
        if (found.length === 0) continue;
        for (const { name, path } of found) checkName(name, path);
      } catch (error) {
        refuse(i, asTicklakeError(error).message);
        continue;
      }
      room = take(found, added, room, (reason) => refuse(i, reason));
    }
    return added.size === 0 ? this.schema : grown(this.schema, added, drawn);
  }

  /** Whether a field of columns has no column here. */
  hasNew(names: readonly string[]): boolean { return names.some((name) => !this.#known.has(name)); }

  #look(row: Record<string, unknown>): Found[] {
    const found: Found[] = [];
    const shape = this.#shape;
    let at = 0, alike = true;
    for (const name in row) {
      if (name === shape[at++]) continue;
      alike = false;
      if (!this.#known.has(name)) find(row[name], 0, name, name, found);
    }
    if (!alike && found.length === 0) this.#shape = Object.keys(row).every((name) => this.#known.has(name)) ? Object.keys(row) : [];
    for (const field of this.#deep) if (Object.hasOwn(row, field.name)) lookInto(row[field.name], field, field.name, found);
    return found;
  }
}

/** Adds what one row has; all of it or, where there is no room, nothing. What disagrees with rows before it is left to be judged as a value. */
function take(found: readonly Found[], added: NewFields, room: number, refuse: (reason: string) => void): number {
  const merged: (Found & { readonly all: Seen })[] = [];
  let needed = 0;
  for (const one of found) {
    // The same field of several elements of a list.
    const earlier = merged.findLast(({ parent, name }) => parent === one.parent && name === one.name);
    const before = added.get(one.parent)?.get(one.name);
    try {
      const all = mergeSeen(earlier?.all ?? before, one.seen, one.path);
      needed += size(all) - size(earlier?.all ?? before);
      merged.push({ ...one, all });
    } catch {
      continue;
    }
  }
  if (needed > room) {
    refuse(`${found.map(({ path }) => path).slice(0, 3).join(", ")}: no more columns are added (at most ${MAX_NEW_COLUMNS} in a commit and ${MAX_COLUMNS} in a table); are these names data?`);
    return room;
  }
  for (const { parent, name, all } of merged) {
    const fields = added.get(parent);
    if (fields) fields.set(name, all);
    else added.set(parent, new Map([[name, all]]));
  }
  return room - needed;
}

function find(value: unknown, parent: number, name: string, path: string, found: Found[]): void {
  if (value === null || value === undefined) return;
  const seen = withoutUndecided(seenIn(value, path));
  if (seen === undefined) return;
  checkInner(seen, path);
  found.push({ parent, name, path, seen });
}

/** Looks for new fields of the structs in a value. */
function lookInto(value: unknown, field: NestedField, path: string, found: Found[]): void {
  if (typeof value !== "object" || value === null) return;
  const { type } = field;
  if (isStruct(type)) {
    if (Array.isArray(value)) return;
    for (const name of Object.keys(value)) {
      const inner = type.fields.find((other) => other.name === name), here = (value as Record<string, unknown>)[name];
      if (!inner) find(here, field.id, name, `${path}.${name}`, found);
      else if (!isPrimitive(inner.type)) lookInto(here, inner, `${path}.${name}`, found);
    }
  } else if (isList(type)) {
    const [element] = childFields(type);
    if (Array.isArray(value) && holdsStruct(type.element)) for (const item of value as unknown[]) lookInto(item, element!, `${path}.element`, found);
  } else if (isMap(type) && holdsStruct(type.value)) {
    const entries = value instanceof Map ? [...(value as Map<unknown, unknown>).values()] : Array.isArray(value) ? [] : Object.values(value);
    for (const item of entries) lookInto(item, childFields(type)[1]!, `${path}.value`, found);
  }
}

const holdsStruct = (type: Type): boolean => isStruct(type) || (!isPrimitive(type) && childFields(type).some((child) => holdsStruct(child.type)));

function size(seen: Seen): number {
  if (typeof seen !== "object" || seen.kind === "digits") return seen === undefined ? 0 : 1;
  return 1 + (seen.kind === "list" ? size(seen.element) : [...seen.fields.values()].reduce((sum, field) => sum + size(field), 0));
}

function checkName(name: string, path: string): void {
  const why = name.trim() === "" ? "a field without a name" : /[\u0000-\u001f\u007f]/.test(name) ? "a name with control characters" : name === "__proto__" ? "this name" : name.length > 255 ? "a name longer than 255 characters" : undefined;
  if (why) throw new Error(`${JSON.stringify(path.length > 60 ? `${path.slice(0, 57)}...` : path)}: ${why} cannot be a column`);
}

function checkInner(seen: Seen, path: string): void {
  if (typeof seen !== "object" || seen.kind === "digits") return;
  if (seen.kind === "list") checkInner(seen.element, `${path}.element`);
  else for (const [name, field] of seen.fields) {
    checkName(name, `${path}.${name}`);
    checkInner(field, `${path}.${name}`);
  }
}

/** Names of new fields that differ only by case from others beside them: engines that fold case cannot tell them apart. */
export function foldedNames(schema: Schema): [name: string, other: string][] {
  const out: [string, string][] = [];
  const visit = (type: Type, path: string): void => {
    const children = childFields(type);
    for (const [i, child] of children.entries()) {
      const other = isStruct(type) && isProvisional(child.id) ? children.find((one, k) => k !== i && one.name.toLowerCase() === child.name.toLowerCase() && (k < i || !isProvisional(one.id))) : undefined;
      if (other) out.push([path + child.name, path + other.name]);
      visit(child.type, `${path}${child.name}.`);
    }
  };
  visit(schema, "");
  return out;
}

function grown(schema: Schema, added: NewFields, drawn: ReadonlyMap<string, Type>): Schema {
  let next = allFields(schema).reduce((max, { field }) => Math.max(max, field.id + 1), FIRST_PROVISIONAL_ID);
  const provisional = (name: string, type: Type): NestedField => {
    const fresh = assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ id: 0, name, required: false, type }] }, next);
    next = allFields(fresh).reduce((max, { field }) => Math.max(max, field.id + 1), next);
    return fresh.fields[0]!;
  };
  const withNew = (fields: readonly NestedField[], parent: number): NestedField[] => [
    ...fields.map((field) => ({ ...field, type: rewrite(field.type, field.id) })),
    ...[...added.get(parent) ?? []].map(([name, seen]) => provisional(name, (parent === 0 ? drawn.get(name) : undefined) ?? typeOfSeen(seen))),
  ];
  const rewrite = (type: Type, id: number): Type => {
    if (isStruct(type)) return { ...type, fields: withNew(type.fields, id) };
    if (isList(type)) return { ...type, element: rewrite(type.element, type["element-id"]) };
    if (isMap(type)) return { ...type, value: rewrite(type.value, type["value-id"]) };
    return type;
  };
  return { ...schema, "schema-id": -1, fields: withNew(schema.fields, 0) };
}

/**
 * Types with which a schema would take a row that it refused: int as long, float as double, and of columns that no table has yet long as double and text of
 * digits as long. Pure.
 *
 * @param fixed columns whose type stays
 * @returns the wider types by field id
 */
export function widenFor(schema: Schema, row: unknown, fixed: (id: number) => boolean): Map<number, PrimitiveType> {
  const wider = new Map<number, PrimitiveType>();
  const visit = (value: unknown, field: NestedField): void => {
    const { type, id } = field;
    if (value === null || value === undefined) return;
    if (isPrimitive(type)) {
      const to = fixed(id) ? undefined : widerType(type, value, isProvisional(id));
      if (to) wider.set(id, to);
    } else if (typeof value === "object") visitChildren(value, type);
  };
  const visitChildren = (value: object, type: Type): void => {
    if (isStruct(type)) for (const child of type.fields) { if (Object.hasOwn(value, child.name)) visit((value as Record<string, unknown>)[child.name], child); }
    else if (isList(type) && Array.isArray(value)) for (const item of value as unknown[]) visit(item, childFields(type)[0]!);
  };
  if (typeof row === "object" && row !== null) visitChildren(row, schema);
  return wider;
}

function widerType(type: PrimitiveType, value: unknown, provisional: boolean): PrimitiveType | undefined {
  if (type === "int") {
    const long = typeof value === "bigint" ? value : typeof value === "string" ? longFromText(value) : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
    return long !== undefined && fitsLong(long) && BigInt.asIntN(32, long) !== long ? "long" : undefined;
  }
  if (type === "float") return typeof value === "number" && Number.isFinite(value) && !Number.isFinite(Math.fround(value)) ? "double" : undefined;
  if (!provisional) return undefined;
  if (type === "long") return typeof value === "number" && !Number.isSafeInteger(value) ? "double" : undefined;
  return type === "string" && (typeof value === "bigint" || Number.isSafeInteger(value)) ? "long" : undefined;
}

/** The schema with other types for these fields. */
export function withTypes(schema: Schema, types: ReadonlyMap<number, PrimitiveType>): Schema {
  const rewrite = (type: Type, id: number): Type => {
    if (isPrimitive(type)) return types.get(id) ?? type;
    if (isStruct(type)) return { ...type, fields: type.fields.map((field) => ({ ...field, type: rewrite(field.type, field.id) })) };
    if (isList(type)) return { ...type, element: rewrite(type.element, type["element-id"]) };
    return { ...type, key: rewrite(type.key, type["key-id"]), value: rewrite(type.value, type["value-id"]) };
  };
  return { ...schema, "schema-id": -1, fields: (rewrite(schema, 0) as StructType).fields };
}
