/**
 * The commands of `ticklake` and their parameters: names and defaults are those of the documented pipeline. Help, checks and the
 * environment of the flow all come from here. Pure.
 */

import { BROKER_URL } from "../pinot/settings";

/** One `--name value`. */
export interface Parameter {
  readonly name: string;
  /** What stands for the value in help. */
  readonly value?: string;
  /** list: several words may follow; flag: none. */
  readonly kind: "text" | "whole" | "number" | "duration" | "list" | "choice" | "flag";
  readonly choices?: readonly string[];
  /** Least value of numbers. */
  readonly least?: number;
  /** What holds without it, as the flow has it; undefined: nothing. */
  readonly default?: string;
  /** The variable of the flow that it sets. */
  readonly env?: string;
  readonly help: string;
  /** It may be given more than once. */
  readonly many?: boolean;
  /** It is taken for the sake of documented command lines, does nothing, and this is what replaces it. */
  readonly replacedBy?: string;
  /** Its value must never be shown. */
  readonly secret?: boolean;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Words after the command's name that are no option. */
  readonly positionals?: { readonly usage: string; readonly least: number; readonly most: number };
  readonly parameters: readonly Parameter[];
  readonly example: string;
}

const BROKERS: Parameter = { name: "kafka-brokers", value: "host:port,...", kind: "list", default: "localhost:9092", env: "KAFKA_BROKERS", help: "Kafka broker addresses" };
const TOPIC: Parameter = { name: "topic", value: "name", kind: "text", default: "iex_data", env: "SOURCE_TOPIC", help: "destination Kafka topic; created when missing" };
const PARTITIONS: Parameter = { name: "partitions", value: "n", kind: "whole", least: 1, default: "3", env: "PARTITIONS", help: "partitions of a topic that is created" };
const REPLICATION: Parameter = { name: "replication-factor", value: "n", kind: "whole", least: 1, default: "1", env: "REPLICATION_FACTOR", help: "replication factor of a topic that is created" };
const HELP: Parameter = { name: "help", kind: "flag", help: "this text" };
const QUIET: Parameter = { name: "quiet", kind: "flag", help: "no progress; warnings, errors and statistics stay" };
const TO_KAFKA = [BROKERS, TOPIC, PARTITIONS, REPLICATION] as const;
const OF_ALL = [QUIET, HELP] as const;

const SOURCE_TOPIC: Parameter = { name: "source-topic", value: "name", kind: "text", default: "iex_data", env: "SOURCE_TOPIC", help: "source Kafka topic" };
const DEST_TOPIC: Parameter = { name: "dest-topic", value: "name", kind: "text", default: "flattened_stocks", env: "DEST_TOPIC", help: "destination Kafka topic; created when missing" };
const TABLE: Parameter = { name: "iceberg-table", value: "name", kind: "text", default: "local.db.flattened_stocks", env: "ICEBERG_TABLE", help: "Iceberg table; created when missing" };
const CATALOG: readonly Parameter[] = [
  { name: "iceberg-catalog", value: "name", kind: "text", default: "spark_catalog", env: "ICEBERG_CATALOG", help: "name of the catalog in table names; spark_catalog and local mean the same one" },
  { name: "iceberg-warehouse", value: "place", kind: "text", default: "s3a://warehouse/", env: "ICEBERG_WAREHOUSE", help: "where the tables lie: s3a://bucket/folder, or a folder of this machine" },
  { name: "s3-endpoint", value: "url", kind: "text", default: "http://localhost:9000", env: "S3_ENDPOINT", help: "MinIO or S3 endpoint" },
  { name: "s3-access-key", value: "key", kind: "text", default: "minioadmin", env: "AWS_ACCESS_KEY_ID", secret: true, help: "S3 access key; better in AWS_ACCESS_KEY_ID, where other users of the machine do not see it" },
  { name: "s3-secret-key", value: "key", kind: "text", default: "minioadmin", env: "AWS_SECRET_ACCESS_KEY", secret: true, help: "S3 secret key; better in AWS_SECRET_ACCESS_KEY" },
];

const FORMAT: Parameter = { name: "format", value: "name", kind: "choice", choices: ["table", "json", "jsonl", "csv"], default: "table", help: "how the rows are printed; json and jsonl: one object per line" };
const REST_URI: Parameter = { name: "rest-uri", value: "url", kind: "text", env: "ICEBERG_REST_URI", help: "a REST catalog instead of a folder; --iceberg-warehouse is then its name there" };
/** The documentation gives port 9000 to Pinot's console and to the S3 store; here the store keeps it. */
const STACK_CONTROLLER = "http://localhost:9002";
const PINOT_TABLE: Parameter = { name: "table", value: "name", kind: "text", default: "flattened_stocks", env: "PINOT_TABLE", help: "Pinot's real-time table" };
const CONTROLLER: Parameter = { name: "controller", value: "url", kind: "text", default: STACK_CONTROLLER, env: "PINOT_CONTROLLER_URL", help: "Pinot's controller" };
const BROKER: Parameter = { name: "broker", value: "url", kind: "text", default: BROKER_URL, env: "PINOT_BROKER_URL", help: "Pinot's broker" };

