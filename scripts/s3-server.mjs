// A real S3 server (versitygw) on the loopback interface: for the tests, the benchmarks, and `npm run stack -- s3`. It is built once from its
// Go module (scripts/stack.mjs), keeps its buckets as folders, checks signatures, and its conditional writes are atomic.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { foreground, freePorts, ServerProcess, servingPort, temporary } from "./server-process.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

export const VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
export const versitygwDir = join(stackDir, "versitygw");
export const versitygw = join(versitygwDir, "bin", process.platform === "win32" ? "versitygw.exe" : "versitygw");

/** Whether anything answers there: without a signature that is a refusal. */
const answers = (port) => new Promise((done) => {
  get({ host: "127.0.0.1", port, timeout: 2000 }, (response) => { response.resume(); done(true); }).on("error", () => done(false)).on("timeout", function () { this.destroy(); });
});

/**
 * Starts the server and resolves when it answers.
 *
 * @param {object} [options]
 * - port (a free one), accessKey and secretKey (minioadmin)
 * - dataDir: kept when given, otherwise a temporary folder that `stop` removes. A folder in it is a bucket.
 * - buckets: made where they are missing (warehouse)
 * - orphanSignal: what the server gets when this process dies (KILL)
 */
export async function startS3({ port, accessKey = "minioadmin", secretKey = "minioadmin", dataDir, buckets = ["warehouse"], orphanSignal = "KILL" } = {}) {
  if (!existsSync(versitygw)) throw new Error(`There is no S3 server in ${versitygwDir}. Run: node scripts/stack.mjs versitygw`);
  const at = port ?? (await freePorts(1))[0];
  const folders = dataDir ? [dataDir] : [mkdtempSync(join(tmpdir(), "ticklake-s3-")), join(stackDir, `s3-${process.pid}-${at}`)];
  if (!dataDir) for (const folder of folders) temporary.add(folder);
  let failure;
  // Objects' attributes are kept in extended attributes of files: a temporary folder in memory may have none, then one on disk serves.
  for (const folder of folders) {
    for (const bucket of buckets) mkdirSync(join(folder, bucket), { recursive: true });
    const server = new ServerProcess({
      name: "versitygw", command: versitygw, args: ["--port", `127.0.0.1:${at}`, "--quiet", "posix", folder],
      env: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey }, ready: () => answers(at), orphanSignal,
    });
    const remove = () => { if (temporary.delete(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); };
    try { await server.start(); } catch (error) {
      failure = error;
      await server.kill();
      remove();
      continue;
    }
    return {
      server, port: at, endpoint: `http://127.0.0.1:${at}`, accessKey, secretKey, dataDir: folder,
      /** A bucket of that name, empty if it is new. */
      bucket(name) { mkdirSync(join(folder, name), { recursive: true }); return name; },
      get pid() { return server.pid; },
      logs: () => server.logs(),
      kill: (signal) => server.kill(signal),
      async restart(signal = "SIGTERM") { if (server.alive) await server.kill(signal); await server.start(); },
      async stop() { await server.stop(); remove(); },
    };
  }
  throw failure;
}

/** `npm run stack -- s3`: the server in the foreground, with the documented keys and bucket. Resolves with the exit code when it was stopped. */
export async function serve({ port: asked, dataDir = join(stackDir, "s3-data"), log = console.log } = {}) {
  const port = await servingPort("s3", asked, 9000, log);
  if (port === undefined) return 1;
  const s3 = await startS3({ port, dataDir, orphanSignal: "TERM" });
  log(`
  An S3 server (versitygw) runs on http://localhost:${port}
  Keys       minioadmin / minioadmin
  Bucket     warehouse: in an iceberg-catalog node, warehouse s3a://warehouse/ and endpoint http://localhost:${port}
  Data       ${s3.dataDir} (kept; remove the folder to begin anew)
  Ctrl-C stops it.
`);
  return foreground({ name: "versitygw", ended: s3.server.ended, stop: () => s3.stop(), logs: () => s3.logs(), log });
}
