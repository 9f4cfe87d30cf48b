/**
 * A real REST catalog server for tests (Iceberg's own, with a SQLite file). It knows no authentication; rest-proxy.ts adds that.
 */
import { createRequire } from "node:module";
import type { RestCatalog } from "../../lib/iceberg/catalog/rest/rest-catalog";
import type { RunningS3 } from "./s3";

export interface RestStartOptions {
  /** A free one. */
  readonly port?: number;
  /** Kept by `stop`; by default a temporary folder. */
  readonly dataDir?: string;
  /** Where new tables go: a folder (by default in dataDir) or `s3://bucket/prefix`. */
  readonly warehouse?: string;
  /** The store of a warehouse in S3. */
  readonly s3?: Pick<RunningS3, "endpoint" | "accessKey" | "secretKey">;
  /** More properties of the server's own catalog. */
  readonly properties?: Readonly<Record<string, string>>;
}

export interface RunningRest {
  /** http://127.0.0.1:port */
  readonly uri: string;
  readonly port: number;
  readonly warehouse: string;
  readonly dataDir: string;
  readonly pid: number | undefined;
  logs(): string;
  /** SIGKILL by default. Resolves when the process is gone; at once for SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** On the same port and data; a running one gets `signal` first (SIGTERM). */
  restart(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

const server = createRequire(__filename)("../../scripts/rest-catalog-server.mjs") as { startRestCatalog(options?: RestStartOptions): Promise<RunningRest> };

/** A server of your own. Takes two seconds and 200 MB; stop it. */
export const startRest = (options?: RestStartOptions): Promise<RunningRest> => server.startRestCatalog(options);

/** What a test may do with a server that it shares: no kills. */
export type SharedRest = Pick<RunningRest, "uri" | "port" | "warehouse">;

let shared: Promise<RunningRest> | undefined;
// A root hook of mocha: this file is loaded with the test files. Used outside of mocha, the server ends with the process.
if (typeof after === "function") after(async function () { this.timeout(30_000); await (await shared)?.stop(); });

/** The server of this mocha process, its warehouse on a local folder, started by the first call and stopped at the end. Tables of other tests live there too: use a namespace of your own. */
export const sharedRest = (): Promise<SharedRest> => shared ??= startRest();

/** Drops every table of a catalog, files and all, and every namespace: what is left is as new. */
export async function emptyCatalog(catalog: RestCatalog, parent: readonly string[] = []): Promise<void> {
  for (const namespace of await catalog.listNamespaces(parent)) {
    for (const table of await catalog.listTables(namespace)) await catalog.dropTable(table, { purge: true });
    await emptyCatalog(catalog, namespace);
    const response = await fetch(`${catalog.uri}/v1/namespaces/${namespace.map(encodeURIComponent).join("%1F")}`, { method: "DELETE" });
    // 404: the server makes up namespaces of tables that were created without one, and forgets them with the last table.
    if (!response.ok && response.status !== 404) throw new Error(`${namespace.join(".")} is not dropped: ${await response.text()}`);
  }
}
