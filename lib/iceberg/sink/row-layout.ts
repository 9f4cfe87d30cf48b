import { TicklakeError } from "../../errors";
import { ColumnAccumulator, originsById, releaseBatch } from "../columns";
import { currentSchema } from "../metadata";
import { FIRST_PROVISIONAL_ID, isPartitionSource, isProvisional, placeRows } from "../placement";
import { leafColumns } from "../schema";
import type { PrimitiveType, Schema, TableMetadata, Type } from "../types";
import { Drift, foldedNames, widenFor, withTypes } from "./drift";
import type { LazyRows } from "./lazy-rows";
import { isKafkaRecord, type Rows } from "./payload";

export interface RowLayoutOptions {
  /** As the user wrote it, for messages. */
  readonly table: string;
  /** Whether fields without a column get one. */
  readonly evolve: boolean;
  /** Types for columns that the table does not have yet, where somebody chose them. */
  readonly drawn: ReadonlyMap<string, Type>;
  readonly warn: (text: string) => void;
}

/** Told of a row that is not taken, and why. */
export type RejectRow = (row: unknown, reason: string) => void;

/**
 * How rows become columns of a table, and the columns of those that wait. New fields wait with provisional ids until a commit gives them their column; what others
 * change in the table is followed between two commits, rows that wait included.
 */
export class RowLayout {
  columns: ColumnAccumulator;
  #drift: Drift;
  #names!: Set<string>;
  #scratch: ColumnAccumulator | undefined;
  /** Fields whose type is being committed: it stays. */
  #fixed: ReadonlySet<number> = new Set();
  /** Warned of already: new names that differ only by case, fields that are not written. */
  readonly #folded = new Set<string>();
  readonly #unwritten = new Set<string>();

  constructor(private metadata: TableMetadata, private readonly options: RowLayoutOptions) {
    this.columns = new ColumnAccumulator(currentSchema(metadata));
    this.#drift = new Drift(this.schema);
    this.#changed();
  }

  get schema(): Schema { return this.columns.schema; }

  get names(): ReadonlySet<string> { return this.#names; }

  /**
   * Takes in rows; those that do not fit are skipped whole, and told after all others are in. Fields without a column get one, and columns become wider for
   * values that do not fit, where that is wanted.
   *
   * @returns the numbers of those accepted
   */
  append(rows: Rows, reject: RejectRow): { from: number; to: number } {
    this.#nameUnwritten(rows[0]);
    const refused: [row: unknown, reason: string][] = [];
    const fit = this.#judge(rows, (schema) => { this.#grow(schema); }, refused);
    for (;;) {
      const unfit: [row: unknown, reason: string][] = [];
      const numbers = this.columns.append(fit, (row, _index, reason) => unfit.push([row, reason]));
      if (unfit.length > 0 && this.options.evolve && this.#widen(this.#widerFor(unfit))) {
        // All of them once more, so that they stay in their order.
        this.columns.drop([[numbers.from, numbers.to]]);
        continue;
      }
      for (const [row, reason] of [...refused, ...unfit]) reject(row, reason);
      return numbers;
    }
  }

  /** Takes in rows that are columns; undefined, and nothing was taken, where each has to be looked at. */
  appendColumns({ columns }: LazyRows): { from: number; to: number } | undefined {
    this.#nameUnwritten(columns.columns);
    return this.#shares(Object.keys(columns.columns)) ? this.columns.appendColumns(columns) : undefined;
  }

  /** Whether rows that are columns are taken whole. */
  fits({ columns }: LazyRows): boolean {
    const scratch = this.#scratch ??= new ColumnAccumulator(this.schema);
    const numbers = this.#shares(Object.keys(columns.columns)) ? scratch.appendColumns(columns) : undefined;
    if (numbers) releaseBatch(scratch.take([[numbers.from, numbers.to]]));
    return numbers !== undefined;
  }

  /**
   * Says which of rows that are in the table already were refused when they were written: their rejects may not have got through before a crash.
   *
   * @returns how many
   */
  refused(rows: Rows, reject: RejectRow): number {
    const refused: [row: unknown, reason: string][] = [];
    let scratch = this.#scratch ??= new ColumnAccumulator(this.schema);
    const fit = this.#judge(rows, (schema) => { scratch = new ColumnAccumulator(schema); }, refused);
    const { from, to } = scratch.append(fit, (row, _index, reason) => refused.push([row, reason]));
    releaseBatch(scratch.take([[from, to]]));
    for (const [row, reason] of refused) reject(row, reason);
    return refused.length;
  }

  /**
   * Fields that a commit is about to give a column keep their types until it is over.
   *
   * @param counts how many values the commit has of each leaf
   */
  fix(counts: readonly number[]): void {
    this.#fixed = new Set(leafColumns(this.schema).filter(({ id }, i) => isProvisional(id) && counts[i]! > 0).map(({ id }) => id));
  }

  /** No commit is under way any more. */
  loosen(): void { this.#fixed = new Set(); }

  /**
   * Goes on with what the table has become. Rows that wait go over to it, their values to the columns that have their ids now.
   *
   * @throws TicklakeError SCHEMA_MISMATCH when rows that wait do not fit any more
   */
  follow(metadata: TableMetadata): void {
    this.metadata = metadata;
    const table = currentSchema(metadata);
    if (this.schema["schema-id"] === table["schema-id"]) return;
    if (this.columns.rows === 0) { this.restart(metadata); return; }
    // What the table does not have yet waits on, with new provisional ids.
    const placed = placeRows(this.schema, this.columns.counts, { ...metadata, "last-column-id": FIRST_PROVISIONAL_ID - 1 });
    const origins = new Map(leafColumns(placed.schema).map((leaf, i) => [leaf.id, placed.origins[i]!]));
    const next = placed.changes.length > 0 ? { ...placed.table, "schema-id": -1 } : table;
    if ((placed.changes.length > 0 && !this.options.evolve) || !this.columns.evolve(next, leafColumns(next).map(({ id }) => origins.get(id) ?? -1))) {
      throw new TicklakeError("SCHEMA_MISMATCH", `Another writer changed columns of ${this.options.table} while rows waited, and some of their values do not fit any more. None of them was written; they are judged anew.`);
    }
    this.#changed();
  }

  /** Forgets all rows that wait, and new fields with them. */
  restart(metadata: TableMetadata): void {
    this.metadata = metadata;
    this.columns = new ColumnAccumulator(currentSchema(metadata));
    this.#changed();
  }

  #changed(): void {
    this.#drift = new Drift(this.schema);
    this.#names = new Set(this.schema.fields.map((field) => field.name));
    this.#scratch = undefined;
    this.#unwritten.clear();
  }

  /** Names fields that are not written, each once. One look a message: a field that is missing in the table is missing in all of its rows. */
  #nameUnwritten(row: unknown): void {
    if (this.options.evolve || typeof row !== "object" || row === null || Array.isArray(row)) return;
    for (const field in row) {
      if (this.#names.has(field) || this.#unwritten.has(field)) continue;
      this.#unwritten.add(field);
      this.options.warn(`Field "${field}" is not written: ${this.options.table} has no such column (it has ${[...this.#names].join(", ")}).`);
    }
  }

  /** The rows that can be of this table, judged by their fields' names; `grow` gets the schema that they need. */
  #judge(rows: Rows, grow: (schema: Schema) => void, refused: [row: unknown, reason: string][]): Rows {
    const first = this.schema.fields[0]?.name ?? "";
    let names: ReadonlySet<string> = this.#names;
    let left = this.#without(rows, (row) => misplaced(row, first, names, this.options.table), refused);
    if (this.options.evolve) {
      const reasons = new Map<number, string>();
      const schema = this.#drift.grow(left, this.options.drawn, (index, reason) => reasons.set(index, reason));
      if (reasons.size > 0) {
        for (const [index, reason] of reasons) refused.push([left[index], reason]);
        left = left.filter((_, index) => !reasons.has(index));
      }
      if (schema !== this.schema) {
        grow(schema);
        names = new Set(schema.fields.map((field) => field.name));
      }
    }
    return this.#without(left, (row) => empty(row, first, names, this.options.table), refused);
  }

