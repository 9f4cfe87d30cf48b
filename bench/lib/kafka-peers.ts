/** The peers of the Kafka benchmark as processes of their own: Spark Structured Streaming, Kafka Connect's Iceberg sink, kafkajs, librdkafka. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { pythonPath, stackDir } from "../../test/support/python";
import { eventually, sleep, usage, type Usage } from "./processes";

/** One run of anybody: start-up apart, then the work. */
export interface Run extends Usage { readonly startSeconds: number; readonly seconds: number; readonly rows: number; /** CPU of the work alone, where it can be told apart. */ readonly workCpuSeconds: number }

const jarsIn = (folder: string, filter: RegExp = /\.jar$/): string[] => {
  const path = join(stackDir, folder);
  const found = existsSync(path) ? readdirSync(path).filter((name) => filter.test(name)).map((name) => join(path, name)) : [];
  if (found.length === 0) throw new Error(`Nothing in ${path}. Run: node scripts/stack.mjs jars spark-kafka bench`);
  return found;
};

function lines(child: ChildProcess): (what: string) => Promise<Record<string, unknown>> {
  const waiting: ((line: Record<string, unknown>) => void)[] = [], arrived: Record<string, unknown>[] = [];
  let errors = "", code: number | null | undefined;
  child.stderr!.on("data", (data: Buffer) => { errors = (errors + data.toString()).slice(-3000); });
  child.on("exit", (ended) => { code = ended; });
  createInterface({ input: child.stdout! }).on("line", (line) => {
    if (!line.startsWith("{")) return;
    const value = JSON.parse(line) as Record<string, unknown>;
    const next = waiting.shift();
    if (next) next(value); else arrived.push(value);
  });
  return async (what) => {
    let value = arrived.shift();
    if (!value) void new Promise<Record<string, unknown>>((done) => waiting.push(done)).then((line) => { value = line; });
    await eventually(what, () => {
      if (!value && code !== undefined) throw new Error(`Ended with code ${code} while waiting for ${what}: ${errors}`);
      return value !== undefined;
    }, 300_000);
    return value!;
  };
}

/** The documented Spark job over everything that the topic holds. */
export async function spark(options: { brokers: string; source: string; target: "iceberg" | "kafka"; destination: string; checkpoint: string }): Promise<Run> {
  const jars = [...jarsIn("jars", /^iceberg-spark-runtime.*\.jar$/), ...jarsIn("spark-kafka")];
  const began = performance.now();
  const child = spawn(pythonPath, [join(__dirname, "../py/spark_kafka.py"), jars.join(","), options.brokers, options.source, options.target, options.destination, options.checkpoint], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, SPARK_LOCAL_IP: "127.0.0.1" } });
  try {
    const next = lines(child);
    const pid = Number((await next("Spark's session"))["ready"]);
    const startSeconds = (performance.now() - began) / 1000;
    const before = usage(pid);
    child.stdin!.write("go\n");
    const done = await next("the end of the query");
    const after = usage(pid);
    return { ...after, startSeconds, seconds: Number(done["seconds"]), rows: Number(done["rows"] ?? 0), workCpuSeconds: after.cpuSeconds - before.cpuSeconds };
  } finally {
    child.stdin!.end("bye\n");
    await Promise.race([new Promise((end) => child.once("exit", end)), sleep(10_000)]);
    child.kill("SIGKILL");
  }
}

/** `total-records` of a hadoop table's current version. */
export function recordsIn(warehouse: string, table = "db/flattened_stocks"): number {
  const folder = join(warehouse, table, "metadata");
  try {
    const version = readFileSync(join(folder, "version-hint.text"), "utf8").trim();
    return Number([...readFileSync(join(folder, `v${version}.metadata.json`), "utf8").matchAll(/"total-records"\s*:\s*"(\d+)"/g)].at(-1)?.[1] ?? 0);
  } catch { return 0; }
}

