/**
 * DuckDB's data chunks as columns of a Parquet file: values, definition and repetition levels of every leaf, taken from whole vectors at a time
 * (https://parquet.apache.org/docs/file-format/nestedencoding/).
 */
import { TicklakeError } from "../../errors";
import type { ColumnBatch, ColumnData } from "../columns/batch";
import { childFields, isPrimitive, isStruct, leafColumns, type LeafColumn } from "../schema";
import type { NestedField, Schema } from "../types";
import { bindings, validityOf, type Vector } from "./native";
import { room, type Values, valuesOf } from "./values";

/** What stands in a column at one place of the tree: for each slot the place in the vector (-1: nothing is there, a level above ended), and the levels so far. */
interface Slots { readonly count: number; readonly index: Int32Array; readonly def: Uint8Array; readonly rep: Uint8Array }

interface Column { append(vector: Vector, size: number, slots: Slots): void }

class Leaf implements Column {
  private readonly values: Values;
  private slots = 0;
  private def = new Uint8Array(1024);
  private rep = new Uint8Array(0);
  private picks = new Int32Array(2048);

  constructor(readonly leaf: LeafColumn) {
    this.values = valuesOf(leaf);
  }

  /** The first `size` values of a column directly below the row. */
  appendFlat(vector: Vector, size: number): void {
    const validity = validityOf(vector, size), data = bindings().vector_get_data(vector, size * this.values.width);
    const from = this.slots;
    this.slots += size;
    if (this.leaf.maxDefinition > 0) {
      this.def = room(this.def, this.slots);
      this.def.fill(1, from, this.slots);
    }
    if (!validity) return this.values.append(data, size);
    if (this.leaf.required) throw this.missing();
    this.picks = room(this.picks, size);
    let count = 0;
    for (let i = 0; i < size; i++) {
      if ((validity[i >>> 3]! >>> (i & 7)) & 1) this.picks[count++] = i;
      else this.def[from + i] = 0;
    }
    this.values.append(data, count, this.picks);
  }

  append(vector: Vector, size: number, slots: Slots): void {
    const { leaf: { maxDefinition, maxRepetition, required } } = this, { index, def } = slots;
    const validity = validityOf(vector, size), from = this.slots;
    this.slots += slots.count;
    this.def = room(this.def, this.slots);
    this.picks = room(this.picks, slots.count);
    if (maxRepetition > 0) {
      this.rep = room(this.rep, this.slots);
      this.rep.set(slots.rep.subarray(0, slots.count), from);
    }
    let count = 0;
    for (let k = 0; k < slots.count; k++) {
      const i = index[k]!;
      if (i < 0) this.def[from + k] = def[k]!;
      else if (!validity || (validity[i >>> 3]! >>> (i & 7)) & 1) {
        this.def[from + k] = maxDefinition;
        this.picks[count++] = i;
      } else if (required) throw this.missing();
      else this.def[from + k] = maxDefinition - 1;
    }
    this.values.append(bindings().vector_get_data(vector, size * this.values.width), count, this.picks);
  }

  data(): ColumnData {
    const { count } = this.values;
    return {
      count, slots: this.slots, values: this.values.data(), ...(count < this.slots ? { def: this.def.subarray(0, this.slots) } : {}),
      ...(this.leaf.maxRepetition > 0 ? { rep: this.rep.subarray(0, this.slots) } : {}),
    };
  }

  clear(): void {
    this.values.clear();
    this.slots = 0;
  }

  get bytes(): number { return this.values.bytes + this.slots * (this.leaf.maxRepetition > 0 ? 2 : 1); }

  private missing(): TicklakeError {
    return new TicklakeError("TABLE_CORRUPT", `Column ${this.leaf.name} is required and a data file has no value for it. Make it optional, then compact again.`);
  }
}

/** Levels of what lies below a struct or list, in memory that is used again. */
class SlotBuffer {
  private index = new Int32Array(2048);
  private def = new Uint8Array(2048);
  private rep = new Uint8Array(2048);
  private count = 0;

  reset(): void { this.count = 0; }

  add(index: number, def: number, rep: number): void {
    const { count } = this;
    if (count === this.index.length) {
      this.index = room(this.index, count + 1);
      this.def = room(this.def, this.index.length);
      this.rep = room(this.rep, this.index.length);
    }
    this.index[count] = index;
    this.def[count] = def;
    this.rep[count] = rep;
    this.count = count + 1;
  }

  get slots(): Slots { return { count: this.count, index: this.index, def: this.def, rep: this.rep }; }
}

const present = (validity: Uint8Array | undefined, i: number): boolean => !validity || ((validity[i >>> 3]! >>> (i & 7)) & 1) === 1;

