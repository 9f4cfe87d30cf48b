import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeAPI, NodeMessage } from "node-red";
import { readingOf } from "../../lib/delivery/panel";
import { FailurePolicy } from "../../lib/delivery/policy";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import type { FileRules } from "../../lib/trades/csv";
import { systemClock } from "../../lib/trades/pace";
import type { ReplayBatch, ReplayPosition } from "../../lib/trades/replay-batch";
import { parseReplayConfig, type ReplayConfig } from "../../lib/trades/replay-config";
import { describeFile, fileSymbols, inspectFile } from "../../lib/trades/replay-inspect";
import { controlWord, Replayer } from "../../lib/trades/replayer";
import { replayBegin } from "../../lib/kafka/replay-position";
import { checkedTopic } from "../../lib/kafka/sink/options";
import { brokerOf } from "../kafka-broker/brokers";
import { adminEndpoint } from "../shared/admin";
import { defineNode, short } from "../shared/define";
import { openSource, sourceOptions, type NodeSource } from "../shared/delivery";
import { closeBudget } from "../shared/delivery/last-call";
import { nodeLabel } from "../shared/node-label";
import { observe } from "../shared/observe";
import { isPerMessage, typedProperty } from "../shared/properties";
import { StatusLine } from "../shared/status";

/** Node-RED gives `close` 15 s. */
const DRAIN_MS = 12_000;

/** Properties that may be set per message, besides `file`. */
const TYPED = ["symbols", "from", "to", "speed", "rate"] as const;

/** The package's files for `ticklake:<name>`, seen from dist/nodes/csv-replay and from nodes/csv-replay. */
const BUNDLED_DIR = ["../../../resources", "../../resources"].map((dir) => join(__dirname, dir)).find((dir) => existsSync(join(dir, "sample-trades.csv")));

/** A message that was understood; `over` when it started a file. */
interface Accepted { over?: Promise<unknown> }

const none = {} as NodeMessage;

interface Settings { dataDirs?: string[]; sortDir?: string; maxSortBytes?: number }

