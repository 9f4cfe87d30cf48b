import { TicklakeError } from "../../errors";
import type { Catalog, Table, TableState } from "../catalog/types";
import { ColumnAccumulator, releaseBatch, type BulkRows } from "../columns";
import { currentSchema, defaultSpec } from "../metadata";
import { checkCompatible, inferSchema, parseSchema, presetSchema } from "../schema";
import { parsePartitionBy, UNPARTITIONED } from "../transforms";
import type { PartitionSpec, Schema, TableIdentifier } from "../types";
import { readWatermarks } from "../watermarks";
import type { Marks } from "./marks";
import { Standing } from "./standing";
import type { SinkOptions } from "./options";
import type { LazyRows } from "./lazy-rows";
import { isKafkaRecord, type Rows } from "./payload";

export interface OpenOptions {
  readonly catalog: Catalog;
  readonly identifier: TableIdentifier;
  /** As the user wrote it, for messages. */
  readonly name: string;
  readonly options: SinkOptions;
  /** Where the table that had this name before stood. */
  readonly before?: Standing;
}

/**
 * A table that a sink writes to: its columns as rows arrive, and where it stands. The table's own schema and partition
 * spec hold; those of the options serve to create it.
 */
export class OpenTable {
  columns: ColumnAccumulator;
  schema: Schema;
  spec: PartitionSpec;
  readonly standing: Standing;
  readonly name: string;
  #state: TableState;
  #names: Set<string>;
  #scratch: ColumnAccumulator | undefined;

  private constructor(readonly table: Table, private readonly options: OpenOptions) {
    this.name = options.name;
    this.#state = table.state;
    this.standing = new Standing(options.options.writerId, table.state.metadata["table-uuid"], options.before);
    this.schema = currentSchema(table.state.metadata);
    this.spec = defaultSpec(table.state.metadata);
    this.columns = new ColumnAccumulator(this.schema);
    this.#names = new Set(this.columnNames);
    this.follow(table.state);
  }

