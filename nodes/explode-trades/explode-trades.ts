import type { NodeAPI, NodeMessage } from "node-red";
import { explode, type ExplodeContext } from "../../lib/trades/explode";
import { explodeColumns, explodeRecords } from "../../lib/trades/explode-records";
import { LazyRecords } from "../../lib/trades/columnar/lazy-records";
import { LazyRawTrades, LazyTrades } from "../../lib/trades/columnar/lazy-trades";
import { lazyPayload, setLazyPayload } from "../../lib/trades/lazy";
import { parseExplodeConfig } from "../../lib/trades/explode-config";
import { DedupeWindow } from "../../lib/trades/explode-dedupe";
import { ExplodeTotals, QUIET_MS } from "../../lib/trades/explode-totals";
import { defineNode } from "../shared/define";
import { deliveryFailed, withToken } from "../shared/delivery";
import { observe } from "../shared/observe";
import { StatusLine } from "../shared/status";

type Message = NodeMessage & { delivery?: unknown; kafka?: { topic?: unknown; partition?: unknown } };

/** Flattens trades: one message in, one message out, rejects on output 2. */
export = (RED: NodeAPI): void => {
  defineNode(RED, "explode-trades", (node, config) => {
    const { names, other, dedupeMs } = parseExplodeConfig(config);
    const dedupe = dedupeMs > 0 ? new DedupeWindow(dedupeMs, { now: () => performance.now() }) : undefined;
    const options = { names, other, ...(dedupe ? { dedupe } : {}) };
    const totals = new ExplodeTotals();
    const status = new StatusLine(node, 1000);
    const rejectsWired = (config["wires"] as unknown[][] | undefined)?.[1]?.length;
    let warned = false;
    const show = (): void => status.set(totals.status(performance.now(), dedupe?.cut ?? 0));
    observe(node, { read: () => ({ recordsIn: totals.elements, recordsOut: totals.trades, rejected: totals.rejects, duplicates: totals.duplicates }) });
    const quiet = setTimeout(show, QUIET_MS).unref();

    node.on("input", (received, send, done) => {
      const msg = received as Message;
      const lazy = lazyPayload(msg);
      const elements = lazy ? lazy.length : Array.isArray(msg.payload) ? msg.payload.length : 1;
      const { trades, rejects, duplicates } = lazy instanceof LazyRawTrades && !dedupe ? explodeColumns(lazy, options)
        : lazy instanceof LazyRecords ? explodeRecords(lazy, options, contextOf(msg)) : explode(msg.payload, options, contextOf(msg));
      if (rejects.length > 0) {
        send([null, rejects.map((reject) => withToken({ topic: msg.topic, payload: reject } as NodeMessage, msg))]);
        if (!rejectsWired && !warned) {
          warned = true;
          node.warn(`${rejects[0]!.reason}. Rejected records are lost while output 2 is not wired.`);
        }
      }
      if (trades instanceof LazyTrades) setLazyPayload(msg, trades);
      else msg.payload = trades;
      send(msg);
      totals.add(elements, trades.length, rejects.length, duplicates, performance.now());
      show();
      quiet.refresh();
      done();
    });

    node.on("close", () => {
      clearTimeout(quiet);
      dedupe?.clear();
      status.end();
    });

    function contextOf({ topic, kafka, delivery }: Message): ExplodeContext {
      const from = typeof kafka?.topic === "string" ? kafka.topic : topic;
      const partition = typeof kafka?.partition === "number" ? kafka.partition : undefined;
      return {
        ...(from === undefined ? {} : { topic: from }),
        ...(partition === undefined ? {} : { partition }),
        ...(dedupe ? { origin: dedupe.open(partition === undefined ? undefined : `${from}/${partition}`, delivery === undefined ? undefined : () => deliveryFailed(RED, delivery)) } : {}),
      };
    }
  });
};
