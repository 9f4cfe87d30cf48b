/**
 * From a table's settings to what Pinot is told: schema and table configuration in the form of the controller's version. Pure.
 */
import { isAtLeast, kafkaPlugin, type PinotVersion } from "../version";
import { mergedObject } from "./merge";
import type { JsonObject, Naming, TableSettings } from "./settings";

/** Both, as they are sent. */
export interface TableConfig { readonly schema: JsonObject; readonly table: JsonObject }

interface Column { readonly documented: string; readonly readable: string; readonly type: "STRING" | "LONG" | "DOUBLE"; readonly kind: "dimension" | "metric"; readonly many?: true }

/** Of a trade; its time, `timestamp` under both names, is apart. */
const COLUMNS: readonly Column[] = [
  { documented: "T", readable: "type", type: "STRING", kind: "dimension" },
  { documented: "S", readable: "symbol", type: "STRING", kind: "dimension" },
  { documented: "i", readable: "id", type: "LONG", kind: "dimension" },
  { documented: "x", readable: "exchange", type: "STRING", kind: "dimension" },
  { documented: "c", readable: "conditions", type: "STRING", kind: "dimension", many: true },
  { documented: "z", readable: "tape", type: "STRING", kind: "dimension" },
  { documented: "p", readable: "price", type: "DOUBLE", kind: "metric" },
  { documented: "s", readable: "size", type: "LONG", kind: "metric" },
];

export const TIME_COLUMN = "timestamp";

/** What a trade's field is called in the table. */
export const columnName = (documented: string, names: Naming): string => COLUMNS.find((column) => column.documented === documented)?.[names] ?? documented;

/** The configuration that a table of these settings has on a cluster of that version. */
export function tableConfig(settings: TableSettings, version: PinotVersion): TableConfig {
  const { schema: schemaOverrides, ...tableOverrides } = settings.overrides;
  const over = (typeof schemaOverrides === "object" && schemaOverrides !== null ? schemaOverrides : {}) as JsonObject;
  return { schema: mergedObject(schemaOf(settings, version), over), table: mergedObject(tableOf(settings, version), tableOverrides) };
}

function schemaOf({ table, names }: TableSettings, version: PinotVersion): JsonObject {
  const fields = (kind: Column["kind"]): JsonObject[] => COLUMNS.filter((column) => column.kind === kind)
    .map((column) => ({ name: column[names], dataType: column.type, ...(column.many ? { singleValueField: false } : {}) }));
  const [format, granularity] = isAtLeast(version, 1, 0) ? ["EPOCH|MILLISECONDS|1", "MILLISECONDS|1"] : ["1:MILLISECONDS:EPOCH", "1:MILLISECONDS"];
  return {
    schemaName: table, dimensionFieldSpecs: fields("dimension"), metricFieldSpecs: fields("metric"),
    dateTimeFieldSpecs: [{ name: TIME_COLUMN, dataType: "LONG", format, granularity }],
  };
}

function tableOf(settings: TableSettings, version: PinotVersion): JsonObject {
  const { table, names, retentionDays, replication, starTree } = settings;
  const named = (documented: string): string => columnName(documented, names);
  const since1 = isAtLeast(version, 1, 0);
  return {
    tableName: table, tableType: "REALTIME",
    segmentsConfig: {
      timeColumnName: TIME_COLUMN, retentionTimeUnit: "DAYS", retentionTimeValue: String(retentionDays), replication: String(replication),
      // Needed until 1.0, and the same thing.
      ...(since1 ? {} : { replicasPerPartition: String(replication) }),
    },
    tenants: {},
    tableIndexConfig: {
      loadMode: "MMAP", invertedIndexColumns: [named("S"), named("x")], rangeIndexColumns: [TIME_COLUMN],
      // So that a reload gives a star-tree to segments that were sealed without one.
      enableDynamicStarTreeCreation: true,
      ...(starTree ? {
        starTreeIndexConfigs: [{
          dimensionsSplitOrder: [named("S"), named("x")],
          functionColumnPairs: ["COUNT__*", `SUM__${named("s")}`, `MIN__${named("p")}`, `MAX__${named("p")}`, `AVG__${named("p")}`], maxLeafRecords: 10_000,
        }],
      } : {}),
    },
    ingestionConfig: {
      // A row that cannot be read never stops the stream; a time that cannot be (a year 50000) never enters a segment's range.
      ...(since1 ? { continueOnError: true, rowTimeValueCheck: true } : {}),
      streamIngestionConfig: { streamConfigMaps: [streamOf(settings, version)] },
      ...(names === "readable" ? { transformConfigs: COLUMNS.map((column) => ({ columnName: column.readable, transformFunction: column.documented })) } : {}),
    },
    metadata: {},
  };
}

function streamOf({ topic, kafkaBrokers, flushRows }: TableSettings, version: PinotVersion): JsonObject {
  return {
    "streamType": "kafka",
    "stream.kafka.topic.name": topic,
    "stream.kafka.broker.list": kafkaBrokers,
    "stream.kafka.consumer.type": "lowlevel",
    "stream.kafka.consumer.factory.class.name": `org.apache.pinot.plugin.stream.${kafkaPlugin(version)}.KafkaConsumerFactory`,
    "stream.kafka.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
    "stream.kafka.consumer.prop.auto.offset.reset": "smallest",
    // The topic is written in transactions: what was aborted is no trade.
    "stream.kafka.isolation.level": "read_committed",
    "realtime.segment.flush.threshold.rows": String(flushRows),
    "realtime.segment.flush.threshold.time": "24h",
  };
}

/** Columns of a schema that are one to a cluster that folds case: `[["S", "s"]]`. */
export function foldedColumns(schema: JsonObject): string[][] {
  const groups = new Map<string, string[]>();
  for (const name of fieldsOf(schema).map((field) => String(field["name"]))) groups.set(name.toLowerCase(), [...groups.get(name.toLowerCase()) ?? [], name]);
  return [...groups.values()].filter((names) => names.length > 1);
}

/** Every column of a schema with the list that it stands in. */
export function fieldsOf(schema: JsonObject): JsonObject[] {
  return ["dimensionFieldSpecs", "metricFieldSpecs", "dateTimeFieldSpecs"].flatMap((list) => ((schema[list] ?? []) as JsonObject[]).map((field) => ({ ...field, list })));
}