  /** Loads the table; undefined when there is none. */
  static async load(options: OpenOptions): Promise<OpenTable | undefined> {
    try {
      return new OpenTable(await options.catalog.loadTable(options.identifier), options).checked();
    } catch (error) {
      if (error instanceof TicklakeError && error.code === "TABLE_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /**
   * Loads the table, or creates it.
   *
   * @param sample rows of the first message, from which `infer` draws the schema
   * @throws TicklakeError TABLE_NOT_FOUND when creating is off; SCHEMA_INVALID, PARTITION_SPEC_INVALID, SCHEMA_MISMATCH; STORAGE_* of the catalog
   */
  static async open(options: OpenOptions, sample: Rows): Promise<OpenTable> {
    const { catalog, identifier } = options;
    const existing = await OpenTable.load(options);
    if (existing) return existing;
    if (!options.options.createTable) {
      throw new TicklakeError("TABLE_NOT_FOUND", `There is no table ${options.name} in catalog ${catalog.name}. Create it, correct the name, or allow iceberg-out to create it.`);
    }
    const schema = schemaFor(options.options.schema, sample);
    const spec = options.options.partitionBy === "" ? UNPARTITIONED : parsePartitionBy(options.options.partitionBy, schema);
    try {
      return new OpenTable(await catalog.createTable(identifier, { schema, spec }), options);
    } catch (error) {
      // Another process of the same flow was first: its table is ours as well.
      if (error instanceof TicklakeError && error.code === "TABLE_EXISTS") return new OpenTable(await catalog.loadTable(identifier), options).checked();
      throw error;
    }
  }

  get columnNames(): readonly string[] { return this.schema.fields.map((field) => field.name); }

  /** Fields of a row that the table has no column for. */
  unknownFields(row: unknown): string[] {
    if (typeof row !== "object" || row === null || Array.isArray(row)) return [];
    const unknown: string[] = [];
    for (const key in row) if (!this.#names.has(key)) unknown.push(key);
    return unknown;
  }

  /** Why a row cannot be of this table at all, judged by its fields' names: such a row would land with nothing in it. */
  foreign(row: unknown): string | undefined {
    if (typeof row !== "object" || row === null || Array.isArray(row)) return undefined; // the accumulator says it
    const fields = row as Record<string, unknown>;
    if (fields["t"] !== undefined && fields["timestamp"] === undefined && this.#names.has("timestamp") && !this.#names.has("t")) {
      return "t: this is a trade in the feed's own form; put explode-trades before iceberg-out";
    }
    if (fields[this.#first] !== undefined) return undefined;
    if ("value" in fields && !this.#names.has("value") && isKafkaRecord(fields)) {
      return fields.value === null ? "a Kafka record without a value (a tombstone) is no row" : `value: a Kafka record is a row where its value is an object; set kafka-in's format to JSON, or give ${this.name} a column value`;
    }
    for (const name of this.#names) if (fields[name] !== undefined) return undefined;
    return `none of its fields is a column of ${this.name} (${this.columnNames.join(", ")})`;
  }

  /** Whether rows that are columns are taken whole. */
  fits({ columns }: LazyRows): boolean {
    const scratch = this.#scratch ??= new ColumnAccumulator(this.schema);
    const numbers = this.#shares(columns) ? scratch.appendColumns(columns) : undefined;
    if (numbers) releaseBatch(scratch.take([[numbers.from, numbers.to]]));
    return numbers !== undefined;
  }

  /** Takes in rows that are columns; undefined, and nothing was taken, where each has to be looked at. */
  appendColumns({ columns }: LazyRows): { from: number; to: number } | undefined {
    return this.#shares(columns) ? this.columns.appendColumns(columns) : undefined;
  }

  /** Rows that have no column of the table are refused one by one. */
  #shares({ columns }: BulkRows): boolean {
    for (const name of this.#names) if (Object.hasOwn(columns, name)) return true;
    return false;
  }

  get #first(): string { return this.schema.fields[0]?.name ?? ""; }

  /**
   * Takes over a newer state of the table: marks hold from now on.
   *
   * @throws TicklakeError TABLE_REPLACED when the name belongs to another table now
   */
  follow(state: TableState): void {
    if (state.metadata["table-uuid"] !== this.standing.uuid) {
      throw new TicklakeError("TABLE_REPLACED", `Table ${this.name} was dropped and made anew by somebody (other table-uuid). Nothing was written into the new one with the old layout; what is sent again goes there.`);
    }
    // Read before a commit landed that we have followed already: it would pass for a rollback. (Other catalogs than hadoop may not count versions.)
    if (state.version > 0 && state.version < this.#state.version) return;
    this.#state = state;
    if (this.options.options.exactlyOnce) this.standing.follow(readWatermarks(state.metadata));
  }

  /** How far each partition is for this writer. */
  get marks(): Marks { return this.standing.marks; }

  /**
   * Says which of rows that are in the table already were refused when they were written: their rejects may not have got through before a crash.
   *
   * @returns how many
   */
  refused(rows: Rows, reject: (row: unknown, reason: string) => void): number {
    const scratch = this.#scratch ??= new ColumnAccumulator(this.schema);
    let count = 0;
    const { from, to } = scratch.append(rows, (row, _index, reason) => { count++; reject(row, reason); });
    releaseBatch(scratch.take([[from, to]]));
    return count;
  }

  /** After a commit: another writer may have changed columns or partitioning; new rows are laid out for what holds now. */
  followLayout(): boolean {
    const schema = currentSchema(this.#state.metadata);
    const spec = defaultSpec(this.#state.metadata);
    // Rows that wait were laid out for the old schema, which stays valid: ids never change their meaning.
    if (this.columns.rows > 0 || (schema["schema-id"] === this.schema["schema-id"] && spec["spec-id"] === this.spec["spec-id"])) return false;
    this.schema = schema;
    this.spec = spec;
    this.columns = new ColumnAccumulator(schema);
    this.#scratch = undefined;
    this.#names = new Set(this.columnNames);
    return true;
  }

  /** A drawn schema that cannot be written to the table that is there is a mistake in the dialog: say so at once, not per row. */
  private checked(): this {
    const { schema, table } = this.options.options;
    if (schema === "infer") return this;
    const drawn = schemaFor(schema, []);
    // A value that the table requires is judged row by row.
    const { problems, missing } = checkCompatible({ ...drawn, fields: drawn.fields.map((field) => ({ ...field, required: true })) }, this.schema);
    if (missing.length > 0) problems.push(`it lacks ${missing.map((field) => field.name).join(", ")} (it has ${this.columnNames.join(", ")})`);
    if (problems.length > 0) {
      throw new TicklakeError("SCHEMA_MISMATCH", `Table ${table} exists with other columns than this node is set to: ${problems.join("; ")}. Choose the schema that the table has ("from the first batch" takes any), or another table.`);
    }
    return this;
  }
}

/** The schema that the option names: a preset, drawn JSON, or inferred from rows. */
export function schemaFor(option: string, sample: Rows): Schema {
  if (option === "infer") return inferSchema(sample);
  return presetSchema(option) ?? parseSchema(option);
}
