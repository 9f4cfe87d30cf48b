import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ledger } from "../../../../lib/delivery/ledger";
import type { Delivery, Failure, Lineage, Part } from "../../../../lib/delivery/types";
import { TicklakeError } from "../../../../lib/errors";
import { HadoopCatalog } from "../../../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../../../lib/iceberg/io/local";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import type { CommitResult } from "../../../../lib/iceberg/sink/committer";
import { parseSinkOptions } from "../../../../lib/iceberg/sink/options";
import { TableSink } from "../../../../lib/iceberg/sink/table-sink";
import { readRows } from "../../../support/read-table";

export const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits for something that the event loop will bring about; fails loudly when it does not. */
export async function until(what: string, condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export interface Row { S: string; i: number; p: number; s: number; timestamp: number }

export const trade = (i: number, extra: Partial<Row> = {}): Row => ({ S: "AAPL", i, p: 100 + i / 100, s: 100, timestamp: 1_381_132_800_000 + i, ...extra });
export const trades = (from: number, to: number): Row[] => Array.from({ length: to - from }, (_, k) => trade(from + k));

/** Where records [from, to) of a partition stand in a scripted Kafka. */
export const lineage = (from: number, to: number, partition = 0): Lineage => ({
  cluster: "c1", group: "g1", topic: "iex_data", partition, firstOffset: BigInt(from), lastOffset: BigInt(to - 1), lastTimestamp: 1_381_132_800_000 + to, nextOffset: BigInt(to),
});

/** A scripted source: opens deliveries and hands their rows straight to sinks, as the hooks would. */
export class ScriptedSource {
  readonly delivered: Delivery[] = [];
  readonly failures: Failure[] = [];
  readonly handle;

  constructor(readonly ledger: Ledger, id = "source", limits: { maxInFlight?: number } = {}) {
    this.handle = ledger.openSource(id, { maxInFlight: limits.maxInFlight ?? 1_000_000, maxInFlightBytes: 1e9, deliveryTimeoutMs: 0, caughtIsDone: false }, {
      delivered: (delivery) => this.delivered.push(delivery),
      failed: (failure) => this.failures.push(failure),
    });
  }

  /** Sends one batch to each sink; `hold` leaves the source's own part open, so that it cannot settle yet. */
  send(rows: unknown[], to: TestSink[], options: { lineage?: Lineage; partition?: string; hold?: boolean } = {}): Delivery {
    const delivery = this.handle.open({ partition: options.partition ?? "0", records: rows.length, bytes: rows.length * 100, context: undefined, ...(options.lineage ? { lineage: options.lineage } : {}) });
    for (const sink of to) sink.receive(rows, delivery.token);
    if (!options.hold) this.handle.release(delivery);
    return delivery;
  }
}

/** A sink on a temporary warehouse, with everything that it said. */
export class TestSink {
  readonly results: CommitResult[] = [];
  readonly rejects: { row: unknown; reason: string }[] = [];
  readonly warnings: string[] = [];
  readonly retries: TicklakeError[] = [];
  readonly failed: TicklakeError[] = [];
  readonly parts: Part[] = [];
  readonly ended: (Error | undefined)[] = [];
  readonly handle;
  readonly sink: TableSink;

  constructor(readonly world: World, readonly id: string, properties: Record<string, unknown> = {}, catalog: HadoopCatalog = world.catalog) {
    this.handle = world.ledger.openSink(id, {
      settled: () => this.sink.settled(), aborted: (parts) => this.sink.aborted(parts), pressure: () => this.sink.pressure(),
      positions: (at) => this.sink.positions(at), forget: (at) => this.sink.forget(at), assigned: (at) => this.sink.assigned(at),
    });
    this.sink = new TableSink({
      catalog, identifier: { namespace: ["db"], name: "trades" }, name: "db.trades", encoder: world.encoder, ledger: this.handle,
      options: parseSinkOptions({ table: "db.trades", commitInterval: 3600, ...properties }, id),
      events: {
        committed: (result) => this.results.push(result),
        unwritten: () => undefined,
        rejected: (row, reason) => this.rejects.push({ row, reason }),
        retrying: (error) => this.retries.push(error),
        failed: (error) => this.failed.push(error),
        warn: (text) => this.warnings.push(text),
        changed: () => undefined,
      },
    });
  }

  receive(rows: unknown[], delivery?: string): Part {
    const message = { payload: rows, delivery, _msgid: String(Math.random()) };
    // What the hooks do when a message travels: announced at sending, received by the node.
    if (delivery !== undefined) {
      this.world.ledger.sent(message, { id: "wire", type: "test" }, { id: this.id, type: "iceberg-out" });
      this.world.ledger.received(message, { id: this.id, type: "iceberg-out" });
    }
    const part = this.handle.accept(message, (error) => this.ended.push(error));
    this.parts.push(part);
    if (part.state === "held") this.sink.add(rows, part);
    return part;
  }

  /** Columns that commits added or widened, in order. */
  get evolved(): string[] {
    return this.results.flatMap(({ columns = [] }) => columns.map(({ name, type, from }) => (from ? `${name} ${from} -> ${type}` : `${name} ${type}`)));
  }

  close(): Promise<void> { return this.sink.close(5000); }
}

/** A warehouse, a ledger and an encoder for one test. */
export class World {
  ledger!: Ledger;
  readonly sinks: TestSink[] = [];

  private constructor(readonly warehouse: string, readonly io: FileIO, readonly encoder: EncoderPool, readonly catalog: HadoopCatalog) { this.restart(); }

  static async create(encoder: EncoderPool, wrap: (io: FileIO) => FileIO = (io) => io): Promise<World> {
    const warehouse = await mkdtemp(join(tmpdir(), "ticklake-sink-"));
    const io = wrap(new LocalFileIO());
    return new World(warehouse, io, encoder, new HadoopCatalog({ warehouse, io }));
  }

  /** A new process: a ledger that knows nothing. */
  restart(): void {
    let turn = 0;
    this.ledger = new Ledger({
      processId: `p${Math.random()}`,
      time: {
        now: () => performance.now(),
        after: (ms, callback) => { const timer = setTimeout(callback, ms); timer.unref(); return () => clearTimeout(timer); },
        later: (callback) => { setImmediate(callback); },
      },
      turn: () => ++turn,
      onError: (error) => { throw error; },
    });
    this.ledger.started();
  }

  sink(id: string, properties: Record<string, unknown> = {}, catalog?: HadoopCatalog): TestSink {
    const sink = new TestSink(this, id, properties, catalog);
    this.sinks.push(sink);
    return sink;
  }

  table() { return this.catalog.loadTable({ namespace: ["db"], name: "trades" }); }

  /** Trade ids in the table, ascending: doubles and gaps show. */
  async ids(): Promise<number[]> {
    return (await readRows(await this.table())).map((row) => Number(row["i"])).sort((a, b) => a - b);
  }

  async end(): Promise<void> {
    await Promise.all(this.sinks.map((sink) => sink.close()));
    await rm(this.warehouse, { recursive: true, force: true });
  }
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, k) => from + k);
