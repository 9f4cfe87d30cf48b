import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { localPath } from "../../lib/iceberg/io/local";
import { currentSchema } from "../../lib/iceberg/metadata";
import type { Table } from "../../lib/iceberg/catalog/types";
import { dataFiles } from "./read-table";

/** Every row of a local table as its current schema names the columns, matched by field id: what an engine reads. Columns that a file lacks are null. */
export async function readById(table: Table): Promise<Record<string, unknown>[]> {
  const { metadata } = await table.refresh();
  const names = new Map(currentSchema(metadata).fields.map((field) => [field.id, field.name]));
  const rows: Record<string, unknown>[] = [];
  for (const { filePath } of await dataFiles(table)) {
    const file = await asyncBufferFromFile(localPath(filePath));
    const { schema } = await parquetMetadataAsync(file);
    const ids = new Map<string, number>();
    for (let i = 1, left = schema[0]!.num_children!; left > 0; left--) {
      ids.set(schema[i]!.name, schema[i]!.field_id!);
      // Behind a group come all that stand in it.
      for (let inside = 1; inside > 0; i++) inside += (schema[i]!.num_children ?? 0) - 1;
    }
    for (const row of await parquetReadObjects({ file, compressors })) {
      const out: Record<string, unknown> = Object.fromEntries([...names.values()].map((name) => [name, null]));
      for (const [written, id] of ids) if (names.has(id)) out[names.get(id)!] = row[written] ?? null;
      rows.push(out);
    }
  }
  return rows;
}
