import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EXPORT_FORMATS, exportFormat, exportJob, type ExportFormat, type ExportNode } from "../../../lib/export";
import { FLINK_VERSIONS } from "../../../lib/export/flink-sql";
import { SPARK_VERSIONS } from "../../../lib/export/spark";
import { shippedFlows } from "../../support/flows";
import { root } from "../../support/start";

type Changes = Readonly<Record<string, Record<string, unknown>>>;

/** kafka-in -> explode-trades -> iceberg-out and kafka-out, with changes by id. */
function flow(changes: Changes = {}, more: readonly ExportNode[] = []): ExportNode[] {
  const nodes: ExportNode[] = [
    { id: "tab", type: "tab", label: "Lake" },
    { id: "broker", type: "kafka-broker", brokers: "one:9092, two", saslMechanism: "none", tls: "" },
    { id: "catalog", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: "./warehouse" },
    { id: "in", type: "kafka-in", z: "tab", name: "", broker: "broker", topics: "iex_data", groupId: "readers", startingOffsets: "earliest", onFailure: "retry", wires: [["explode"], []] },
    { id: "explode", type: "explode-trades", z: "tab", names: "documented", other: "reject", dedupe: 0, wires: [["out", "to"], []] },
    { id: "out", type: "iceberg-out", z: "tab", name: "Table", catalog: "catalog", table: "db.trades", tableType: "str", createTable: true, schema: "trades", partitionBy: "truncate[86400000](timestamp), bucket[16](S)", commitInterval: "1 minute", codec: "zstd", wires: [[], []] },
    { id: "to", type: "kafka-out", z: "tab", name: "", broker: "broker", topic: "flat", topicType: "str", send: "each", key: "S", transactional: true, transactionalIdPrefix: "lake", compression: "lz4", wires: [[]] },
  ];
  return [...nodes.map((node) => ({ ...node, ...changes[node.id] }) as ExportNode), ...more];
}

