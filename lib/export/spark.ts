/** What a job is in Spark, shared by its SQL and its Python. Pure. */
import { parsePartitionBy, parseTransform } from "../iceberg/transforms";
import { fieldById } from "../iceberg/schema";
import type { Codec, Schema } from "../iceberg/types";
import { outputColumns, RAW_FIELDS, SPARK, sparkVariables, tradeConditions, typeIn } from "./columns";
import { clientNotes, clientProperties } from "./kafka-client";
import type { CatalogDescription, ClusterSettings, IcebergTarget, Job } from "./types";

/** Versions that the tests run these jobs on. */
export const SPARK_VERSIONS = { spark: "3.5", scala: "2.12", kafka: "3.5.7", iceberg: "1.12.0", hadoopAws: "3.3.4" } as const;
/** The view that stands for the topic. */
export const RECORDS = "kafka_records";

/** Kafka's options of Spark as far as they are the same for reading and writing. */
export function clusterOptions(cluster: ClusterSettings): readonly (readonly [string, string])[] {
  return clientProperties(cluster, { packages: "", secret: (name) => `\${${name}}` }).map(([name, value]) => [`kafka.${name}`, value] as const);
}

/** How the topic is read. A batch cannot begin at the end. */
export function sourceOptions({ source: { cluster, topics, starting } }: Job, mode: "batch" | "stream"): readonly (readonly [string, string])[] {
  const begin = typeof starting === "object" ? ["startingTimestamp", String(starting.timestamp)] as const : ["startingOffsets", mode === "batch" ? "earliest" : starting] as const;
  return [...clusterOptions(cluster), ["subscribe", topics.join(",")], begin, ["kafka.isolation.level", "read_committed"]];
}

/** `spark.*` settings of the session: columns that differ by case, UTC, and the catalog. */
export function sessionSettings(job: Job): readonly (readonly [string, string])[] {
  const own: [string, string][] = [["spark.sql.caseSensitive", "true"], ["spark.sql.session.timeZone", "UTC"]];
  return job.target.kind === "iceberg" ? [...own, ...catalogSettings(job.target.catalog)] : own;
}

const isS3 = (place: string): boolean => /^s3[an]?:\/\//i.test(place);

function catalogSettings(catalog: CatalogDescription): [string, string][] {
  const prefix = `spark.sql.catalog.${catalog.name}`;
  const kind = catalog.name === "spark_catalog" ? "SparkSessionCatalog" : "SparkCatalog";
  return [[prefix, `org.apache.iceberg.spark.${kind}`], ...catalogProperties(catalog).map(([name, value]) => [`${prefix}.${name}`, value] as [string, string])];
}

/** A catalog in Iceberg's own names, which Spark and Flink share but for the name of the type. */
export function catalogProperties(catalog: CatalogDescription, typeName = "type"): [string, string][] {
  const set: [string, string][] = [[typeName, catalog.type]];
  if (catalog.warehouse !== "") set.push(["warehouse", catalog.warehouse]);
  if (catalog.type === "rest") set.push(...restProperties(catalog));
  else if (isS3(catalog.warehouse)) set.push(...s3aProperties(catalog).map(([name, value]) => [`hadoop.${name}`, value] as [string, string]));
  return [...set.filter(([name]) => !Object.hasOwn(catalog.properties, name)), ...Object.entries(catalog.properties)];
}

function restProperties({ uri, auth, sigv4, s3Region, s3Endpoint, s3PathStyle }: CatalogDescription): [string, string][] {
  return [
    ["uri", uri],
    ...(auth === "token" ? [["token", "${ICEBERG_TOKEN}"]] as [string, string][] : auth === "oauth2" ? [["credential", "${ICEBERG_CREDENTIAL}"]] as [string, string][] : []),
    ...(sigv4 ? [["rest.sigv4-enabled", "true"], ["rest.signing-region", s3Region]] as [string, string][] : []),
    ...(s3Endpoint === "" ? [] : [["s3.endpoint", s3Endpoint], ["s3.path-style-access", String(s3PathStyle)]] as [string, string][]),
    ["client.region", s3Region],
  ];
}

