/**
 * What config.yaml may hold: each key, the variable of the environment that it stands for, its form and its default. Checks, the JSON Schema for
 * editors, the example and the table of docs/configuration.md all come from here. The keys alpaca.key, alpaca.secret, alpaca.ws_url,
 * kafka.bootstrap_servers, kafka.topic, kafka.batch_size and symbols are those of the documented pipeline. Pure.
 */
import { z } from "zod";
import { FEEDS } from "../alpaca/account";
import { brokers, choice, duration, flag, number, place, symbols, text, url, whole, type Form } from "./forms";

/** One key of the file. */
export interface Setting {
  /** As people say it: `kafka.topic`. */
  readonly path: string;
  /** The variable that it sets. */
  readonly variable: string;
  /** Other variables that say the same: where one of them is set, the environment has said it. */
  readonly also: readonly string[];
  readonly form: Form;
  readonly help: string;
  /** What holds without it, as the flow has it; undefined: nothing. */
  readonly default: string | undefined;
  /** Its value must never be shown. */
  readonly secret: boolean;
}

type Key = Omit<Setting, "path">;
const key = (variable: string, form: Form, help: string, standard?: string, more: Partial<Key> = {}): Key => ({ variable, form, help, default: standard, also: [], secret: false, ...more });
const secret = { secret: true } as const;

/** By section; keys outside of sections stand under "". */
const KEYS: Readonly<Record<string, Readonly<Record<string, Key>>>> = {
  "": {
    source: key("SOURCE", choice("synthetic", "live", "csv", "none"), "where trades come from; a command such as ticklake generate says it itself", "synthetic"),
    output_mode: key("OUTPUT_MODE", choice("both", "kafka-only", "iceberg-only", "console-debug"), "where flattened trades go", "both"),
    symbols: key("SYMBOLS", symbols(), "stock symbols, a list or text; \"*\" means all that the feed has (live), or that the file has (csv). The default of live has AMZN and TSLA too", "AAPL GOOGL MSFT"),
  },
  alpaca: {
    key: key("APCA_API_KEY_ID", text(), "API key of the account", undefined, { ...secret, also: ["ALPACA_KEY"] }),
    secret: key("APCA_API_SECRET_KEY", text(), "its secret", undefined, { ...secret, also: ["ALPACA_SECRET"] }),
    ws_url: key("ALPACA_URL", url("wss:", "ws:"), "address of the stream, instead of feed", undefined),
    feed: key("ALPACA_FEED", choice(...FEEDS), "Alpaca's feed by name, instead of ws_url", "iex"),
    rest_url: key("ALPACA_REST_URL", url("https:", "http:"), "where gaps are filled from", "https://data.alpaca.markets"),
  },
  kafka: {
    bootstrap_servers: key("KAFKA_BROKERS", brokers(), "brokers, host:port, a list or text", "localhost:9092"),
    topic: key("SOURCE_TOPIC", text(), "topic of the batches: the source writes them, the flattener reads them", "iex_data"),
    batch_size: key("BATCH_SIZE", whole(1), "trades per message; the default of live and csv is 100", "50"),
    dest_topic: key("DEST_TOPIC", text(), "topic of the flattened trades", "flattened_stocks"),
    group_id: key("GROUP_ID", text(), "consumer group of the flattener", "ticklake-flattener"),
    starting_offsets: key("STARTING_OFFSETS", choice("latest", "earliest"), "where a group that is new begins", "latest"),
    partitions: key("PARTITIONS", whole(1), "partitions of a topic that is created", "3"),
    replication_factor: key("REPLICATION_FACTOR", whole(1), "replication factor of a topic that is created", "1"),
    sasl_username: key("KAFKA_SASL_USERNAME", text(), "user name, for a kafka-broker with SASL", undefined),
    sasl_password: key("KAFKA_SASL_PASSWORD", text(), "password, for a kafka-broker with SASL", undefined, secret),
  },
  generator: {
    interval: key("INTERVAL", duration(), "time between batches; 0: as fast as Kafka takes them", "1"),
    batch_count: key("BATCH_COUNT", whole(0), "batches in all; 0: without an end", "0"),
  },
  csv: {
    file: key("CSV_FILE", place(), "recorded trades, .csv or .csv.gz", "ticklake:sample-trades.csv"),
    pace: key("CSV_PACE", choice("original", "speed", "rate", "max"), "as recorded, N times as fast, at a rate, or as fast as Kafka takes them", "original"),
    speed: key("CSV_SPEED", number(), "for pace speed: how many times as fast", "1"),
    rate: key("CSV_RATE", number(), "for pace rate: trades a second", "1000"),
    time_shift: key("CSV_TIME_SHIFT", choice("none", "now"), "now: as if the first trade happened at the start", "none"),
    loop: key("CSV_LOOP", flag(), "again and again", "false"),
    resume: key("CSV_RESUME", flag(), "go on where an earlier replay of the file into the topic was ended, killed or not", "false"),
  },
  iceberg: {
    table: key("ICEBERG_TABLE", text(), "table of the flattened trades; created when missing", "local.db.flattened_stocks"),
    catalog: key("ICEBERG_CATALOG", text(), "first part of table names; spark_catalog and local mean the same one", "spark_catalog"),
    warehouse: key("ICEBERG_WAREHOUSE", place(), "where the tables lie: s3a://bucket/folder, or a folder of this machine", "s3a://warehouse/"),
    rest_uri: key("ICEBERG_REST_URI", url("https:", "http:"), "for ticklake sql: a REST catalog instead of a folder", undefined),
    processing_time: key("PROCESSING_TIME", duration(), "longest time between two commits", "10 seconds"),
  },
  s3: {
    endpoint: key("S3_ENDPOINT", url("https:", "http:"), "the store's address", "http://localhost:9000"),
    access_key: key("AWS_ACCESS_KEY_ID", text(), "access key; minioadmin where the store is on this machine", undefined, secret),
    secret_key: key("AWS_SECRET_ACCESS_KEY", text(), "secret key; minioadmin where the store is on this machine", undefined, secret),
    region: key("AWS_REGION", text(), "region, for a catalog that names none", "us-east-1"),
  },
  pinot: {
    controller_url: key("PINOT_CONTROLLER_URL", url("https:", "http:"), "the controller's address", "http://localhost:9002"),
    broker_url: key("PINOT_BROKER_URL", url("https:", "http:"), "the broker's address", "http://localhost:8099"),
    olap: key("OLAP", choice("on", "off"), "whether the flow makes the table and asks it; on where controller_url is set", "off"),
    username: key("PINOT_USERNAME", text(), "user name, where the cluster wants one", undefined),
    password: key("PINOT_PASSWORD", text(), "password", undefined, secret),
    token: key("PINOT_TOKEN", text(), "a token instead of user name and password", undefined, secret),
    table: key("PINOT_TABLE", text(), "the real-time table", "flattened_stocks"),
    kafka_brokers: key("PINOT_KAFKA_BROKERS", brokers(), "Kafka as Pinot's servers reach it, where that is another address", undefined),
  },
};

