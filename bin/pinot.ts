import { readFileSync } from "node:fs";
import type { Asked } from "../lib/cli/arguments";
import { pinotOf, pinotParams, pinotTableOf } from "../lib/cli/pinot";
import { asTicklakeError, TicklakeError } from "../lib/errors";
import { kafkaOptions } from "../lib/kafka/broker-settings";
import { openKafka } from "../lib/kafka/client";
import { PinotCluster } from "../lib/pinot/cluster";
import { askBroker } from "../lib/pinot/query/ask";
import { parsePinotQuery } from "../lib/pinot/query/options";
import { runPinotQuery } from "../lib/pinot/query/run";
import { runTableOperation, type TableSettings } from "../lib/pinot/table";
import { tableConfig } from "../lib/pinot/table/config";
import type { CreateResult } from "../lib/pinot/table/create";
import { kafkaLag } from "../lib/pinot/table/kafka-lag";
import { streamOf, type TableStatus } from "../lib/pinot/table/status";
import { pause } from "../lib/retry";
import { parseDuration } from "../lib/units";
import { printRows } from "./print-rows";
import { say, settingsOf } from "./servers";

const OK = 0, FAILED = 1;
const LOOK_MS = 500;

/** `ticklake pinot query`: rows on standard output. Needs no Node-RED. */
export async function queryPinot(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const setting = settingsOf(asked, environment);
  const { http } = new PinotCluster(pinotOf(asked, (name) => environment[name]));
  const query = parsePinotQuery({
    sql: asked.positionals[0], params: pinotParams(asked.lists.get("param") ?? []), maxRows: setting("limit"), timeoutMs: Math.max(1, parseDuration(setting("timeout"), "--timeout")), addLimit: true,
  });
  const { rows, columns, statistics } = await runPinotQuery(askBroker(http), query);
  for (const text of statistics.warnings) say(`warning: ${text}`);
  await printRows(asked.values.get("format"), columns.map(({ name }) => name), rows, statistics.truncated ? "there are more: --limit" : "");
  return OK;
}

/** `ticklake pinot create`: schema and table, and waits until every partition is read. */
export async function createPinot(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const { values } = asked;
  const setting = settingsOf(asked, environment);
  const cluster = new PinotCluster(pinotOf(asked, (name) => environment[name]));
  const settings = pinotTableOf(asked, (name) => environment[name], readText);
  if (values.has("create-topic")) await createTopic(cluster, settings, { partitions: Number(setting("partitions")), replicationFactor: Number(setting("replication-factor")) });
  const result = await runTableOperation({ cluster, operation: "create", settings }, { progress: (text) => { say(`${text} ...`); }, warn: (text) => { say(`warning: ${text}`); } }) as CreateResult;
  const where = `at ${cluster.http.url("controller")} (Pinot ${result.version})`;
  if (!result.created && !values.has("if-not-exists")) {
    for (const text of differencesText(result)) say(text);
    say(`The table ${result.table} is there already ${where}; nothing was changed. If that is as it should be, add --if-not-exists.`);
    return FAILED;
  }
  say(`${result.created ? "Made" : "There already:"} the table ${result.table} ${where}`);
  for (const text of differencesText(result)) say(text);
  const patienceMs = parseDuration(setting("wait"), "--wait");
  return patienceMs === 0 ? OK : untilConsuming(cluster, settings, patienceMs);
}

function readText(file: string): string {
  try { return readFileSync(file, "utf8"); } catch (caught) { throw new TicklakeError("FILE_NOT_FOUND", `${file} cannot be read: ${(caught as Error).message}`, { cause: caught }); }
}

function differencesText({ differences }: CreateResult): string[] {
  const shown = (value: unknown): string => (value === undefined ? "not there" : JSON.stringify(value));
  return differences.map(({ path, is, wanted }) => `  ${path} is ${shown(is)}, not ${shown(wanted)}`);
}

/** Pinot makes no table on a topic that is not there. */
async function createTopic(cluster: PinotCluster, settings: TableSettings, shape: { partitions: number; replicationFactor: number }): Promise<void> {
  const { topic, brokers } = streamOf(tableConfig(settings, await cluster.version()).table);
  const kafka = openKafka(kafkaOptions({ brokers, clientId: "ticklake-command" }, {}, undefined, { variable: () => undefined }));
  try {
    if (!await kafka.admin.describeTopic(topic) && await kafka.admin.createTopic({ name: topic, ...shape })) say(`Made the topic ${topic} with ${shape.partitions} partition${shape.partitions === 1 ? "" : "s"}`);
  } finally {
    await kafka.close();
  }
}

async function untilConsuming(cluster: PinotCluster, settings: TableSettings, patienceMs: number): Promise<number> {
  const began = performance.now();
  let last = "nothing is known of it yet";
  for (;;) {
    try {
      const status = await runTableOperation({ cluster, operation: "status", settings }, { kafka: kafkaLag }) as TableStatus;
      if (status.state === "consuming") {
        say(`Reads ${status.partitions.length} partition${status.partitions.length === 1 ? "" : "s"} of the topic`);
        return OK;
      }
      if (status.state === "paused" || status.state === "pausing") {
        say("It is paused: resume it in Pinot's console, or by the operation resume of pinot-table.");
        return OK;
      }
      last = status.ingestion.errors[0] ?? status.state;
    } catch (caught) {
      const error = asTicklakeError(caught, "PINOT_FAILED");
      if (error.kind === "configuration") throw error;
      last = error.message;
    }
    if (performance.now() - began > patienceMs) {
      say(`The table ${settings.table} is there, but within ${patienceMs / 1000} s Pinot has not begun to read all of its topic: ${last}. The operation status of pinot-table and Pinot's console tell more.`);
      return FAILED;
    }
    await pause(LOOK_MS);
  }
}
