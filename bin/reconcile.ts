import { dirname, join } from "node:path";
import type { Asked } from "../lib/cli/arguments";
import { reconciliationText } from "../lib/cli/reconciliation";
import { PinotCluster } from "../lib/pinot/cluster";
import { pinotOf } from "../lib/cli/pinot";
import { countFile } from "../lib/reconcile/csv";
import { countTable } from "../lib/reconcile/iceberg";
import { countTopic } from "../lib/reconcile/kafka";
import { countPinot } from "../lib/reconcile/pinot";
import { parseRange, reconcile, type Place, type Reconciliation } from "../lib/reconcile/run";
import { CatalogTables } from "../lib/sql/catalog-tables";
import { SqlEngine } from "../lib/sql/engine";
import { findFile, type FileRules } from "../lib/trades/csv";
import { parseReplayConfig } from "../lib/trades/replay-config";
import { parseSymbols } from "../lib/units";
import { catalogFor, kafkaFor, print, say, settingsOf } from "./servers";

/** The package's files are found as in a flow. */
export const PACKAGE_FILES: FileRules = { baseDir: process.cwd(), bundledDir: join(dirname(dirname(__dirname)), "resources") };
const EQUAL = 0, DIFFERENT = 3;

/** `ticklake reconcile`: what differs between the places of the pipeline. Needs no Node-RED, writes nothing. */
export async function runReconcile(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const { values } = asked;
  const setting = settingsOf(asked, environment);
  const range = parseRange(values.get("from"), values.get("to"));
  const symbols = parseSymbols(values.get("symbols"));
  const { places, close } = openPlaces(asked, environment);
  try {
    const result = await reconcile(places, range, { maxDifferences: Number(setting("max-differences")), progress: (text) => { say(`${text} ...`); }, ...(symbols.length > 0 ? { symbols: new Set(symbols) } : {}) });
    return await report(result, values.get("format"));
  } finally {
    await close();
  }
}

/** The result on standard output, and its exit code. */
export async function report(result: Reconciliation, format: string | undefined): Promise<number> {
  await print(format === "json" ? JSON.stringify(result) : reconciliationText(result));
  return result.equal ? EQUAL : DIFFERENT;
}

/** The places that a command line names, in the order of the pipeline: the file first, then the topics, Iceberg, Pinot. @throws TicklakeError CONFIG_INVALID */
export function openPlaces(asked: Asked, environment: NodeJS.ProcessEnv): { places: Place[]; close(): Promise<void> } {
  const setting = settingsOf(asked, environment);
  const without = new Set(asked.lists.get("without") ?? []);
  const kafka = kafkaFor(setting, environment), engine = new SqlEngine(), tables = new CatalogTables();
  const places: Place[] = [];
  const file = asked.values.get("file");
  if (file !== undefined) places.push({ name: `file ${file}`, count: async (range, signal) => countFile(await findFile(file, PACKAGE_FILES), parseReplayConfig({}), range, signal) });
  for (const [place, option] of [["source", "source-topic"], ["dest", "dest-topic"]] as const) {
    if (!without.has(place)) places.push({ name: `Kafka ${setting(option)}`, count: (range, signal) => countTopic(kafka, setting(option), range, signal) });
  }
  if (!without.has("iceberg")) {
    const catalog = catalogFor(asked, setting, environment), table = setting("iceberg-table");
    places.push({ name: `Iceberg ${table}`, count: (range, signal) => countTable(engine, tables.resolver(catalog, [catalog]), table, range, signal) });
  }
  if (!without.has("pinot")) {
    const { http } = new PinotCluster(pinotOf(asked, (name) => environment[name])), table = setting("pinot-table");
    places.push({ name: `Pinot ${table}`, count: (range, signal) => countPinot(http, table, range, signal) });
  }
  return { places, close: async () => { await Promise.all([kafka.close(), engine.close()]); } };
}