/**
 * Kafka Connect's Iceberg sink over a topic of single trades into an existing hadoop table. Counted is from the first data file's beginning until it has nothing more to do but to
 * wait for a commit: less than half a core busy for a second and a half, with more than nine rows of ten in the table or on their way. That leaves out its waits.
 */
export async function connect(options: { brokers: string; topic: string; controlTopic: string; warehouse: string; rows: number; folder: string; tasks: number }): Promise<Run> {
  const { brokers, topic, controlTopic, warehouse, rows, folder, tasks } = options;
  mkdirSync(folder, { recursive: true });
  const worker = join(folder, "worker.properties"), sink = join(folder, "sink.properties");
  writeFileSync(worker, [
    `bootstrap.servers=${brokers}`, "key.converter=org.apache.kafka.connect.storage.StringConverter", "value.converter=org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable=false", `offset.storage.file.filename=${join(folder, "offsets")}`, "listeners=http://127.0.0.1:0", "connector.client.config.override.policy=All",
  ].join("\n"));
  writeFileSync(sink, [
    // A name of its own each time: under it Kafka remembers how far it has read.
    `name=iceberg-sink-${basename(folder)}`, "connector.class=org.apache.iceberg.connect.IcebergSinkConnector", `tasks.max=${tasks}`, `topics=${topic}`, "consumer.override.auto.offset.reset=earliest",
    "iceberg.tables=db.flattened_stocks", "iceberg.catalog.type=hadoop", `iceberg.catalog.warehouse=${warehouse}`, `iceberg.control.topic=${controlTopic}`, "iceberg.control.commit.interval-ms=10000",
  ].join("\n"));
  const began = performance.now();
  const child = spawn("java", ["-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", join(stackDir, "bench/connect/*"), "org.apache.kafka.connect.cli.ConnectStandalone", worker, sink], { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (data: Buffer) => { errors = (errors + data.toString()).slice(-2000); });
  try {
    const data = join(warehouse, "db/flattened_stocks/data");
    await eventually("Connect's first data file", () => {
      if (child.exitCode !== null) throw new Error(`Connect ended: ${errors}`);
      return existsSync(data);
    });
    const started = performance.now(), before = usage(child.pid!);
    let [busyUntil, idleSince, last] = [started, started, before.cpuSeconds];
    for (let at = performance.now(); ; at = performance.now()) {
      await sleep(250);
      if (child.exitCode !== null) throw new Error(`Connect ended: ${errors}`);
      const now = usage(child.pid!).cpuSeconds;
      if ((now - last) / ((performance.now() - at) / 1000) > 0.5) busyUntil = idleSince = performance.now();
      last = now;
      const landed = recordsIn(warehouse);
      if (landed >= rows || (performance.now() - idleSince > 1500 && landed > rows * 0.5)) break;
      if (at - started > 240_000) throw new Error(`Connect did not finish: ${landed} rows. ${errors}`);
    }
    await eventually("Connect's last commit", () => recordsIn(warehouse) >= rows, 120_000).catch(() => undefined);
    const after = usage(child.pid!);
    return { ...after, startSeconds: (started - began) / 1000, seconds: (busyUntil - started) / 1000, rows: recordsIn(warehouse), workCpuSeconds: after.cpuSeconds - before.cpuSeconds };
  } finally {
    child.kill("SIGKILL");
  }
}

/** Messages a second that a client produces, acks=all, values of `size` bytes: librdkafka through confluent-kafka. */
export async function librdkafka(options: { brokers: string; topic: string; count: number; size: number }): Promise<number> {
  const python = join(stackDir, "bench/py/bin/python");
  if (!existsSync(python)) throw new Error(`No ${python}. Run: node scripts/stack.mjs bench`);
  const child = spawn(python, [join(__dirname, "../py/librdkafka_produce.py"), options.brokers, options.topic, String(options.count), String(options.size)], { stdio: ["ignore", "pipe", "pipe"] });
  return Number((await lines(child)("librdkafka"))["perSecond"]);
}
