import type { NodeAPI, NodeMessage } from "node-red";
import type { Part } from "../../lib/delivery/types";
import { asTicklakeError } from "../../lib/errors";
import { supportedCompressions } from "../../lib/kafka/records/codecs";
import { openKafkaSink } from "../../lib/kafka/sink";
import { checkedTopic, parseKafkaSinkOptions } from "../../lib/kafka/sink/options";
import { brokerOf } from "../kafka-broker/brokers";
import { adminEndpoint } from "../shared/admin";
import { completeWatch } from "../shared/complete-watch";
import { defineNode } from "../shared/define";
import { openSink } from "../shared/delivery";
import { closeBudget } from "../shared/delivery/last-call";
import { exportEndpoint } from "../shared/export";
import { observe } from "../shared/observe";
import { isPerMessage, withTypedProperty } from "../shared/properties";
import { OutStatus } from "./out-status";

type Message = NodeMessage & { deadLetter?: unknown; kafka?: { topic?: unknown }; _linkSource?: unknown[] };
type Send = (msg: NodeMessage) => void;

/** Node-RED gives `close` 15 s; acknowledgements are waited for this long. */
const CLOSE_MS = 12_000;

/** Writes messages to Kafka; a message is done when Kafka has it. */
export = (RED: NodeAPI): void => {
  exportEndpoint(RED, "kafka-out");
  defineNode(RED, "kafka-out", (node, config) => {
    const options = parseKafkaSinkOptions(withoutTyped(config), node.id, supportedCompressions());
    const typed = config["topicType"] ?? "str";
    const fixed = typed === "str" && options.topic !== "" ? checkedTopic(options.topic) : undefined;
    const broker = brokerOf(RED, config["broker"]);
    const contexts = new WeakMap<Part, { readonly shell: Message; readonly send: Send }>();
    const wired = Boolean((config["wires"] as unknown[][] | undefined)?.[0]?.length);
    const watched = completeWatch(RED, node);
    const status = new OutStatus(node, () => sink);
    let loopTold = false;
    const figures = observe(node, { read: () => ({ recordsIn: sink.received, recordsOut: sink.written, inFlight: sink.waiting }), notReady: () => status.notReady });

    const ledger = openSink(RED, node, {
      settled: () => { sink.settled(); },
      aborted: (parts) => { sink.aborted(parts); },
      ...(options.transactional ? { commitsOffsets: true, positions: (at) => sink.positions(at), forget: (at) => Promise.resolve(sink.forget(at)) } : {}),
    });
    const sink = openKafkaSink({
      client: broker.use(), options, ledger: ledger.handle, name: node.name || `kafka-out ${node.id}`,
      events: {
        acked(result, part) {
          figures?.batch(result.count, result.ms, Date.now());
          status.acked();
          answer(part, result.topic, result);
        },
        unwritten(topic, part) {
          if (contexts.get(part)?.shell._linkSource) answer(part, topic, { topic, count: 0, bytes: 0, ms: 0, partitions: {} });
        },
        retrying: (error, waitMs) => { status.retrying(error, waitMs); },
        failed: (error) => { status.failed(error); },
        warn: (text) => { node.warn(text); },
        changed: () => { status.changed(); },
      },
    });

    if (fixed !== undefined) sink.warm(fixed);
    else if (typed === "env" && !isPerMessage(config, "topic")) withTypedProperty(RED, node, config, "topic", {} as NodeMessage, (error, topic) => { if (!error && typeof topic === "string" && topic !== "") sink.warm(topic); });

    function answer(part: Part, topic: string, payload: unknown): void {
      const context = contexts.get(part);
      if (wired && context) context.send({ ...context.shell, topic, payload } as NodeMessage);
    }

    function take(msg: Message, named: unknown, send: Send, done: (error?: Error) => void): void {
      const fromMessage = named === undefined || named === null || named === "";
      const topic = checkedTopic(fromMessage ? msg.topic : named);
      if (fromMessage && msg.kafka?.topic === topic && !loopTold) {
        loopTold = true;
        node.warn(`Messages read from topic ${topic} are written to it again: the dialog names no topic, and msg.topic is that of kafka-in. Set a topic here.`);
      }
      const part = ledger.accept(msg, send, done);
      if (part.state !== "held") return;
      contexts.set(part, { shell: shellOf(msg), send });
      sink.add(msg, topic, part);
      // Node-RED holds the message until it is done. Its records are taken by now, and a source would send them again: let go of them, unless
      // somebody wants to see them. In a later turn: some nodes send one object twice.
      if (part.deliveries.length > 0 && !watched()) setImmediate(() => { delete msg.payload; });
    }

    node.on("input", (message, send, done) => {
      const msg = message as Message;
      withTypedProperty(RED, node, config, "topic", msg, (error, topic) => {
        try {
          if (error) throw error;
          take(msg, fixed ?? topic, send as Send, done);
        } catch (caught) {
          const failure = asTicklakeError(caught);
          status.failed(failure);
          done(failure);
        }
      });
    });

    node.on("close", (done: () => void) => {
      void sink.close(closeBudget(CLOSE_MS))
        .then(() => broker.release())
        .catch((error: unknown) => { node.warn(`Closing: ${asTicklakeError(error).message}`); })
        .then(() => { ledger.close(); status.end(); done(); });
    });
  });

  // What this runtime can compress with, for the dialog.
  adminEndpoint(RED, "get", "kafka-out/compressions", "kafka-out.read", () => Promise.resolve({ compressions: supportedCompressions(), node: process.version }));
};

/** A topic that is no plain text is read per message and is no part of the options. */
function withoutTyped(config: Record<string, unknown>): Record<string, unknown> {
  return (config["topicType"] ?? "str") === "str" ? config : { ...config, topic: "" };
}

/** A message's other properties, for its result. The payload is not looked at: reading could make it objects. */
function shellOf(msg: Message): Message {
  const shell: Record<string, unknown> = {};
  for (const name of Object.keys(msg)) if (name !== "payload" && name !== "delivery") shell[name] = (msg as unknown as Record<string, unknown>)[name];
  if (Array.isArray(shell["_linkSource"])) shell["_linkSource"] = [...shell["_linkSource"] as unknown[]];
  return shell as unknown as Message;
}
