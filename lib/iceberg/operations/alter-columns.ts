/** Changes of a table's columns: one metadata commit each, no file is written. */
import type { Table, TableState } from "../catalog/types";
import { commitChange, type Proposal } from "../commit-change";
import { currentSchema } from "../metadata";
import { fieldById, sameSchema, typeText } from "../schema";
import type { SchemaEdit } from "../schema-edit";
import type { Schema, TableMetadata } from "../types";
import type { MetadataUpdate } from "../updates";
import type { OperationContext } from "./context";

export interface ColumnsResult {
  readonly schemaId: number;
  readonly fieldId: number;
  readonly columns: readonly { readonly id: number; readonly name: string; readonly type: string; readonly required: boolean }[];
  /** False where the table was so already. */
  readonly changed: boolean;
  readonly warnings: readonly string[];
}

/**
 * Commits an edit of the current schema, built anew on every base: columns that others add meanwhile stay.
 *
 * @throws TicklakeError SCHEMA_INVALID when the edit cannot be, and what commitChange throws
 */
export async function alterColumns(table: Table, edit: (metadata: TableMetadata) => SchemaEdit, context: OperationContext = {}): Promise<ColumnsResult> {
  if (context.dryRun) {
    const { metadata } = await table.refresh();
    const edited = edit(metadata);
    return result(schemaUpdates(metadata, edited.schema).schema, edited, !sameSchema(edited.schema, currentSchema(metadata)));
  }
  let unchanged: SchemaEdit | undefined;
  const done = await commitChange(table, {
    what: "the change of columns is in",
    build: async ({ metadata }: TableState): Promise<Proposal<{ edited: SchemaEdit; schema: Schema }> | undefined> => {
      const edited = edit(metadata);
      unchanged = edited;
      if (sameOrder(edited.schema, currentSchema(metadata))) return undefined;
      const { updates, schema } = schemaUpdates(metadata, edited.schema);
      return { updates, value: { edited, schema } };
    },
    landed: ({ metadata }, { value }) => sameField(currentSchema(metadata), value.schema, value.edited.fieldId),
  }, context, context.tools);
  if (done) return result(currentSchema(done.state.metadata), done.value.edited, true);
  return result(currentSchema(table.state.metadata), unchanged!, false);
}

/** The updates that make a schema the current one; one that the table had before gets its old id back. */
export function schemaUpdates(metadata: TableMetadata, edited: Schema): { updates: MetadataUpdate[]; schema: Schema } {
  const before = metadata.schemas.find((known) => sameOrder(known, edited));
  if (before) return { updates: [{ action: "set-current-schema", "schema-id": before["schema-id"] }], schema: before };
  const schema = { ...edited, "schema-id": Math.max(...metadata.schemas.map((known) => known["schema-id"])) + 1 };
  const ids = Math.max(metadata["last-column-id"], ...allIds(schema));
  return { updates: [{ action: "add-schema", schema, "last-column-id": ids }, { action: "set-current-schema", "schema-id": -1 }], schema };
}

function allIds(schema: Schema): number[] {
  const ids: number[] = [];
  JSON.stringify(schema, (key, value: unknown) => {
    if (/^(?:id|element-id|key-id|value-id)$/.test(key)) ids.push(value as number);
    return value;
  });
  return ids;
}

/** The same in every respect, order and docs included. */
function sameOrder(a: Schema, b: Schema): boolean {
  const text = (schema: Schema): string => JSON.stringify([schema["identifier-field-ids"] ?? [], canonical(schema.fields)]);
  return text(a) === text(b);
}

/** Keys in one order, absent docs left out: two writers of one schema differ in both. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined && inner !== null).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, canonical(inner)]));
}

/** Whether an edit is in a schema that may have got others since: the field is as it was to be, and stands behind the same neighbour. */
function sameField(now: Schema, wanted: Schema, id: number): boolean {
  const is = fieldById(now, id), was = fieldById(wanted, id);
  if (!is || !was) return is === was;
  return is.name === was.name && typeText(is.field.type) === typeText(was.field.type) && previous(now, id) === previous(wanted, id);
}

/** The id before this one, in the order of the text: tells a move from its base. */
function previous(schema: Schema, id: number): number | undefined {
  const ids = allIds(schema);
  return ids[ids.indexOf(id) - 1];
}

function result(schema: Schema, { fieldId, warnings }: SchemaEdit, changed: boolean): ColumnsResult {
  return {
    schemaId: schema["schema-id"], fieldId, changed, warnings,
    columns: schema.fields.map(({ id, name, type, required }) => ({ id, name, type: typeText(type), required })),
  };
}
