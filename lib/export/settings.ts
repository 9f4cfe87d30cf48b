/** The settings of clusters, catalogs and sinks as they stand in a flow, for another engine. Pure. */
import { isAbsolute, resolve } from "node:path";
import { TicklakeError } from "../errors";
import { parseIdentifier } from "../iceberg/catalog/identifier";
import { secretProperties } from "../iceberg/catalog/settings";
import { parseSchema, presetSchema, TRADES_READABLE_SCHEMA, TRADES_SCHEMA } from "../iceberg/schema";
import { parsePartitionBy } from "../iceberg/transforms";
import { parseSinkOptions } from "../iceberg/sink/options";
import type { Schema } from "../iceberg/types";
import type { TradeNames } from "../trades/types";
import type { CatalogDescription, ClusterSettings, ExportNode, IcebergTarget, KafkaTarget, TlsSettings } from "./types";
import type { Variables } from "./variables";

const invalid = (message: string): TicklakeError => new TicklakeError("CONFIG_INVALID", message);
const flag = (value: unknown, fallback: boolean): boolean => (value === undefined || value === "" ? fallback : value === true || value === "true");
/** An address without the user and password that may stand in it. */
const withoutUser = (address: string): string => address.replace(/\/\/[^/@\s]*@/, "//");

export interface TargetRequest {
  readonly sink: ExportNode;
  readonly config: (id: unknown) => ExportNode | undefined;
  readonly variables: Variables;
  readonly userDir: string;
  /** Nodes between source and sink, the nearest first. */
  readonly way: readonly ExportNode[];
  readonly names: TradeNames | undefined;
  /** Takes what cannot be told. */
  readonly notCarried: string[];
}

/** How a cluster is reached; names and passwords are left to the environment. @throws TicklakeError CONFIG_INVALID for brokers with a user name */
export function readCluster(broker: ExportNode, config: TargetRequest["config"], variables: Variables): ClusterSettings {
  const brokers = variables.fill(broker["brokers"]) || "localhost:9092";
  // Not shown: it may be a secret.
  if (brokers.includes("@")) throw invalid("A broker's address holds no user name. Write host:port, and enter name and password as SASL credentials.");
  const tls = config(broker["tls"]);
  return {
    brokers: brokers.split(/[\s,;]+/).filter(Boolean).map((one) => (/:\d+$/.test(one) || one.includes("${") ? one : `${one}:9092`)).join(","),
    saslMechanism: ((variables.fill(broker["saslMechanism"]) || "none").toLowerCase()) as ClusterSettings["saslMechanism"],
    oauthTokenEndpoint: withoutUser(variables.fill(broker["oauthTokenEndpoint"])), oauthScope: variables.fill(broker["oauthScope"]),
    tls: tls ? readTls(tls, variables) : undefined,
  };
}

function readTls(node: ExportNode, variables: Variables): TlsSettings {
  const file = (name: string): string => variables.fill(node[name]);
  return { ca: file("ca"), cert: file("cert"), key: file("key"), verify: flag(node["verifyservercert"], true) };
}

/** @throws TicklakeError saying what the sink lacks to be exported */
export function readTarget(request: TargetRequest): IcebergTarget | KafkaTarget {
  return request.sink.type === "iceberg-out" ? readIceberg(request) : readKafka(request);
}

function readIceberg({ sink, config, variables, userDir, names, notCarried }: TargetRequest): IcebergTarget {
  const described = config(sink["catalog"]);
  if (!described) throw invalid("iceberg-out has no iceberg-catalog. Choose one.");
  const catalog = readCatalog(described, variables, userDir, notCarried);
  const raw = Object.fromEntries(Object.entries(sink).map(([key, value]) => [key, typeof value === "string" ? variables.fill(value) : value]));
  // The interval is read apart: a variable that is not known must not refuse the export.
  const options = parseSinkOptions({ ...withoutUnknown(raw, ["maxRows", "maxBytes", "codec", "evolve"], notCarried), table: "", commitInterval: "" }, sink.id);
  const table = typed(sink, "table", variables, "db.flattened_stocks");
  if (table === undefined) throw invalid("The table is named by each message. Enter one in the dialog to export the job.");
  const identifier = parseIdentifier(table, catalog.name);
  const schema = schemaOf(options.schema, names);
  if (options.partitionBy !== "") parsePartitionBy(options.partitionBy, schema);
  notCarried.push(`A commit is due at ${options.maxRows.toLocaleString("en-US")} rows or ${options.maxBytes.toLocaleString("en-US")} bytes, too: here the interval alone counts.`);
  if (!options.exactlyOnce) notCarried.push("exactlyOnce is off: this job writes exactly once all the same, by its checkpoints.");
  if (options.evolve === "add-columns") notCarried.push("New fields of the rows become columns of the table: here only the columns that the SELECT names are written.");
  if (options.maintenance) notCarried.push(`Maintenance by itself: run CALL ${catalog.name}.system.rewrite_data_files and expire_snapshots in Spark, or leave it to iceberg-table.`);
  return { kind: "iceberg", catalog, table: [...identifier.namespace, identifier.name], create: options.createTable, schema, partitionBy: options.partitionBy, codec: options.codec };
}

