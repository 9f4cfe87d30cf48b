/** `ticklake pipeline`: replay and flattener as processes that are started again when they die, Pinot's table, and the comparison of all places at the end. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { type Asked, parseCommandLine } from "../lib/cli/arguments";
import { KeptProcess, type Underway } from "../lib/cli/kept-process";
import { place } from "../lib/cli/settings";
import { TicklakeError } from "../lib/errors";
import { countFile, type CountedFile } from "../lib/reconcile/csv";
import { reconcile, type Place } from "../lib/reconcile/run";
import type { TimeRange } from "../lib/reconcile/tally";
import { pause } from "../lib/retry";
import { findFile } from "../lib/trades/csv";
import { parseReplayConfig } from "../lib/trades/replay-config";
import { parseDuration } from "../lib/units";
import { createPinot } from "./pinot";
import { openPlaces, PACKAGE_FILES, report } from "./reconcile";
import { kafkaFor, say, settingsOf, type Setting } from "./servers";

const OK = 0, FAILED = 1;
const SAMPLE = "ticklake:sample-trades.csv";
/** Of Pinot's table: recorded trades are older than the documented seven days at once. */
const RETENTION_DAYS = 36_500;
const LOOK_MS = 2000;
/** Of what a process says, for an error. */
const WORDS = 4000;

/**
 * @param environment of the processes that it starts: the parameters stand in it already
 * @returns 0 equal, 3 different, 1 stopped before the end
 */
export async function runPipeline(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const setting = settingsOf(asked, environment);
  const file = place(asked.positionals[0] ?? SAMPLE, process.cwd());
  const whole = await contentOf(file, asked.values.get("symbols") ?? environment["SYMBOLS"]);
  const range: TimeRange = { from: whole.first ?? 0, to: (whole.last ?? 0) + 1 };
  say(`${whole.name}: ${whole.tally.trades.toLocaleString("en-US")} trades, ${new Date(range.from).toISOString()} to ${new Date(range.to - 1).toISOString()}`);
  const withPinot = !(asked.lists.get("without") ?? []).includes("pinot");
  await createTopics(setting, environment);
  if (withPinot) await createTable(setting, environment);

  const replay = part("replay", ["replay", file, "--resume", "--pace", asked.values.has("rate") ? "rate" : "max"], environment);
  const flatten = part("flatten", ["flatten", "--starting-offsets", "earliest", "--output-mode", "both"], environment);
  const { places, close } = openPlaces(asked, environment);
  const stopped = new AbortController();
  const ask = (): void => { stopped.abort(); };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, ask);
  try {
    const failed = new Promise<never>((_, fail) => { for (const one of [replay, flatten]) one.running.catch(fail); });
    failed.catch(() => undefined);
    // The last ones in their way have every trade when all have.
    const last = places.filter(({ name }) => /^(Iceberg|Pinot)/.test(name) || (!withPinot && name === `Kafka ${setting("dest-topic")}`));
    await Promise.race([failed, replay.running.then(() => untilThere(last, whole.tally.trades, range, parseDuration(setting("patience"), "--patience"), stopped.signal)), aborted(stopped.signal)]);
    await Promise.all([replay.kept.stop(), flatten.kept.stop()]);
    if (stopped.signal.aborted) {
      say("Stopped before the end. The same command goes on where it was.");
      return FAILED;
    }
    const self: Place = { name: whole.name, count: () => Promise.resolve(whole) };
    const result = await reconcile([self, ...places], range, { progress: (text) => { say(`${text} ...`); }, ...(whole.symbols ? { symbols: whole.symbols } : {}) });
    return await report(result, asked.values.get("format"));
  } finally {
    await Promise.all([replay.kept.stop(), flatten.kept.stop()]);
    await close();
  }
}

/** What of a file is replayed. @throws TicklakeError FILE_*, CSV_*; CONFIG_INVALID for a file without trades */
async function contentOf(file: string, symbols: string | undefined): Promise<CountedFile & { symbols?: ReadonlySet<string> }> {
  const config = parseReplayConfig({ symbols });
  const counted = await countFile(await findFile(file, PACKAGE_FILES), config, { from: 0, to: Infinity });
  if (counted.tally.trades === 0) throw new TicklakeError("CONFIG_INVALID", `${counted.name} has no trade${symbols ? ` of ${symbols}` : ""}.`);
  return { ...counted, ...(config.symbols ? { symbols: config.symbols } : {}) };
}

