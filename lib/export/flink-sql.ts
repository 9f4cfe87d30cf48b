/** A job as a script for Flink's SQL client. Pure. */
import { parsePartitionBy } from "../iceberg/transforms";
import { fieldById, TRADES_READABLE_SCHEMA, TRADES_SCHEMA } from "../iceberg/schema";
import type { Schema } from "../iceberg/types";
import { FLINK, outputColumns, RAW_FIELDS, tradeConditions, typeIn } from "./columns";
import { comment, head, unknownVariables } from "./comments";
import { clientNotes, clientProperties } from "./kafka-client";
import { catalogProperties, createStatements, icebergNotes, s3aProperties } from "./spark";
import type { ClusterSettings, IcebergTarget, Job, KafkaTarget } from "./types";

export const FLINK_VERSIONS = { flink: "2.1", kafka: "4.0.1-2.0", iceberg: "1.11.0" } as const;

/** Flink's connector has Kafka's client under a name of its own. */
const clusterOptions = (cluster: ClusterSettings): [string, string][] =>
  clientProperties(cluster, { packages: "org.apache.flink.kafka.shaded.", secret: (name) => `\${${name}}` }).map(([name, value]) => [`properties.${name}`, value]);

const withOptions = (options: readonly (readonly [string, string])[]): string => `WITH (\n${options.map(([name, value]) => `  ${FLINK.text(name)} = ${FLINK.text(value)}`).join(",\n")}\n)`;

export function flinkSql(job: Job): string {
  const { target, source } = job;
  const body = [
    "SET 'execution.runtime-mode' = 'streaming';",
    `SET 'execution.checkpointing.interval' = '${job.intervalMs} ms';`, "SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';",
    "SET 'table.local-time-zone' = 'UTC';", `SET 'pipeline.name' = ${FLINK.text(`ticklake ${target.kind === "iceberg" ? target.table.at(-1)! : target.topic}`)};`, "",
    `CREATE TEMPORARY TABLE kafka_records (\n${recordColumns(job).join(",\n")}\n) ${withOptions(sourceOptions(job))};`, "",
    ...(target.kind === "iceberg" ? icebergTarget(target) : [kafkaTarget(job, target), ""]),
    `INSERT INTO ${sinkName(target)} (${outputColumns(job, FLINK).map(({ name }) => FLINK.quote(name)).join(", ")})`, `${selectRows(job)};`, "",
  ].join("\n");
  const unknown = unknownVariables(body);
  const lines = head(job, {
    what: "a streaming job in Flink SQL",
    how: [
      `For Flink ${FLINK_VERSIONS.flink} or newer, whose JSON format makes a row of every element of an array (FLINK-18590). In Flink's lib folder:`,
      `  flink-sql-connector-kafka-${FLINK_VERSIONS.kafka}.jar${target.kind === "iceberg" ? `, iceberg-flink-runtime-${FLINK_VERSIONS.flink}-${FLINK_VERSIONS.iceberg}.jar, Hadoop's client${target.catalog.type === "rest" ? `, iceberg-aws-bundle-${FLINK_VERSIONS.iceberg}.jar` : ""}` : ""}`,
      "Run it with  sql-client.sh -f FILE.sql. What is written becomes visible with each checkpoint; set execution.checkpointing.dir to storage that outlives the machine.",
      ...(unknown.length === 0 ? [] : [`Flink's SQL client fills in no variables. Write their values before you run it: ${unknown.map((name) => `\${${name}}`).join(", ")}`]),
    ],
    notes: flinkNotes(job, source.groupId),
  });
  return `${comment("--", lines)}\n\n${body}`;
}

function sourceOptions({ source: { cluster, topics, groupId, starting } }: Job): [string, string][] {
  const begin: [string, string][] = typeof starting === "object"
    ? [["scan.startup.mode", "timestamp"], ["scan.startup.timestamp-millis", String(starting.timestamp)]]
    : [["scan.startup.mode", "group-offsets"], ["properties.auto.offset.reset", starting]];
  return [
    ["connector", "kafka"], ...clusterOptions(cluster), ["topic", topics.join(";")], ["properties.group.id", groupId], ...begin, ["properties.isolation.level", "read_committed"],
    ["format", "json"], ["json.ignore-parse-errors", "true"],
  ];
}

function recordColumns({ transform }: Job): string[] {
  const fields = transform.kind === "trades" ? RAW_FIELDS.map(([name, type]) => ({ name, type })) : transform.schema.fields;
  return fields.map(({ name, type }) => `  ${FLINK.quote(name)} ${typeIn(FLINK, type)}`);
}

function flinkNotes({ source, target }: Job, groupId: string): string[] {
  return [
    `Under the flow's group ${groupId} Flink goes on where a stopped flow has committed, and commits there, too: stop the flow before, or give another group.`,
    "Times as text (RFC 3339) are read as UTC.", ...clientNotes(source.cluster),
    ...(target.kind === "iceberg" ? icebergNotes(target) : [...(target.transactional ? [] : ["The sink writes at least once, as the flow does."])]),
  ];
}

/** The table that is written to. */
function sinkName(target: IcebergTarget | KafkaTarget): string {
  if (target.kind === "kafka") return "kafka_trades";
  return [target.catalog.name, target.table.slice(0, -1).join("."), target.table.at(-1)!].map((part) => FLINK.quote(part)).join(".");
}