/** Properties whose variable is not known here are left to their defaults. */
function withoutUnknown(raw: Record<string, unknown>, names: readonly string[], notCarried: string[]): Record<string, unknown> {
  const kept = { ...raw };
  for (const name of names) if (typeof kept[name] === "string" && kept[name].includes("${")) {
    notCarried.push(`${name} is ${kept[name]}, which is not known here: its default stands in its place.`);
    delete kept[name];
  }
  return kept;
}

function schemaOf(text: string, names: TradeNames | undefined): Schema {
  if (text !== "infer") return presetSchema(text) ?? parseSchema(text);
  if (names === undefined) throw invalid("The columns are drawn from the first rows. Choose or enter columns in the dialog to export the job.");
  return names === "readable" ? TRADES_READABLE_SCHEMA : TRADES_SCHEMA;
}

function readCatalog(node: ExportNode, variables: Variables, userDir: string, notCarried: string[]): CatalogDescription {
  const text = (name: string): string => variables.fill(node[name]);
  const type = text("catalogType") === "rest" ? "rest" : "hadoop";
  const given = text("properties");
  const secrets = given.includes("${") ? [] : secretProperties(given);
  const parsed = given === "" || given.includes("${") ? {} : JSON.parse(given) as Record<string, unknown>;
  if (given.includes("${")) notCarried.push("The catalog's properties hold a variable that is not known here: they are left out.");
  if (secrets.length > 0) notCarried.push(`Secrets among the catalog's properties: ${secrets.join(", ")}. Give them where the job runs.`);
  const set = node.credentialsSet ?? [];
  return {
    name: text("catalogName") || "local", type, warehouse: withoutUser(type === "rest" ? text("warehouse") : place(text("warehouse") || "./warehouse", userDir)), uri: withoutUser(text("uri")),
    s3Endpoint: withoutUser(text("s3Endpoint")), s3Region: text("s3Region") || "us-east-1", s3PathStyle: flag(node["s3PathStyle"], true), sigv4: flag(node["sigv4"], false),
    auth: set.includes("clientCredential") ? "oauth2" : set.includes("token") ? "token" : "none",
    properties: Object.fromEntries(Object.entries(parsed).filter(([name, value]) => !secrets.includes(name) && value !== null && typeof value !== "object").map(([name, value]) => [name, String(value)])),
  };
}

/** A folder of the machine that runs Node-RED, absolute; addresses as they are. */
function place(warehouse: string, userDir: string): string {
  if (/^[a-z][a-z0-9+.-]+:/i.test(warehouse) || warehouse.startsWith("${") || warehouse.startsWith("~") || isAbsolute(warehouse)) return warehouse.length > 1 ? warehouse.replace(/\/+$/, "") : warehouse;
  return resolve(userDir, warehouse);
}

function readKafka({ sink, config, variables, way, notCarried }: TargetRequest): KafkaTarget {
  const broker = config(sink["broker"]);
  if (!broker) throw invalid("kafka-out has no kafka-broker. Choose one.");
  const topic = typed(sink, "topic", variables, "") || topicSetBy(way, variables);
  if (topic === undefined || topic === "") throw invalid("The topic is named by each message (msg.topic). Enter one in the dialog to export the job.");
  if (sink["send"] === "batch") notCarried.push("kafka-out sends arrays (send is batch): here every trade is a message of its own.");
  if (flag(sink["createTopic"], true)) notCarried.push("kafka-out creates a topic that is missing: create it before, or let the brokers do so.");
  return {
    kind: "kafka", cluster: readCluster(broker, config, variables), topic, key: sink["send"] === "batch" ? "" : variables.fill(sink["key"]), compression: variables.fill(sink["compression"]) || "none",
    transactional: flag(sink["transactional"], false), transactionalIdPrefix: variables.fill(sink["transactionalIdPrefix"]) || `ticklake-${sink.id}`,
  };
}

/** What a typed input holds, where that is known before there are messages. */
function typed(node: ExportNode, name: string, variables: Variables, fallback: string): string | undefined {
  const type = node[`${name}Type`] ?? "str";
  if (type === "env") return variables.env(node[name]);
  if (type !== "str") return undefined;
  return variables.fill(node[name] ?? fallback) || undefined;
}

/** The topic that a change node on the way sets for every message. */
function topicSetBy(way: readonly ExportNode[], variables: Variables): string | undefined {
  for (const node of way) {
    if (node.type !== "change" || !Array.isArray(node["rules"])) continue;
    const rule = (node["rules"] as Record<string, unknown>[]).filter(({ t, p, pt }) => t === "set" && p === "topic" && (pt === "msg" || pt === undefined)).at(-1);
    if (rule) return rule["tot"] === "env" ? variables.env(rule["to"]) : rule["tot"] === "str" ? variables.fill(rule["to"]) : undefined;
  }
  return undefined;
}
