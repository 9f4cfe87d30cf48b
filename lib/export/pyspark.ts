/** A job as a Structured Streaming program in Python. Pure. */
import { comment, head } from "./comments";
import { clusterOptions, createStatements, inSql, packages, RECORDS, selectMessages, selectRows, sessionSettings, sourceOptions, sparkNotes, SPARK_VERSIONS, tableName } from "./spark";
import type { Job } from "./types";

export function pyspark(job: Job): string {
  const { target, intervalMs } = job;
  const name = target.kind === "iceberg" ? target.table.at(-1)! : target.topic;
  const lines = head(job, {
    what: "a Structured Streaming job in Python",
    how: [
      `For Spark ${SPARK_VERSIONS.spark}${target.kind === "iceberg" ? ` with Iceberg ${SPARK_VERSIONS.iceberg}` : ""}. Run it with`,
      `  spark-submit --packages ${packages(job)} FILE.py`,
      "With --once it reads what there is and ends; without, it goes on. Where it has got to stands in the checkpoint (CHECKPOINT in the environment):",
      "keep that on storage that outlives the machine, one folder per job. startingOffsets holds only for a new checkpoint.",
    ],
    notes: sparkNotes(job),
  });
  const settings = sessionSettings(job).map(([key, value]) => `    .config(${python(key)}, ${python(value)})`);
  return [
    comment("#", lines), "import os", "import sys", "", "from pyspark.sql import SparkSession", "",
    `CHECKPOINT = os.environ.get("CHECKPOINT", ${python(`checkpoints/${name}`)})`, "",
    "spark = (", "    SparkSession.builder", `    .appName(${python(`ticklake ${name}`)})`, ...settings, "    .getOrCreate()", ")", "",
    ...(target.kind === "iceberg" && target.create ? createStatements(target).flatMap((statement) => [`spark.sql(${sqlText(inSql(statement))})`, ""]) : []),
    "(", "    spark.readStream.format(\"kafka\")", ...options(sourceOptions(job, "stream")), "    .load()", `    .createOrReplaceTempView("${RECORDS}")`, ")", "",
    `rows = spark.sql(${sqlText(inSql(target.kind === "iceberg" ? selectRows(job) : selectMessages(job, target.key)))})`, "",
    "query = (", "    rows.writeStream", `    .format("${target.kind}")`, "    .outputMode(\"append\")",
    `    .trigger(**({"availableNow": True} if "--once" in sys.argv[1:] else {"processingTime": "${intervalMs} milliseconds"}))`,
    "    .option(\"checkpointLocation\", CHECKPOINT)",
    ...(target.kind === "iceberg"
      ? ["    # Rows of a batch go to their partitions without being sorted first.", "    .option(\"fanout-enabled\", \"true\")", `    .toTable(${python(tableName(target))})`]
      : [...options([...clusterOptions(target.cluster), ...(target.compression === "none" ? [] : [["kafka.compression.type", target.compression] as const]), ["topic", target.topic]]), "    .start()"]),
    ")", "query.awaitTermination()", "",
  ].join("\n");
}

const options = (pairs: readonly (readonly [string, string])[]): string[] => pairs.map(([key, value]) => `    .option(${python(key)}, ${python(value)})`);

/** A text of Python; its variables come from the environment. */
function python(value: string): string {
  if (!/\$\{[^}]+\}/.test(value)) return JSON.stringify(value);
  const parts = value.split(/\$\{([^}]+)\}/).map((part, k) => (k % 2 === 1 ? `{os.environ['${part.replace(/[^\w.-]/g, "_")}']}` : JSON.stringify(part).slice(1, -1).replace(/[{}]/g, "$&$&")));
  return `f"${parts.join("")}"`;
}

/** SQL on lines of its own. */
function sqlText(sql: string): string {
  return sql.includes('"""') ? JSON.stringify(sql) : `r"""\n${sql.replace(/^/gm, "    ")}\n"""`;
}
