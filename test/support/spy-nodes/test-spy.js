// What the process shows to the outside, for the security tests, as lines `@@{...}`: the routes that it serves, every node's status, and
// every message that reaches this node, as deep as the debug sidebar shows it.
const { inspect } = require("node:util");

const say = (ev, facts) => process.stdout.write("@@" + JSON.stringify({ ev, ...facts }) + "\n");
const routes = (app) => app?._router?.stack.filter((layer) => layer.route).map(({ route }) => ({ path: route.path, methods: Object.keys(route.methods) })) ?? [];

module.exports = (RED) => {
  RED.events.on("node-status", ({ id, status }) => say("status", { id, status }));
  RED.events.once("flows:started", () => say("routes", { admin: routes(RED.httpAdmin), http: routes(RED.httpNode) }));
  RED.nodes.registerType("test-spy", function TestSpy(config) {
    RED.nodes.createNode(this, config);
    this.on("input", (msg, _send, done) => { say("message", { text: inspect(msg, { depth: 12, showHidden: true, maxStringLength: null }) }); done(); });
  });
};
