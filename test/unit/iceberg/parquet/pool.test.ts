import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EventEmitter } from "node:events";
import { Worker } from "node:worker_threads";
import { TicklakeError } from "../../../../lib/errors";
import { ColumnAccumulator, type ColumnBatch } from "../../../../lib/iceberg/columns";
import { codecAvailable, EncoderPool, type EncodeJob } from "../../../../lib/iceberg/parquet";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../../../../lib/iceberg/schema";
import { parsePartitionBy } from "../../../../lib/iceberg/transforms";
import { canonicalRows } from "../../../support/parquet-read";

const DAY = 86_400_000;

function trades(count: number): ColumnBatch {
  const columns = new ColumnAccumulator(TRADES_SCHEMA);
  columns.append(Array.from({ length: count }, (_, i) => ({ T: "t", S: i % 2 ? "AAPL" : "MSFT", i: i + 1, x: "V", p: 150 + (i % 100) / 100, s: 100, timestamp: 20_000 * DAY + (i % 3) * DAY + i, c: ["@"], z: "C" })), () => assert.fail());
  return columns.take([[0, count]]);
}

const job = (batch: ColumnBatch, over: Partial<EncodeJob> = {}): EncodeJob => ({ batch, schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA), codec: "snappy", ...over });
const failsWith = (code: string) => (error: unknown): boolean => error instanceof TicklakeError && error.code === code;

describe("the encoder's worker thread", function () {
  this.timeout(30_000);
  let pool: EncoderPool;
  afterEach(() => pool.close());

  it("writes one file per partition, rows in their order, in the order of the calls", async () => {
    pool = new EncoderPool();
    pool.warm();
    const [first, second] = await Promise.all([pool.encode(job(trades(900))), pool.encode(job(trades(3)))]);
    assert.deepEqual(first.map((f) => [f.partitionPath, f.partition, f.recordCount]), [0, 1, 2].map((d) => [`timestamp_trunc=${(20_000 + d) * DAY}`, [BigInt((20_000 + d) * DAY)], 300]));
    assert.equal(second.length, 3);
    const ids = (await canonicalRows(TRADES_SCHEMA, first[1]!.bytes) as Record<string, unknown>[]).map((r) => Number(r["i"]));
    assert.deepEqual(ids, Array.from({ length: 300 }, (_, i) => i * 3 + 2));
  });

  it("may die: the job fails as retryable, the batch is unharmed, the next job gets a new thread", async () => {
    let starts = 0;
    const loader = require.resolve("tsx/cjs");
    const worker = require.resolve("../../../../lib/iceberg/parquet/worker");
    pool = new EncoderPool({
      startWorker: () => new Worker(++starts === 1 ? "require('node:worker_threads').parentPort.on('message', () => process.exit(3));" : `require(${JSON.stringify(loader)}); require(${JSON.stringify(worker)});`, { eval: true }),
    });
    const batch = trades(10);
    await assert.rejects(pool.encode(job(batch)), (error: unknown) => failsWith("WORKER_FAILED")(error) && (error as TicklakeError).retryable && /exit code 3/.test((error as Error).message));
    const files = await pool.encode(job(batch));
    assert.equal(files.reduce((sum, f) => sum + f.recordCount, 0), 10);
    assert.equal(starts, 2);
  });

  it("does not wait for ever for a reply that cannot be read", async () => {
    pool = new EncoderPool({ startWorker: () => Object.assign(new EventEmitter(), {
      ref() { /* no thread */ }, unref() { /* no thread */ }, terminate: () => Promise.resolve(0),
      postMessage(this: EventEmitter) { setImmediate(() => this.emit("messageerror", new Error("cannot be deserialised"))); },
    }) as unknown as Worker });
    await assert.rejects(pool.encode(job(trades(1))), failsWith("WORKER_FAILED"));
  });

  it("gives errors of a job as they were, and goes on", async () => {
    pool = new EncoderPool();
    await assert.rejects(pool.encode(job(trades(1), { spec: { "spec-id": 0, fields: [{ "source-id": 99, "field-id": 1000, name: "gone", transform: "identity" }] } })), failsWith("PARTITION_SPEC_INVALID"));
    if (!codecAvailable("zstd")) await assert.rejects(pool.encode(job(trades(1), { codec: "zstd" })), failsWith("CONFIG_INVALID"));
    assert.equal((await pool.encode(job(trades(1)))).length, 1);
  });

  it("fails what is under way and what waits when it is closed", async () => {
    pool = new EncoderPool();
    const [a, b] = [pool.encode(job(trades(10))), pool.encode(job(trades(10)))];
    const outcome = Promise.all([assert.rejects(a, failsWith("STOPPED")), assert.rejects(b, failsWith("STOPPED"))]);
    await pool.close();
    await outcome;
    await assert.rejects(pool.encode(job(trades(1))), failsWith("STOPPED"));
  });

  it("does not keep the process alive while it has nothing to do", async () => {
    pool = new EncoderPool();
    const script = `
      require(${JSON.stringify(require.resolve("tsx/cjs"))});
      const { EncoderPool } = require(${JSON.stringify(require.resolve("../../../../lib/iceberg/parquet/pool"))});
      const { TRADES_SCHEMA } = require(${JSON.stringify(require.resolve("../../../../lib/iceberg/schema"))});
      const { ColumnAccumulator } = require(${JSON.stringify(require.resolve("../../../../lib/iceberg/columns"))});
      const columns = new ColumnAccumulator(TRADES_SCHEMA);
      columns.append([{ S: "A" }], () => process.exit(9));
      new EncoderPool().encode({ batch: columns.take([[0, 1]]), schema: TRADES_SCHEMA, spec: { "spec-id": 0, fields: [] }, codec: "none" }).then((files) => console.log(files.length + " file"));`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", script], { timeout: 20_000 });
    assert.equal(stdout.trim(), "1 file");
  });
});