/** Hadoop's way to S3, whose keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment. */
export function s3aProperties({ s3Endpoint, s3Region, s3PathStyle, warehouse }: CatalogDescription): [string, string][] {
  return [
    ...(s3Endpoint === "" ? [["fs.s3a.endpoint.region", s3Region]] as [string, string][] : [["fs.s3a.endpoint", s3Endpoint], ["fs.s3a.path.style.access", String(s3PathStyle)]] as [string, string][]),
    ...(s3Endpoint.startsWith("http://") ? [["fs.s3a.connection.ssl.enabled", "false"]] as [string, string][] : []),
    ...(/^s3:/i.test(warehouse) ? [["fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem"]] as [string, string][] : []),
  ];
}

/** What Spark is started with, for `--packages`. */
export function packages(job: Job): string {
  const { target } = job, v = SPARK_VERSIONS;
  const lake = target.kind === "kafka" ? [] : [
    `org.apache.iceberg:iceberg-spark-runtime-${v.spark}_${v.scala}:${v.iceberg}`,
    ...(target.catalog.type === "rest" ? [`org.apache.iceberg:iceberg-aws-bundle:${v.iceberg}`] : isS3(target.catalog.warehouse) ? [`org.apache.hadoop:hadoop-aws:${v.hadoopAws}`] : []),
  ];
  return [`org.apache.spark:spark-sql-kafka-0-10_${v.scala}:${v.kafka}`, ...lake].join(",");
}

/** What Spark does in another way than the flow. */
export function sparkNotes(job: Job): string[] {
  const { target } = job;
  return [
    `The consumer group ${job.source.groupId}: Spark keeps the offsets in its checkpoint. To go on where the flow has stopped, give the group's offsets as JSON in startingOffsets.`,
    ...clientNotes(job.source.cluster),
    ...(target.kind === "kafka" && target.cluster !== job.source.cluster ? clientNotes(target.cluster).filter((note) => !clientNotes(job.source.cluster).includes(note)) : []),
    ...(target.kind === "kafka" ? [`Exactly once: Spark writes to Kafka at least once${target.transactional ? "; the flow writes in transactions" : ""}.`] : icebergNotes(target)),
  ];
}

/** What is to be known of the table and of its catalog. */
export function icebergNotes({ catalog, create }: IcebergTarget): string[] {
  return [
    "The watermarks in the table (exactly once from Kafka): this job neither reads nor writes them. One table is fed by the flow or by the job, never by one after the other from the same records.",
    ...(create ? [] : ["The table is not created: the flow does not do so either."]),
    ...(isS3(catalog.warehouse) || catalog.type === "rest" ? ["Keys to S3 are never exported: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment hold."] : []),
    ...(catalog.auth === "none" ? [] : [`The catalog's ${catalog.auth === "token" ? "token" : "client id and secret"}: set ${catalog.auth === "token" ? "ICEBERG_TOKEN" : "ICEBERG_CREDENTIAL (id:secret)"} where the job runs.`]),
    ...(catalog.auth === "oauth2" ? ["The address of the catalog's OAuth2 server lies in the credentials: add oauth2-server-uri where it is not the catalog itself."] : []),
  ];
}

/** `local.db.flattened_stocks`. */
export const tableName = ({ catalog, table }: IcebergTarget): string => [catalog.name, ...table].map((part) => SPARK.quote(part)).join(".");

const CODECS: Readonly<Record<Codec, string>> = { snappy: "snappy", gzip: "gzip", zstd: "zstd", none: "uncompressed" };