/** Sections, and what each is about. */
export const SECTIONS: Readonly<Record<string, string>> = {
  alpaca: "Alpaca, for live trades", kafka: "Kafka", generator: "The simulator", csv: "Recorded trades", iceberg: "The Iceberg table", s3: "The S3 store", pinot: "Apache Pinot",
};

/** Every key, in the order of the file. */
export const SETTINGS: readonly Setting[] = Object.entries(KEYS).flatMap(([section, keys]) => Object.entries(keys).map(([name, one]) => ({ path: section === "" ? name : `${section}.${name}`, ...one })));

const ofSection = (section: string): Record<string, z.ZodType> => Object.fromEntries(Object.entries(KEYS[section]!).map(([name, { form, help, default: standard, secret: hidden }]) => {
  const described = form.schema.meta({ description: `${help[0]!.toUpperCase()}${help.slice(1)}.${standard === undefined ? "" : ` Default: ${standard}.`}${hidden ? " Better a variable of the environment: \"${NAME}\"." : ""}` });
  return [name, z.optional(described)];
}));

/** The whole file. What it yields are the values of variables, as text. */
export const CONFIG = z.strictObject({
  ...ofSection(""),
  ...Object.fromEntries(Object.entries(SECTIONS).map(([name, about]) => [name, z.optional(z.strictObject(ofSection(name)).meta({ description: `${about}.` }))])),
});

/** The JSON Schema of the file, for editors. An empty key is the same as none. */
export function jsonSchema(): object {
  const schema = z.toJSONSchema(CONFIG, { io: "input", override: ({ jsonSchema: one }) => { if (one.type === "object") one.type = ["object", "null"] as unknown as "object"; } });
  return { $schema: schema.$schema, title: "ticklake's config.yaml", ...schema };
}