/** Before anybody reads them: Pinot makes no table on a topic that is not there. */
async function createTopics(setting: Setting, environment: NodeJS.ProcessEnv): Promise<void> {
  const kafka = kafkaFor(setting, environment);
  try {
    for (const name of [setting("source-topic"), setting("dest-topic")]) {
      if (await kafka.admin.describeTopic(name)) continue;
      await kafka.admin.createTopic({ name, partitions: Number(setting("partitions")), replicationFactor: Number(setting("replication-factor")) });
      say(`Made the topic ${name}`);
    }
  } finally {
    await kafka.close();
  }
}

async function createTable(setting: Setting, environment: NodeJS.ProcessEnv): Promise<void> {
  const brokers = setting("pinot-kafka-brokers") || setting("kafka-brokers");
  const code = await createPinot(parseCommandLine([
    "pinot", "create", "--controller", setting("controller"), "--broker", setting("broker"), "--table", setting("pinot-table"), "--topic", setting("dest-topic"), "--kafka-brokers", brokers,
    "--retention-days", String(RETENTION_DAYS), "--replication", "1", "--if-not-exists",
  ]), environment);
  if (code !== OK) throw new TicklakeError("PINOT_FAILED", "Pinot is not ready; the lines above say why. The pipeline runs without it with --without pinot.");
}

interface Part { readonly kept: KeptProcess; readonly running: Promise<void> }

/** A command of this package in a process of its own, started again until its work is done. What it says stands after its name. */
function part(name: string, args: readonly string[], environment: NodeJS.ProcessEnv): Part {
  const kept = new KeptProcess(name, { start: () => start(name, args, environment), say, pause, now: () => performance.now() });
  const running = kept.run();
  running.catch(() => undefined);
  return { kept, running };
}

function start(name: string, args: readonly string[], environment: NodeJS.ProcessEnv): Underway {
  // In a group of its own, so that Ctrl-C comes to it from here only; through the channel it learns of the end of this process.
  const child = spawn(process.execPath, [join(dirname(__filename), "ticklake.js"), ...args], { env: environment, stdio: ["ignore", "ignore", "pipe", "ipc"], detached: true });
  let words = "", line = "";
  child.stderr!.setEncoding("utf8").on("data", (data: string) => {
    words = (words + data).slice(-WORDS);
    const lines = (line + data).split("\n");
    line = lines.pop()!;
    for (const text of lines) say(`  ${name} | ${text}`);
  });
  const ended = new Promise<{ code: number | null; words: string }>((done) => {
    child.once("error", (error) => { done({ code: FAILED, words: error.message }); });
    child.once("close", (code) => { done({ code, words }); });
  });
  return { pid: child.pid, ended, kill: (signal) => { child.kill(signal); } };
}

/** Until each place has so many trades, or nothing has moved for `patienceMs`. */
async function untilThere(places: readonly Place[], trades: number, range: TimeRange, patienceMs: number, signal: AbortSignal): Promise<void> {
  let moved = performance.now(), before = "";
  while (!signal.aborted) {
    const found = await Promise.all(places.map((place) => place.count(range, signal).then(({ tally }) => tally.trades, () => 0)));
    if (found.every((count) => count >= trades)) return;
    if (String(found) !== before) {
      before = String(found);
      moved = performance.now();
      say(places.map(({ name }, k) => `${name} has ${found[k]!.toLocaleString("en-US")}`).join(", "));
    } else if (performance.now() - moved > patienceMs) {
      say(`Nothing has moved for ${patienceMs / 1000} s.`);
      return;
    }
    await pause(LOOK_MS, signal);
  }
}

const aborted = (signal: AbortSignal): Promise<void> => new Promise((done) => { signal.addEventListener("abort", () => { done(); }, { once: true }); });
