// Iceberg's own REST catalog server on the loopback interface: for the tests, the benchmarks, and `npm run stack -- rest`. One jar from Maven
// (scripts/stack.mjs fetches it once) that keeps its tables' names in a SQLite file. It knows no authentication: for use on one machine.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { foreground, freePorts, ServerProcess, servingPort, temporary } from "./server-process.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

export const REST_CATALOG = "org.apache.iceberg:iceberg-open-api:1.10.1";
export const restCatalogDir = join(stackDir, "rest-catalog");
export const restCatalogJar = join(restCatalogDir, "server", "iceberg-open-api-1.10.1.jar");

const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", "java") : "java";
const JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

const answers = (port) => new Promise((done) => {
  get({ host: "127.0.0.1", port, path: "/v1/config", timeout: 2000 }, (response) => { response.resume(); done(response.statusCode === 200); }).on("error", () => done(false)).on("timeout", function () { this.destroy(); });
});

/** Settings of the catalog as the server reads them: `s3.path-style-access` is CATALOG_S3_PATH__STYLE__ACCESS. */
const environment = (properties) => Object.fromEntries(Object.entries(properties).map(([name, value]) => [`CATALOG_${name.replace(/-/g, "__").replace(/\./g, "_").toUpperCase()}`, value]));

/**
 * Starts the server and resolves when it answers.
 *
 * @param {object} [options]
 * - port (a free one)
 * - dataDir: kept when given, otherwise a temporary folder that `stop` removes. Holds the names of the tables and, without `warehouse`, the tables.
 * - warehouse: where new tables go: a folder or `s3://bucket/prefix`
 * - s3: {endpoint, accessKey, secretKey} of the store, for a warehouse in S3
 * - properties: more of the server's own catalog
 * - orphanSignal: what the server gets when this process dies (KILL)
 */
export async function startRestCatalog({ port, dataDir, warehouse, s3, properties = {}, orphanSignal = "KILL" } = {}) {
  if (!existsSync(restCatalogJar)) throw new Error(`There is no REST catalog server in ${restCatalogDir}. Run: node scripts/stack.mjs rest-catalog`);
  const at = port ?? (await freePorts(1))[0];
  const folder = dataDir ?? mkdtempSync(join(tmpdir(), "ticklake-rest-"));
  if (!dataDir) temporary.add(folder);
  mkdirSync(folder, { recursive: true });
  const lies = warehouse ?? join(folder, "warehouse");
  const server = new ServerProcess({
    name: "The REST catalog", command: java, args: [...JVM, "-cp", restCatalogJar, "org.apache.iceberg.rest.RESTCatalogServer"], cwd: folder,
    env: {
      CATALOG_REST_PORT: String(at),
      // Several writers at once: SQLite lets them wait for one another instead of failing.
      CATALOG_URI: `jdbc:sqlite:${join(folder, "catalog.db")}?busy_timeout=10000&journal_mode=WAL`,
      ...environment({
        warehouse: lies,
        ...(s3 ? { "io-impl": "org.apache.iceberg.aws.s3.S3FileIO", "s3.endpoint": s3.endpoint, "s3.path-style-access": "true", "s3.access-key-id": s3.accessKey, "s3.secret-access-key": s3.secretKey, "client.region": "us-east-1" } : {}),
        ...properties,
      }),
      ...(s3 ? { AWS_REGION: "us-east-1" } : {}),
    },
    ready: () => answers(at), orphanSignal,
  });
  const remove = () => { if (temporary.delete(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); };
  try { await server.start(); } catch (error) {
    await server.kill();
    remove();
    throw error;
  }
  return {
    server, port: at, uri: `http://127.0.0.1:${at}`, warehouse: lies, dataDir: folder,
    get pid() { return server.pid; },
    logs: () => server.logs(),
    kill: (signal) => server.kill(signal),
    async restart(signal = "SIGTERM") { if (server.alive) await server.kill(signal); await server.start(); },
    async stop() { await server.stop(); remove(); },
  };
}

/** `npm run stack -- rest`: the server in the foreground. Resolves with the exit code when it was stopped. */
export async function serve({ port: asked, dataDir = join(stackDir, "rest-data"), log = console.log } = {}) {
  const port = await servingPort("rest", asked, 8181, log);
  if (port === undefined) return 1;
  const catalog = await startRestCatalog({ port, dataDir, orphanSignal: "TERM" });
  log(`
  An Iceberg REST catalog runs on http://localhost:${port}
  Catalog    in an iceberg-catalog node: kind rest, address http://localhost:${port}
  Spark      --conf spark.sql.catalog.local=org.apache.iceberg.spark.SparkCatalog --conf spark.sql.catalog.local.type=rest --conf spark.sql.catalog.local.uri=http://localhost:${port}
  PyIceberg  load_catalog("local", type="rest", uri="http://localhost:${port}")
  Data       ${catalog.dataDir} (kept; remove the folder to begin anew)
  Ctrl-C stops it.
`);
  return foreground({ name: "The REST catalog", ended: catalog.server.ended, stop: () => catalog.stop(), logs: () => catalog.logs(), log });
}
