import type { Node, NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { parseKafkaInConfig } from "../../lib/kafka/source/config";
import type { BatchContext, DeadLetter, OutgoingBatch } from "../../lib/kafka/source/contract";
import { parseControl } from "../../lib/kafka/source/control";
import { KafkaSource } from "../../lib/kafka/source/source";
import { setLazyPayload } from "../../lib/trades/lazy";
import { brokerOf } from "../kafka-broker/brokers";
import { adminEndpoint } from "../shared/admin";
import { readingOf } from "../../lib/delivery/panel";
import { defineNode, short } from "../shared/define";
import { openSource, sourceOptions, type NodeSource } from "../shared/delivery";
import { closeBudget } from "../shared/delivery/last-call";
import { nodeLabel } from "../shared/node-label";
import { observe } from "../shared/observe";
import { StatusLine } from "../shared/status";

/** Node-RED gives `close` 15 s. */
const CLOSE_MS = 12_000;

interface KafkaInNode extends Node { source?: KafkaSource }

/** Reads Kafka topics as a member of a consumer group: batches of one partition on output 1, dead letters on output 2. */
export = (RED: NodeAPI): void => {
  defineNode<KafkaInNode>(RED, "kafka-in", (node, raw) => {
    const config = parseKafkaInConfig(raw);
    const options = sourceOptions(raw);
    const deadLettersWired = Boolean((raw["wires"] as unknown[][] | undefined)?.[1]?.length);
    if (options.onFailure === "dead-letter" && !deadLettersWired) {
      throw new TicklakeError("CONFIG_INVALID", "onFailure is dead-letter, but output 2 is not wired: dead letters would be lost. Wire output 2, or choose retry or stop.");
    }
    const broker = brokerOf(RED, raw["broker"]);
    const status = new StatusLine(node, 1000);
    const show = (): void => {
      const { kind, text } = kafka.status();
      status[kind](short(text));
    };

    const ledger: NodeSource<BatchContext> = openSource<BatchContext>(RED, node, options, {
      start: () => kafka.start(),
      // Sending waits for the flows to run again (`sending`).
      suspend: () => undefined,
      delivered: (delivery) => kafka.delivered(delivery),
      failed: (failure) => kafka.failed(failure),
      room: () => kafka.room(),
      heldUp: (holdUp) => kafka.heldUp(holdUp),
      rewind: (rewind) => kafka.rewind(rewind),
      // A sink that commits offsets itself takes a partition over: what is being committed now must not land behind its commit.
      offsetsAtRest: () => kafka.commits.atRest(),
    });

    const kafka: KafkaSource = new KafkaSource(config, {
      client: broker.use(),
      port: {
        get sending() { return ledger.sending; },
        deadLettersWired,
        hasRoom: () => ledger.hasRoom(),
        send: (spec, batch) => ledger.send(spec, messages(node.id, batch)),
        hold: (spec) => {
          const held = ledger.hold(spec);
          return { delivery: held.delivery, send: (batch) => held.send(messages(node.id, batch)), fail: (error) => held.fail(error) };
        },
        abort: (partition) => ledger.abort(partition),
        press: () => ledger.press(),
        drain: (timeoutMs) => ledger.drain(timeoutMs),
        offsetsCommittedBySink: (partition) => ledger.offsetsCommittedBySink(partition),
        assigned: (partition, at) => ledger.assigned(partition, at),
        openPartitions: () => ledger.openPartitions(),
        positions: (at) => ledger.positions(at),
        forget: (at) => ledger.forget(at),
        stats: () => ledger.stats(),
      },
      clock: {
        now: () => Date.now(),
        after: (ms, callback) => {
          const timer = setTimeout(callback, ms);
          timer.unref();
          return () => { clearTimeout(timer); };
        },
        later: (callback) => { setImmediate(callback); },
      },
      news: {
        // The error itself, so that Catch nodes get its code as well.
        error: (error) => { node.error(error as never, {}); show(); },
        warn: (text) => node.warn(text),
        changed: () => show(),
      },
      onFailure: options.onFailure,
      maxAttempts: options.maxAttempts,
      nodeName: (id) => nodeLabel(RED, id),
    });
    node.source = kafka;
    observe(node, { read: () => ({ ...readingOf(ledger.stats()), ...kafka.figures() }), notReady: () => kafka.notReady() });
    const ticker = setInterval(show, 1000);
    ticker.unref();
    show();

    node.on("input", (msg, _send, done) => {
      Promise.resolve().then(() => kafka.control(parseControl(msg as unknown as Record<string, unknown>)))
        .then(() => { show(); done(); }, (error: unknown) => done(asTicklakeError(error, "KAFKA_FAILED")));
    });

    node.on("close", (done: () => void) => {
      clearInterval(ticker);
      void kafka.close(closeBudget(CLOSE_MS))
        .catch((error: unknown) => node.warn(`Closing: ${asTicklakeError(error).message}`))
        .then(() => { ledger.close(); return broker.release(); })
        .catch((error: unknown) => node.warn(`Closing: ${asTicklakeError(error).message}`))
        .then(() => { status.end(); done(); });
    });
  });

  /** The running node of an address. */
  const running = (id: string | undefined): KafkaSource => {
    const source = (RED.nodes.getNode(id ?? "") as KafkaInNode | null)?.source;
    if (!source) throw new TicklakeError("CONFIG_INVALID", "This node does not run: deploy it first, and look at its status.");
    return source;
  };

  adminEndpoint(RED, "get", "kafka-in/:id/positions", "kafka-in.read", async ({ params }) => {
    const source = running(params["id"]);
    return { at: Date.now(), status: source.status(), partitions: await source.panel() };
  });

  adminEndpoint(RED, "post", "kafka-in/:id/control", "kafka-in.write", async ({ params, body }) => {
    await running(params["id"]).control(parseControl({ payload: body }));
    return { ok: true };
  });
};

/** What a batch is as messages: one on output 1 (none without records), one per dead letter on output 2. */
function messages(node: string, { records, place, deadLetters }: OutgoingBatch): (NodeMessage | NodeMessage[] | null)[] {
  const head = { topic: place.topic, kafka: place };
  const batch = records === undefined ? null : Array.isArray(records) ? { ...head, payload: records } as NodeMessage : setLazyPayload({ ...head } as NodeMessage, records);
  return [batch, deadLetters.length === 0 ? null : deadLetters.map((letter) => deadLetterMessage(node, place.groupId, letter))];
}

/** The record as it was, with the reason; `deadLetter` is what kafka-out writes as headers. */
function deadLetterMessage(id: string, groupId: string, { record, topic, partition, reason, attempts, node = id }: DeadLetter): NodeMessage {
  const { offset, timestamp } = record;
  return {
    topic, reason, attempts,
    payload: { ...record, deadLetter: { reason, node, topic, partition, offset, timestamp, attempts } },
    kafka: { groupId, topic, partition, firstOffset: offset, lastOffset: offset, offset },
  } as NodeMessage;
}
