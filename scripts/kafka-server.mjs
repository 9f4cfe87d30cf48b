// Real Apache Kafka brokers (KRaft) on the loopback interface: for the tests, the benchmarks, and `npm run stack -- kafka`.
// The jars come from Maven (scripts/stack.mjs fetches them once); everything after that works offline.
//
// Formatting a data folder takes a JVM of its own: it is done once per set of users and copied from then on, with a cluster id of its own.
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { foreground, freePorts, running, ServerProcess, servingPort, temporary } from "./server-process.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

export const KAFKA_VERSION = "4.4.0";
/** The newest release whose tools (console producer and consumer) Maven serves; they bring clients of their own and work with any broker. */
export const KAFKA_TOOLS_VERSION = "4.3.1";

const SLF4J = "org.slf4j:slf4j-simple:1.7.36";
/** Folder of jars -> what Maven copies into it, with all that it needs. */
export const KAFKA_JARS = {
  server: [`org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`, SLF4J],
  tools: [`org.apache.kafka:kafka-tools:${KAFKA_TOOLS_VERSION}`, SLF4J],
};
export const kafkaDir = join(stackDir, "kafka");
const jars = (what) => join(kafkaDir, what);

/** A Maven project that wants nothing but these jars. */
export const pom = (artifacts) => `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>ticklake</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${artifacts.map((a) => a.split(":")).map(([group, artifact, version]) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`).join("\n")}</dependencies></project>\n`;

const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", "java") : "java";
/** Quick to start and small, which counts more here than the last bit of throughput. */
const QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
const JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", QUIET];
/** As Kafka's own start script has it: for benchmarks. */
const SERVER_JVM = ["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", QUIET];
const execute = promisify(execFile);

/** Runs a main class of Kafka to its end; resolves with what it printed. */
export async function kafkaTool(mainClass, args, { stdin, timeoutMs = 60_000, jars: what = "tools" } = {}) {
  requireJars(what);
  const running = execute(java, ["-Xmx256m", ...JVM, "-cp", join(jars(what), "*"), mainClass, ...args], { timeout: timeoutMs, maxBuffer: 256 * 1024 * 1024 });
  running.child.stdin.on("error", () => undefined);
  running.child.stdin.end(stdin ?? "");
  return (await running).stdout;
}

/** Runs a tool to its end and hands each line that it prints to `each`; for output that does not fit into memory. */
export async function kafkaToolLines(mainClass, args, each) {
  requireJars("tools");
  // Not JVM: it runs for long and prints millions of lines, so let it optimize.
  const child = spawn(java, ["-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", join(jars("tools"), "*"), mainClass, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (data) => { errors = (errors + data).slice(-4000); });
  const ended = new Promise((done, fail) => child.on("error", fail).on("close", done));
  for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) each(line);
  const code = await ended;
  running.delete(child);
  if (code !== 0) throw new Error(`${mainClass} ended with code ${code}:\n${errors}`);
}

function requireJars(what) {
  if (!existsSync(jars(what))) throw new Error(`Kafka is not in ${jars(what)}. Run: node scripts/stack.mjs --fetch kafka`);
}

const uuid = () => {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    // Kafka's tools would take one for an option.
    if (!id.startsWith("-")) return id;
  }
};

const PROTOCOLS = { plaintext: "PLAINTEXT", ssl: "SSL", sasl: "SASL_PLAINTEXT", sasl_ssl: "SASL_SSL", proxied: "PLAINTEXT" };

/** Keystore and certificate for 127.0.0.1 and localhost, made once. */
async function tlsFiles() {
  const folder = join(kafkaDir, "tls");
  const files = { keystore: join(folder, "server.p12"), certificate: join(folder, "server.pem"), password: "ticklake" };
  if (existsSync(files.certificate)) return files;
  mkdirSync(kafkaDir, { recursive: true });
  const made = mkdtempSync(join(kafkaDir, "tls-"));
  const keytool = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", "keytool") : "keytool";
  const store = ["-keystore", join(made, "server.p12"), "-storetype", "PKCS12", "-storepass", files.password, "-alias", "server"];
  await execute(keytool, ["-genkeypair", ...store, "-keyalg", "RSA", "-keysize", "2048", "-validity", "3650", "-dname", "CN=localhost", "-ext", "SAN=IP:127.0.0.1,DNS:localhost", "-ext", "BC=ca:true"]);
  await execute(keytool, ["-exportcert", ...store, "-rfc", "-file", join(made, "server.pem")]);
  settle(made, folder);
  return files;
}

/** Makes a finished folder the one that everybody uses; whoever was first wins. */
function settle(made, folder) {
  try { renameSync(made, folder); } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

/** A formatted data folder to copy from. Users of SCRAM are part of the format. */
async function template(users) {
  const key = createHash("sha256").update(JSON.stringify([KAFKA_VERSION, users])).digest("hex").slice(0, 12);
  const folder = join(kafkaDir, `template-${key}`);
  if (existsSync(folder)) return folder;
  const made = mkdtempSync(join(kafkaDir, "formatting-"));
  const config = `${made}.properties`;
  writeFileSync(config, properties({ nodeId: 1, controllerPort: 2, dataDir: made, listeners: { plaintext: 1 } }));
  const scram = Object.entries(users).flatMap(([name, password]) => ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((m) => ["--add-scram", `${m}=[name=${name},password=${password}]`]));
  try { await kafkaTool("kafka.tools.StorageTool", ["format", "-t", uuid(), "-c", config, ...scram], { jars: "server" }); } finally { rmSync(config, { force: true }); }
  settle(made, folder);
  return folder;
}

/** A new data folder: the template's, with ids of its own. */
async function prepareData({ dataDir, users, nodeId, clusterId }) {
  if (existsSync(join(dataDir, "meta.properties"))) return;
  mkdirSync(dataDir, { recursive: true });
  cpSync(await template(users), dataDir, { recursive: true });
  writeFileSync(join(dataDir, "meta.properties"), `version=1\nnode.id=${nodeId}\ncluster.id=${clusterId}\ndirectory.id=${uuid()}\n`);
}

const propertiesText = (entries) => Object.entries(entries).map(([key, value]) => `${key}=${String(value).replaceAll("\\", "\\\\")}\n`).join("");

function properties({ nodeId, nodes = 1, controllerPort, dataDir, listeners, proxyPort, users = {}, tls, more = {} }) {
  const names = Object.keys(listeners);
  const controller = nodeId === 1;
  const replicas = Math.min(nodes, 3);
  const plain = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`).join(" ");
  const sasl = Object.fromEntries(names.filter((n) => n.startsWith("sasl")).flatMap((n) => [
    [`listener.name.${n}.sasl.enabled.mechanisms`, "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"],
    [`listener.name.${n}.plain.sasl.jaas.config`, `org.apache.kafka.common.security.plain.PlainLoginModule required ${plain};`],
    [`listener.name.${n}.scram-sha-256.sasl.jaas.config`, "org.apache.kafka.common.security.scram.ScramLoginModule required;"],
    [`listener.name.${n}.scram-sha-512.sasl.jaas.config`, "org.apache.kafka.common.security.scram.ScramLoginModule required;"],
  ]));
  const ssl = tls ? { "ssl.keystore.location": tls.keystore, "ssl.keystore.type": "PKCS12", "ssl.keystore.password": tls.password, "ssl.key.password": tls.password } : {};
  const at = (name, port) => `${name.toUpperCase()}://127.0.0.1:${port}`;
  return propertiesText({
    "process.roles": controller ? "broker,controller" : "broker",
    "node.id": nodeId,
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    "listeners": [...names.map((n) => at(n, listeners[n])), ...(controller ? [`CONTROLLER://127.0.0.1:${controllerPort}`] : [])].join(","),
    "advertised.listeners": names.map((n) => at(n, n === "proxied" ? proxyPort : listeners[n])).join(","),
    "listener.security.protocol.map": [...names.map((n) => `${n.toUpperCase()}:${PROTOCOLS[n]}`), "CONTROLLER:PLAINTEXT"].join(","),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": dataDir,
    "auto.create.topics.enable": "false",
    // One node, or few: internal topics small, nothing waits for members or replicas that will not come.
    "offsets.topic.num.partitions": 4, "offsets.topic.replication.factor": replicas,
    "transaction.state.log.num.partitions": 4, "transaction.state.log.replication.factor": replicas, "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": replicas, "share.coordinator.state.topic.min.isr": 1, "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "controlled.shutdown.retry.backoff.ms": 500,
    // A killed broker is let in again only when its former registration has expired (9 s by default).
    "broker.session.timeout.ms": 2000, "broker.heartbeat.interval.ms": 500,
    ...sasl, ...ssl, ...more,
  });
}

