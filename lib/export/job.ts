/** From the nodes of a flow to the job that leads to one of its sinks. Pure. */
import { TicklakeError } from "../errors";
import { parseTopics, parseTime, type StartingOffsets } from "../kafka/source/config";
import { parseExplodeConfig } from "../trades/explode-config";
import { parseDuration } from "../units";
import { FlowGraph } from "./graph";
import { readCluster, readTarget } from "./settings";
import type { ExportNode, Job, SourceSettings, Transform } from "./types";
import { Variables } from "./variables";

/** What has no part in what a message holds. */
const TRANSPARENT = new Set(["junction", "link in", "link out", "delay"]);
const SINKS = new Set(["iceberg-out", "kafka-out"]);
const SOURCES = new Set(["kafka-in", "synthetic-gen", "csv-replay", "alpaca-in"]);

const invalid = (message: string): TicklakeError => new TicklakeError("CONFIG_INVALID", message);

/** How a node is called: its name where it has one. */
export const called = (node: ExportNode): string => `${node.type}${typeof node["name"] === "string" && node["name"] !== "" ? ` "${node["name"]}"` : ""}`;

/**
 * The job that ends at a sink: the kafka-in and the explode-trades nearest upstream of it, and what else the flow does on the way, in words.
 *
 * @param nodes of the whole flow file, or of the editor; without credentials
 * @param id of an iceberg-out or kafka-out
 * @param userDir what a relative warehouse is relative to
 * @throws TicklakeError CONFIG_INVALID saying what an export needs that the flow does not have; SCHEMA_INVALID, PARTITION_SPEC_INVALID, TABLE_NAME_INVALID, CATALOG_INVALID
 */
export function readJob(nodes: readonly ExportNode[], id: string, userDir: string): Job {
  const graph = new FlowGraph(nodes);
  const sink = graph.nodes.get(id);
  if (!sink || !SINKS.has(sink.type)) throw invalid(sink ? `A ${sink.type} is no sink. Export an iceberg-out or a kafka-out.` : "The node is not in the flow, or is disabled.");
  const notCarried: string[] = [];
  const ends = (node: ExportNode): boolean => SOURCES.has(node.type);
  // Dead letters and rejects are not the data; nor is what a sink tells of its writes.
  const follows = (node: ExportNode, port: number): boolean => !SINKS.has(node.type) && (port === 0 || (node.type !== "kafka-in" && node.type !== "explode-trades"));
  const upstream = graph.upstream(sink.id, ends, follows);
  const source = upstream.find(({ type }) => type === "kafka-in");
  if (!source) throw invalid(noSource(sink, upstream));
  for (const node of upstream) if (node !== source && SOURCES.has(node.type)) notCarried.push(`${called(node)} leads here, too: this job reads from ${called(source)} alone.`);
  const way = upstream.filter((node) => !SOURCES.has(node.type) && graph.upstream(node.id, ends, follows).includes(source));

  const variables = new Variables(graph.nodes, sink);
  const explode = way.find(({ type }) => type === "explode-trades");
  for (const node of way) if (node !== explode && !TRANSPARENT.has(node.type) && !setsOnlyTopic(node)) notCarried.push(`${called(node)} between ${called(source)} and here: what it changes or filters must be written into the SELECT.`);
  const config = (node: unknown): ExportNode | undefined => graph.nodes.get(typeof node === "string" ? node : "");
  const names = explode ? parseExplodeConfig(filled(explode, variables, ["names", "other", "dedupe"])) : undefined;
  const target = readTarget({ sink, config, variables, userDir, way, names: names?.names, notCarried });
  const transform: Transform = names ? { kind: "trades", names: names.names }
    : target.kind === "iceberg" ? { kind: "rows", schema: target.schema }
      : throwing(`No explode-trades lies between ${called(source)} and ${called(sink)}: there is nothing to transform, and no engine is needed to copy a topic.`);
  if (names && names.dedupeMs > 0) notCarried.push(`${called(explode!)} drops trades that it has seen within ${names.dedupeMs / 1000} s: Spark has dropDuplicatesWithinWatermark(["S", "x", "i"]) for it, Flink ROW_NUMBER() over S, x, i.`);
  if (names?.other === "pass") notCarried.push(`${called(explode!)} passes other messages than trades on: they are left out here.`);
  sourceNotes(source, graph, notCarried);
  return {
    title: called(sink), flow: String(graph.nodes.get(String(sink["z"] ?? ""))?.["label"] ?? ""),
    source: readSource(source, config, variables, notCarried), transform, target,
    intervalMs: sink.type === "iceberg-out" ? interval(variables.fill(sink["commitInterval"] ?? "10"), notCarried) : 10_000,
    variables: variables.used, notCarried,
  };
}

