/** A batch of columns as Parquet files, one per partition. Pure; runs in the worker. */
import type { ColumnBatch } from "../columns/batch";
import { partitionPath } from "../transforms";
import type { Codec, DataFile, PartitionSpec, Schema } from "../types";
import { checkCodec } from "./codec";
import { encodeFile } from "./file";
import { batchIndexes, partitionColumns, partitionRows } from "./partition";

export interface EncodeJob {
  readonly batch: ColumnBatch;
  readonly schema: Schema;
  readonly spec: PartitionSpec;
  readonly codec: Codec;
  /** Rows of a row group at the most. */
  readonly rowGroupRows?: number;
}

/** A file in memory with everything a manifest says of it but path and spec id. `partitionPath` is "" without partitions. */
export type EncodedFile = Omit<DataFile, "filePath" | "specId"> & { bytes: Uint8Array; partitionPath: string };

/** @throws TicklakeError CONFIG_INVALID (codec), PARTITION_SPEC_INVALID (spec and schema disagree) */
export function encodeBatch({ batch, schema, spec, codec, rowGroupRows }: EncodeJob): EncodedFile[] {
  checkCodec(codec);
  const groups = partitionRows(batch, schema, spec);
  const indexes = groups.length > 1 ? batchIndexes(batch, schema) : [];
  return groups.map((group): EncodedFile => {
    const columns = groups.length > 1 ? partitionColumns(batch, indexes, group) : batch.columns;
    return {
      content: 0, fileFormat: "PARQUET", partition: group.partition, partitionPath: partitionPath(spec, schema, group.partition),
      ...encodeFile(schema, columns, group.rows, codec, rowGroupRows),
    };
  });
}
