/** A job as a script for `spark-sql`: one batch over what the topic holds. Pure. */
import { TicklakeError } from "../errors";
import { outputColumns, SPARK } from "./columns";
import { comment, head } from "./comments";
import { createStatements, inSql, packages, RECORDS, selectRows, sessionSettings, sourceOptions, sparkNotes, SPARK_VERSIONS, tableName } from "./spark";
import type { Job } from "./types";

/** @throws TicklakeError CONFIG_INVALID for a job that SQL alone cannot do */
export function sparkSql(job: Job): string {
  const { target } = job;
  if (target.kind === "kafka") throw new TicklakeError("CONFIG_INVALID", "Spark SQL reads from Kafka, but has no statement that writes to it. Choose PySpark or Flink SQL.");
  const lines = head(job, {
    what: "a batch in Spark SQL",
    how: [
      `For Spark ${SPARK_VERSIONS.spark} with Iceberg ${SPARK_VERSIONS.iceberg}. Run it with`,
      `  spark-sql --packages ${packages(job)} -f FILE.sql`,
      "Spark SQL has no streams: this reads what the topic holds when it starts, and ends. A second run reads the same records again: then begin where the",
      `first has ended, with 'startingOffsets' = '{"${job.source.topics[0]}": {"0": 12345, ...}}'. For a job that goes on, export PySpark.`,
    ],
    notes: [
      ...(job.source.starting === "latest" ? ["startingOffsets is latest: a batch begins at the earliest record."] : []),
      `commitInterval: the batch is one commit.`, ...sparkNotes(job),
    ],
  });
  const options = sourceOptions(job, "batch").concat([["endingOffsets", "latest"]]).map(([name, value]) => `  ${SPARK.text(name)} = ${SPARK.text(value)}`);
  const columns = outputColumns(job, SPARK).map(({ name }) => SPARK.quote(name)).join(", ");
  return [
    comment("--", lines), "",
    ...sessionSettings(job).map(([name, value]) => `SET ${setting(name, inSql(value))};`), "",
    ...(target.create ? createStatements(target).flatMap((statement) => [`${statement};`, ""]) : []),
    `CREATE OR REPLACE TEMPORARY VIEW ${RECORDS} USING kafka OPTIONS (\n${options.join(",\n")}\n);`, "",
    `INSERT INTO ${tableName(target)} (${columns})\n${selectRows(job)};`, "",
  ].join("\n");
}

/** Names and values with other signs than those of an address stand in backquotes. */
function setting(name: string, value: string): string {
  return /^[\w.:/${}-]*$/.test(value) && /^[\w.-]+$/.test(name) ? `${name}=${value}` : `\`${name}\`=\`${value.replaceAll("`", "``")}\``;
}