/** Replays historical trades from CSV: batches on output 1, rejected rows on output 2. */
export = (RED: NodeAPI): void => {
  const { userDir, ticklake = {} } = RED.settings as { userDir?: string; ticklake?: Settings };
  const rules: FileRules = { baseDir: userDir ?? process.cwd(), ...(BUNDLED_DIR && { bundledDir: BUNDLED_DIR }), ...(ticklake.dataDirs && { allowedDirs: ticklake.dataDirs }) };

  defineNode(RED, "csv-replay", (node, raw) => {
    const fixed = parseReplayConfig(withoutTyped(raw));
    const options = sourceOptions(raw);
    if (options.onFailure === "dead-letter") throw new TicklakeError("CONFIG_INVALID", "onFailure: choose retry or stop; dead-letter is for kafka-in.");
    const resumeTopic = resumeTopicOf(raw, fixed);
    const broker = resumeTopic === "" ? undefined : brokerOf(RED, raw["broker"]);
    const status = new StatusLine(node);
    let heldUpBy: string | undefined;
    let failure: Error | undefined;
    let begun = false;
    let rejected = 0;
    let firstSent: ReplayPosition | undefined;
    let turn: Promise<void> = Promise.resolve();

    const replayer = new Replayer(rules, {
      port: {
        ready: () => source.sending && source.hasRoom(),
        whenReady: (signal) => source.whenRoom(signal),
        send: (spec, batch) => {
          rejected += batch.rejects.length;
          if (batch.trades.length > 0) firstSent ??= spec.context;
          source.send(spec, messages(batch));
        },
      },
      policy: new FailurePolicy(options),
      clock: systemClock,
      tempDir: ticklake.sortDir ?? tmpdir(),
      ...(ticklake.maxSortBytes !== undefined && { maxSortBytes: ticklake.maxSortBytes }),
      ...(broker && { position: (identity: string, signal: AbortSignal) => replayBegin(broker.use(), resumeTopic, identity, signal, (error) => { status.warn(short(error.message)); }) }),
      changed: () => show(),
      gaveUp: (error) => node.error(`Stopped after ${options.maxAttempts} failed deliveries: ${error.message} Send "resume" to go on.`, { error: asTicklakeError(error, "DELIVERY_FAILED") }),
    });

    const source: NodeSource<ReplayPosition> = openSource<ReplayPosition>(RED, node, options, {
      start: () => {
        if (fixed.autoStart && !begun) inOrder(() => replay(configuredFile(none), none)).catch((error: unknown) => node.error((error as Error).message, { error }));
        begun = true;
      },
      // Sending waits for the flows to run again (`sending`).
      suspend: () => undefined,
      delivered: (delivery) => {
        if (broker && delivery.context === firstSent) {
          if (!source.offsetsCommittedBySink(delivery.partition)) node.warn("Nobody keeps how far this replay is: lead its trades into a kafka-out that is transactional (on this cluster), or empty \"Resume\".");
        }
        replayer.delivered(delivery);
      },
      failed: (failed) => replayer.failed(failed),
      heldUp: (holdUp) => {
        heldUpBy = holdUp && nodeLabel(RED, holdUp.node);
        show();
      },
    });

    /** Takes a file in; `over` resolves when all of it is delivered. */
    async function replay(name: Promise<string>, msg: NodeMessage): Promise<Accepted> {
      const [file, config] = await Promise.all([name, configFor(msg)]);
      failure = undefined;
      return { over: replayer.submit(file, config) };
    }

    /** The settings for one file: those that depend on the message are read now. */
    async function configFor(msg: NodeMessage): Promise<ReplayConfig> {
      const typed = await Promise.all(TYPED.map(async (name) => [name, await typedProperty(RED, node, raw, name, msg)] as const));
      return parseReplayConfig({ ...raw, ...Object.fromEntries(typed) });
    }

    async function configuredFile(msg: NodeMessage): Promise<string> {
      const file = await typedProperty(RED, node, raw, "file", msg);
      return typeof file === "string" ? file : "";
    }

    /** The file that a message asks for: what the typed property says, otherwise the payload. */
    async function fileOf(msg: NodeMessage): Promise<string> {
      const file = isPerMessage(raw, "file") ? await configuredFile(msg) : "";
      if (file !== "") return file;
      if (typeof msg.payload === "string" && msg.payload.trim() !== "") return msg.payload;
      throw new TicklakeError("CONTROL_INVALID", 'msg.payload is neither a file name nor one of "start", "stop", "pause", "resume". Send "start" to replay the file that is set in the node.');
    }

    async function accept(msg: NodeMessage): Promise<Accepted> {
      const word = controlWord(msg.payload);
      if (word === "pause") replayer.pause();
      else if (word === "resume" || (word === "start" && replayer.active)) replayer.resume();
      else if (word === "stop") replayer.stop();
      else return replay(word === "start" ? configuredFile(msg) : fileOf(msg), msg);
      return {};
    }

    /** Reading typed properties takes a while: messages still take effect in the order in which they came. */
    function inOrder(task: () => Promise<Accepted>): Promise<void> {
      const accepted = turn.then(task);
      turn = accepted.then(() => undefined, () => undefined);
      return accepted.then(async ({ over }) => {
        if (over === undefined) { show(); return; }
        await over;
        // What the status says is the latest file's; that of an earlier one went to Catch nodes and the log.
        failure = undefined;
        show();
      }).catch((error: unknown) => {
        failure = asTicklakeError(error, "FILE_UNREADABLE");
        show();
        throw failure;
      });
    }

    function show(): void {
      const { kind, text } = replayer.describe() ?? { kind: "idle", text: replayer.active ? "opening" : "not started" };
      if (failure && !replayer.active) status.fail(short(failure.message));
      else if (heldUpBy !== undefined && kind === "ok") status.warn(short(`held up by ${heldUpBy}: ${text}`));
      else status[kind](short(text));
    }
    observe(node, { read: () => ({ ...readingOf(source.stats()), rejected }), notReady: () => (replayer.statistics()?.state === "stopped" ? replayer.describe()?.text : undefined) });
    const ticker = setInterval(show, 1000);
    ticker.unref();
    show();

    node.on("input", (msg, _send, done) => {
      inOrder(() => accept(msg)).then(() => done(), (error: unknown) => done(error as Error));
    });

    node.on("close", (done: () => void) => {
      clearInterval(ticker);
      replayer.close();
      void source.drain(closeBudget(DRAIN_MS)).finally(() => {
        source.close();
        void Promise.resolve(broker?.release()).catch(() => undefined).then(() => { status.end(); done(); });
      });
    });
  });

  adminEndpoint(RED, "post", "csv-replay/symbols", "csv-replay.write", async ({ body }) => {
    const values = (body ?? {}) as Record<string, unknown>;
    const all = { ...withoutTyped(values), symbols: "", from: "", to: "" };
    return { choices: [...await fileSymbols(String(values.file ?? ""), rules, parseReplayConfig(all))].map(([value, count]) => ({ value, about: String(count) })) };
  });
  adminEndpoint(RED, "post", "csv-replay/check", "csv-replay.write", async ({ body }) => {
    const values = (body ?? {}) as Record<string, unknown>;
    return { ok: true, message: describeFile(await inspectFile(String(values.file ?? ""), rules, parseReplayConfig(withoutTyped(values)))) };
  });
};

/** The settings that do not depend on messages or environment. */
function withoutTyped(raw: Record<string, unknown>): Record<string, unknown> {
  const unread = TYPED.filter((name) => !["str", "num", "", undefined].includes(raw[`${name}Type`] as string | undefined));
  return { ...raw, ...Object.fromEntries(unread.map((name) => [name, undefined])) };
}

/** The topic whose offsets keep how far a replay is; empty: each begins anew. */
function resumeTopicOf({ resumeTopic }: Record<string, unknown>, { loop }: ReplayConfig): string {
  const text = typeof resumeTopic === "string" ? resumeTopic.trim() : "";
  if (text === "") return "";
  if (loop) throw new TicklakeError("CONFIG_INVALID", "A replay that begins again at its end has no position to go on from. Empty \"Resume\", or switch \"begin again\" off.");
  return checkedTopic(text);
}

/** One message of trades on output 1 (none where only rejects were found), one per rejected row on output 2. */
function messages(batch: ReplayBatch): (NodeMessage | NodeMessage[] | null)[] {
  const { trades, rejects, complete, file, resumedAfter } = batch;
  const out = trades.length > 0 || complete ? { topic: "trades", payload: trades, filename: file, ...(complete && { complete }), ...(resumedAfter > 0 && { resumedAfter }) } as NodeMessage : null;
  return [out, rejects.length > 0 ? rejects.map((payload) => ({ topic: "rejects", payload, filename: file }) as NodeMessage) : null];
}
