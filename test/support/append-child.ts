/**
 * A writer as a process of its own, for tests that kill it: appends offsets `from its watermark` up to `end` of one Kafka-like partition to a table, some offsets a
 * commit, each offset one row, exactly as a sink does after a restart.
 *
 *   append-child.ts {"warehouse": "/w", "writer": "a", "partition": 0, "end": 100, "batch": 3}
 *
 * Instead of the folder `warehouse` it takes the settings and credentials of any `catalog`.
 *
 * TICKLAKE_TEST_KILL_AT="after-link:2" kills it (SIGKILL) the second time it gets there.
 */
import { type CatalogCredentials, type CatalogSettings, openCatalog } from "../../lib/iceberg/catalog/open";
import type { CommitPoint, CommitProbe, Table } from "../../lib/iceberg/catalog/types";
import { append, type Watermark } from "../../lib/iceberg/commit";
import { deleteDataFiles, type UnwrittenFile, writeDataFiles } from "../../lib/iceberg/data-files";
import { readWatermarks, watermarkKey } from "../../lib/iceberg/watermarks";
import { dataFile, SCHEMA, SPEC } from "./iceberg";

/** A catalog of any kind, as another process opens it. */
export interface ChildCatalog { settings: CatalogSettings; credentials?: CatalogCredentials }

export interface ChildJob { warehouse?: string; catalog?: ChildCatalog; writer: string; partition: number; end: number; batch: number }

const ID = { namespace: ["db"], name: "t" };

async function main(job: ChildJob): Promise<void> {
  const table = await open(job.catalog ?? { settings: { warehouse: job.warehouse } });
  const key = { writer: job.writer, cluster: "c", group: "g", topic: "t", partition: job.partition };
  for (;;) {
    const { metadata } = await table.refresh();
    const known = readWatermarks(metadata).watermarks.find((mark) => watermarkKey(mark) === watermarkKey(key));
    const next = Number(known?.nextOffset ?? 0n);
    if (next >= job.end) break;
    const offsets = Array.from({ length: Math.min(job.batch, job.end - next) }, (_, i) => next + i);
    const files = await writeRows(table, job.partition, offsets);
    const last = BigInt(offsets.at(-1)!);
    const watermark: Watermark = { ...key, nextOffset: last + 1n, lastOffset: last, lastTimestamp: Number(last) };
    await append(table, { files, watermarks: [watermark], at: killer }).catch(async (error: unknown) => {
      await deleteDataFiles(table, files);
      throw error;
    });
  }
  process.stdout.write("done\n");
}

async function open({ settings, credentials = {} }: ChildCatalog): Promise<Table> {
  const catalog = openCatalog(settings, process.cwd(), { credentials });
  const properties = { "commit.manifest.min-count-to-merge": "10" };
  return catalog.createTable(ID, { schema: SCHEMA, spec: SPEC, properties }).catch(() => catalog.loadTable(ID));
}

/** One row per offset, a file per day of 100; the id tells partition and offset. */
async function writeRows(table: Table, partition: number, offsets: readonly number[]): ReturnType<typeof writeDataFiles> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const days = new Set(offsets.map((offset) => Math.floor(offset / 100)));
  const files = [...days].map((day): UnwrittenFile => {
    const ts = offsets.filter((offset) => Math.floor(offset / 100) === day).map(BigInt);
    const bytes = new Uint8Array(parquetWriteBuffer({
      columnData: [{ name: "id", data: ts.map((offset) => BigInt(partition) * 1_000_000n + offset) }, { name: "ts", data: ts }],
      schema: [
        { name: "root", num_children: 2 }, { name: "id", type: "INT64", repetition_type: "OPTIONAL", field_id: 1 }, { name: "ts", type: "INT64", repetition_type: "OPTIONAL", field_id: 2 },
      ],
    }));
    return { ...dataFile("", ts, { fileSizeInBytes: bytes.length }), bytes, partitionPath: `ts_trunc=${day * 100}` };
  });
  return writeDataFiles(table, files, 0, killer);
}

const [killPoint, killCount = "1"] = (process.env["TICKLAKE_TEST_KILL_AT"] ?? "").split(":");
let reached = 0;

const killer: CommitProbe = (point: CommitPoint) => {
  if (point === killPoint && ++reached === Number(killCount)) process.kill(process.pid, "SIGKILL");
};

main(JSON.parse(process.argv[2]!) as ChildJob).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
