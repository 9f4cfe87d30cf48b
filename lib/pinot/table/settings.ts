/**
 * What a user sets of a table, checked. Pure.
 */
import { z } from "zod";
import { TicklakeError } from "../../errors";

export const OPERATIONS = ["create", "update", "status", "describe", "pause", "resume", "delete", "case-sensitive"] as const;
export type TableOperation = (typeof OPERATIONS)[number];

export const NAMINGS = ["documented", "readable"] as const;
/** `documented`: T, S, i, x, p, s, timestamp, c, z; `readable`: type, symbol, id, exchange, price, size, timestamp, conditions, tape. */
export type Naming = (typeof NAMINGS)[number];

export type JsonObject = { readonly [name: string]: unknown };

/** A table's settings, checked. */
export interface TableSettings {
  /** Without `_REALTIME`. The schema has the same name. */
  readonly table: string;
  readonly names: Naming;
  readonly topic: string;
  /** host:port, separated by commas, as Pinot's servers reach them. */
  readonly kafkaBrokers: string;
  readonly retentionDays: number;
  /** Rows after which consuming segments are sealed; Pinot divides them by the partitions that a server reads. */
  readonly flushRows: number;
  readonly replication: number;
  readonly starTree: boolean;
  /** Merged into the table's configuration last; what stands under `schema` into the schema. */
  readonly overrides: JsonObject;
}

const blank = (value: unknown): boolean => value === undefined || value === null || (typeof value === "string" && value.trim() === "");
const text = (name: string, otherwise: string) => z.preprocess((value) => (blank(value) ? otherwise : typeof value === "string" ? value.trim() : value), z.string(`${name}: enter text.`));
const whole = (name: string, otherwise: number, most: number) => z.preprocess((value) => (blank(value) ? otherwise : Number(value)),
  z.number(`${name}: enter a number.`).int(`${name}: enter a whole number.`).min(1, `${name}: the least is 1.`).max(most, `${name}: the most is ${most}.`));

const schema = z.object({
  table: text("table", "flattened_stocks"),
  names: z.preprocess((value) => (blank(value) ? "documented" : value), z.enum(NAMINGS, "names: choose documented or readable.")),
  topic: text("topic", "flattened_stocks").refine((value) => /^[\w.-]{1,249}$/.test(value), "topic: letters, digits, dot, _ and - only."),
  kafkaBrokers: text("kafkaBrokers", "my-cluster-kafka-bootstrap.kafka.svc.cluster.local:9092")
    .refine((value) => !/\$\{/.test(value), "kafkaBrokers holds a variable that was not filled in. Set it for Node-RED.")
    .transform((value) => value.split(/[\s,;]+/).filter((part) => part !== "").map((part) => (/:\d+$/.test(part) ? part : `${part}:9092`)).join(","))
    .refine((value) => value !== "", "kafkaBrokers: enter host:port as Pinot's servers reach Kafka."),
  retentionDays: whole("retentionDays", 7, 1_000_000),
  flushRows: whole("flushRows", 50_000, 100_000_000),
  replication: whole("replication", 1, 100),
  starTree: z.preprocess((value) => (blank(value) ? true : value === "true" ? true : value === "false" ? false : value), z.boolean("starTree: choose true or false.")),
});

/**
 * Reads a table's settings with their defaults.
 *
 * @throws TicklakeError CONFIG_INVALID, TABLE_NAME_INVALID
 */
export function parseTable(settings: Readonly<Record<string, unknown>>): TableSettings {
  const parsed = schema.safeParse(settings);
  if (!parsed.success) throw new TicklakeError("CONFIG_INVALID", parsed.error.issues[0]!.message);
  return { ...parsed.data, table: tableName(parsed.data.table), overrides: parseOverrides(settings["overrides"]) };
}

/** @throws TicklakeError TABLE_NAME_INVALID */
export function tableName(value: unknown): string {
  // What Pinot itself shows carries the type.
  const name = (typeof value === "string" ? value.trim() : "").replace(/_REALTIME$/, "");
  // A database may stand before it (Pinot 1.2 and later).
  if (!/^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)?$/.test(name)) throw new TicklakeError("TABLE_NAME_INVALID", `"${name}" cannot be a table's name in Pinot. Use letters, digits and _, beginning with a letter: flattened_stocks.`);
  return name;
}

/** @throws TicklakeError CONFIG_INVALID */
export function operationOf(value: unknown): TableOperation {
  const name = blank(value) ? "status" : value;
  if (!OPERATIONS.includes(name as TableOperation)) throw new TicklakeError("CONFIG_INVALID", `${JSON.stringify(name)} is no operation on a Pinot table. Choose one of ${OPERATIONS.join(", ")}.`);
  return name as TableOperation;
}

function parseOverrides(value: unknown): JsonObject {
  let parsed = value;
  if (typeof value === "string") {
    if (value.trim() === "") return {};
    // Without the parser's words: they quote the text, and a password for Kafka may stand in it.
    try { parsed = JSON.parse(value) as unknown; } catch { throw new TicklakeError("CONFIG_INVALID", 'overrides are no JSON. Write an object: {"tableIndexConfig": {...}}.'); }
  }
  if (parsed === undefined || parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) throw new TicklakeError("CONFIG_INVALID", 'overrides must be a JSON object, such as {"tableIndexConfig": {"bloomFilterColumns": ["S"]}}.');
  return parsed as JsonObject;
}
