// A source that sends one batch of Kafka records that nobody has read yet, as kafka-in does, and a node that says what arrives
// and whether somebody has read it. They print lines `@@{...}`.
const { decodeBatch } = require("../../../lib/kafka/source/decode");
const { lazyPayload, setLazyPayload } = require("../../../lib/trades/lazy");
const { followFlows, openSource, sourceOptions } = require("../../../nodes/shared/delivery");
const { recordSet } = require("../record-sets");

const say = (ev, facts) => process.stdout.write("@@" + JSON.stringify({ ev, ...facts }) + "\n");

module.exports = (RED) => {
  followFlows(RED);
  require("../../../nodes/explode-trades/explode-trades")(RED);

  RED.nodes.registerType("test-unread-source", function (config) {
    RED.nodes.createNode(this, config);
    const source = openSource(RED, this, sourceOptions({ deliveryTimeout: 5 }), {
      start: () => {
        const { records } = decodeBatch([recordSet(config.values.map((value) => ({ value, key: "k" })), { baseOffset: 41n })], "json");
        const msg = { topic: "iex_data", payload: undefined, kafka: { topic: "iex_data", partition: 0, firstOffset: 41, lastOffset: 42 }, last: "the order of properties stays" };
        source.send({ partition: "0", records: records.length, bytes: 1000, context: undefined }, setLazyPayload(msg, records));
      },
      suspend() {},
      delivered: () => say("delivered", { node: this.id }),
      failed: ({ error }) => say("failed", { node: this.id, message: error.message }),
    });
    this.on("close", () => source.close());
  });

  RED.nodes.registerType("test-unread-look", function (config) {
    RED.nodes.createNode(this, config);
    this.on("input", (msg, send, done) => {
      const unread = lazyPayload(msg) !== undefined;
      const names = Object.keys(msg).filter((name) => !name.startsWith("_"));
      const pass = config.pass === true;
      if (pass) send(msg);
      else {
        const { payload } = msg;
        const plain = Array.isArray(payload) && payload.every((item) => item.constructor.name === "Object" && Object.keys(item).every((name) => Object.getOwnPropertyDescriptor(item, name).writable));
        say("seen", { node: this.id, unread, names, plain, payload });
      }
      done();
    });
  });
};
