/** From the command line of `ticklake pinot` to what lib/pinot is asked with. Pure but for the reading of files that is handed in. */
import { TicklakeError } from "../errors";
import { parsePinot, type PinotOptions, type Variable } from "../pinot/settings";
import { isObject } from "../pinot/table/merge";
import { type JsonObject, parseTable, type TableSettings } from "../pinot/table/settings";
import { streamOf } from "../pinot/table/status";
import { type Asked, UsageError } from "./arguments";
import { settingOf } from "./settings";

/** Where Pinot is, and who asks: --controller and --broker before the environment. @throws TicklakeError CONFIG_INVALID */
export function pinotOf(asked: Pick<Asked, "command" | "values">, variable: Variable): PinotOptions {
  return parsePinot({ controllerUrl: settingOf(asked, "controller", variable), brokerUrl: settingOf(asked, "broker", variable) }, {}, variable);
}

/**
 * The settings of the table that `pinot create` makes: files are laid over what is usual, and what the command line names over them.
 *
 * @param read the text of a file
 * @throws TicklakeError CONFIG_INVALID, TABLE_NAME_INVALID, what `read` throws
 */
export function pinotTableOf(asked: Asked, variable: Variable, read: (file: string) => string): TableSettings {
  const { values } = asked;
  const setting = (name: string): string => settingOf(asked, name, variable);
  const fileOf = (option: string): JsonObject => (values.has(option) ? objectIn(values.get(option)!, read) : {});
  const { tableName, ...config } = fileOf("table-config");
  const { schemaName, ...schema } = fileOf("schema");
  // Named in messages, so they are those that hold.
  const stream = streamOf(config);
  return parseTable({
    table: values.has("table") ? setting("table") : tableName ?? schemaName ?? setting("table"),
    topic: values.has("topic") ? setting("topic") : stream.topic || setting("topic"), kafkaBrokers: values.has("kafka-brokers") ? setting("kafka-brokers") : stream.brokers || setting("kafka-brokers"), retentionDays: setting("retention-days"), flushRows: setting("flush-rows"),
    replication: setting("replication"), starTree: setting("star-tree") === "on", names: setting("names"),
    overrides: { ...withoutNamed(config, new Set(values.keys())), ...(Object.keys(schema).length > 0 ? { schema } : {}) },
  });
}

/** Where in a table's configuration options stand. */
const SEGMENTS: Readonly<Record<string, readonly string[]>> = { "replication": ["replication", "replicasPerPartition"], "retention-days": ["retentionTimeUnit", "retentionTimeValue"] };
const STREAM: Readonly<Record<string, readonly string[]>> = { "topic": ["stream.kafka.topic.name"], "kafka-brokers": ["stream.kafka.broker.list"], "flush-rows": ["realtime.segment.flush.threshold.rows"] };

/** A file's configuration without what the command line says otherwise. */
function withoutNamed(config: JsonObject, named: ReadonlySet<string>): JsonObject {
  const left = (part: unknown, places: typeof SEGMENTS): unknown => {
    const gone = new Set([...named].flatMap((option) => places[option] ?? []));
    return isObject(part) ? Object.fromEntries(Object.entries(part).filter(([name]) => !gone.has(name))) : part;
  };
  const ingestion = config["ingestionConfig"], stream = isObject(ingestion) ? ingestion["streamIngestionConfig"] : undefined;
  const maps = isObject(stream) ? stream["streamConfigMaps"] : undefined;
  return {
    ...config, ...("segmentsConfig" in config ? { segmentsConfig: left(config["segmentsConfig"], SEGMENTS) } : {}),
    ...(isObject(ingestion) && isObject(stream) && Array.isArray(maps) ? { ingestionConfig: { ...ingestion, streamIngestionConfig: { ...stream, streamConfigMaps: maps.map((map: unknown) => left(map, STREAM)) } } } : {}),
  };
}

function objectIn(file: string, read: (file: string) => string): JsonObject {
  const text = read(file);
  let parsed: unknown;
  // Without the parser's words: they quote the text, and a password for Kafka may stand in it.
  try { parsed = JSON.parse(text) as unknown; } catch { parsed = undefined; }
  if (!isObject(parsed)) throw new TicklakeError("CONFIG_INVALID", `${file} holds no JSON object. Write it as Pinot's console shows it: {"tableName": ...}.`);
  return parsed;
}

/**
 * The values of `--param name=value`: numbers, true, false and null as such, whole numbers beyond 2^53 and everything else as text.
 *
 * @throws UsageError
 */
export function pinotParams(pairs: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(pairs.map((pair) => {
    const [, name, text] = /^([A-Za-z_]\w*)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined || text === undefined) throw new UsageError(`--param takes name=value, not "${pair}".`, "pinot query");
    return [name, valueOf(text)];
  }));
}

function valueOf(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  const number = Number(text);
  // Only what reads back as it was written: "007" and numbers that would lose digits are texts.
  return /^-?\d/.test(text) && String(number) === text && (Number.isSafeInteger(number) || !Number.isInteger(number)) ? number : text;
}
