import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pythonPath, requirePython, stackDir } from "./python";

export interface SparkResult {
  columns: string[];
  rows: unknown[][];
  /** Of Iceberg's scan: resultDataFiles, skippedDataFiles, skippedDataManifests. */
  scan?: Record<string, number>;
}

/** A Spark session in a process of its own, for a whole test file: starting one takes 20 seconds. Case-sensitive, UTC. */
export class Spark {
  private readonly waiting = new Map<number, (answer: Record<string, unknown>) => void>();
  private next = 1;
  private errors = "";

  private constructor(private readonly child: ChildProcess, private readonly folder: string) {}

  static async start(): Promise<Spark> {
    requirePython();
    const jars = join(stackDir, "jars");
    const jar = existsSync(jars) ? readdirSync(jars).find((name) => /^iceberg-spark-runtime-3\.5.*\.jar$/.test(name)) : undefined;
    if (!jar) throw new Error(`The Iceberg runtime for Spark is not in ${jars}. Run: node scripts/stack.mjs jars`);
    const folder = await mkdtemp(join(tmpdir(), "ticklake-spark-"));
    const child = spawn(pythonPath, [join(__dirname, "py", "spark_server.py"), join(jars, jar), folder], { cwd: folder, stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, SPARK_LOCAL_IP: "127.0.0.1" } });
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

  /** Makes a folder a catalog of type hadoop. */
  async catalog(name: string, warehouse: string): Promise<void> {
    await this.ask({ catalog: name, warehouse });
  }

  /** Runs SQL. With `explain` also what its scan read and skipped. */
  async sql(sql: string, explain = false): Promise<SparkResult> {
    return await this.ask({ sql, explain }) as unknown as SparkResult;
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