/** The namespace and the table as iceberg-out makes them. */
export function createStatements(target: IcebergTarget): readonly string[] {
  const { schema, partitionBy, codec } = target;
  const columns = schema.fields.map(({ name, type, required, doc }) => `  ${SPARK.quote(name)} ${typeIn(SPARK, type)}${required ? " NOT NULL" : ""}${doc === undefined ? "" : ` COMMENT ${SPARK.text(doc)}`}`);
  const transforms = sparkTransforms(partitionBy, schema);
  const properties = [["format-version", "2"], ["write.parquet.compression-codec", CODECS[codec]], ["write.metadata.delete-after-commit.enabled", "true"], ["write.metadata.previous-versions-max", "20"]];
  return [
    `CREATE NAMESPACE IF NOT EXISTS ${[target.catalog.name, ...target.table.slice(0, -1)].map((part) => SPARK.quote(part)).join(".")}`,
    [
      `CREATE TABLE IF NOT EXISTS ${tableName(target)} (`, columns.join(",\n"), ") USING iceberg",
      ...(transforms.length === 0 ? [] : [`PARTITIONED BY (${transforms.join(", ")})`]),
      `TBLPROPERTIES (${properties.map(([name, value]) => `${SPARK.text(name!)} = ${SPARK.text(value!)}`).join(", ")})`,
    ].join("\n"),
  ];
}

function sparkTransforms(partitionBy: string, schema: Schema): string[] {
  const spec = partitionBy === "" ? [] : parsePartitionBy(partitionBy, schema).fields;
  return spec.flatMap((field) => {
    const column = fieldById(schema, field["source-id"])!.name.split(".").map((part) => SPARK.quote(part)).join(".");
    const transform = parseTransform(field.transform);
    switch (transform.kind) {
      case "identity": return [column];
      case "void": return [];
      case "bucket": return [`bucket(${transform.buckets}, ${column})`];
      case "truncate": return [`truncate(${transform.width}, ${column})`];
      default: return [`${transform.kind}s(${column})`];
    }
  });
}

/** The rows that the job writes, from the view of the records. */
export function selectRows(job: Job): string {
  const columns = outputColumns(job, SPARK).map(({ select }) => select).join(", ");
  const json = (struct: string): string => `SELECT EXPLODE(FROM_JSON(CAST(value AS STRING), ${SPARK.text(`ARRAY<STRUCT<${struct}>>`)})) AS one\n    FROM ${RECORDS}`;
  const struct = (fields: readonly { name: string; type: string }[]): string => fields.map(({ name, type }) => `${SPARK.quote(name)}: ${type}`).join(", ");
  if (job.transform.kind === "rows") {
    const { fields } = job.transform.schema;
    const required = fields.filter((field) => field.required).map(({ name }) => ` AND ${SPARK.quote(name)} IS NOT NULL`).join("");
    return [`SELECT ${columns}`, "FROM (", "  SELECT one.*", "  FROM (", `    ${json(struct(fields.map(({ name, type }) => ({ name, type: typeIn(SPARK, type) }))))}`, "  )", "  WHERE one IS NOT NULL", `)${required === "" ? "" : `\nWHERE ${required.slice(5)}`}`].join("\n");
  }
  return [
    `SELECT ${columns}`, "FROM (",
    "  SELECT one.T, one.S, TRY_CAST(one.i AS BIGINT) AS i, one.x, one.p, one.s,",
    "    CASE WHEN COALESCE(one.t, one.timestamp) RLIKE '^[0-9]+$' THEN TRY_CAST(COALESCE(one.t, one.timestamp) AS BIGINT)",
    "      ELSE UNIX_MILLIS(TRY_CAST(COALESCE(one.t, one.timestamp) AS TIMESTAMP)) END AS timestamp,",
    "    one.c, one.z", "  FROM (",
    `    ${json(struct(RAW_FIELDS.map(([name, type]) => ({ name, type: typeIn(SPARK, type) }))))}`, "  )", ")",
    `WHERE ${tradeConditions(SPARK).join("\n  AND ")}`,
  ].join("\n");
}

/** The rows as messages of Kafka: a key where there is one, and JSON with all its nulls. */
export function selectMessages(job: Job, key: string): string {
  const names = outputColumns(job, SPARK).map(({ name }) => SPARK.quote(name));
  const of = key !== "" && names.includes(SPARK.quote(key)) ? `CAST(${SPARK.quote(key)} AS STRING) AS key, ` : "";
  return `SELECT ${of}TO_JSON(STRUCT(${names.join(", ")}), MAP('ignoreNullFields', 'false')) AS value\nFROM (\n${selectRows(job).replace(/^/gm, "  ")}\n)`;
}

/** Text for SQL, whose variables Spark fills in from the environment. */
export const inSql = sparkVariables;