  #without(rows: Rows, why: (row: unknown) => string | undefined, refused: [row: unknown, reason: string][]): Rows {
    if (!rows.some((row) => why(row) !== undefined)) return rows;
    return rows.filter((row) => {
      const reason = why(row);
      if (reason !== undefined) refused.push([row, reason]);
      return reason === undefined;
    });
  }

  #grow(schema: Schema): void {
    this.columns.evolve(schema, originsById(this.schema, schema));
    this.#changed();
    for (const [name, other] of foldedNames(schema)) {
      if (this.#folded.has(name)) continue;
      this.#folded.add(name);
      this.options.warn(`${this.options.table}: the new column "${name}" differs from "${other}" only by case. Engines that fold case (DuckDB; Spark unless spark.sql.caseSensitive=true) cannot tell them apart.`);
    }
  }

  #widerFor(refused: readonly [row: unknown, reason: string][]): Map<number, PrimitiveType> {
    const drawn = new Set(this.schema.fields.filter(({ id, name }) => isProvisional(id) && this.options.drawn.has(name)).map(({ id }) => id));
    const fixed = (id: number): boolean => this.#fixed.has(id) || drawn.has(id) || isPartitionSource(this.metadata, id);
    return new Map(refused.flatMap(([row]) => [...widenFor(this.schema, row, fixed)]));
  }

  /** Whether one of these could be widened: values held, those just taken among them, may not fit the wider type. */
  #widen(types: ReadonlyMap<number, PrimitiveType>): boolean {
    let done = false;
    for (const [id, type] of types) {
      const schema = withTypes(this.schema, new Map([[id, type]]));
      if (this.columns.evolve(schema, originsById(this.schema, schema))) done = true;
    }
    if (done) this.#changed();
    return done;
  }

  /** Rows that have no column of the table are refused one by one, and new fields are looked at one by one. */
  #shares(names: readonly string[]): boolean {
    if (this.options.evolve && this.#drift.hasNew(names)) return false;
    return names.some((name) => this.#names.has(name));
  }
}

/** Why a row is none of this table's, whatever fields it has. `first` is the table's first column, which most rows have. */
function misplaced(row: unknown, first: string, names: ReadonlySet<string>, table: string): string | undefined {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return undefined; // the accumulator says it
  const fields = row as Record<string, unknown>;
  if (fields["t"] !== undefined && fields["timestamp"] === undefined && names.has("timestamp") && !names.has("t")) {
    return "t: this is a trade in the feed's own form; put explode-trades before iceberg-out";
  }
  if (fields[first] === undefined && "value" in fields && !names.has("value") && isKafkaRecord(fields)) {
    return fields["value"] === null ? "a Kafka record without a value (a tombstone) is no row" : `value: a Kafka record is a row where its value is an object; set kafka-in's format to JSON, or give ${table} a column value`;
  }
  return undefined;
}

/** Why a row would land with nothing in it. */
function empty(row: unknown, first: string, names: ReadonlySet<string>, table: string): string | undefined {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return undefined;
  const fields = row as Record<string, unknown>;
  if (fields[first] !== undefined) return undefined;
  for (const name of names) if (fields[name] !== undefined) return undefined;
  return `none of its fields is a column of ${table} (${[...names].join(", ")})`;
}
