/** Opens what a command works with, from its parameters and the environment; the same settings as the shipped flow has. */
import type { Asked } from "../lib/cli/arguments";
import { settingOf } from "../lib/cli/settings";
import { openCatalog, type OpenedCatalog } from "../lib/iceberg/catalog/open";
import { kafkaOptions } from "../lib/kafka/broker-settings";
import { openKafka } from "../lib/kafka/client";
import type { KafkaClient } from "../lib/kafka/types";

/** Writes a line where progress and warnings go. */
export const say = (text: string): void => { process.stderr.write(`${text}\n`); };

/** The text, whole: the process may end right after. */
export const print = (text: string): Promise<void> => new Promise((done) => { process.stdout.write(text === "" ? "" : `${text}\n`, () => done()); });

/** Reads a parameter of this command. */
export type Setting = (name: string) => string;
export const settingsOf = (asked: Asked, environment: NodeJS.ProcessEnv): Setting => (name) => settingOf(asked, name, (variable) => environment[variable]);

/** The Iceberg catalog of --iceberg-catalog, --iceberg-warehouse, --rest-uri and --s3-endpoint. Keys are read from the environment. @throws TicklakeError */
export function catalogFor({ command }: Asked, setting: Setting, environment: NodeJS.ProcessEnv): OpenedCatalog {
  const named = setting("iceberg-catalog"), uri = setting("rest-uri"), warehouse = setting("iceberg-warehouse");
  const standard = command.parameters.find((one) => one.name === "iceberg-warehouse")?.default;
  return openCatalog({
    catalogName: named === "spark_catalog" ? "local" : named, catalogType: uri === "" ? "hadoop" : "rest", uri,
    // The default is a place; a REST catalog would take it for its name of a warehouse.
    warehouse: uri !== "" && warehouse === standard ? "" : warehouse,
    s3Endpoint: setting("s3-endpoint"), s3Region: environment["AWS_REGION"] || "us-east-1",
  }, process.cwd(), { onWarning: (text) => { say(`warning: ${text}`); } });
}

/** Kafka at --kafka-brokers. Nothing is connected before it is used; close it. @throws TicklakeError CONFIG_INVALID */
export function kafkaFor(setting: Setting, environment: NodeJS.ProcessEnv): KafkaClient {
  return openKafka(kafkaOptions({ brokers: setting("kafka-brokers"), clientId: "ticklake-command" }, {}, undefined, { variable: (name) => environment[name] }));
}
