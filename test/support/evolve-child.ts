/**
 * A sink as a process of its own that writes rows whose fields drift, in many small commits, and ends when all are committed.
 *
 *   evolve-child.ts {"where": {"warehouse": "/f"}, "id": "a", "rows": 60, "table": "db.drift"}
 */
import { Ledger } from "../../lib/delivery/ledger";
import { parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { openRestCatalog } from "../../lib/iceberg/catalog/rest/open";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { EncoderPool } from "../../lib/iceberg/parquet/pool";
import { parseSinkOptions } from "../../lib/iceberg/sink/options";
import { TableSink } from "../../lib/iceberg/sink/table-sink";

export interface EvolveJob { readonly where: { readonly warehouse: string } | { readonly uri: string }; readonly id: string; readonly rows: number; readonly table: string }

/** Row `i` of a writer: every sixth has the same field, every second one of this writer alone. */
const rowOf = (id: string, i: number): Record<string, unknown> => ({ i, w: id, [`f${i % 6}`]: i + 0.5, q: { x: i, ...(i % 2 ? { y: "odd" } : {}) }, ...(i % 2 ? { [`only_${id}`]: "x" } : {}) });

async function run({ where, id, rows, table }: EvolveJob): Promise<void> {
  let turn = 0;
  const ledger = new Ledger({
    processId: String(process.pid), turn: () => ++turn, onError: (error) => { throw error; },
    time: { now: () => performance.now(), later: (callback) => { setImmediate(callback); }, after: (ms, callback) => { const timer = setTimeout(callback, ms); return () => clearTimeout(timer); } },
  });
  ledger.started();
  const encoder = new EncoderPool();
  const handle = ledger.openSink(id, { settled: () => sink.settled(), aborted: (parts) => sink.aborted(parts), pressure: () => sink.pressure() });
  const fail = (what: string): void => { console.error(what); process.exitCode = 1; };
  const sink: TableSink = new TableSink({
    catalog: "uri" in where ? openRestCatalog({ uri: where.uri }) : new HadoopCatalog({ warehouse: where.warehouse, io: new LocalFileIO() }),
    identifier: parseIdentifier(table, "local"), name: table, encoder, ledger: handle,
    options: parseSinkOptions({ table, commitInterval: 3600, schema: '{"type":"struct","fields":[{"name":"i","type":"long"},{"name":"w","type":"string"}]}', partitionBy: "", evolve: "add-columns" }, id),
    events: {
      committed: () => undefined, unwritten: () => undefined, rejected: (_row, reason) => fail(`rejected: ${reason}`), retrying: () => undefined,
      failed: (error) => fail(`failed: ${error.message}`), warn: () => undefined, changed: () => undefined,
    },
  });
  for (let i = 0; i < rows; i += 3) {
    const part = handle.accept({ payload: [], _msgid: `${id}${i}` }, () => undefined);
    sink.add([0, 1, 2].map((k) => rowOf(id, i + k)), part);
    while (part.state !== "done" && process.exitCode === undefined) { await sink.flush(); await new Promise((next) => setImmediate(next)); }
  }
  await sink.close(5000);
  await encoder.close();
}

void run(JSON.parse(process.argv[2]!) as EvolveJob).then(() => process.exit(), (error: unknown) => { console.error(error); process.exit(1); });
