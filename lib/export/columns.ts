/** Columns of a job in the types of Spark and Flink, and where their values come from. Pure. */
import { TicklakeError } from "../errors";
import { decimalOf, fixedLengthOf, isList, isMap, isStruct, TRADES_READABLE_SCHEMA, TRADES_SCHEMA } from "../iceberg/schema";
import { MAX_TEXT, MAX_TIME_MS } from "../trades/schema";
import type { Schema, Type } from "../iceberg/types";
import type { TradeNames } from "../trades/types";
import type { Job } from "./types";

/** One engine's words. */
export interface Dialect {
  readonly name: "Spark" | "Flink";
  /** Iceberg's simple types by the engine's names. */
  readonly types: Readonly<Record<string, string>>;
  quote(name: string): string;
  text(value: string): string;
}

const plain = /^[A-Za-z_][A-Za-z0-9_]*$/;
const backquoted = (name: string): string => `\`${name.replaceAll("`", "``")}\``;

export const SPARK: Dialect = {
  name: "Spark",
  types: { boolean: "BOOLEAN", int: "INT", long: "BIGINT", float: "FLOAT", double: "DOUBLE", date: "DATE", timestamp: "TIMESTAMP_NTZ", timestamptz: "TIMESTAMP", string: "STRING", uuid: "STRING", binary: "BINARY" },
  quote: (name) => (plain.test(name) ? name : backquoted(name)),
  text: (value) => `'${sparkVariables(value).replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`,
};

/** Flink reserves many words, `timestamp` among them: everything is quoted. */
export const FLINK: Dialect = {
  name: "Flink",
  types: { boolean: "BOOLEAN", int: "INT", long: "BIGINT", float: "FLOAT", double: "DOUBLE", date: "DATE", time: "TIME", timestamp: "TIMESTAMP(6)", timestamptz: "TIMESTAMP_LTZ(6)", string: "STRING", uuid: "BINARY(16)", binary: "BYTES" },
  quote: backquoted,
  text: (value) => `'${value.replaceAll("'", "''")}'`,
};

/** Spark fills in variables of the environment in SQL as `${env:NAME}`. */
export const sparkVariables = (value: string): string => value.replace(/\$\{(?!env:)([^}]+)\}/g, (_whole, name: string) => `\${env:${name}}`);

/** A type by the engine's names. @throws TicklakeError SCHEMA_INVALID for one that the engine has not */
export function typeIn(dialect: Dialect, type: Type): string {
  const inner = (one: Type): string => typeIn(dialect, one);
  if (isList(type)) return `ARRAY<${inner(type.element)}>`;
  if (isMap(type)) return `MAP<${inner(type.key)}, ${inner(type.value)}>`;
  if (isStruct(type)) return dialect.name === "Spark" ? `STRUCT<${type.fields.map((field) => `${dialect.quote(field.name)}: ${inner(field.type)}`).join(", ")}>` : `ROW<${type.fields.map((field) => `${dialect.quote(field.name)} ${inner(field.type)}`).join(", ")}>`;
  const decimal = decimalOf(type);
  if (decimal) return `DECIMAL(${decimal.precision}, ${decimal.scale})`;
  const known = dialect.types[type as string];
  if (known !== undefined) return known;
  const length = fixedLengthOf(type);
  if (length !== undefined) return dialect.name === "Spark" ? "BINARY" : `BINARY(${length})`;
  throw new TicklakeError("SCHEMA_INVALID", `${dialect.name} has no type for ${String(type)}: the job cannot be written for it.`);
}

/** The fields of a trade as it lies in Kafka. `i` and `t` are read as text: ids pass 2^53, and times may be RFC 3339. */
export const RAW_FIELDS: readonly (readonly [name: string, type: Type])[] = [
  ["T", "string"], ["S", "string"], ["i", "string"], ["x", "string"], ["p", "double"], ["s", "long"], ["t", "string"], ["timestamp", "string"],
  ["c", { type: "list", "element-id": 10, element: "string", "element-required": false }], ["z", "string"],
];

/** A column of the result: its name, and the letter of the trade that it holds. */
export interface TradeColumn { readonly name: string; readonly letter: string }

/** What explode-trades makes of a trade, in its order. */
export function tradeColumns(names: TradeNames): readonly TradeColumn[] {
  const named = (names === "readable" ? TRADES_READABLE_SCHEMA : TRADES_SCHEMA).fields;
  return TRADES_SCHEMA.fields.map(({ name }, k) => ({ letter: name, name: named[k]!.name }));
}

/** What explode-trades asks of a trade, over columns named by letters. */
export function tradeConditions(dialect: Dialect): readonly string[] {
  const q = dialect.quote, length = (name: string): string => `CHAR_LENGTH(${q(name)})`;
  return [
    `${q("T")} = 't'`, `${length("S")} BETWEEN 1 AND ${MAX_TEXT}`, `${q("i")} >= 0`, `${q("p")} >= 0`, `${q("s")} >= 0`, `${q("timestamp")} BETWEEN 0 AND ${MAX_TIME_MS}`,
    `(${q("x")} IS NULL OR ${length("x")} <= ${MAX_TEXT})`, `(${q("z")} IS NULL OR ${length("z")} <= ${MAX_TEXT})`,
  ];
}

/** The columns that a job writes: names, and what is selected for each from the rows of the transform. */
export function outputColumns(job: Job, dialect: Dialect): readonly { readonly name: string; readonly select: string }[] {
  const q = dialect.quote;
  const schema: Schema | undefined = job.target.kind === "iceberg" ? job.target.schema : undefined;
  if (job.transform.kind === "rows") return schema!.fields.map(({ name }) => ({ name, select: q(name) }));
  const columns = tradeColumns(job.transform.names);
  const from = ({ name, letter }: TradeColumn): string => (name === letter ? q(name) : `${q(letter)} AS ${q(name)}`);
  if (!schema) return columns.map((column) => ({ name: column.name, select: from(column) }));
  return schema.fields.map((field) => {
    const column = columns.find(({ name }) => name === field.name);
    return { name: field.name, select: column ? from(column) : `CAST(NULL AS ${typeIn(dialect, field.type)}) AS ${q(field.name)}` };
  });
}
