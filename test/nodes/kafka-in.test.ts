import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import kafkaBroker from "../../nodes/kafka-broker/kafka-broker";
import kafkaIn from "../../nodes/kafka-in/kafka-in";
import { definition, nodeHtml } from "../support/flows";
import { load as loadNode, unload, until, useHelper, type Message, type NodeModule } from "../support/helper";

/** A port on which nobody listens. */
function closedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

const errorOf = (msg: Message): { message: string; code?: string } => msg.error as { message: string; code?: string };

describe("node kafka-in", () => {
  useHelper();
  let brokers = "";
  before(async () => { brokers = `127.0.0.1:${await closedPort()}`; });
  const load = (config: object, options: Parameters<typeof loadNode>[3] = {}) => loadNode(kafkaIn as unknown as NodeModule, "kafka-in", { broker: "broker0", topics: "t", groupId: "g", ...config }, {
    ...options, configs: [{ id: "broker0", type: "kafka-broker", brokers, clientId: "test" }], modules: [kafkaBroker as unknown as NodeModule],
  });

  it("shows a wrong setting and answers every message with it", async () => {
    for (const [config, message] of [
      [{ topics: "" }, /topics: name at least one/], [{ topics: "a b c/d" }, /"c\/d" is no name of a topic/], [{ topics: "${TOPIC}" }, /holds a variable that is not set/],
      [{ groupId: " " }, /groupId: name a consumer group/], [{ startingOffsets: "yesterday" }, /startingOffsets: choose one of latest, earliest, timestamp/],
      [{ startingOffsets: "timestamp", startingTimestamp: "soon" }, /startingTimestamp: "soon" is no time/], [{ format: "avro" }, /format: choose/], [{ maxRecords: 0 }, /maxRecords: the least is 1/],
      [{ maxWaitMs: -1 }, /maxWaitMs/], [{ onFailure: "dead-letter", wires: [["out0"], []] }, /output 2 is not wired.*Wire output 2/], [{ maxInFlight: "lots" }, /maxInFlight must be a number/],
      [{ broker: "" }, /No Kafka broker is chosen/], [{ broker: "gone" }, /missing or disabled/],
    ] as const) {
      const { statuses, caught, send } = await load(config);
      assert.equal(statuses()[0]!.fill, "red", JSON.stringify(config));
      await send({ payload: "pause" });
      assert.match(errorOf(caught.at(-1)!).message, message);
      await unload();
    }
  });

  it("waits for a broker that is down, says so in status and log, and closes without hanging", async () => {
    const { statuses, warnings, node } = await load({});
    await until(() => statuses().some(({ fill, text }) => fill === "yellow" && /^broker down/.test(text!)), "the status");
    assert.ok(warnings().length <= 1, warnings().join("\n"));
    const begin = Date.now();
    await node.close();
    assert.ok(Date.now() - begin < 5000);
  });

  it("answers control messages that mean nothing with an error that a Catch node gets", async () => {
    const { send, caught } = await load({});
    for (const [k, [payload, message]] of ([
      ["faster", /no control message/], [17, /no control message/], [{ command: "jump" }, /"jump" is no command/], [{ command: "seek" }, /offset: missing/],
      [{ command: "seek", offset: -1 }, /offset: "-1" is none/], [{ command: "seek", offset: 1, timestamp: 2 }, /either offset or timestamp/], [{ command: "pause", partition: 1 }, /name the topic, too/],
      [{ command: "seek", timestamp: "soon" }, /"soon" is no time/], [{ command: "seek", offset: "earliest", forget: "yes" }, /forget: true or false/], [{ command: "seek", offset: "earliest" }, /none assigned now/],
    ] as const).entries()) {
      await send({ payload });
      await until(() => caught.length === k + 1, JSON.stringify(payload));
      assert.match(errorOf(caught.at(-1)!).message, message);
      assert.equal(errorOf(caught.at(-1)!).code, "CONTROL_INVALID");
    }
  });
});

describe("dialog of kafka-in", () => {
  const html = nodeHtml("kafka-in");
  const labels = JSON.parse(readFileSync(join(__dirname, "../../nodes/kafka-in/locales/en-US/kafka-in.json"), "utf8")) as Record<string, unknown>;
  const text = (key: string): unknown => key.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], labels);

  it("has a label for every input and a text for every key", () => {
    for (const [tag, id] of html.matchAll(/<(?:input|select|textarea)(?![^>]*type="hidden")[^>]*id="([^"]+)"[^>]*>/g)) assert.ok(html.includes(`for="${id}"`) || tag!.includes("aria-label"), id);
    for (const [, keys] of html.matchAll(/data-i18n="([^"]+)"/g)) {
      for (const key of keys!.split(";").map((one) => one.replace(/^\[[\w-]+\]/, "")).filter((one) => one.startsWith("kafka-in."))) assert.equal(typeof text(key), "string", key);
    }
    for (const [, key] of html.matchAll(/\bt\("([\w.-]+)"/g)) if (!key!.endsWith(".")) assert.equal(typeof text(`kafka-in.${key}`), "string", key);
  });

  it("has the documented defaults", () => {
    for (const [name, value] of Object.entries({
      groupId: "", startingOffsets: "latest", startingTimestamp: "", format: "json", maxRecords: 1000, maxBytes: 262144, maxWaitMs: 500, maxInFlight: 500000, maxInFlightBytes: 67108864,
      onFailure: "retry", maxAttempts: 5, deliveryTimeout: 300, caughtIsDone: false,
    })) assert.equal(definition("kafka-in").defaults[name]?.value, value, name);
  });
});
