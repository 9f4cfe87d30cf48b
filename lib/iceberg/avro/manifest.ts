import type { Type as AvroType } from "avsc";
import { stringifyJson } from "../json";
import { decimalBytes, decimalOf } from "../schema";
import { bigintToBytes, bytesToBigint } from "../values";
import { ADDED, type DataFile, type ManifestEntry, type ManifestFile, type PartitionSpec, type PartitionValue, type PrimitiveType, type Schema } from "../types";
import { type AvroObject, readContainer, recordType, writeContainer } from "./container";
import { FieldAccess, isDecimal } from "./fields";
import { avroName, IDS_BY_NAME, manifestEntrySchema } from "./schemas";

/** Encodes the manifests of one partition spec. */
export class ManifestWriter {
  readonly #schema: AvroObject;
  readonly #type: AvroType;
  readonly #names: string[];
  readonly #metadata: Record<string, string>;

  /**
   * @param types of the partition values (partitionTypes)
   * @param content 0 data files, 1 delete files
   */
  constructor(schema: Schema, spec: PartitionSpec, private readonly types: readonly PrimitiveType[], content: 0 | 1 = 0) {
    this.#schema = manifestEntrySchema(spec, types);
    this.#type = recordType(this.#schema);
    this.#names = spec.fields.map((field) => avroName(field.name));
    this.#metadata = {
      schema: stringifyJson(schema),
      "schema-id": String(schema["schema-id"]),
      "partition-spec": stringifyJson(spec.fields),
      "partition-spec-id": String(spec["spec-id"]),
      "format-version": "2",
      content: content === 0 ? "data" : "deletes",
    };
  }

  /** A manifest file. Sequence numbers that are null are inherited from the manifest list. */
  async encode(entries: readonly ManifestEntry[]): Promise<Uint8Array> {
    return writeContainer(this.#schema, this.#type, this.#records(entries), this.#metadata);
  }

  *#records(entries: readonly ManifestEntry[]): Iterable<unknown> {
    for (const entry of entries) {
      yield {
        status: entry.status,
        snapshot_id: entry.snapshotId,
        sequence_number: long(entry.sequenceNumber),
        file_sequence_number: long(entry.fileSequenceNumber),
        data_file: this.#dataFile(entry.file),
      };
    }
  }

  #dataFile(file: DataFile): unknown {
    const partition: Record<string, unknown> = {};
    this.#names.forEach((name, i) => { partition[name] = toAvro(this.types[i]!, file.partition[i] ?? null); });
    return {
      content: file.content,
      file_path: file.filePath,
      file_format: file.fileFormat,
      partition,
      record_count: BigInt(file.recordCount),
      file_size_in_bytes: BigInt(file.fileSizeInBytes),
      column_sizes: counts(file.columnSizes),
      value_counts: counts(file.valueCounts),
      null_value_counts: counts(file.nullValueCounts),
      nan_value_counts: counts(file.nanValueCounts),
      lower_bounds: bounds(file.lowerBounds),
      upper_bounds: bounds(file.upperBounds),
      key_metadata: file.keyMetadata ? Buffer.from(file.keyMetadata) : null,
      split_offsets: file.splitOffsets.length > 0 ? file.splitOffsets.map(BigInt) : null,
      equality_ids: file.equalityIds ?? null,
      sort_order_id: file.sortOrderId ?? null,
      referenced_data_file: file.referencedDataFile ?? null,
    };
  }
}

/**
 * The entries of a manifest that any engine wrote, in format version 1 or 2. What an entry leaves out is inherited from the manifest list
 * (specification, "Sequence Number Inheritance" and "Snapshot ID inheritance"); in version 1 sequence numbers are 0.
 *
 * @param manifest its line in the manifest list
 * @param spec its partition spec: partition values come in this order
 */
