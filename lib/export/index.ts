/** Jobs of a flow as text for other engines. Pure. */
import { flinkSql } from "./flink-sql";
import { readJob } from "./job";
import { pyspark } from "./pyspark";
import { sparkSql } from "./spark-sql";
import { TicklakeError } from "../errors";
import { EXPORT_FORMATS, type ExportedJob, type ExportFormat, type ExportNode, type Job } from "./types";

export { EXPORT_FORMATS, type ExportedJob, type ExportFormat, type ExportNode } from "./types";

const WRITERS: Readonly<Record<ExportFormat, { readonly write: (job: Job) => string; readonly suffix: string }>> = {
  "spark-sql": { write: sparkSql, suffix: ".spark.sql" },
  pyspark: { write: pyspark, suffix: ".py" },
  "flink-sql": { write: flinkSql, suffix: ".flink.sql" },
};

/**
 * The job that leads to a sink of a flow, from kafka-in through explode-trades, as a program for Spark or Flink. Variables that the flow itself does not
 * know, and all secrets, stand in it as references to the environment; what cannot be told stands in its head.
 *
 * @param nodes of the flow, as the editor or a flow file has them
 * @param id of an iceberg-out or kafka-out
 * @param userDir what a relative warehouse is relative to
 * @throws TicklakeError CONFIG_INVALID for a flow that cannot be exported, and as the settings' own errors
 */
export function exportJob(nodes: readonly ExportNode[], id: string, as: ExportFormat, userDir: string): ExportedJob {
  const job = readJob(nodes, id, userDir);
  const { write, suffix } = WRITERS[as];
  const name = job.target.kind === "iceberg" ? job.target.table.at(-1)! : job.target.topic;
  return { text: write(job), fileName: `${name.replace(/[^\w.-]+/g, "_")}${suffix}` };
}

/** @throws TicklakeError CONFIG_INVALID naming the formats there are */
export function exportFormat(value: unknown): ExportFormat {
  const found = EXPORT_FORMATS.find((one) => one === value);
  if (found) return found;
  throw new TicklakeError("CONFIG_INVALID", `A job is exported as ${EXPORT_FORMATS.join(", ")}, not as ${JSON.stringify(value)}.`);
}