class Struct implements Column {
  private readonly below = new SlotBuffer();
  /** @param level definition level of a struct that is there */
  constructor(private readonly field: NestedField, private readonly level: number, private readonly children: readonly Column[]) {}

  append(vector: Vector, size: number, { count, index, def, rep }: Slots): void {
    const validity = validityOf(vector, size);
    this.below.reset();
    for (let k = 0; k < count; k++) {
      const i = index[k]!;
      if (i < 0) this.below.add(-1, def[k]!, rep[k]!);
      else if (present(validity, i)) this.below.add(i, this.level, rep[k]!);
      else this.below.add(-1, absent(this.field, this.level), rep[k]!);
    }
    this.children.forEach((child, n) => child.append(bindings().struct_vector_get_child(vector, n), size, this.below.slots));
  }
}

/** A list, or a map: a list of structs without a field of their own. */
class List implements Column {
  private readonly below = new SlotBuffer();
  /**
   * @param level definition level of a list that is there
   * @param repetition level of its second and further elements
   */
  constructor(private readonly field: NestedField, private readonly level: number, private readonly repetition: number, private readonly children: readonly Column[], private readonly isMap: boolean) {}

  append(vector: Vector, size: number, { count, index, def, rep }: Slots): void {
    const validity = validityOf(vector, size), { below, level, repetition } = this;
    const bytes = bindings().vector_get_data(vector, size * 16);
    // Offset and length in 64 bits each; a chunk has far fewer than 2^32 elements.
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, size * 4);
    below.reset();
    for (let k = 0; k < count; k++) {
      const i = index[k]!;
      if (i < 0) below.add(-1, def[k]!, rep[k]!);
      else if (!present(validity, i)) below.add(-1, absent(this.field, level), rep[k]!);
      else {
        const first = words[i * 4]!, length = words[i * 4 + 2]!;
        if (length === 0) below.add(-1, level, rep[k]!);
        for (let n = 0; n < length; n++) below.add(first + n, level + 1, n === 0 ? rep[k]! : repetition);
      }
    }
    const elements = bindings().list_vector_get_child(vector), total = bindings().list_vector_get_size(vector);
    this.children.forEach((child, n) => child.append(this.isMap ? bindings().struct_vector_get_child(elements, n) : elements, total, below.slots));
  }
}

function absent(field: NestedField, level: number): number {
  if (field.required) throw new TicklakeError("TABLE_CORRUPT", `Column ${field.name} is required and a data file has no value for it. Make it optional, then compact again.`);
  return level - 1;
}

/** Collects chunks of one schema; a chunk's columns are the schema's fields in their order. */
export class Shredder {
  private readonly leaves: Leaf[];
  private readonly columns: readonly (Leaf | Column)[];
  private identity: Slots = { count: 0, index: new Int32Array(0), def: new Uint8Array(0), rep: new Uint8Array(0) };
  rows = 0;

  constructor(schema: Schema) {
    this.leaves = leafColumns(schema).map((leaf) => new Leaf(leaf));
    const rest = [...this.leaves];
    const build = (field: NestedField, def: number, rep: number): Column => {
      const { type } = field, level = field.required ? def : def + 1;
      if (isPrimitive(type)) return rest.shift()!;
      const deeper = isStruct(type) ? 0 : 1;
      const children = childFields(type).map((child) => build(child, level + deeper, rep + deeper));
      return isStruct(type) ? new Struct(field, level, children) : new List(field, level, rep + 1, children, children.length === 2);
    };
    this.columns = schema.fields.map((field) => build(field, 0, 0));
  }

  /** Estimated memory of what is held. */
  get bytes(): number { return this.leaves.reduce((sum, leaf) => sum + leaf.bytes, 0); }

  append(chunk: object, rows: number): void {
    this.columns.forEach((column, i) => {
      const vector = bindings().data_chunk_get_vector(chunk, i);
      if (column instanceof Leaf) column.appendFlat(vector, rows);
      else column.append(vector, rows, this.rowSlots(rows));
    });
    this.rows += rows;
  }

  /** The rows held, as views: they hold until `clear`. */
  batch(): ColumnBatch {
    return { rows: this.rows, columns: this.leaves.map((leaf) => leaf.data()), bytes: this.bytes };
  }

  clear(): void {
    for (const leaf of this.leaves) leaf.clear();
    this.rows = 0;
  }

  private rowSlots(rows: number): Slots {
    if (this.identity.index.length < rows) this.identity = { count: 0, index: Int32Array.from({ length: rows }, (_, i) => i), def: new Uint8Array(rows), rep: new Uint8Array(rows) };
    return { ...this.identity, count: rows };
  }
}
