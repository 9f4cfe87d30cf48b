import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { openRestCatalog } from "../../../lib/iceberg/catalog/rest/open";
import { runPython } from "../../support/python";
import { emptyCatalog, sharedRest } from "../../support/rest";
import { freshBucket, type SharedS3, sharedS3 } from "../../support/s3";
import { sharedSpark } from "../../support/spark";
import { appendRows, createTable, dayOfTrades } from "../../support/tables";

/** The code blocks of one language, in their order. */
const blocks = (text: string, language: string): string[] => [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === language).map((match) => match[2]!.trim());
/** Of two days of `dayOfTrades`. */
const AAPL = ["AAPL", 6, 3000];

describe("the commands of docs/lakehouse.md", function () {
  this.timeout(240_000);
  let text: string, s3: SharedS3, uri: string;

  before(async () => {
    [s3, { uri }] = await Promise.all([sharedS3(), sharedRest()]);
    const bucket = await freshBucket();
    const written = await readFile(join(__dirname, "../../../docs/lakehouse.md"), "utf8");
    // As a user fills in what is theirs.
    text = written.replaceAll("s3a://warehouse/", `s3a://${bucket}/`).replaceAll("localhost:9000", s3.endpoint.replace("http://", "")).replaceAll("http://localhost:8181", uri);
    await emptyCatalog(openRestCatalog({ uri }));
    const server = openCatalog({ catalogName: "server", catalogType: "rest", uri }, process.cwd());
    const lake = openCatalog({ catalogName: "lake", warehouse: `s3a://${bucket}/`, s3Endpoint: s3.endpoint }, process.cwd(), { credentials: { accessKeyId: "minioadmin", secretAccessKey: "minioadmin" } });
    for (const catalog of [server, lake]) {
      const table = await createTable(catalog, "db.flattened_stocks");
      for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
    }
  });

  it("Spark's run, for S3 and for REST", async () => {
    const spark = await sharedSpark();
    const commands = blocks(text, "sh").filter((command) => command.startsWith("spark-sql"));
    assert.equal(commands.length, 2);
    for (const command of commands) {
      const settings = [...command.matchAll(/--conf spark\.sql\.catalog\.(\w+)\.(\S+?)=(\S+)/g)];
      await spark.configure(settings[0]![1]!, Object.fromEntries(settings.map(([, , key, value]) => [key!, value!])));
      const { rows } = await spark.sql(/-e "([^"]*)"/.exec(command)![1]!);
      assert.deepEqual(rows.find(([symbol]) => symbol === "AAPL"), AAPL);
    }
  });

  it("PyIceberg's run, for S3 and for REST", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ticklake-docs-"));
    try {
      const examples = blocks(text, "python");
      assert.equal(examples.length, 2);
      for (const code of examples) {
        const file = join(folder, "example.py");
        await writeFile(file, code);
        assert.equal((await runPython(file)).trim(), "6");
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("DuckDB's runs", async () => {
    const command = blocks(text, "sh").find((example) => example.startsWith("duckdb"))!;
    const statements = /LOAD httpfs;\n([\s\S]*)"$/.exec(command)![1]!.split(";\n");
    assert.equal(statements.length, 2);
    const [answer] = JSON.parse(await runPython("read_duckdb.py", statements)) as { rows: unknown[][] }[];
    assert.deepEqual(answer!.rows.find(([symbol]) => symbol === "AAPL"), AAPL);
  });
});
