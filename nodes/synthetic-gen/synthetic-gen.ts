import type { NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { parseGeneratorConfig } from "../../lib/trades/generator-config";
import { readingOf } from "../../lib/delivery/panel";
import { FailurePolicy } from "../../lib/delivery/policy";
import { GeneratorRun } from "../../lib/trades/generator-run";
import type { Position, RunClock } from "../../lib/trades/generator-contract";
import { defineNode, short } from "../shared/define";
import { openSource, sourceOptions, type NodeSource } from "../shared/delivery";
import { closeBudget } from "../shared/delivery/last-call";
import { nodeLabel } from "../shared/node-label";
import { observe } from "../shared/observe";
import { StatusLine } from "../shared/status";

const clock: RunClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
  setImmediate: (callback) => { setImmediate(callback); },
};

/** Node-RED gives `close` 15 s. */
const DRAIN_MS = 12_000;

/** Generates trades: batches on output 1, the statistics of a finished run on output 2. */
export = (RED: NodeAPI): void => {
  defineNode(RED, "synthetic-gen", (node, raw) => {
    const config = parseGeneratorConfig(raw);
    const options = sourceOptions(raw);
    if (options.onFailure === "dead-letter") throw new TicklakeError("CONFIG_INVALID", "onFailure: choose retry or stop; generated trades have no dead letters.");
    const status = new StatusLine(node);
    let heldUpBy: string | undefined;
    let begun = false;

    const run = new GeneratorRun(config, {
      hasRoom: () => source.hasRoom(),
      send: (spec, trades, complete) => {
        source.send(spec, { topic: "trades", payload: trades, ...(complete ? { complete } : {}) } as NodeMessage);
      },
    }, new FailurePolicy(options), {
      changed: () => show(),
      finished: (statistics) => node.send([null, { topic: "statistics", payload: statistics, complete: true } as NodeMessage]),
      gaveUp: (error) => node.error(`Stopped after ${options.maxAttempts} failed deliveries: ${error.message} Send "resume" to go on.`, { error: asTicklakeError(error, "DELIVERY_FAILED") }),
    }, clock);

    const source: NodeSource<Position> = openSource<Position>(RED, node, options, {
      start: () => {
        run.allow(true);
        if (config.autoStart && !begun) run.start();
        begun = true;
      },
      suspend: () => run.allow(false),
      delivered: (delivery) => run.delivered(delivery),
      failed: (failure) => run.failed(failure),
      room: () => run.room(),
      heldUp: (holdUp) => {
        heldUpBy = holdUp && nodeLabel(RED, holdUp.node);
        show();
      },
    });

    observe(node, { read: () => readingOf(source.stats()), notReady: () => (run.state === "stopped" ? run.describe().text : undefined) });

    function show(): void {
      const { kind, text } = run.describe();
      if (heldUpBy !== undefined && kind === "ok") status.warn(short(`held up by ${heldUpBy}: ${text}`));
      else status[kind](short(text));
    }
    const ticker = setInterval(show, 1000);
    ticker.unref();
    show();

    node.on("input", (msg, _send, done) => {
      try {
        run.control(msg.payload);
        done();
      } catch (error) {
        done(asTicklakeError(error));
      }
    });

    node.on("close", (done: () => void) => {
      clearInterval(ticker);
      run.end();
      void source.drain(closeBudget(DRAIN_MS)).finally(() => {
        source.close();
        status.end();
        done();
      });
    });
  });
};
