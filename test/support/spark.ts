import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { pythonPath, requirePython, stackDir } from "./python";
import type { SharedS3 } from "./s3";

export interface SparkResult {
  columns: string[];
  /** Spark's names of their types: bigint, int, string. */
  types: string[];
  rows: unknown[][];
  /** Of Iceberg's scan: resultDataFiles, skippedDataFiles, skippedDataManifests. */
  scan?: Record<string, number>;
}

/** A Spark session in a process of its own: starting one takes 20 seconds, so a mocha process has one (`sharedSpark`). Case-sensitive, UTC. */
export class Spark {
  private readonly waiting = new Map<number, (answer: Record<string, unknown>) => void>();
  private next = 1;
  private errors = "";

  private constructor(private readonly child: ChildProcess, private readonly folder: string) {}

  /** A session of your own, to be stopped. */
  static async start(): Promise<Spark> {
    requirePython();
    const jars = ["jars", "spark-kafka"].flatMap((name) => {
      const folder = join(stackDir, name);
      const found = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".jar")).map((file) => join(folder, file)) : [];
      if (found.length === 0) throw new Error(`What Spark needs is not in ${folder}. Run: node scripts/stack.mjs --fetch ${name}`);
      return found;
    });
    const folder = await mkdtemp(join(tmpdir(), "ticklake-spark-"));
    const child = spawn(pythonPath, [join(__dirname, "py", "spark_server.py"), jars.join(delimiter), folder], { cwd: folder, stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, SPARK_LOCAL_IP: "127.0.0.1" } });
    const spark = new Spark(child, folder);
    child.stderr!.on("data", (data: Buffer) => { spark.errors = (spark.errors + data.toString()).slice(-4000); });
    await new Promise<void>((ready, fail) => {
      child.once("exit", (code) => {
        fail(new Error(`Spark ended with code ${code}: ${spark.errors}`));
        for (const settle of spark.waiting.values()) settle({ error: `Spark ended with code ${code}` });
      });
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const answer = JSON.parse(line) as Record<string, unknown>;
        if (answer["ready"]) ready();
        const settle = spark.waiting.get(answer["id"] as number);
        spark.waiting.delete(answer["id"] as number);
        settle?.(answer);
      });
    });
    return spark;
  }

  /** Makes a folder a catalog of type hadoop; given `s3`, a location of `s3a://` or `s3://` there. */
  async catalog(name: string, warehouse: string, s3?: SparkStorage): Promise<void> {
    await this.configure(name, { type: "hadoop", warehouse, ...(s3 ? s3a(s3) : {}) });
  }

  /** A catalog behind a REST server, whose files lie in a folder or, given `s3`, in S3. */
  async restCatalog(name: string, uri: string, s3?: SparkStorage): Promise<void> {
    await this.configure(name, { type: "rest", uri, "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO", ...(s3 ? s3a(s3) : {}) });
  }

  /** A catalog by the properties below `spark.sql.catalog.<name>`. */
  async configure(name: string, properties: Readonly<Record<string, string>>): Promise<void> {
    await this.ask({ catalog: name, properties });
  }

  /** Runs SQL. With `explain` also what its scan read and skipped. */
  async sql(sql: string, explain = false): Promise<SparkResult> {
    return await this.ask({ sql, explain }) as unknown as SparkResult;
  }

  /** Runs a program in Python, whose session this one is, with these words behind its name and these variables in its environment. */
  async python(program: string, words: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.ask({ python: program, argv: ["program.py", ...words], environment });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.stdin!.end();
    const kill = setTimeout(() => this.child.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(kill);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  private async ask(request: object): Promise<Record<string, unknown>> {
    const id = this.next++;
    const answer = await new Promise<Record<string, unknown>>((settle) => {
      this.waiting.set(id, settle);
      this.child.stdin!.write(`${JSON.stringify({ id, ...request })}\n`);
    });
    if (answer["error"]) throw new Error(`Spark: ${String(answer["error"])}`);
    return answer;
  }
}

/** Where a session finds S3. */
export type SparkStorage = Pick<SharedS3, "endpoint" | "accessKey" | "secretKey">;

/** Hadoop's settings of S3, for one catalog. */
function s3a({ endpoint, accessKey, secretKey }: SparkStorage): Record<string, string> {
  const settings = {
    "s3a.endpoint": endpoint, "s3a.access.key": accessKey, "s3a.secret.key": secretKey, "s3a.path.style.access": "true", "s3a.connection.ssl.enabled": "false",
    // Without it Hadoop deletes the folders above a file that it has written, which a server on a file system takes literally.
    "s3a.directory.marker.retention": "keep",
    "s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
  };
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`hadoop.fs.${key}`, value]));
}

let shared: Promise<Spark> | undefined;
// A root hook of mocha: this file is loaded with the test files. Used outside of mocha, the session ends with the process.
if (typeof after === "function") after(async function () { this.timeout(60_000); await (await shared?.catch(() => undefined))?.stop(); });

/** The session of this mocha process, started by the first call and stopped at the end. Its catalogs are everybody's: give yours a name of its own. */
export const sharedSpark = (): Promise<Spark> => shared ??= Spark.start();
