import type { Node, NodeAPI, NodeMessage } from "node-red";
import type { Part } from "../../lib/delivery/types";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { identifierText, parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import { TableCare } from "../../lib/iceberg/maintenance/care";
import { type MeasuredRate, RateMeter } from "../../lib/iceberg/maintenance/rate";
import type { CommitResult } from "../../lib/iceberg/sink/committer";
import { parseSinkOptions } from "../../lib/iceberg/sink/options";
import { lazyRowsOf } from "../../lib/iceberg/sink/lazy-rows";
import { rowsOf } from "../../lib/iceberg/sink/payload";
import { lazyPayload } from "../../lib/trades/lazy";
import { TableSink } from "../../lib/iceberg/sink/table-sink";
import type { TableSinkEvents } from "../../lib/iceberg/sink/contract";
import { catalogOf } from "../iceberg-catalog/catalogs";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { openSink, withToken, type NodeSink } from "../shared/delivery";
import { closeBudget } from "../shared/delivery/last-call";
import { completeWatch } from "../shared/complete-watch";
import { useEncoder } from "../shared/encoder";
import { exportEndpoint } from "../shared/export";
import { observe } from "../shared/observe";
import { isPerMessage, withTypedProperty } from "../shared/properties";
import { StatusLine } from "../shared/status";
import { SinkStatus } from "./sink-status";

type Message = NodeMessage & { table?: unknown; delivery?: unknown; kafka?: unknown; _linkSource?: unknown[] };
type Send = (msg: NodeMessage | (NodeMessage | null)[]) => void;

/** What is remembered of a message until it is done: a link call wants a result of its own, a reject says where it came from. */
interface Context { readonly msg: Message; readonly send: Send }

interface Target { readonly sink: TableSink; readonly ledger: NodeSink; readonly care: TableCare }

/** What the dialog asks of the deployed node. */
interface SinkNode extends Node { rate?: () => MeasuredRate | undefined }

/** Tables that are kept open while no row waits for them: each holds columns' memory, and messages may name thousands. */
const OPEN_TABLES = 64;

/** Node-RED gives `close` 15 s; what is settled is committed within this. */
const CLOSE_MS = 12_000;

export = (RED: NodeAPI): void => {
  exportEndpoint(RED, "iceberg-out");
  adminEndpoint(RED, "get", "iceberg-out/:id/rate", "iceberg-out.read", ({ params }) => Promise.resolve({ rate: (RED.nodes.getNode(params["id"] ?? "") as SinkNode | null)?.rate?.() ?? null }));

  defineNode<SinkNode>(RED, "iceberg-out", (node, config) => {
    const options = parseSinkOptions(config, node.id);
    const meter = new RateMeter();
    node.rate = () => meter.rate;
    const catalog = catalogOf(RED, config["catalog"]);
    const encoder = useEncoder();
    const status = new SinkStatus(new StatusLine(node));
    const targets = new Map<string, Target>();
    const counted = { recordsIn: 0, recordsOut: 0, rejected: 0, duplicates: 0 };
    const figures = observe(node, { read: () => ({ ...counted, inFlight: waitingRows() }), notReady: () => status.notReady(waitingRows()) });
    /** Sinks whose tables are open, the one used longest ago first. */
    const awake = new Set<TableSink>();
    // Known as a sink from the start, before the first message says which tables there are.
    const self = openSink(RED, node, {});
    const contexts = new WeakMap<Part, Context>();
    const rejectsWired = Boolean((config["wires"] as unknown[][] | undefined)?.[1]?.length);
    let warned = false;
    const watched = completeWatch(RED, node);

    /** One side of the ledger and one accumulator per table: runs and watermarks are a table's own. */
    function target(name: string): Target {
      const identifier = parseIdentifier(name, catalog.name);
      const table = identifierText(identifier);
      let known = targets.get(table);
      if (!known) {
        const ledger: NodeSink = openSink(RED, node, {
          settled: () => sink.settled(),
          aborted: (parts) => sink.aborted(parts),
          pressure: () => sink.pressure(),
          positions: (at) => sink.positions(at),
          forget: (at) => sink.forget(at),
          assigned: (at) => sink.assigned(at),
        }, table);
        const sink: TableSink = new TableSink({
          catalog, identifier, name: table, options, encoder: encoder.pool, ledger: ledger.handle, node: node.id, events: events(table, () => sink.waiting),
        });
        const care = new TableCare({
          catalog, identifier, name: table, maintenance: options.maintenance,
          events: { did: (text, short) => { node.log(text); status.maintained(table, short); }, warn: (text) => node.warn(text), advice: (short) => status.advice(table, short) },
        });
        targets.set(table, known = { sink, ledger, care });
      }
      return known;
    }

    /** Of all tables; asked only when somebody looks. */
    function waitingRows(): number { return [...targets.values()].reduce((sum, { sink }) => sum + sink.waiting, 0); }

    /** Lets go of tables that have been idle longest when too many are open. */
    function rouse(sink: TableSink): void {
      awake.delete(sink);
      awake.add(sink);
      if (awake.size <= OPEN_TABLES) return;
      for (const idle of awake) {
        if (idle !== sink && idle.rest()) awake.delete(idle);
        if (awake.size <= OPEN_TABLES) return;
      }
    }

    function events(table: string, waiting: () => number): TableSinkEvents {
      return {
        committed(result, parts) {
          for (const { name, type, from } of result.columns ?? []) node.log(from ? `${table}: column ${name} is ${type} now, it was ${from}` : `${table}: new column ${name} (${type})`);
          status.committed(table, result, waiting());
          meter.add(result);
          counted.recordsOut += result.rows;
          counted.duplicates += result.duplicates;
          figures?.batch(result.rows, result.ms, Date.now());
          targets.get(table)?.care.committed(result.files);
          sendResults(node, result, parts.map((part) => contexts.get(part)));
        },
        unwritten(part, duplicates) {
          const context = contexts.get(part);
          if (context?.msg._linkSource) context.send(answer(context.msg, { table, rows: 0, files: 0, bytes: 0, duplicates }));
        },
        rejected(row, reason, part) {
          status.rejected();
          counted.rejected++;
          if (!rejectsWired && !warned) {
            warned = true;
            node.warn(`${reason}. Rejected rows are lost while output 2 is not wired.`);
          }
          const context = contexts.get(part);
          if (!context) return;
          const { msg } = context;
          const source = msg.kafka ?? (msg.topic === undefined ? undefined : { topic: msg.topic });
          context.send([null, withToken({ topic: table, payload: { reason, row, source } } as NodeMessage, msg)]);
        },
        retrying(error, waitMs) {
          status.retrying(table, error, waitMs);
          node.warn(`${table}: ${error.message} Next try in ${Math.ceil(waitMs / 1000)} s; nothing is lost.`);
        },
        failed: (error) => status.failed(table, error),
        warn: (text) => node.warn(text),
        changed: () => status.waiting(table, waiting()),
      };
    }

    function take(msg: Message, table: unknown, send: Send, done: (error?: Error) => void): void {
      const name = String(msg.table ?? table ?? "").trim();
      if (name === "") throw new TicklakeError("TABLE_NAME_INVALID", "No table: set one in the dialog or in msg.table, such as db.flattened_stocks.");
      const { sink, ledger } = target(name);
      const lazy = lazyPayload(msg);
      const rows = (lazy && lazyRowsOf(lazy)) ?? rowsOf(msg.payload);
      const part = ledger.accept(msg, send, done);
      if (part.state !== "held") return;
      contexts.set(part, { msg: withoutPayload(msg), send });
      rouse(sink);
      counted.recordsIn += rows.length;
      sink.add(rows, part);
      // Node-RED holds the message until it is done. Its rows are columns by now, and a source would send them again: let go of them, unless
      // somebody wants to see them (measured at 100,000 trades/s: half the memory, a fifth of the pauses).
      // In a later turn: some nodes send one object twice.
      if (part.deliveries.length > 0 && !watched()) setImmediate(() => { delete msg.payload; });
    }

    // Not for "infer", which draws the columns from the first rows, nor where messages name the table.
    if (!isPerMessage(config, "table") && (config["tableType"] ?? "str") === "str" && options.table !== "" && options.schema !== "infer") target(options.table).sink.warm();

    node.on("input", (message, send, done) => {
      const msg = message as Message;
      if (!lazyPayload(msg) && msg.payload === "flush") {
        void Promise.all([...targets.values()].map(({ sink }) => sink.flush())).then(() => done(), done);
        return;
      }
      withTypedProperty(RED, node, { ...config, table: config["table"] ?? options.table }, "table", msg, (error, table) => {
        try {
          if (error) throw error;
          take(msg, table, send as Send, done);
        } catch (caught) {
          done(asTicklakeError(caught));
        }
      });
    });

    node.on("close", (done: () => void) => {
      void Promise.all([...targets.values()].flatMap(({ sink, care }) => [care.close(), sink.close(closeBudget(CLOSE_MS))]))
        .then(() => encoder.release())
        .catch((error: unknown) => node.warn(`Closing: ${asTicklakeError(error).message}`))
        .then(() => { self.close(); status.end(); done(); });
    });
  });
};

/** One result per commit; messages that came by a link call each get theirs, so that every call returns. */
function sendResults(node: Node, result: CommitResult, contexts: readonly (Context | undefined)[]): void {
  const calls = contexts.filter((context) => context?.msg._linkSource !== undefined) as Context[];
  if (calls.length < contexts.length) node.send({ topic: result.table, payload: result } as NodeMessage);
  for (const { msg, send } of calls) send(answer(msg, result));
}

/** A shallow copy; a payload that nobody has read stays unread. */
function withoutPayload(msg: Message): Message {
  const shell: Record<string, unknown> = {};
  for (const name of Object.keys(msg)) if (name !== "payload") shell[name] = (msg as unknown as Record<string, unknown>)[name];
  return shell as unknown as Message;
}

function answer(msg: Message, payload: unknown): NodeMessage {
  const { delivery: _durable, ...rest } = msg;
  return { ...rest, _linkSource: [...(msg._linkSource ?? [])], payload } as NodeMessage;
}
