import type { Node, NodeAPI, NodeMessage } from "node-red";
import { MessageBatch } from "../../lib/alpaca/batches";
import { parseAlpacaInConfig } from "../../lib/alpaca/config";
import { parseControl } from "../../lib/alpaca/control";
import type { Timings } from "../../lib/alpaca/session";
import { openWebSocket } from "../../lib/alpaca/socket";
import { AlpacaSource, type Batch, type CarriedOver } from "../../lib/alpaca/source";
import { figuresOf, notReadyOf } from "../../lib/alpaca/status";
import type { AlpacaClock } from "../../lib/alpaca/types";
import { readingOf } from "../../lib/delivery/panel";
import { FailurePolicy } from "../../lib/delivery/policy";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { setLazyPayload, type LazyPayload } from "../../lib/trades/lazy";
import { parseSymbols } from "../../lib/units";
import { accountUnlessResting } from "../alpaca-account/accounts";
import { defineNode, short } from "../shared/define";
import { openSource, sourceOptions, type NodeSource, type Outgoing } from "../shared/delivery";
import { beforeEnd, closeBudget } from "../shared/delivery/last-call";
import { nodeLabel } from "../shared/node-label";
import { observe } from "../shared/observe";
import { typedProperty } from "../shared/properties";
import { StatusLine } from "../shared/status";

/** Node-RED gives `close` 15 s; saying goodbye takes 3 of them at the most. */
const DRAIN_MS = 9000;

/** How long what a closed node left is kept for its successor. */
const KEEP_MS = 600_000;

const clock: AlpacaClock = {
  now: () => Date.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => { clearTimeout(timer); };
  },
  later: (callback) => { setImmediate(callback); },
  random: Math.random,
};

/** What nodes that were closed leave to the ones that are deployed in their place, by node id. */
const carried = new Map<string, CarriedOver>();

/** Streams from Alpaca: trades on output 1; other channels, corrections, gap records on output 2. */
export = (RED: NodeAPI): void => {
  const { alpaca: timings } = (RED.settings as { ticklake?: { alpaca?: Partial<Timings> } }).ticklake ?? {};

  defineNode(RED, "alpaca-in", (node, raw) => {
    const config = parseAlpacaInConfig(raw, timings);
    const given = sourceOptions(raw);
    if (given.onFailure === "dead-letter") throw new TicklakeError("CONFIG_INVALID", "onFailure: choose retry or stop; dead-letter is for kafka-in.");
    // Half of the buffer may be under way: sinks are pressed to write before anything has to be dropped.
    const options = { ...given, maxInFlight: Math.max(1, Math.ceil(config.maxBuffered / 2)) };
    const shared = accountUnlessResting(RED, node, raw["account"], config.autoStart);
    if (!shared) return;
    const others = [...shared.users].filter((id) => id !== node.id && RED.nodes.getNode(id));
    if (others.length > 0) node.warn(`${nodeLabel(RED, others[0]!)} streams from the same account. Alpaca's plans allow one connection per feed: use one alpaca-in for all symbols, unless yours allows more.`);
    shared.users.add(node.id);
    const status = new StatusLine(node);
    let heldUpBy: string | undefined;
    let begun = false;

    const ledger: NodeSource<Batch> = openSource<Batch>(RED, node, options, {
      start: () => {
        source.pump();
        if (config.autoStart && !begun) start({} as NodeMessage).catch((error: unknown) => node.error((error as Error).message, { error }));
        begun = true;
      },
      // What arrives meanwhile is buffered.
      suspend: () => undefined,
      delivered: (delivery) => { void source.delivered(delivery); },
      failed: (failure) => source.failed(failure),
      room: () => source.pump(),
      heldUp: (holdUp) => {
        heldUpBy = holdUp && nodeLabel(RED, holdUp.node);
        show();
      },
    });

    const source = new AlpacaSource(config, {
      account: shared.account, rateLimit: shared.rateLimit, open: openWebSocket, clock,
      port: {
        sending: () => ledger.sending,
        hasRoom: () => ledger.hasRoom(),
        press: () => ledger.press(),
        send: (spec, batch) => ledger.send(spec, messageOf(batch)),
      },
      policy: new FailurePolicy(options),
      news: {
        changed: () => show(),
        error: (error) => { node.error(error as never, {}); show(); },
        warn: (text) => node.warn(text),
      },
    }, takeOver(node));

    async function start(msg: NodeMessage): Promise<void> {
      source.start(parseSymbols(await typedProperty(RED, node, { symbols: "AAPL GOOGL MSFT AMZN TSLA", ...raw }, "symbols", msg)));
    }

    async function control(msg: NodeMessage): Promise<void> {
      const asked = parseControl(msg.payload, config.channels, source.session.wanted.trades ?? [], clock.now());
      if ("add" in asked) await source.change(asked.add, asked.remove);
      else if ("backfill" in asked) await source.fetch(asked.backfill);
      else if (asked.word === "start") { source.resume(); await start(msg); }
      else if (asked.word === "stop") await source.stop();
      else if (asked.word === "resume") source.resume();
      else node.send([null, { topic: "statistics", payload: source.statistics() } as NodeMessage]);
    }

    function show(): void {
      const { kind, text } = source.describe();
      if (heldUpBy !== undefined && kind === "ok") status.warn(short(`held up by ${heldUpBy}: ${text}`));
      else status[kind](short(text));
    }
    observe(node, { read: () => ({ ...readingOf(ledger.stats()), ...figuresOf(source.statistics()) }), notReady: () => notReadyOf(source.statistics()) });
    const ticker = setInterval(show, 1000);
    ticker.unref();
    show();

    // A feed cannot be read again: before the process ends, what it has brought is delivered.
    const stays = beforeEnd(async (aborted) => {
      await source.drain(aborted);
      const left = source.statistics().buffered;
      node.log(left === 0 ? "Unsubscribed; everything that came is delivered." : `Unsubscribed; ${left} trades could not be delivered in time.`);
    });

    node.on("input", (msg, _send, done) => {
      control(msg).then(() => { show(); done(); }, (error: unknown) => done(asTicklakeError(error)));
    });

    node.on("close", (removed: boolean, done: () => void) => {
      clearInterval(ticker);
      stays();
      shared.users.delete(node.id);
      void source.disconnect()
        .catch((error: unknown) => node.warn(`Closing: ${asTicklakeError(error).message}`))
        .then(() => ledger.drain(closeBudget(DRAIN_MS)))
        .finally(() => {
          ledger.close();
          handOver(node, source.finish(), removed);
          status.end();
          done();
        });
    });
  });
};