export async function decodeManifest(bytes: Uint8Array, manifest: ManifestFile, spec: PartitionSpec | undefined): Promise<ManifestEntry[]> {
  const container = await readContainer(bytes, manifest.path);
  const entry = new FieldAccess(container.schema, IDS_BY_NAME);
  const file = new FieldAccess(entry.type(2), IDS_BY_NAME);
  const partition = new FieldAccess(file.type(102));
  const fields = spec?.fields.map((field) => ({ id: field["field-id"], decimal: isDecimal(partition.type(field["field-id"])) })) ?? [];

  return container.records.map((record): ManifestEntry => {
    const status = entry.number(record, 0) as 0 | 1 | 2;
    const data = entry.get(record, 2) as Record<string, unknown>;
    const tuple = (file.get(data, 102) ?? {}) as Record<string, unknown>;
    // Only ADDED entries inherit. Others without numbers stand in version 1 manifests, whose numbers are 0.
    const inherited = status === ADDED ? manifest.sequenceNumber : 0;
    const sequenceNumber = entry.number(record, 3) ?? inherited;
    return {
      status,
      snapshotId: (entry.get(record, 1) as bigint | undefined) ?? manifest.addedSnapshotId,
      sequenceNumber,
      fileSequenceNumber: entry.number(record, 4) ?? inherited,
      file: {
        content: (file.number(data, 134) ?? 0) as 0 | 1 | 2,
        filePath: file.get(data, 100) as string,
        fileFormat: file.get(data, 101) as string,
        specId: manifest.specId,
        partition: fields.map(({ id, decimal }) => fromAvro(partition.get(tuple, id), decimal)),
        recordCount: file.number(data, 103) ?? 0,
        fileSizeInBytes: file.number(data, 104) ?? 0,
        columnSizes: countMap(file.get(data, 108)),
        valueCounts: countMap(file.get(data, 109)),
        nullValueCounts: countMap(file.get(data, 110)),
        nanValueCounts: countMap(file.get(data, 137)),
        lowerBounds: pairs(file.get(data, 125), (value) => value as Uint8Array),
        upperBounds: pairs(file.get(data, 128), (value) => value as Uint8Array),
        splitOffsets: ((file.get(data, 132) as unknown[] | undefined) ?? []).map(Number),
        ...defined({
          sortOrderId: file.number(data, 140),
          keyMetadata: file.get(data, 131) as Uint8Array | undefined,
          equalityIds: (file.get(data, 135) as unknown[] | undefined)?.map(Number),
          referencedDataFile: file.get(data, 143) as string | undefined,
        }),
      },
    };
  });
}

function long(value: number | null): bigint | null {
  return value === null ? null : BigInt(value);
}

function counts(map: ReadonlyMap<number, number>): unknown {
  return map.size === 0 ? null : Array.from(map, ([key, value]) => ({ key, value: BigInt(value) }));
}

function bounds(map: ReadonlyMap<number, Uint8Array>): unknown {
  return map.size === 0 ? null : Array.from(map, ([key, value]) => ({ key, value: Buffer.from(value.buffer, value.byteOffset, value.byteLength) }));
}

function pairs<T>(value: unknown, convert: (value: unknown) => T): Map<number, T> {
  return new Map(((value as { key: number; value: unknown }[] | undefined) ?? []).map((pair) => [Number(pair.key), convert(pair.value)]));
}

function countMap(value: unknown): Map<number, number> {
  return pairs(value, Number);
}

function toAvro(type: PrimitiveType, value: PartitionValue): unknown {
  if (value === null) return null;
  const decimal = decimalOf(type);
  if (decimal) return signExtended(value as Uint8Array, decimalBytes(decimal.precision));
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return LONGS.has(type) ? BigInt(value as bigint | number) : value;
}

const LONGS: ReadonlySet<string> = new Set(["long", "time", "timestamp", "timestamptz"]);

function signExtended(bytes: Uint8Array, length: number): Buffer {
  const out = Buffer.alloc(length, bytes.length > 0 && bytes[0]! >= 0x80 ? 0xff : 0);
  out.set(bytes, length - bytes.length);
  return out;
}

/** Decimals lose the padding of their fixed form: single-value bytes are as short as possible. */
function fromAvro(value: unknown, decimal: boolean): PartitionValue {
  if (value === undefined || value === null) return null;
  return decimal ? bigintToBytes(bytesToBigint(value as Uint8Array)) : (value as PartitionValue);
}

function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}
