/**
 * Structs, lists and maps, taken apart as they arrive: Dremel's record shredding. Every leaf below gets values with
 * repetition and definition levels (https://parquet.apache.org/docs/file-format/nestedencoding/).
 */
import { childFields, isList, isPrimitive, isStruct, show } from "../schema";
import type { NestedField } from "../types";
import type { ColumnData } from "./batch";
import type { CodeDictionary } from "./bulk";
import { growBytes, type LeafBuilder, type Problem } from "./leaf";
import { TextBuilder } from "./text";

/** A leaf below a struct, list or map: its builder and its levels. */
class NestedLeaf {
  private def = growBytes(undefined, 0);
  private rep: Uint8Array | undefined;
  private slots = 0;
  private slotMark = 0;
  private countMark = 0;

  constructor(readonly builder: LeafBuilder) {
    if (builder.leaf.maxRepetition > 0) this.rep = growBytes(undefined, 0);
  }

  level(rep: number, def: number): void {
    if (this.slots === this.def.length) this.reserve(1);
    this.def[this.slots] = def;
    if (this.rep) this.rep[this.slots] = rep;
    this.slots++;
  }

  /** Room for so many more levels. */
  private reserve(more: number): void {
    this.def = growBytes(this.def, this.slots + more);
    if (this.rep) this.rep = growBytes(this.rep, this.slots + more);
  }

  /** The levels of a list of values directly in the row. */
  listLevels(length: number, def: number): void {
    const { slots } = this;
    if (slots + length > this.def.length) this.reserve(length);
    const { def: levels, rep } = this;
    for (let slot = slots; slot < slots + length; slot++) {
      levels[slot] = def;
      rep![slot] = 1;
    }
    rep![slots] = 0;
    this.slots = slots + length;
  }

  mark(): void {
    this.slotMark = this.slots;
    this.countMark = this.builder.count;
  }

  rollback(): void {
    this.slots = this.slotMark;
    this.builder.remove(this.countMark);
  }

  data(): ColumnData {
    const { count, values } = this.builder;
    const levels = this.slots > count ? { def: this.def.subarray(0, this.slots) } : {};
    return { count, slots: this.slots, values, ...levels, ...(this.rep ? { rep: this.rep.subarray(0, this.slots) } : {}) };
  }

  load(data: ColumnData): void {
    this.builder.load({ count: data.count, slots: data.count, values: data.values });
    this.slots = data.slots;
    this.def = growBytes(undefined, data.slots);
    if (data.def) this.def.set(data.def);
    else this.def.fill(this.builder.leaf.maxDefinition, 0, data.slots);
    if (data.rep) {
      this.rep = growBytes(undefined, data.slots);
      this.rep.set(data.rep);
    }
  }

  reset(): void {
    this.builder.reset();
    this.slots = 0;
    this.def = growBytes(undefined, 0);
    if (this.rep) this.rep = growBytes(undefined, 0);
  }

  get bytes(): number {
    return this.builder.bytes + this.slots * (this.rep ? 2 : 1);
  }
}

/** A field of the tree. `def` is the definition level reached above it. */
interface Node {
  /** Takes a value apart; false, with the reason set, when it does not fit (leaves are left half written). */
  shred(value: unknown, rep: number, def: number): boolean;
  /** Nothing here: every leaf below gets one slot. */
  absent(rep: number, def: number): void;
}

class PrimitiveNode implements Node {
  constructor(private readonly leaf: NestedLeaf, private readonly required: boolean, private readonly problem: Problem) {}
  shred(value: unknown, rep: number, def: number): boolean {
    if (value === null || value === undefined) {
      if (this.required) return refuse(this.problem, this.leaf.builder.leaf.name, "a value (it is required)", null);
      this.leaf.level(rep, def);
      return true;
    }
    if (!this.leaf.builder.add(value)) return false;
    this.leaf.level(rep, this.required ? def : def + 1);
    return true;
  }
  absent(rep: number, def: number): void {
    this.leaf.level(rep, def);
  }
}

function refuse(problem: Problem, name: string, expected: string, value: unknown): false {
  problem.reason = `${name}: expected ${expected}, got ${show(value)}`;
  return false;
}

abstract class GroupNode implements Node {
  constructor(protected readonly field: NestedField, protected readonly name: string, protected readonly children: Node[], protected readonly problem: Problem) {}
  shred(value: unknown, rep: number, def: number): boolean {
    if (value === null || value === undefined) {
      if (this.field.required) return refuse(this.problem, this.name, "a value (it is required)", null);
      this.absent(rep, def);
      return true;
    }
    return this.shredGroup(value, rep, this.field.required ? def : def + 1);
  }
  protected abstract shredGroup(value: unknown, rep: number, def: number): boolean;
  absent(rep: number, def: number): void {
    for (const child of this.children) child.absent(rep, def);
  }
}

class StructNode extends GroupNode {
  private readonly names = childFields(this.field.type).map((f) => f.name);
  protected override shredGroup(value: unknown, rep: number, def: number): boolean {
    if (typeof value !== "object" || Array.isArray(value)) return refuse(this.problem, this.name, "an object", value);
    for (let i = 0; i < this.children.length; i++) {
      const name = this.names[i]!;
      if (!this.children[i]!.shred(Object.hasOwn(value!, name) ? (value as Record<string, unknown>)[name] : undefined, rep, def)) return false;
    }
    return true;
  }
}

