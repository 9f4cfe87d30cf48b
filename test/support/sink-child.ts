/**
 * A pipeline as a process of its own, for tests that kill it: a scripted log of three partitions with lineage -> one or two table sinks, and
 * a sink for their rejects. What a consumer group would remember is a file, written when batches are delivered and not before.
 *
 *   sink-child.ts {"folder": "/f", "sinks": ["a", "b"], "end": 1000, "seed": 7}
 *
 * TICKLAKE_TEST_KILL_AT="after-link:2" kills it (SIGKILL) the second time any of its commits gets there, TICKLAKE_TEST_STOP_AT stops it (SIGSTOP).
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Ledger } from "../../lib/delivery/ledger";
import type { LedgerSource } from "../../lib/delivery/ledger";
import type { Part } from "../../lib/delivery/types";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import type { CommitProbe } from "../../lib/iceberg/catalog/types";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { EncoderPool } from "../../lib/iceberg/parquet/pool";
import { parseSinkOptions } from "../../lib/iceberg/sink/options";
import { TableSink } from "../../lib/iceberg/sink/table-sink";
import { kindOf, offsetsFile, PARTITIONS, rowOf, type SinkJob } from "./sink-log";

const [stopAt, stopCount] = (process.env["TICKLAKE_TEST_STOP_AT"] ?? "").split(":");
const [killAt, killCount] = (process.env["TICKLAKE_TEST_KILL_AT"] ?? "").split(":");
const reached = new Map<string, number>();

const probe: CommitProbe = (point) => {
  const count = (reached.get(point) ?? 0) + 1;
  reached.set(point, count);
  if (point === killAt && count === Number(killCount)) process.kill(process.pid, "SIGKILL");
  if (point === stopAt && count === Number(stopCount)) {
    writeSync(1, "stopped\n");
    process.kill(process.pid, "SIGSTOP");
  }
};

/** mulberry32: the same seed, the same run of numbers. */
function randomOf(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Message { [key: string]: unknown; payload: unknown[]; delivery: string; _msgid: string }

/** The process: a ledger, its source, its sinks. */
class Pipeline {
  private readonly random: () => number;
  private turn = 0;
  private ids = 0;
  readonly ledger: Ledger;
  readonly encoder = new EncoderPool();
  readonly sinks = new Map<string, TableSink>();
  private readonly accept = new Map<string, (message: Message) => void>();
  private readonly positions: number[];
  private readonly partitions: readonly number[];
  private readonly cuts: (number | undefined)[] = [];
  private readonly committed: number[];
  private readonly source: LedgerSource;
  readonly stats = { delivered: 0, failures: 0, cuts: 0, duplicates: 0, rejects: 0, commits: 0, conflicts: 0 };

  constructor(private readonly job: SinkJob) {
    mkdirSync(job.folder, { recursive: true });
    this.random = randomOf(job.seed);
    this.positions = readOffsets(job);
    this.partitions = job.partitions ?? PARTITIONS;
    this.committed = [...this.positions];
    this.ledger = new Ledger({
      processId: String(process.pid), turn: () => ++this.turn, onError: (error) => { throw error; },
      time: {
        now: () => performance.now(), later: (callback) => { setImmediate(callback); },
        after: (ms, callback) => { const timer = setTimeout(callback, ms); timer.unref(); return () => clearTimeout(timer); },
      },
    });
    this.ledger.started();
    for (const id of job.sinks) {
      this.open(id, "trades", { schema: "trades" });
      this.open(`${id}-rejects`, "rejects", { schema: "infer", partitionBy: "" });
    }
    this.source = this.ledger.openSource("log", { maxInFlight: 150, maxInFlightBytes: 1e9, deliveryTimeoutMs: 0, caughtIsDone: false }, {
      delivered: ({ lineage }) => {
        this.stats.delivered++;
        this.committed[lineage!.partition] = Number(lineage!.nextOffset);
        writeOffsets(job, this.committed);
      },
      failed: ({ aborted, cutAt, partition }) => {
        const p = Number(partition);
        this.stats.failures++;
        this.positions[p] = Number(aborted[0]!.lineage!.firstOffset);
        this.cuts[p] = cutAt === undefined ? undefined : Number(cutAt);
        if (cutAt !== undefined) this.stats.cuts++;
      },
    });
  }

  private open(id: string, table: string, properties: object): void {
    const { folder } = this.job;
    const catalog = new HadoopCatalog({ warehouse: join(folder, "warehouse"), io: new LocalFileIO() });
    const handle = this.ledger.openSink(id, { settled: () => sink.settled(), aborted: (parts) => sink.aborted(parts), pressure: () => sink.pressure() });
    const sources = new WeakMap<Part, Message>();
    const sink = new TableSink({
      catalog, identifier: { namespace: ["db"], name: table }, name: `db.${table}`, encoder: this.encoder, ledger: handle, at: probe,
      options: parseSinkOptions({ table: `db.${table}`, commitInterval: "40ms", maxRows: 60, ...properties }, id),
      events: {
        committed: (result) => { this.stats.commits++; this.stats.conflicts += result.conflicts; },
        unwritten: (_part, duplicates) => { this.stats.duplicates += duplicates; },
        rejected: (row, _reason, part) => {
          this.stats.rejects++;
          const { i, S } = row as { i: number; S: string };
          this.send([{ i, S }], sources.get(part)!.delivery, id, `${id}-rejects`);
        },
        retrying: (error) => { console.error(`retrying: ${error.message}`); },
        failed: (error) => { console.error(`failed: ${error.message}`); },
        warn: () => undefined, changed: () => undefined,
      },
    });
    this.sinks.set(id, sink);
    this.accept.set(id, (message) => {
      this.ledger.received(message, { id, type: "iceberg-out" });
      const part = handle.accept(message);
      sources.set(part, message);
      if (part.state === "held") sink.add(message.payload, part);
    });
  }

  /** One message over a wire: sometimes it takes a while. */
  private send(payload: unknown[], delivery: string, from: string, to: string): void {
    const message: Message = { payload, delivery, _msgid: String(++this.ids) };
    this.ledger.sent(message, { id: from, type: "test" }, { id: to, type: "iceberg-out" });
    const arrive = (): void => this.accept.get(to)!(message);
    if (this.random() < 0.7) setImmediate(arrive);
    else setTimeout(arrive, this.random() * 15);
  }

  private sendBatch(p: number): void {
    const { end, sinks } = this.job;
    const from = this.positions[p]!;
    const cut = this.cuts[p];
    let to = Math.min(end, from + 1 + Math.floor(this.random() * 40));
    if (cut !== undefined && cut > from) to = Math.min(to, cut);
    this.positions[p] = to;
    const lineage = {
      cluster: "c", group: "g", topic: "t", partition: p, firstOffset: BigInt(from), lastOffset: BigInt(to - 1), lastTimestamp: to, nextOffset: BigInt(to),
    };
    const delivery = this.source.open({ partition: String(p), records: to - from, bytes: 100 * (to - from), lineage, context: undefined });
    for (const sink of sinks) {
      const offsets = Array.from({ length: to - from }, (_, k) => from + k).filter((offset) => kindOf(p, offset, end) !== "filtered");
      // In one message or in two, and in none where all of it is filtered.
      const at = this.random() < 0.3 ? Math.floor(this.random() * offsets.length) : 0;
      for (const some of [offsets.slice(0, at), offsets.slice(at)]) {
        if (some.length > 0) this.send(some.map((offset) => rowOf(p, offset, sink, end)), delivery.token, "log", sink);
      }
    }
    this.source.release(delivery);
  }

  async run(): Promise<void> {
    const { end } = this.job;
    for (let idle = 0; this.partitions.some((p) => this.committed[p]! < end);) {
      const open = this.partitions.filter((p) => this.positions[p]! < end);
      if (open.length > 0 && this.source.hasRoom() && this.random() < 0.9) {
        this.sendBatch(open[Math.floor(this.random() * open.length)]!);
        idle = 0;
      } else if (++idle > 15_000) throw new Error(`stuck at ${JSON.stringify({ committed: this.committed, positions: this.positions, stats: this.stats })}`);
      if (this.random() < 0.03) for (const sink of this.sinks.values()) void sink.flush();
      await new Promise((resolve) => { if (this.random() < 0.5) setImmediate(resolve); else setTimeout(resolve, 1); });
    }
    await Promise.all([...this.sinks.values()].map((sink) => sink.close(10_000)));
    await this.encoder.close();
    this.source.close();
  }
}

function readOffsets(job: SinkJob): number[] {
  try {
    return JSON.parse(readFileSync(offsetsFile(job), "utf8")) as number[];
  } catch {
    return PARTITIONS.map(() => 0);
  }
}

function writeOffsets(job: SinkJob, offsets: readonly number[]): void {
  const file = `${offsetsFile(job)}.${process.pid}`;
  writeFileSync(file, JSON.stringify(offsets));
  renameSync(file, offsetsFile(job));
}

async function main(): Promise<void> {
  const pipeline = new Pipeline(JSON.parse(process.argv[2]!) as SinkJob);
  writeSync(1, "started\n");
  await pipeline.run();
  writeSync(1, `done ${JSON.stringify(pipeline.stats)}\n`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