function takeOver(node: Node): CarriedOver | undefined {
  const left = carried.get(node.id);
  carried.delete(node.id);
  return left;
}

/** What could not be delivered goes to the node that is deployed in this one's place; nothing is kept for one that was removed. */
function handOver(node: Node, left: CarriedOver, removed: boolean): void {
  const trades = left.trades.reduce((sum, { count }) => sum + count, 0);
  if (trades > 0) {
    let from = Infinity, to = -Infinity;
    for (const span of left.trades.map((batch) => batch.span())) {
      from = Math.min(from, span.from);
      to = Math.max(to, span.to);
    }
    const range = `from ${new Date(from).toISOString()} to ${new Date(to).toISOString()}`;
    node.warn(removed
      ? `${trades} trades (${range}) had not been delivered when the node was removed; they are dropped.`
      : `${trades} trades (${range}) had not been delivered when the flows stopped. A deploy hands them on; if Node-RED ends, fetch them by backfill.`);
  }
  if (removed) return;
  carried.set(node.id, left);
  // A node that never comes back (its flow was disabled) holds its memory no longer than this.
  setTimeout(() => { if (carried.get(node.id) === left) carried.delete(node.id); }, KEEP_MS).unref();
}

/** Trades on output 1; everything else on output 2, each with its channel as topic. */
function messageOf(batch: Batch): Outgoing {
  if (batch instanceof MessageBatch) {
    const message = { topic: batch.topic } as NodeMessage;
    if (isLazy(batch.payload)) setLazyPayload(message, batch.payload);
    else message.payload = structuredClone(batch.payload);
    return [null, message];
  }
  return [setLazyPayload({ topic: "trades", ...(batch.origin === "backfill" && { backfill: true }) } as NodeMessage, batch.payload), null];
}

function isLazy(payload: LazyPayload | object): payload is LazyPayload { return "materialise" in payload; }