const GROUP_REPLACES = "There is no checkpoint folder: the consumer group (--group-id, GROUP_ID) holds how far the topic is read, and what is written to the destination topic is committed together with it.";
const WATERMARK_REPLACES = "There is no checkpoint folder: every snapshot of the table holds how far it is (its watermarks). To begin anew use another --group-id, or reset-offsets of iceberg-table.";

const OWN: readonly Command[] = [
  {
    name: "generate", summary: "synthetic trades into a Kafka topic (the documented sample data generator)",
    parameters: [
      BROKERS, TOPIC,
      { name: "symbols", value: "S ...", kind: "list", default: "AAPL GOOGL MSFT", env: "SYMBOLS", help: "stock symbols to generate" },
      { name: "batch-size", value: "n", kind: "whole", least: 1, default: "50", env: "BATCH_SIZE", help: "records per batch" },
      { name: "interval", value: "seconds", kind: "duration", default: "1", env: "INTERVAL", help: "seconds between batches; 0 = as fast as Kafka takes them" },
      { name: "batch-count", value: "n", kind: "whole", least: 0, default: "0", env: "BATCH_COUNT", help: "total batches (0 = infinite)" },
      PARTITIONS, REPLICATION, ...OF_ALL,
    ],
    example: "ticklake generate --symbols AAPL GOOGL MSFT AMZN TSLA --batch-size 100 --interval 2",
  },
  {
    name: "live", summary: "live trades from Alpaca into a Kafka topic (the documented WebSocket producer)",
    parameters: [
      ...TO_KAFKA,
      { name: "symbols", value: "S ...", kind: "list", default: "AAPL GOOGL MSFT AMZN TSLA", env: "SYMBOLS", help: "stock symbols; * means all" },
      { name: "batch-size", value: "n", kind: "whole", least: 1, default: "100", env: "BATCH_SIZE", help: "trades per message at the most" },
      { name: "feed", value: "name", kind: "choice", choices: ["iex", "sip", "delayed_sip", "test", "custom"], default: "iex", env: "ALPACA_FEED", help: "Alpaca's feed" },
      { name: "url", value: "url", kind: "text", env: "ALPACA_URL", help: "address of the stream; makes the feed custom" }, ...OF_ALL,
    ],
    example: "APCA_API_KEY_ID=... APCA_API_SECRET_KEY=... ticklake live --symbols AAPL MSFT",
  },
  {
    name: "replay", summary: "recorded trades of a CSV file into a Kafka topic (the documented historical replay)", positionals: { usage: "<file.csv[.gz]>", least: 1, most: 1 },
    parameters: [
      ...TO_KAFKA,
      { name: "pace", value: "name", kind: "choice", choices: ["original", "speed", "rate", "max"], default: "original", env: "CSV_PACE", help: "as recorded, N times as fast, at a rate, or as fast as Kafka takes them" },
      { name: "speed", value: "n", kind: "number", default: "1", env: "CSV_SPEED", help: "for pace speed: how many times as fast" },
      { name: "rate", value: "n", kind: "number", default: "1000", env: "CSV_RATE", help: "for pace rate: trades a second" },
      { name: "time-shift", value: "name", kind: "choice", choices: ["none", "now"], default: "none", env: "CSV_TIME_SHIFT", help: "now: as if the first trade happened at the start" },
      { name: "symbols", value: "S ...", kind: "list", env: "SYMBOLS", help: "only these; all without it" },
      { name: "batch-size", value: "n", kind: "whole", least: 1, default: "100", env: "BATCH_SIZE", help: "trades per message" },
      { name: "loop", kind: "flag", env: "CSV_LOOP", help: "again and again" },
      { name: "resume", kind: "flag", env: "CSV_RESUME", help: "go on where an earlier replay of this file into this topic was ended, killed or not: each trade exactly once" }, ...OF_ALL,
    ],
    example: "ticklake replay trades.csv.gz --pace speed --speed 10",
  },
  {
    name: "flatten", summary: "reads the topic of arrays, writes single trades to another topic and to an Iceberg table (the documented Spark job)",
    parameters: [
      BROKERS,
      SOURCE_TOPIC, DEST_TOPIC,
      { name: "checkpoint-kafka", value: "folder", kind: "text", default: "/tmp/checkpoints/kafka", help: "accepted, not needed", replacedBy: GROUP_REPLACES },
      { name: "checkpoint-iceberg", value: "folder", kind: "text", default: "/tmp/checkpoints/iceberg", help: "accepted, not needed", replacedBy: WATERMARK_REPLACES },
      TABLE, ...CATALOG,
      { name: "processing-time", value: "duration", kind: "duration", default: "10 seconds", env: "PROCESSING_TIME", help: "longest time between two commits" },
      { name: "output-mode", value: "mode", kind: "choice", choices: ["both", "kafka-only", "iceberg-only", "console-debug"], default: "both", env: "OUTPUT_MODE", help: "where the trades go" },
      { name: "starting-offsets", value: "where", kind: "choice", choices: ["latest", "earliest"], default: "latest", env: "STARTING_OFFSETS", help: "where a group that is new begins" },
      { name: "group-id", value: "name", kind: "text", default: "ticklake-flattener", env: "GROUP_ID", help: "consumer group; under it Kafka remembers how far was read" },
      PARTITIONS, REPLICATION, ...OF_ALL,
    ],
    example: 'ticklake flatten --output-mode both --starting-offsets earliest --processing-time "10 seconds"',
  },
  {
    name: "sql", summary: "asks Iceberg tables: time travel, metadata tables, aggregates", positionals: { usage: '"<SQL>"', least: 1, most: 1 },
    parameters: [
      ...CATALOG,
      REST_URI, FORMAT,
      { name: "max-rows", value: "n", kind: "whole", least: 1, default: "10000", help: "rows at the most" },
      { name: "allow-calls", kind: "flag", help: "also CALL ...: expire_snapshots, remove_orphan_files, rewrite_manifests, ..." }, HELP,
    ],
    example: 'ticklake sql "SELECT S AS symbol, COUNT(*) AS trades FROM local.db.flattened_stocks GROUP BY S"',
  },
  {
    name: "pinot create", summary: "makes the documented real-time table in Pinot, on the topic of single trades",
    parameters: [
      CONTROLLER, BROKER, PINOT_TABLE,
      { name: "kafka-brokers", value: "host:port,...", kind: "list", default: "localhost:9092", env: "PINOT_KAFKA_BROKERS", help: "Kafka as Pinot's servers reach it" },
      { name: "topic", value: "name", kind: "text", default: "flattened_stocks", env: "DEST_TOPIC", help: "the topic that the table reads" },
      { name: "replication", value: "n", kind: "whole", least: 1, default: "1", help: "replicas of each segment" },
      { name: "retention-days", value: "n", kind: "whole", least: 1, default: "7", help: "by the trades' own time: history needs more" },
      { name: "flush-rows", value: "n", kind: "whole", least: 1, default: "50000", help: "rows of a segment" },
      { name: "star-tree", value: "on|off", kind: "choice", choices: ["on", "off"], default: "on", help: "the index of sums per symbol and exchange" },
      { name: "names", value: "name", kind: "choice", choices: ["documented", "readable"], default: "documented", help: "S, p, s or symbol, price, size (for a Pinot that folds case)" },
      { name: "schema", value: "file.json", kind: "text", help: "a schema as Pinot has it; what it says is laid over the usual one" },
      { name: "table-config", value: "file.json", kind: "text", help: "a table's configuration as Pinot and the documentation have it; what it says is laid over the usual one" },
      { name: "if-not-exists", kind: "flag", help: "a table that is there is no error; what it has otherwise is told" },
      { name: "create-topic", kind: "flag", help: "also the topic, when it is missing (Kafka must answer here at the same address)" },
      PARTITIONS, REPLICATION,
      { name: "wait", value: "duration", kind: "duration", default: "60 seconds", help: "for all partitions to be read; 0 = do not wait" }, HELP,
    ],
    example: "ticklake pinot create --create-topic --if-not-exists",
  },
  {
    name: "pinot query", summary: "asks Pinot; its exceptions end with code 1", positionals: { usage: '"<SQL>"', least: 1, most: 1 },
    parameters: [
      CONTROLLER, BROKER,
      { name: "param", value: "name=value", kind: "text", many: true, help: 'what :name stands for, or the name in :"name"; numbers and true, false, null as such' },
      { name: "limit", value: "n", kind: "whole", least: 1, default: "10000", help: "rows at the most; written into a query that has no LIMIT, which Pinot would cut at 10" },
      { name: "timeout", value: "duration", kind: "duration", default: "10 seconds", help: "how long Pinot may take" }, FORMAT, HELP,
    ],
    example: 'ticklake pinot query "SELECT S, COUNT(*) AS trades FROM flattened_stocks WHERE S = :symbol GROUP BY S" --param symbol=AAPL',
  },
  {
    name: "reconcile", summary: "compares the trades of topics, Iceberg, Pinot and a file, per symbol and hour (code 3: they differ)",
    parameters: [
      { name: "from", value: "time", kind: "text", help: "first time: 2013-10-07, 2013-10-07T13:30:00Z or Unix milliseconds; all that is earlier without it" },
      { name: "to", value: "time", kind: "text", help: "up to and without this time; without it the start of the hour that runs now" },
      { name: "symbols", value: "S ...", kind: "list", help: "only these; all without it" },
      BROKERS, SOURCE_TOPIC, DEST_TOPIC, TABLE, ...CATALOG, REST_URI, CONTROLLER, BROKER,
      { ...PINOT_TABLE, name: "pinot-table" },
      { name: "file", value: "trades.csv[.gz]", kind: "text", help: "also a recorded file, as ticklake replay reads it" },
      { name: "without", value: "place", kind: "choice", choices: ["source", "dest", "iceberg", "pinot"], many: true, help: "leave a place out" },
      { name: "max-differences", value: "n", kind: "whole", least: 1, default: "20", help: "symbol-hours that are listed at the most; all are counted" },
      { name: "format", value: "name", kind: "choice", choices: ["table", "json"], default: "table", help: "for people, or the whole result as one object" }, HELP,
    ],
    example: "ticklake reconcile --from 2013-10-07 --to 2013-10-08",
  },
  {
    name: "pipeline", summary: "the whole pipeline on a recorded file: replays it, flattens it into topic, Iceberg and Pinot, and compares all of them with it (code 3: they differ)", positionals: { usage: "[file.csv[.gz]]", least: 0, most: 1 },
    parameters: [
      BROKERS, SOURCE_TOPIC, DEST_TOPIC, TABLE, ...CATALOG, CONTROLLER, BROKER, { ...PINOT_TABLE, name: "pinot-table" },
      { name: "pinot-kafka-brokers", value: "host:port,...", kind: "list", env: "PINOT_KAFKA_BROKERS", help: "Kafka as Pinot's servers reach it; the same as --kafka-brokers without it" },
      { name: "symbols", value: "S ...", kind: "list", env: "SYMBOLS", help: "only these; all without it" },
      { name: "rate", value: "n", kind: "number", env: "CSV_RATE", help: "trades a second; without it as fast as Kafka takes them" },
      { name: "processing-time", value: "duration", kind: "duration", default: "10 seconds", env: "PROCESSING_TIME", help: "longest time between two commits" },
      { name: "group-id", value: "name", kind: "text", default: "ticklake-flattener", env: "GROUP_ID", help: "consumer group of the flattener" },
      PARTITIONS, REPLICATION,
      { name: "without", value: "place", kind: "choice", choices: ["pinot"], many: true, help: "a place that is not there" },
      { name: "patience", value: "duration", kind: "duration", default: "90 seconds", help: "when nothing moves for so long, what there is is compared" },
      { name: "format", value: "name", kind: "choice", choices: ["table", "json"], default: "table", help: "of the comparison" }, HELP,
    ],
    example: "ticklake pipeline trades.csv.gz",
  },
  {
    name: "run", summary: "any flow, without the editor", positionals: { usage: "<flow.json>", least: 1, most: 1 },
    parameters: [
      { name: "set", value: "KEY=VALUE", kind: "text", many: true, help: "an environment variable for the flow" },
      { name: "only", value: "group", kind: "text", many: true, help: "only the nodes of this group of the flow (its name, or the beginning of it)" },
      { name: "user-dir", value: "folder", kind: "text", default: ".ticklake", env: "TICKLAKE_USER_DIR", help: "what relative places in the flow are relative to" },
      { name: "port", value: "n", kind: "whole", least: 0, help: "serve dashboards and HTTP nodes there (on HOST, 127.0.0.1); without it nothing listens" }, ...OF_ALL,
    ],
    example: "ticklake run flow.json --set OUTPUT_MODE=kafka-only --set KAFKA_BROKERS=kafka:9092",
  },
];

const CONFIG: Parameter = { name: "config", value: "file", kind: "text", env: "TICKLAKE_CONFIG", help: "settings in YAML; without it config.yaml of this folder, where there is one. The environment wins over it, and what stands here over both" };

/** Each with what all of them take. */
export const COMMANDS: readonly Command[] = OWN.map((one) => ({ ...one, parameters: [...one.parameters.filter((parameter) => parameter !== HELP), CONFIG, HELP] }));

/** Commands of two words that begin with this one: `pinot` has `pinot create` and `pinot query`. */
export function familyOf(word: string): readonly Command[] {
  return COMMANDS.filter(({ name }) => name.startsWith(`${word} `));
}

/** The command of that name. */
export function command(name: string): Command | undefined {
  return COMMANDS.find((one) => one.name === name);
}