/** A change node that says where a message goes, and changes nothing in it. */
function setsOnlyTopic({ type, rules }: ExportNode): boolean {
  return type === "change" && Array.isArray(rules) && (rules as Record<string, unknown>[]).every(({ t, p, pt }) => t === "set" && p === "topic" && (pt === "msg" || pt === undefined));
}

const throwing = (message: string): never => { throw invalid(message); };

function noSource(sink: ExportNode, upstream: readonly ExportNode[]): string {
  const other = upstream.find(({ type }) => SOURCES.has(type));
  return `No kafka-in leads to ${called(sink)}${other ? `, only ${called(other)}` : ""}. Spark and Flink read from Kafka: put a kafka-out and a kafka-in between, or export the sink behind your kafka-in.`;
}

/** Some properties of a node with their variables filled in. */
function filled(node: ExportNode, variables: Variables, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, variables.fill(node[name])]));
}

function readSource(node: ExportNode, config: (id: unknown) => ExportNode | undefined, variables: Variables, notCarried: string[]): SourceSettings {
  const broker = config(node["broker"]);
  if (!broker) throw invalid(`${called(node)} has no kafka-broker. Choose one.`);
  const { topics, groupId, startingOffsets, startingTimestamp } = filled(node, variables, ["topics", "groupId", "startingOffsets", "startingTimestamp"]);
  return {
    name: called(node), cluster: readCluster(broker, config, variables), groupId: groupId ?? "",
    // A variable that is not known here may stand for topics; it is filled in where the job runs.
    topics: /^\$\{[^}]+\}$/.test(topics ?? "") ? [topics!] : parseTopics(topics),
    starting: starting(startingOffsets ?? "", startingTimestamp ?? "", notCarried),
  };
}

function starting(offsets: string, timestamp: string, notCarried: string[]): StartingOffsets {
  if (offsets === "timestamp") return { timestamp: parseTime(timestamp, "startingTimestamp") };
  if (offsets !== "" && offsets !== "latest" && offsets !== "earliest") notCarried.push(`startingOffsets is ${offsets}, which is not known here: latest stands in its place.`);
  return offsets === "earliest" ? "earliest" : "latest";
}

function interval(text: string, notCarried: string[]): number {
  if (!text.includes("${")) return Math.max(parseDuration(text === "" ? 10 : text, "commitInterval"), 1);
  notCarried.push(`commitInterval is ${text}, which is not known here: 10 seconds stand in its place.`);
  return 10_000;
}

function sourceNotes(source: ExportNode, graph: FlowGraph, notCarried: string[]): void {
  if (source["onFailure"] === "dead-letter") {
    const letters = [...graph.nodes.values()].filter((node) => node.type === "kafka-out" && graph.upstream(node.id, ({ type }) => SOURCES.has(type), (node2, port) => node2 !== source || port === 1).includes(source))
      .filter((node) => ((source["wires"] as string[][] | undefined)?.[1] ?? []).includes(node.id));
    notCarried.push(`${called(source)} sets records aside that fail${letters.length > 0 ? ` (${letters.map((node) => `topic ${String(node["topic"] || "of msg.topic")}`).join(", ")})` : ""}: here a record that is no JSON is left out.`);
  }
  const rejects = [...graph.nodes.values()].some((node) => node.type === "explode-trades" && ((node["wires"] as string[][] | undefined)?.[1] ?? []).length > 0);
  if (rejects) notCarried.push("What explode-trades rejects goes to its output 2, with a reason: here such elements are left out by the WHERE.");
}
