import { fieldById, isPrimitive } from "./schema";
import { parseTransform, resultType } from "./transforms";
import type { PartitionSpec, PrimitiveType, Schema } from "./types";

/**
 * Types of the values of a partition tuple, in the spec's order. A source column that was dropped since is looked up in the older schemas, in
 * the order given; undefined where no schema knows it.
 */
export function partitionTypes(spec: PartitionSpec, schemas: readonly Schema[]): (PrimitiveType | undefined)[] {
  return spec.fields.map((field) => {
    for (const schema of schemas) {
      const type = fieldById(schema, field["source-id"])?.field.type;
      if (type !== undefined && isPrimitive(type)) return resultType(parseTransform(field.transform), type, field.name);
    }
    return undefined;
  });
}
