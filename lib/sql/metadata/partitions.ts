/**
 * Partition values in metadata tables: one struct for all the specs that a table has ever had, typed as Spark types it
 * (days are dates; months, years, hours and buckets numbers). Pure.
 */
import { partitionTypes } from "../../iceberg/partition-type";
import { humanValue, parseTransform } from "../../iceberg/transforms";
import type { DataFile, PartitionSpec, PartitionValue, PrimitiveType, TableMetadata } from "../../iceberg/types";
import { deserializeValue } from "../../iceberg/values";
import { internalName, quote } from "../names";
import { duckType } from "../views";
import { jsonValue } from "./values";

interface Field { id: number; name: string; type: PrimitiveType; isVoid: boolean }

/** The partition fields of a table and how values of each spec fit them. */
export class Partitions {
  /** By field id, ascending. A field that newer specs dropped (void in version 1) keeps the type that it had. */
  private readonly fields: readonly Field[];
  private readonly specs = new Map<number, { spec: PartitionSpec; types: readonly (PrimitiveType | undefined)[] }>();

  constructor(metadata: TableMetadata) {
    const found = new Map<number, Field>();
    const schemas = metadata.schemas.toReversed();
    for (const spec of metadata["partition-specs"].toSorted((a, b) => b["spec-id"] - a["spec-id"])) {
      const types = partitionTypes(spec, schemas);
      this.specs.set(spec["spec-id"], { spec, types });
      spec.fields.forEach(({ "field-id": id, name, transform }, index) => {
        const known = found.get(id);
        const isVoid = transform === "void";
        if (!known || (known.isVoid && !isVoid)) found.set(id, { id, name, type: types[index] ?? "string", isVoid });
      });
    }
    this.fields = [...found.values()].sort((a, b) => a.id - b.id);
  }

  /** SQL type of the struct; undefined when the table was never partitioned. */
  get type(): string | undefined {
    return this.fields.length === 0 ? undefined : `STRUCT(${this.fields.map(({ name, type }) => `${quote(internalName(name))} ${duckType(type)}`).join(", ")})`;
  }

  /** The struct of a file. */
  value(file: DataFile): Record<string, unknown> {
    const spec = this.specs.get(file.specId)?.spec;
    return Object.fromEntries(this.fields.map(({ id, name, type }) => {
      const index = spec?.fields.findIndex((field) => field["field-id"] === id) ?? -1;
      return [internalName(name), jsonValue(type, file.partition[index] ?? null)];
    }));
  }

  /** A bound of a manifest's summary as people read it: `2024-11` for a month. */
  bound(specId: number, index: number, bytes: Uint8Array | undefined): string | null {
    const found = this.specs.get(specId);
    const [type, field] = [found?.types[index], found?.spec.fields[index]];
    if (!bytes || !type || !field) return null;
    const value = deserializeValue(type, bytes) as PartitionValue;
    return humanValue(parseTransform(field.transform), type, value);
  }
}