const text = (as: ExportFormat, changes: Changes = {}, more: readonly ExportNode[] = [], id = "out"): string => exportJob(flow(changes, more), id, as, "/data").text;
/** What is said to be left out. */
const left = (as: ExportFormat, changes: Changes = {}, more: readonly ExportNode[] = [], id = "out"): string => text(as, changes, more, id).split("\n").filter((line) => /^(#|--) {3}\*/.test(line)).join("\n");
const refused = (what: RegExp, changes: Changes, more: readonly ExportNode[] = [], id = "out"): void => assert.throws(() => text("pyspark", changes, more, id), (error: Error & { code?: string }) => what.test(error.message) && error.code === "CONFIG_INVALID");
const has = (whole: string, ...parts: readonly string[]): void => { for (const part of parts) assert.ok(whole.includes(part), `${part}\nis not in\n${whole}`); };

describe("a flow exported", () => {
  it("carries brokers, topics, offsets, table, partitions, codec and interval over, for each engine", () => {
    has(text("spark-sql"), "'kafka.bootstrap.servers' = 'one:9092,two:9092'", "'subscribe' = 'iex_data'", "'startingOffsets' = 'earliest'", "SET spark.sql.catalog.local.warehouse=/data/warehouse;", "SET spark.sql.caseSensitive=true;",
      "PARTITIONED BY (truncate(86400000, timestamp), bucket(16, S))", "'write.parquet.compression-codec' = 'zstd'", "INSERT INTO local.db.trades (T, S, i, x, p, s, timestamp, c, z)");
    has(text("pyspark"), '.option("subscribe", "iex_data")', '{"processingTime": "60000 milliseconds"}', '.toTable("local.db.trades")', ".config(\"spark.sql.catalog.local.warehouse\", \"/data/warehouse\")");
    has(text("flink-sql"), "'topic' = 'iex_data'", "'properties.group.id' = 'readers'", "'properties.auto.offset.reset' = 'earliest'", "'execution.checkpointing.interval' = '60000 ms'", "'warehouse' = '/data/warehouse'", "INSERT INTO `local`.`db`.`trades`");
    assert.match(text("flink-sql"), /^-- Flink's CREATE TABLE has no hidden partitions/m);
    has(text("flink-sql", { out: { partitionBy: "S" } }), "CREATE TABLE IF NOT EXISTS `local`.`db`.`trades` (", ") PARTITIONED BY (`S`) WITH (");
  });

  it("a file of its own name for each format", () => {
    assert.deepEqual(EXPORT_FORMATS.map((as) => exportJob(flow(), "out", as, "/").fileName), ["trades.spark.sql", "trades.py", "trades.flink.sql"]);
    assert.throws(() => exportFormat("cobol"), /spark-sql, pyspark, flink-sql, not as "cobol"/);
  });

  it("columns: readable names, a schema of one's own, columns that the trades do not have", () => {
    const readable: Changes = { explode: { names: "readable" }, out: { schema: "trades-readable", partitionBy: "" } };
    has(text("pyspark", readable), "SELECT T AS type, S AS symbol, i AS id, x AS exchange, p AS price, s AS size, timestamp, c AS conditions, z AS tape", "  symbol STRING COMMENT 'symbol'");
    has(text("flink-sql", readable), "`T` AS `type`", "`size` BIGINT");
    const own: Changes = { out: { schema: JSON.stringify({ type: "struct", fields: [{ name: "S", type: "string", required: true }, { name: "my venue", type: "string" }, { name: "d", type: "decimal(9, 2)" }] }), partitionBy: "" } };
    has(text("spark-sql", own), "S STRING NOT NULL", "`my venue` STRING", "d DECIMAL(9, 2)", "CAST(NULL AS STRING) AS `my venue`");
  });

  it("records that are no trades are taken by the columns of the table", () => {
    const schema = JSON.stringify({ type: "struct", fields: [{ name: "id", type: "long", required: true }, { name: "at", type: "timestamptz" }, { name: "q", type: { type: "struct", fields: [{ name: "bid", type: "double" }] } }] });
    const plain: Changes = { in: { wires: [["out"], []] }, out: { schema, partitionBy: "day(at)" } };
    has(text("spark-sql", plain), "ARRAY<STRUCT<id: BIGINT, at: TIMESTAMP, q: STRUCT<bid: DOUBLE>>>", "WHERE id IS NOT NULL", "PARTITIONED BY (days(at))");
    has(text("flink-sql", plain), "`at` TIMESTAMP_LTZ(6)", "`q` ROW<`bid` DOUBLE>", "WHERE `id` IS NOT NULL");
    refused(/drawn from the first rows/, { ...plain, out: { schema: "infer", partitionBy: "" } });
    has(text("spark-sql", { out: { schema: "infer" } }), "T STRING COMMENT");
  });

  it("into a topic: key, JSON with nulls, transactions where the engine has them", () => {
    has(text("pyspark", {}, [], "to"), "CAST(S AS STRING) AS key, TO_JSON(STRUCT(T, S, i, x, p, s, timestamp, c, z), MAP('ignoreNullFields', 'false'))", '.option("topic", "flat")', '.option("kafka.compression.type", "lz4")');
    assert.match(left("pyspark", {}, [], "to"), /Spark writes to Kafka at least once; the flow writes in transactions/);
    has(text("flink-sql", {}, [], "to"), "'sink.delivery-guarantee' = 'exactly-once'", "'sink.transactional-id-prefix' = 'lake-flink'", "'key.fields' = 'S'");
    assert.throws(() => text("spark-sql", {}, [], "to"), /no statement that writes to it. Choose PySpark or Flink SQL/);
  });

  it("offsets: a batch begins at the earliest, a point in time is carried over", () => {
    has(text("spark-sql", { in: { startingOffsets: "latest" } }), "'startingOffsets' = 'earliest'", "startingOffsets is latest: a batch begins at the earliest record.");
    has(text("pyspark", { in: { startingOffsets: "timestamp", startingTimestamp: "2024-11-01T00:00:00Z" } }), '.option("startingTimestamp", "1730419200000")');
    has(text("flink-sql", { in: { startingOffsets: "timestamp", startingTimestamp: "2024-11-01T00:00:00Z" } }), "'scan.startup.timestamp-millis' = '1730419200000'");
  });

  it("catalogs in S3 and behind a server, with what only they have", () => {
    const s3: Changes = { catalog: { warehouse: "s3://bucket/lake/", s3Endpoint: "http://localhost:9000", s3PathStyle: true } };
    has(text("spark-sql", s3), "SET spark.sql.catalog.local.warehouse=s3://bucket/lake;", ".hadoop.fs.s3a.endpoint=http://localhost:9000;", ".hadoop.fs.s3.impl=org.apache.hadoop.fs.s3a.S3AFileSystem;", "org.apache.hadoop:hadoop-aws:");
    has(text("flink-sql", s3), "--   flink.hadoop.fs.s3a.endpoint: http://localhost:9000");
    const rest: Changes = { catalog: { catalogName: "lake-1", catalogType: "rest", uri: "http://user:hunter2@host:8181", warehouse: "main", s3Endpoint: "http://s3", sigv4: true, properties: '{"header.X-A":"b","s3.secret-access-key":"hunter2"}', credentialsSet: ["token"] } };
    const sql = text("spark-sql", rest);
    has(sql, "SET spark.sql.catalog.lake-1.type=rest;", "SET spark.sql.catalog.lake-1.uri=http://host:8181;", ".token=${env:ICEBERG_TOKEN};", ".rest.sigv4-enabled=true;", ".s3.path-style-access=true;", ".header.X-A=b;", "INSERT INTO `lake-1`.db.trades", "iceberg-aws-bundle");
    assert.match(left("spark-sql", rest), /s3\.secret-access-key\. Give them where the job runs/);
    has(text("flink-sql", rest), "'catalog-type' = 'rest'", "'token' = '${ICEBERG_TOKEN}'", "Write their values before you run it: ${ICEBERG_TOKEN}");
    for (const as of EXPORT_FORMATS) assert.ok(!text(as, rest).includes("hunter2"), as);
  });

  it("security: SASL and TLS by the names of Java's client, and never a secret", () => {
    const secure: Changes = { broker: { saslMechanism: "scram-sha-512", tls: "tls", credentials: { username: "u", password: "hunter2" }, username: "u", password: "hunter2" } };
    const tls: ExportNode = { id: "tls", type: "tls-config", ca: "/etc/ca.pem", cert: "", key: "", verifyservercert: true };
    has(text("spark-sql", secure, [tls]), "'kafka.security.protocol' = 'SASL_SSL'", "'kafka.sasl.mechanism' = 'SCRAM-SHA-512'", "'kafka.ssl.truststore.location' = '/etc/ca.pem'", 'username="${env:KAFKA_SASL_USERNAME}" password="${env:KAFKA_SASL_PASSWORD}"');
    has(text("pyspark", secure, [tls]), `.option("kafka.sasl.jaas.config", f"org.apache.kafka.common.security.scram.ScramLoginModule required username=\\"{os.environ['KAFKA_SASL_USERNAME']}\\" password=\\"{os.environ['KAFKA_SASL_PASSWORD']}\\";")`);
    has(text("flink-sql", secure, [tls]), "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule", "Write their values before you run it: ${KAFKA_SASL_PASSWORD}, ${KAFKA_SASL_USERNAME}");
    for (const as of EXPORT_FORMATS) assert.ok(!text(as, secure, [tls]).includes("hunter2"), as);
    refused(/holds no user name/, { broker: { brokers: "user:hunter2@host:9092" } });
  });

  it("variables: those of tab, group and subflow are filled in, others are read where the job runs", () => {
    const environment: Changes = {
      tab: { env: [{ name: "TOPIC", type: "jsonata", value: '($v := $env("$parent.TOPIC"); $v = "" ? "from_tab" : $v)' }, { name: "TABLE", type: "str", value: "db.by_name" }, { name: "PASSWORD", type: "cred", value: "hunter2" }] },
      in: { topics: "${TOPIC}", groupId: "${PASSWORD}" }, out: { table: "TABLE", tableType: "env", commitInterval: "${EVERY}" }, broker: { brokers: "${BROKERS}" }, catalog: { warehouse: "${WAREHOUSE}" },
    };
    const python = text("pyspark", environment);
    has(python, '.option("subscribe", "from_tab")', "TOPIC = from_tab", '.toTable("local.db.by_name")', `.option("kafka.bootstrap.servers", f"{os.environ['BROKERS']}")`, `f"{os.environ['WAREHOUSE']}"`);
    assert.match(left("pyspark", environment), /commitInterval is \$\{EVERY\}, which is not known here: 10 seconds/);
    has(text("spark-sql", environment), "'kafka.bootstrap.servers' = '${env:BROKERS}'", "warehouse=${env:WAREHOUSE};");
    for (const as of EXPORT_FORMATS) assert.ok(!text(as, environment).includes("hunter2"), as);
  });

  it("follows links and subflows, and says what stands in between", () => {
    const more: ExportNode[] = [
      { id: "lo", type: "link out", z: "tab", mode: "link", links: ["li"], wires: [] }, { id: "li", type: "link in", z: "tab", links: ["lo"], wires: [["f"]] },
      { id: "f", type: "function", z: "tab", name: "Only\n-- Apple; DROP TABLE x", wires: [["s"]] }, { id: "s", type: "subflow:S", z: "tab", env: [{ name: "T", type: "str", value: "db.of_instance" }], wires: [] },
      { id: "S", type: "subflow", name: "Sink", in: [{ wires: [{ id: "inner" }] }], out: [], env: [{ name: "T", type: "str", value: "db.of_template" }] },
      { ...flow().find(({ id }) => id === "out")!, id: "inner", z: "S", table: "${T}" },
      { id: "gen", type: "synthetic-gen", z: "tab", wires: [["f"]] },
    ];
    const changes: Changes = { explode: { wires: [["lo"], []] } };
    const sql = text("spark-sql", changes, more, "inner");
    has(sql, "INSERT INTO local.db.of_instance");
    assert.match(left("spark-sql", changes, more, "inner"), /function "Only -- Apple; DROP TABLE x" between kafka-in and here/);
    assert.match(left("spark-sql", changes, more, "inner"), /synthetic-gen leads here, too/);
    // A name cannot leave the comment.
    for (const as of EXPORT_FORMATS) assert.ok(!/^-- Apple/m.test(text(as, changes, more, "inner")), as);
  });

  it("says what the flow does beyond the job", () => {
    const notes = left("pyspark", { in: { onFailure: "dead-letter", wires: [["explode"], ["letters"]] }, explode: { dedupe: 60, other: "pass" }, out: { evolve: "add-columns", maintenance: true, createTable: false } }, [{ id: "letters", type: "kafka-out", z: "tab", broker: "broker", topic: "iex_dead", wires: [[]] }]);
    for (const part of [/topic iex_dead/, /seen within 60 s/, /passes other messages/, /New fields/, /rewrite_data_files/, /The table is not created/, /250,000 rows/, /watermarks/]) assert.match(notes, part);
    assert.ok(!text("pyspark", { out: { createTable: false } }).includes("CREATE TABLE"));
  });

  it("refuses what cannot be a job, and says why", () => {
    refused(/No kafka-in leads to iceberg-out "Table", only synthetic-gen/, { in: { wires: [[], []] } }, [{ id: "gen", type: "synthetic-gen", z: "tab", wires: [["explode"]] }]);
    refused(/No kafka-in leads to/, { in: { d: true } });
    // Dead letters and rejects are not the data.
    refused(/No kafka-in leads to/, { in: { wires: [[], ["explode"]] } });
    refused(/named by each message/, { out: { table: "table", tableType: "msg" } });
    refused(/has no kafka-broker/, { in: { broker: "" } });
    refused(/has no iceberg-catalog/, { out: { catalog: "" } });
    refused(/msg\.topic/, { to: { topic: "" } }, [], "to");
    refused(/nothing to transform/, { in: { wires: [["to"], []] } }, [], "to");
    refused(/A debug is no sink/, {}, [{ id: "d", type: "debug", wires: [] }], "d");
    refused(/not in the flow/, {}, [], "nowhere");
  });

  it("every sink behind a kafka-in of the shipped flows", () => {
    let exported = 0;
    for (const { name, nodes } of shippedFlows()) for (const node of nodes) if (node.type === "iceberg-out" || node.type === "kafka-out") for (const as of EXPORT_FORMATS) {
      try {
        const job = exportJob(nodes as unknown as ExportNode[], node.id, as, "/data").text;
        exported++;
        assert.ok(!/undefined|\[object/.test(job), name);
      } catch (error) {
        assert.match((error as Error).message, /No kafka-in leads to|Spark SQL reads from Kafka|nothing to transform/, name);
      }
    }
    assert.ok(exported >= 10, String(exported));
  });

  it("names the versions that the tests run", () => {
    const stack = readFileSync(join(root, "scripts", "stack.mjs"), "utf8");
    has(stack, `spark-sql-kafka-0-10_${SPARK_VERSIONS.scala}:${SPARK_VERSIONS.kafka}`, `iceberg-spark-runtime-${SPARK_VERSIONS.spark}_${SPARK_VERSIONS.scala}:${SPARK_VERSIONS.iceberg}`, `hadoop-aws:${SPARK_VERSIONS.hadoopAws}`, `pyspark==${SPARK_VERSIONS.spark}`);
    assert.match(FLINK_VERSIONS.flink, /^2\.[1-9]/);
  });
});
