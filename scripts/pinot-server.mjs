// A real Apache Pinot (ZooKeeper, controller, broker and server in one process) on the loopback interface: for the tests, the benchmarks, and
// `npm run stack -- pinot`. The jars come from Maven, and scripts/pinot/PinotAll.java starts the parts (scripts/stack.mjs fetches and compiles
// once); everything after that works offline.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { foreground, freePorts, ServerProcess, servingPort, temporary } from "./server-process.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

/** The newest of which Maven Central holds every module. */
export const PINOT_VERSION = "0.11.0";
export const pinotDir = join(stackDir, "pinot");
const source = join(root, "scripts", "pinot");
export const pinotPom = join(source, "pom.xml");
const launcher = join(source, "PinotAll.java");
export const pinotLauncher = join(pinotDir, "classes", "PinotAll.class");
/** Changes with the list of jars and with the launcher. */
export const PINOT = `org.apache.pinot:${PINOT_VERSION}#${createHash("sha256").update(readFileSync(pinotPom)).update(readFileSync(launcher)).digest("hex").slice(0, 8)}`;

const tool = (name) => (process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", name) : name);
const classPath = () => [join(pinotDir, "classes"), join(pinotDir, "lib", "*")].join(delimiter);
const JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/** For benchmarks: takes longer to warm up and then does more. */
const SERVER_JVM = ["-server", "-XX:+UseG1GC"];

/** The command that compiles the launcher once the jars are there, and the folder that it makes. */
export function compileLauncher() {
  const classes = join(pinotDir, "classes");
  rmSync(classes, { recursive: true, force: true });
  mkdirSync(classes, { recursive: true });
  cpSync(join(source, "META-INF"), join(classes, "META-INF"), { recursive: true });
  return { command: tool("javac"), args: ["--release", "17", "-cp", join(pinotDir, "lib", "*"), "-d", classes, launcher] };
}

const isHealthy = (port) => new Promise((done) => {
  get({ host: "127.0.0.1", port, path: "/health", timeout: 2000 }, (response) => { response.resume(); done(response.statusCode === 200); }).on("error", () => done(false)).on("timeout", function () { this.destroy(); });
});

/**
 * Starts Pinot and resolves when controller, broker and server say that they are well.
 *
 * @param {object} [options]
 * - port: of the controller (a free one); brokerPort: of the broker (a free one)
 * - dataDir: kept when given, otherwise a temporary folder that `stop` removes
 * - properties: more settings (`pinot.*`, `controller.*`) for all components
 * - fast: a JVM that takes longer to warm up and then does more
 * - heapMb (640), orphanSignal: what the process gets when this one dies (KILL)
 */
export async function startPinot({ port, brokerPort, dataDir, properties = {}, fast = false, heapMb = 640, orphanSignal = "KILL" } = {}) {
  if (!existsSync(pinotLauncher)) throw new Error(`Pinot is not in ${pinotDir}. Run: node scripts/stack.mjs --fetch pinot`);
  const free = await freePorts(5);
  const [zooKeeper, controller, broker, query, admin] = [free[0], port ?? free[1], brokerPort ?? free[2], free[3], free[4]];
  const folder = dataDir ?? mkdtempSync(join(tmpdir(), "ticklake-pinot-"));
  if (!dataDir) temporary.add(folder);
  mkdirSync(join(folder, "temp"), { recursive: true });
  const server = new ServerProcess({
    name: "Pinot", command: tool("java"), cwd: folder, readyMs: 180_000, orphanSignal,
    args: [
      `-Xmx${heapMb}m`, ...(fast ? SERVER_JVM : JVM), "-XX:+ExitOnOutOfMemoryError", `-Djava.io.tmpdir=${join(folder, "temp")}`, `-Dlog4j2.configurationFile=${join(source, "log4j2.xml")}`,
      "-Dio.netty.bootstrap.extensions=serviceload", `-Ddata=${folder}`, `-Dports=${[zooKeeper, controller, broker, query, admin].join(",")}`,
      ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`), "-cp", classPath(), "PinotAll",
    ],
    // READY says that all have started; health, that they know one another.
    ready: async () => /^READY$/m.test(server.logs()) && (await Promise.all([controller, broker, admin].map(isHealthy))).every(Boolean),
  });
  const remove = () => { if (temporary.delete(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); };
  try { await server.start(); } catch (error) {
    await server.kill();
    remove();
    throw error;
  }
  return {
    server, controllerUrl: `http://127.0.0.1:${controller}`, brokerUrl: `http://127.0.0.1:${broker}`, serverPort: query, dataDir: folder,
    get pid() { return server.pid; },
    logs: () => server.logs(),
    kill: (signal) => server.kill(signal),
    async stop() { await server.stop(); remove(); },
  };
}

/** `npm run stack -- pinot`: Pinot in the foreground. The usual port of its controller, 9000, is that of the S3 store here. Resolves with the exit code when it was stopped. */
export async function serve({ port: asked, dataDir = join(stackDir, "pinot-data"), log = console.log } = {}) {
  const port = await servingPort("pinot", asked, 9002, log);
  if (port === undefined) return 1;
  const brokerPort = await servingPort("pinot", undefined, 8099, log);
  const pinot = await startPinot({ port, brokerPort, dataDir, heapMb: 1024, orphanSignal: "TERM" });
  log(`
  Apache Pinot ${PINOT_VERSION} runs
  Controller http://localhost:${port}   in a pinot-cluster node
  Broker     http://localhost:${brokerPort}
  Kafka      npm run stack -- kafka, in a pinot-table node localhost:9092
  Data       ${pinot.dataDir} (kept; remove the folder to begin anew)
  Ctrl-C stops it.
`);
  return foreground({ name: "Pinot", ended: pinot.server.ended, stop: () => pinot.stop(), logs: () => pinot.logs(), log });
}