class ListNode extends GroupNode {
  constructor(field: NestedField, name: string, children: Node[], problem: Problem, private readonly repetition: number) {
    super(field, name, children, problem);
  }
  protected override shredGroup(value: unknown, rep: number, def: number): boolean {
    if (!Array.isArray(value)) return refuse(this.problem, this.name, "a list", value);
    const element = this.children[0]!;
    if (value.length === 0) element.absent(rep, def);
    for (let i = 0; i < value.length; i++) {
      if (!element.shred(value[i], i === 0 ? rep : this.repetition, def + 1)) return false;
    }
    return true;
  }
}

class MapNode extends GroupNode {
  constructor(field: NestedField, name: string, children: Node[], problem: Problem, private readonly repetition: number) {
    super(field, name, children, problem);
  }
  protected override shredGroup(value: unknown, rep: number, def: number): boolean {
    const entries = mapEntries(value);
    if (!entries) return refuse(this.problem, this.name, "a map (an object, a Map, or a list of [key, value])", value);
    if (entries.length === 0) this.absent(rep, def);
    for (let i = 0; i < entries.length; i++) {
      const level = i === 0 ? rep : this.repetition;
      if (!this.children[0]!.shred(entries[i]![0], level, def + 1) || !this.children[1]!.shred(entries[i]![1], level, def + 1)) return false;
    }
    return true;
  }
}

/** Key and value of every entry of an object, a Map, or a list of pairs or {key, value}. */
function mapEntries(value: unknown): (readonly [unknown, unknown])[] | undefined {
  if (value instanceof Map) return [...(value as Map<unknown, unknown>)];
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return Object.entries(value);
  const entries: [unknown, unknown][] = [];
  for (const item of value as unknown[]) {
    if (Array.isArray(item) && item.length === 2) entries.push([item[0], item[1]]);
    else if (typeof item === "object" && item !== null && "key" in item) entries.push([item.key, (item as { value?: unknown }).value]);
    else return undefined;
  }
  return entries;
}

/** A column of structs, lists or maps directly below the row, with the interface of a flat one. */
export class NestedColumn {
  private readonly leaves: NestedLeaf[] = [];
  private readonly root: Node;
  private readonly required: boolean;
  private readonly known = new WeakMap<object, { lists: (number[] | undefined)[]; generation: number }>();

  /** `builders`: one per leaf below the field, in the order of `leafColumns`; consumed from the front. */
  constructor(field: NestedField, builders: LeafBuilder[], problem: Problem) {
    const build = (at: NestedField, name: string, repetition: number): Node => {
      if (isPrimitive(at.type)) {
        const leaf = new NestedLeaf(builders.shift()!);
        this.leaves.push(leaf);
        return new PrimitiveNode(leaf, at.required, problem);
      }
      const own = isStruct(at.type) ? repetition : repetition + 1;
      const children = childFields(at.type).map((child) => build(child, `${name}.${child.name}`, own));
      if (isStruct(at.type)) return new StructNode(at, name, children, problem);
      return isList(at.type) ? new ListNode(at, name, children, problem, own) : new MapNode(at, name, children, problem, own);
    };
    this.required = field.required;
    this.root = build(field, field.name, 0);
  }

  add(value: unknown): boolean {
    for (const leaf of this.leaves) leaf.mark();
    let whole = false;
    try {
      whole = this.root.shred(value, 0, 0);
    } finally {
      if (!whole) this.undo();
    }
    return whole;
  }

  addNull(): boolean {
    return this.add(null);
  }

  /** The first `count` of these codes of lists of texts; 0 is null. For a column that is a list of strings. */
  addTexts(codes: Uint16Array, dictionary: CodeDictionary<readonly string[]>, count: number): void {
    const leaf = this.leaves[0]!;
    const builder = leaf.builder as TextBuilder;
    const { maxDefinition } = builder.leaf;
    const present = this.required ? 0 : 1;
    let { lists, generation } = this.listsOf(dictionary, builder);
    for (let k = 0; k < count; k++) {
      const code = codes[k]!;
      if (code === 0) {
        leaf.level(0, 0);
        continue;
      }
      const texts = dictionary.values[code]!;
      if (texts.length === 0) {
        leaf.level(0, present);
        continue;
      }
      if (builder.generation !== generation) ({ lists, generation } = this.listsOf(dictionary, builder));
      let own = lists[code];
      if (own === undefined) {
        own = texts.map((text) => builder.codeOf(text));
        // Unless the dictionary was given up over it.
        if (builder.generation === generation && !own.includes(-1)) lists[code] = own;
        else {
          for (const text of texts) builder.add(text);
          leaf.listLevels(texts.length, maxDefinition);
          continue;
        }
      }
      builder.addOwn(own);
      leaf.listLevels(own.length, maxDefinition);
    }
  }

  /** Own codes of the elements of other dictionaries' lists. */
  private listsOf(dictionary: object, builder: TextBuilder): { lists: (number[] | undefined)[]; generation: number } {
    let known = this.known.get(dictionary);
    if (known?.generation !== builder.generation) this.known.set(dictionary, known = { lists: [], generation: builder.generation });
    return known;
  }

  undo(): void {
    for (const leaf of this.leaves) leaf.rollback();
  }

  data(): ColumnData[] {
    return this.leaves.map((leaf) => leaf.data());
  }

  /** Takes over one column per leaf; consumed from the front. */
  load(columns: ColumnData[]): void {
    for (const leaf of this.leaves) leaf.load(columns.shift()!);
  }

  reset(): void {
    for (const leaf of this.leaves) leaf.reset();
  }

  get bytes(): number {
    return this.leaves.reduce((sum, leaf) => sum + leaf.bytes, 0);
  }
}