/** One broker process, on the same ports and data however often it is started. */
class Node extends ServerProcess {
  constructor({ nodeId, port, addresses, config, dataDir, heapMb, fast, orphanSignal }) {
    super({
      name: "Kafka", command: java, args: [`-Xmx${heapMb}m`, ...(fast ? SERVER_JVM : JVM), "-cp", join(jars("server"), "*"), "kafka.Kafka", config],
      cwd: dataDir, ready: () => answers(port), readyMs: 90_000, orphanSignal,
    });
    Object.assign(this, { nodeId, addresses });
  }
}

/** Whether a broker that knows itself answers there: the port alone opens a little earlier. */
async function answers(port) {
  const open = await new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => { socket.destroy(); done(true); });
    socket.on("error", () => done(false));
  });
  if (!open) return false;
  const { Kafka } = createRequire(import.meta.url)("kafkajs");
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: 0, connectionTimeout: 2000, requestTimeout: 5000, retry: { retries: 0 } }).admin();
  try {
    await admin.connect();
    return (await admin.describeCluster()).brokers.length > 0;
  } catch { return false; } finally { await admin.disconnect().catch(() => undefined); }
}

/**
 * Starts Kafka and resolves when it answers.
 *
 * @param {object} [options]
 * - port: of the first node's plaintext listener (a free one)
 * - listeners: more than plaintext: "ssl", "sasl", "sasl_ssl" (SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512)
 * - users: name -> password, for SASL
 * - proxyPort: a second plaintext listener that tells clients to come to this port
 * - nodes: brokers (1); the first is the controller
 * - properties: more of server.properties
 * - dataDir: kept when given, otherwise a temporary folder that `stop` removes
 * - fast: a JVM that takes longer to warm up and then does more
 * - heapMb (384), orphanSignal: what the broker gets when this process dies (KILL)
 */
