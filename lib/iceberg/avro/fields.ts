import type { AvroObject, AvroSchema } from "./container";

/** Access to the fields of a decoded record by Iceberg's field ids: names and order are the writer's own affair. */
export class FieldAccess {
  readonly #names = new Map<number, string>();
  readonly #types = new Map<number, AvroSchema>();

  /** @param byName ids of fields without `field-id` */
  constructor(record: AvroSchema | undefined, byName: Readonly<Record<string, number>> = {}) {
    const fields = (record !== undefined && isObject(record) ? record["fields"] : undefined) as { name: string; type: AvroSchema; "field-id"?: number }[] | undefined;
    for (const field of fields ?? []) {
      const id = field["field-id"] ?? byName[field.name];
      if (id === undefined) continue;
      this.#names.set(id, field.name);
      this.#types.set(id, withoutNull(field.type));
    }
  }

  has(id: number): boolean {
    return this.#names.has(id);
  }

  /** Schema of a field, without the null of an optional one. */
  type(id: number): AvroSchema | undefined {
    return this.#types.get(id);
  }

  get(record: Record<string, unknown>, id: number): unknown {
    const name = this.#names.get(id);
    return name === undefined ? undefined : (record[name] ?? undefined);
  }

  number(record: Record<string, unknown>, id: number): number | undefined {
    const value = this.get(record, id);
    return value === undefined ? undefined : Number(value);
  }
}

function isObject(schema: AvroSchema): schema is AvroObject {
  return typeof schema === "object" && !Array.isArray(schema);
}

function withoutNull(type: AvroSchema): AvroSchema {
  return Array.isArray(type) ? (type.find((branch) => branch !== "null") ?? "null") : type;
}

/** True where bytes hold a decimal (its fixed form is padded). */
export function isDecimal(type: AvroSchema | undefined): boolean {
  return type !== undefined && isObject(type) && type["logicalType"] === "decimal";
}
