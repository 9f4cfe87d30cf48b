import { TicklakeError } from "../../errors";
import type { Catalog, Table, TableState } from "../catalog/types";
import type { ColumnAccumulator } from "../columns";
import { defaultSpec } from "../metadata";
import { placeRows, type Placement } from "../placement";
import { checkCompatible, inferSchema, parseSchema, presetSchema } from "../schema";
import { isUndecided } from "../schema-infer";
import { parsePartitionBy, UNPARTITIONED } from "../transforms";
import type { PartitionSpec, Schema, TableIdentifier, TableMetadata } from "../types";
import { readWatermarks } from "../watermarks";
import type { Marks } from "./marks";
import { Standing } from "./standing";
import type { SinkOptions } from "./options";
import type { Rows } from "./payload";
import { RowLayout } from "./row-layout";

export interface OpenOptions {
  readonly catalog: Catalog;
  readonly identifier: TableIdentifier;
  /** As the user wrote it, for messages. */
  readonly name: string;
  readonly options: SinkOptions;
  /** Where the table that had this name before stood. */
  readonly before?: Standing;
  readonly events: { warn(text: string): void };
}

/**
 * A table that a sink writes to: its columns as rows arrive, and where it stands. The table's own schema and partition
 * spec hold; those of the options serve to create it.
 */
export class OpenTable {
  readonly standing: Standing;
  readonly name: string;
  readonly rows: RowLayout;
  #state: TableState;

  private constructor(readonly table: Table, private readonly options: OpenOptions) {
    this.name = options.name;
    this.#state = table.state;
    this.standing = new Standing(options.options.writerId, table.state.metadata["table-uuid"], options.before);
    const { schema, evolve } = options.options;
    const drawn = schema === "infer" ? [] : schemaFor(schema, []).fields;
    this.rows = new RowLayout(table.state.metadata, {
      table: options.name, evolve: evolve === "add-columns", drawn: new Map(drawn.map((field) => [field.name, field.type])), warn: options.events.warn,
    });
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
   * Loads the table, or creates it. Undefined, and nothing is created, where its columns are to come from rows in which no field has a value.
   *
   * @param sample rows of the first message, from which `infer` draws the schema
   * @throws TicklakeError TABLE_NOT_FOUND when creating is off; SCHEMA_INVALID, PARTITION_SPEC_INVALID, SCHEMA_MISMATCH; STORAGE_* of the catalog
   */
  static async open(options: OpenOptions, sample: Rows): Promise<OpenTable | undefined> {
    const { catalog, identifier } = options;
    const existing = await OpenTable.load(options);
    if (existing) return existing;
    if (!options.options.createTable) {
      throw new TicklakeError("TABLE_NOT_FOUND", `There is no table ${options.name} in catalog ${catalog.name}. Create it, correct the name, or allow iceberg-out to create it.`);
    }
    const onlyNulls = options.options.evolve === "no" ? "string" : "leave-out";
    if (options.options.schema === "infer" && isUndecided(sample, onlyNulls)) return undefined;
    const schema = schemaFor(options.options.schema, sample, onlyNulls);
    const spec = options.options.partitionBy === "" ? UNPARTITIONED : parsePartitionBy(options.options.partitionBy, schema);
    try {
      return new OpenTable(await catalog.createTable(identifier, { schema, spec }), options);
    } catch (error) {
      // Another process of the same flow was first: its table is ours as well.
      if (error instanceof TicklakeError && error.code === "TABLE_EXISTS") return new OpenTable(await catalog.loadTable(identifier), options).checked();
      throw error;
    }
  }

  get columnNames(): readonly string[] { return [...this.rows.names]; }

  /** The columns of the rows that wait. */
  get columns(): ColumnAccumulator { return this.rows.columns; }

  /** The partition spec by which rows are written now. */
  get spec(): PartitionSpec { return defaultSpec(this.#state.metadata); }

  get metadata(): TableMetadata { return this.#state.metadata; }

  /**
   * Where rows of a layout go in a version of the table, and which columns that gets for them.
   *
   * @throws TicklakeError SCHEMA_MISMATCH as `placeRows`
   */
  place(layout: Schema, counts: readonly number[], metadata: TableMetadata, spec: PartitionSpec): Placement {
    const placement = placeRows(layout, counts, metadata, spec);
    if (placement.changes.length > 0 && this.options.options.evolve === "no") {
      throw new TicklakeError("SCHEMA_MISMATCH", `Columns of ${this.name} became narrower again while rows waited. None of them was written; they are judged anew.`);
    }
    return placement;
  }

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
   * Between two commits: another writer may have changed columns or partitioning, or the last commit added columns. Rows that wait go along.
   *
   * @throws TicklakeError SCHEMA_MISMATCH when rows that wait do not fit any more
   */
  followLayout(): void { this.rows.follow(this.#state.metadata); }

  /** A drawn schema that cannot be written to the table that is there is a mistake in the dialog: say so at once, not per row. */
  private checked(): this {
    const { schema, table, evolve } = this.options.options;
    if (schema === "infer") return this;
    const drawn = schemaFor(schema, []);
    // A value that the table requires is judged row by row.
    const { problems, missing } = checkCompatible({ ...drawn, fields: drawn.fields.map((field) => ({ ...field, required: true })) }, this.rows.schema);
    if (missing.length > 0 && evolve === "no") problems.push(`it lacks ${missing.map((field) => field.name).join(", ")} (it has ${this.columnNames.join(", ")})`);
    if (problems.length > 0) {
      throw new TicklakeError("SCHEMA_MISMATCH", `Table ${table} exists with other columns than this node is set to: ${problems.join("; ")}. Choose the schema that the table has ("from the first batch" takes any), or another table.`);
    }
    return this;
  }
}

/** The schema that the option names: a preset, drawn JSON, or inferred from rows. */
export function schemaFor(option: string, sample: Rows, onlyNulls: "string" | "leave-out" = "string"): Schema {
  if (option === "infer") return inferSchema(sample, onlyNulls);
  return presetSchema(option) ?? parseSchema(option);
}
