// All servers of the pipeline together, on the ports of runtime/compose.yaml: `npm run stack`, the stack without containers. Each is the real
// thing; their data stay in the cache folder until somebody removes them.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startKafka } from "./kafka-server.mjs";
import { startPinot } from "./pinot-server.mjs";
import { startRestCatalog } from "./rest-catalog-server.mjs";
import { startS3 } from "./s3-server.mjs";
import { foreground, isFree } from "./server-process.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

/** Where each is found. S3 keeps 9000, which the documentation gives to Pinot's controller as well. */
export const STACK_PORTS = { kafka: 9092, s3: 9000, rest: 8181, pinot: 9002, broker: 8099 };

/**
 * Starts the servers side by side and resolves when all are well; when one fails, the others are stopped.
 *
 * @param {object} [options]
 * - ports: others than the usual ones
 * - dataDir: a folder for the data of all
 * - pinot (true): whether Pinot is one of them; it is the heaviest
 */
export async function startStack({ ports = {}, dataDir = stackDir, pinot = true, orphanSignal = "TERM" } = {}) {
  const at = { ...STACK_PORTS, ...ports };
  const data = (name) => join(dataDir, `${name}-data`);
  const s3Keys = { accessKey: "minioadmin", secretKey: "minioadmin" };
  const starting = [
    startKafka({ port: at.kafka, dataDir: data("kafka"), heapMb: 512, orphanSignal }),
    startS3({ port: at.s3, dataDir: data("s3"), ...s3Keys, orphanSignal }),
    // It needs the store only when somebody makes a table.
    startRestCatalog({ port: at.rest, dataDir: data("rest-s3"), warehouse: "s3://warehouse/rest", s3: { endpoint: `http://127.0.0.1:${at.s3}`, ...s3Keys }, orphanSignal }),
    ...(pinot ? [startPinot({ port: at.pinot, brokerPort: at.broker, dataDir: data("pinot"), heapMb: 1024, orphanSignal })] : []),
  ];
  const results = await Promise.allSettled(starting);
  const started = results.filter((one) => one.status === "fulfilled").map((one) => one.value);
  const stop = async () => { await Promise.allSettled(started.map((server) => server.stop())); };
  const failed = results.find((one) => one.status === "rejected");
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const [kafka, s3, rest, olap] = started;
  return { ports: at, kafka, s3, rest, pinot: olap, stop, ended: Promise.race([kafka.nodes[0].ended, ...started.slice(1).map(({ server }) => server.ended)]), logs: () => started.map((server) => server.logs().slice(-1500)).join("\n") };
}

/** `npm run stack`: all of them in the foreground. Resolves with the exit code when they were stopped. */
export async function serve({ dataDir = stackDir, pinot = true, ports = {}, log = console.log } = {}) {
  const at = { ...STACK_PORTS, ...ports };
  const wanted = Object.entries(at).filter(([name]) => pinot || (name !== "pinot" && name !== "broker"));
  const taken = (await Promise.all(wanted.map(async ([name, port]) => (await isFree(port) ? undefined : `${port} (${name})`)))).filter(Boolean);
  if (taken.length > 0) {
    log(`Taken by another program: port ${taken.join(", ")}. The flows and the documentation name these ports: stop what uses them, or start single servers on others, such as npm run stack -- kafka --port 9093`);
    return 1;
  }
  log(`Starting Kafka, S3, the REST catalog${pinot ? " and Pinot, which takes half a minute" : ""} ...`);
  const began = Date.now();
  const stack = await startStack({ ports, dataDir, pinot });
  const line = (name, text) => `  ${name.padEnd(15)}${text}`;
  log([
    "", `  The stack runs (${Math.round((Date.now() - began) / 1000)} s)`, "",
    line("Kafka", `localhost:${at.kafka}`), line("S3", `http://localhost:${at.s3}   minioadmin / minioadmin, bucket warehouse`), line("REST catalog", `http://localhost:${at.rest}   tables in s3://warehouse/rest`),
    ...(pinot ? [line("Pinot", `http://localhost:${at.pinot}   controller and console; broker http://localhost:${at.broker}`)] : []),
    line("Data", `${resolve(dataDir)}/*-data   (kept; remove the folders to begin anew)`), "",
    "  The documented pipeline on it, in another terminal: all of it on recorded trades, or part by part",
    `    npm run ticklake -- pipeline${pinot ? "" : " --without pinot"}`, "    npm run ticklake -- generate", "    npm run ticklake -- flatten --starting-offsets earliest",
    '    npm run ticklake -- sql "SELECT S AS symbol, COUNT(*) AS trades FROM local.db.flattened_stocks GROUP BY S"', "", "  Ctrl-C stops all.", "",
  ].join("\n"));
  return foreground({ name: "A server of the stack", ended: stack.ended, stop: () => stack.stop(), logs: () => stack.logs(), log });
}