function icebergTarget(target: IcebergTarget): string[] {
  const { catalog } = target;
  const properties = catalogProperties(catalog, "catalog-type").filter(([name]) => !name.startsWith("hadoop.fs."));
  const s3a = catalog.type === "hadoop" && /^s3[an]?:/i.test(catalog.warehouse) ? s3aProperties(catalog) : [];
  const [name, database] = [catalog.name, target.table.slice(0, -1).join(".")].map((part) => FLINK.quote(part));
  return [
    ...(s3a.length === 0 ? [] : [comment("--", ["Hadoop's way to S3 is told in Flink's config.yaml, with hadoop-aws in its lib folder:", ...s3a.map(([key, value]) => `  flink.hadoop.${key}: ${value}`)])]),
    `CREATE CATALOG ${name!} ${withOptions([["type", "iceberg"], ...properties])};`, "",
    `CREATE DATABASE IF NOT EXISTS ${name!}.${database!};`, "",
    ...(target.create ? [createTable(target), ""] : []),
  ];
}

/** Flink's DDL knows columns as partitions, and no transforms: such a table has to be there. */
function createTable(target: IcebergTarget): string {
  const spec = target.partitionBy === "" ? [] : parsePartitionBy(target.partitionBy, target.schema).fields;
  if (spec.some((field) => field.transform !== "identity")) {
    return comment("--", [
      "Flink's CREATE TABLE has no hidden partitions: the table has to be there. iceberg-out makes it with its first row, iceberg-table by its operation create, or Spark by",
      ...createStatements(target).map((statement) => `${statement};`).join("\n").split("\n").map((line) => `  ${line}`),
    ]);
  }
  const columns = target.schema.fields.map(({ name, type, required }) => `  ${FLINK.quote(name)} ${typeIn(FLINK, type)}${required ? " NOT NULL" : ""}`);
  const by = spec.map((field) => FLINK.quote(fieldById(target.schema, field["source-id"])!.name));
  const properties = withOptions([["format-version", "2"], ["write.parquet.compression-codec", target.codec === "none" ? "uncompressed" : target.codec]]);
  return `CREATE TABLE IF NOT EXISTS ${sinkName(target)} (\n${columns.join(",\n")}\n)${by.length === 0 ? "" : ` PARTITIONED BY (${by.join(", ")})`} ${properties};`;
}

function kafkaTarget(job: Job, target: KafkaTarget): string {
  const types = new Map(tradeSchema(job).fields.map(({ name, type }) => [name, typeIn(FLINK, type)]));
  const keyed = target.key !== "" && types.has(target.key);
  const options: [string, string][] = [
    ["connector", "kafka"], ...clusterOptions(target.cluster), ["topic", target.topic],
    ...(target.compression === "none" ? [] : [["properties.compression.type", target.compression]] as [string, string][]),
    ...(keyed ? [["key.format", "raw"], ["key.fields", target.key]] as [string, string][] : []),
    ["value.format", "json"],
    ["sink.delivery-guarantee", target.transactional ? "exactly-once" : "at-least-once"],
    ...(target.transactional ? [["sink.transactional-id-prefix", `${target.transactionalIdPrefix}-flink`], ["properties.transaction.timeout.ms", "600000"]] as [string, string][] : []),
  ];
  return `CREATE TEMPORARY TABLE kafka_trades (\n${[...types].map(([name, type]) => `  ${FLINK.quote(name)} ${type}`).join(",\n")}\n) ${withOptions(options)};`;
}

const tradeSchema = ({ transform }: Job): Schema => (transform.kind === "rows" ? transform.schema : transform.names === "readable" ? TRADES_READABLE_SCHEMA : TRADES_SCHEMA);

/** Unix ms of a time as text: `2024-11-01T13:30:00.123456789Z`. */
const MILLIS_OF_TEXT = (time: string): string => {
  const at = `TRY_CAST(REPLACE(REPLACE(SUBSTRING(${time}, 1, 23), 'T', ' '), 'Z', '') AS TIMESTAMP(3))`;
  return `TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', ${at}) * CAST(1000 AS BIGINT) + EXTRACT(MILLISECOND FROM ${at})`;
};

function selectRows(job: Job): string {
  const columns = outputColumns(job, FLINK).map(({ select }) => select).join(", ");
  if (job.transform.kind === "rows") {
    const required = job.transform.schema.fields.filter((field) => field.required).map(({ name }) => `${FLINK.quote(name)} IS NOT NULL`);
    return `SELECT ${columns}\nFROM kafka_records${required.length === 0 ? "" : `\nWHERE ${required.join(" AND ")}`}`;
  }
  const time = "COALESCE(`t`, `timestamp`)";
  return [
    `SELECT ${columns}`, "FROM (",
    "  SELECT `T`, `S`, TRY_CAST(`i` AS BIGINT) AS `i`, `x`, `p`, `s`,",
    `    CASE WHEN REGEXP(${time}, '^[0-9]+$') THEN TRY_CAST(${time} AS BIGINT)`,
    `      ELSE ${MILLIS_OF_TEXT(time)} END AS \`timestamp\`,`,
    "    `c`, `z`", "  FROM kafka_records", ")",
    `WHERE ${tradeConditions(FLINK).join("\n  AND ")}`,
  ].join("\n");
}
