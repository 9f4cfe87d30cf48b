/**
 * A real S3 server for tests (versitygw): signatures are checked, conditional writes are atomic.
 */
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { openFileIO } from "../../lib/iceberg/io/open";
import type { FileIO } from "../../lib/iceberg/io/types";

export interface S3StartOptions {
  /** A free one. */
  readonly port?: number;
  /** minioadmin. */
  readonly accessKey?: string;
  readonly secretKey?: string;
  /** Kept by `stop`; by default a temporary folder. A folder in it is a bucket. */
  readonly dataDir?: string;
  /** Made at the start; by default `warehouse`. */
  readonly buckets?: readonly string[];
}

export interface RunningS3 {
  /** http://127.0.0.1:port */
  readonly endpoint: string;
  readonly port: number;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly dataDir: string;
  readonly pid: number | undefined;
  /** Makes a bucket. */
  bucket(name: string): string;
  logs(): string;
  /** SIGKILL by default. Resolves when the process is gone; at once for SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** On the same port and data; a running one gets `signal` first (SIGTERM). */
  restart(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

const server = createRequire(__filename)("../../scripts/s3-server.mjs") as { startS3(options?: S3StartOptions): Promise<RunningS3> };

/** A server of your own, for kills. Takes a second and 50 MB; stop it. */
export const startS3 = (options?: S3StartOptions): Promise<RunningS3> => server.startS3(options);

/** What a test may do with a server that it shares: no kills. */
export type SharedS3 = Pick<RunningS3, "endpoint" | "port" | "accessKey" | "secretKey" | "bucket">;

let shared: Promise<RunningS3> | undefined;
// A root hook of mocha: this file is loaded with the test files. Used outside of mocha, the server ends with the process.
if (typeof after === "function") after(async function () { this.timeout(30_000); await (await shared)?.stop(); });

/** The server of this mocha process, started by the first call and stopped at the end. Buckets of other tests live there too: use `freshBucket`. */
export const sharedS3 = (): Promise<SharedS3> => shared ??= startS3();

/** The name of a new, empty bucket. */
export async function freshBucket(s3?: SharedS3): Promise<string> {
  return (s3 ?? await sharedS3()).bucket(`test-${randomBytes(6).toString("hex")}`);
}

/** Iceberg's properties for a server. */
export function s3Properties(s3: Pick<RunningS3, "endpoint" | "accessKey" | "secretKey">, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { "s3.endpoint": s3.endpoint, "s3.access-key-id": s3.accessKey, "s3.secret-access-key": s3.secretKey, "s3.region": "us-east-1", "s3.path-style-access": "true", ...more };
}

/** The shared server's storage. */
export async function sharedS3IO(more: Readonly<Record<string, string>> = {}): Promise<FileIO> {
  return openFileIO(s3Properties(await sharedS3(), more));
}