export async function startKafka({ port, listeners = [], users = { ticklake: "ticklake-secret" }, proxyPort, nodes: count = 1, properties: more = {}, dataDir, heapMb = 384, fast = false, orphanSignal = "KILL" } = {}) {
  requireJars("server");
  const tls = listeners.some((l) => l.includes("ssl")) ? await tlsFiles() : undefined;
  const names = ["plaintext", ...listeners, ...(proxyPort === undefined ? [] : ["proxied"])];
  const folder = dataDir ?? mkdtempSync(join(tmpdir(), "ticklake-kafka-"));
  if (!dataDir) temporary.add(folder);
  const known = join(folder, "node-1", "meta.properties");
  const clusterId = existsSync(known) ? /cluster\.id=(\S+)/.exec(readFileSync(known, "utf8"))[1] : uuid();
  const [controllerPort, ...ports] = await freePorts(1 + count * names.length);
  const nodes = [];
  for (let k = 0; k < count; k++) {
    const nodeId = k + 1;
    const at = Object.fromEntries(names.map((name, n) => [name, k === 0 && n === 0 && port ? port : ports[k * names.length + n]]));
    const data = join(folder, `node-${nodeId}`);
    await prepareData({ dataDir: data, users, nodeId, clusterId });
    const config = join(folder, `node-${nodeId}.properties`);
    writeFileSync(config, properties({ nodeId, nodes: count, controllerPort, dataDir: data, listeners: at, proxyPort, users, tls, more }), { mode: 0o600 });
    nodes.push(new Node({ nodeId, port: at.plaintext, addresses: Object.fromEntries(names.map((name) => [name, `127.0.0.1:${at[name]}`])), config, dataDir: data, heapMb, fast, orphanSignal }));
  }
  const stop = async () => {
    // The controller last: the others say good-bye to it.
    for (const node of [...nodes].reverse()) await node.stop();
    if (temporary.delete(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try { await Promise.all(nodes.map((node) => node.start())); } catch (error) { await stop(); throw error; }
  const [first] = nodes;
  return {
    nodes,
    brokers: nodes.map((node) => node.addresses.plaintext).join(","),
    addresses: first.addresses,
    clusterId,
    dataDir: folder,
    users,
    certificate: tls?.certificate,
    get pid() { return first.pid; },
    logs: () => nodes.map((node) => node.logs()).join(""),
    kill: (signal) => first.kill(signal),
    async restart(signal = "SIGTERM") { if (first.alive) await first.kill(signal); await first.start(); },
    stop,
  };
}

/** `npm run stack -- kafka`: a broker in the foreground, for a developer or user. Resolves with the exit code when it was stopped. */
export async function serve({ port: asked, dataDir = join(stackDir, "kafka-data"), log = console.log } = {}) {
  const port = await servingPort("kafka", asked, 9092, log);
  if (port === undefined) return 1;
  // Two brokers on one folder would damage it; Kafka itself holds a lock there and says so.
  const kafka = await startKafka({ port, dataDir, heapMb: 512, orphanSignal: "TERM" });
  const address = `localhost:${port}`;
  log(`
  Apache Kafka ${KAFKA_VERSION} runs on ${address}
  Data     ${kafka.dataDir} (kept; remove the folder to begin anew)
  In Node-RED: Import > Examples > @ticklake/node-red-ticklake > 3 Kafka${port === 9092 ? "" : `
  with     KAFKA_BROKERS=${address} npm start`}
  Ctrl-C stops it.
`);
  return foreground({ name: "Kafka", ended: kafka.nodes[0].ended, stop: () => kafka.stop(), logs: () => kafka.logs(), log });
}

export { isFree } from "./server-process.mjs";
