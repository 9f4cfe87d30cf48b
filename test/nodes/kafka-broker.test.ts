import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import type { NodeAPI } from "node-red";
import { clientCredentials } from "../../lib/kafka/oauth-token";
import { kafkaOptions } from "../../lib/kafka/broker-settings";
import { TicklakeError } from "../../lib/errors";
import { SharedBroker } from "../../nodes/kafka-broker/brokers";
import kafkaBroker from "../../nodes/kafka-broker/kafka-broker";
import { load as loadNode, useHelper, type NodeModule } from "../support/helper";
import { request } from "../support/helper-request";
import { MemoryKafka } from "../unit/kafka/sink-world";

const environment = (variables: Record<string, string> = {}) => ({ variable: (name: string) => variables[name] });
const options = (settings: object, credentials: object = {}, variables: Record<string, string> = {}) => kafkaOptions(settings, credentials, undefined, environment(variables));
const refusal = (work: () => unknown): string => {
  try { work(); } catch (error) { assert.ok(error instanceof TicklakeError); return error.message; }
  throw new Error("it was taken");
};

describe("settings of a Kafka broker", () => {
  it("are addresses and a client's name, with defaults", () => {
    assert.deepEqual(options({}), { brokers: ["localhost:9092"], clientId: "ticklake" });
    assert.deepEqual(options({ brokers: " a:1, b\nc:3 ,a:1", clientId: "me" }), { brokers: ["a:1", "b:9092", "c:3"], clientId: "me" });
    assert.match(refusal(() => options({ brokers: "a:b" })), /no broker address/);
    assert.match(refusal(() => options({ brokers: "${BROKERS}" })), /\$\{BROKERS\}, which is not set/);
    assert.match(refusal(() => options({ saslMechanism: "gssapi" })), /"gssapi" is not known. Choose one of none, plain/);
  });

  it("take the shipped flows' variable, and localhost where it is not set", () => {
    assert.deepEqual(options({ brokers: "${KAFKA_BROKERS}" }).brokers, ["localhost:9092"]);
    assert.deepEqual(options({ brokers: "" }, {}, { KAFKA_BROKERS: "k-1:9092,k-2:9092" }).brokers, ["k-1:9092", "k-2:9092"]);
  });

  it("take user and password from the environment where they are empty", () => {
    const variables = { KAFKA_SASL_USERNAME: "env-user", KAFKA_SASL_PASSWORD: "env-secret" };
    assert.deepEqual(options({ saslMechanism: "scram-sha-256" }, {}, variables).sasl, { mechanism: "scram-sha-256", username: "env-user", password: "env-secret" });
    assert.deepEqual(options({ saslMechanism: "plain" }, { username: "u", password: "p" }, variables).sasl, { mechanism: "plain", username: "u", password: "p" });
    assert.equal(options({}, {}, variables).sasl, undefined);
    assert.match(refusal(() => options({ saslMechanism: "plain" })), /needs a user name. Enter it, or set KAFKA_SASL_USERNAME/);
    assert.match(refusal(() => options({ saslMechanism: "plain" }, { username: "u" })), /needs a password/);
    assert.match(refusal(() => options({ saslMechanism: "plain" }, { username: "u", password: "${SECRET}" })), /\$\{SECRET\} is an environment variable that is not set/);
  });

  it("take a token as password or from the environment, read anew each time", async () => {
    assert.equal(await options({ saslMechanism: "oauthbearer" }, { password: "tok" }).sasl!.token!(), "tok");
    const variables: Record<string, string> = { KAFKA_OAUTH_TOKEN: "one" };
    const { sasl } = options({ saslMechanism: "oauthbearer" }, {}, variables);
    assert.equal(await sasl!.token!(), "one");
    variables["KAFKA_OAUTH_TOKEN"] = "two";
    assert.equal(await sasl!.token!(), "two");
    assert.match(refusal(() => options({ saslMechanism: "oauthbearer" })), /KAFKA_OAUTH_TOKEN/);
    assert.match(refusal(() => options({ saslMechanism: "oauthbearer", oauthTokenEndpoint: "https://x" }, { username: "u" })), /client's id and secret/);
  });
});

describe("OAuth tokens", () => {
  const answering = (answers: (Response | Error)[], seen: { url: string; init: RequestInit }[]) => ((url: URL, init: RequestInit) => {
    seen.push({ url: String(url), init });
    const answer = answers.shift()!;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  }) as unknown as typeof fetch;

  it("are fetched with id and secret, shared, and fetched again when four fifths of their life are over", async () => {
    let now = 0;
    const seen: { url: string; init: RequestInit }[] = [];
    const token = clientCredentials({ endpoint: "https://idp/token", clientId: "me+you", clientSecret: "s:1", scope: "kafka", now: () => now, fetch: answering([Response.json({ access_token: "a", expires_in: 100 }), Response.json({ access_token: "b" })], seen) });
    assert.deepEqual(await Promise.all([token(), token()]), ["a", "a"]);
    now = 79_000;
    assert.equal(await token(), "a");
    now = 81_000;
    assert.equal(await token(), "b");
    assert.equal(seen.length, 2);
    assert.equal(Buffer.from((seen[0]!.init.headers as Record<string, string>)["authorization"]!.slice(6), "base64").toString(), "me%2Byou:s%3A1");
    assert.equal(String(seen[0]!.init.body), "grant_type=client_credentials&scope=kafka");
  });

  it("that are refused or not to be had say why, without the secret", async () => {
    const get = (answer: Response | Error) => clientCredentials({ endpoint: "https://idp/token?x=secret", clientId: "me", clientSecret: "hush", fetch: answering([answer], []) })();
    const cases: [Response | Error, string, RegExp][] = [
      [Response.json({ error: "invalid_client" }, { status: 401 }), "KAFKA_DENIED", /https:\/\/idp refuses client me: invalid_client/], [new Response("busy", { status: 503 }), "KAFKA_UNREACHABLE", /answers 503/],
      [Response.json({}), "KAFKA_DENIED", /no access_token/], [new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") }), "KAFKA_UNREACHABLE", /ECONNREFUSED/],
    ];
    for (const [answer, code, message] of cases) {
      await assert.rejects(get(answer), (error: TicklakeError) => error.code === code && message.test(error.message) && !/hush|x=secret/.test(error.message));
    }
    for (const endpoint of ["http://idp/token", "nowhere", "https://u:p@idp/token"]) assert.throws(() => clientCredentials({ endpoint, clientId: "a", clientSecret: "b" }), /https|user name/);
    clientCredentials({ endpoint: "http://127.0.0.1:1/token", clientId: "a", clientSecret: "b" });
  });
});

describe("one client for all users of a broker", () => {
  it("opens with the first and closes with the last, however often each asks", async () => {
    let opened = 0, closed = 0;
    const shared = new SharedBroker("b", () => { opened++; return { ...new MemoryKafka().client(), close: () => { closed++; return Promise.resolve(); } }; });
    const [a, b, unused] = [shared.share(), shared.share(), shared.share()];
    const client = a.use();
    assert.equal(a.use(), client);
    assert.equal(b.use(), client);
    await unused.release();
    await a.release();
    await a.release();
    assert.deepEqual([opened, closed], [1, 0]);
    await b.release();
    assert.deepEqual([opened, closed], [1, 1]);
    shared.share().use();
    assert.equal(opened, 2);
  });
});

describe("node kafka-broker", () => {
  useHelper();
  /** A node that only shows what the helper needs. */
  const none = ((RED: NodeAPI) => { RED.nodes.registerType("nothing", function (this: never, config: never) { RED.nodes.createNode(this, config); } as never); }) as unknown as NodeModule;
  const load = (config: object) => loadNode(none, "nothing", {}, { outputs: 0, configs: [{ id: "broker0", type: "kafka-broker", ...config }], modules: [kafkaBroker as unknown as NodeModule] });
  const test = async (body: object): Promise<{ ok: boolean; message: string }> => (await request("post", "/ticklake/kafka-broker/test", body)).body as { ok: boolean; message: string };
  let closedPort = 0;
  before((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => { closedPort = (server.address() as AddressInfo).port; server.close(() => { done(); }); });
  });

  it("says why a connection fails", async () => {
    await load({});
    const down = await test({ brokers: `127.0.0.1:${closedPort}`, saslMechanism: "none" });
    assert.equal(down.ok, false);
    assert.match(down.message, new RegExp(`nothing listens at 127\\.0\\.0\\.1:${closedPort}`, "i"));
    assert.match((await test({ brokers: "a:b" })).message, /no broker address/);
    assert.match((await test({ brokers: "x", tls: "gone" })).message, /TLS configuration.*missing or not deployed/);
  }).timeout(30_000);

  it("neither tells what variables hold nor sends them anywhere", async () => {
    process.env["KAFKA_SASL_PASSWORD"] = "from-environment";
    try {
      await load({});
      assert.match((await test({ brokers: "${SECRET_HOST}" })).message, /\$\{SECRET_HOST\} is filled in at the deploy/);
      const answer = await test({ brokers: `127.0.0.1:${closedPort}`, saslMechanism: "plain", username: "u", password: "" });
      assert.equal(answer.ok, false);
      assert.match(answer.message, /needs a password/);
    } finally { delete process.env["KAFKA_SASL_PASSWORD"]; }
  });

  it("sends a saved password only to the addresses for which it was deployed", async () => {
    const received: string[] = [];
    const server = createServer((socket) => socket.on("data", (data) => received.push(data.toString("latin1"))).on("error", () => { /* gone */ }));
    await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    try {
      await load({ brokers: "127.0.0.1:1", saslMechanism: "plain" });
      const answer = await test({ id: "broker0", brokers: `127.0.0.1:${(server.address() as AddressInfo).port}`, saslMechanism: "plain", username: "u", password: "__PWRD__" });
      assert.deepEqual([answer.ok, received], [false, []]);
      assert.match(answer.message, /the saved password is not sent to other addresses/);
    } finally { server.close(); }
  });

  it("look-ups: by its id only what is deployed, else what the dialog says, without what this machine knows", async () => {
    await load({});
    const said = async (method: "get" | "post", path: string, body?: object): Promise<[number, string]> => {
      const answer = await request(method, `/ticklake/kafka-broker/${path}`, body);
      return [answer.status, (answer.body as { message: string }).message];
    };
    const cases: [answer: [number, string], message: RegExp][] = [
      [await said("get", "nowhere/look-up/topics"), /Deploy the broker first/],
      [await said("post", "look-up/topics", { dialog: { id: "new", brokers: "127.0.0.1:1", saslMechanism: "none" } }), /nothing listens at 127\.0\.0\.1:1/],
      [await said("post", "look-up/groups", { dialog: { id: "new", brokers: "${KAFKA_BROKERS}" } }), /^\$\{KAFKA_BROKERS\} is filled in at the deploy: deploy first\.$/],
      [await said("post", "look-up/topics", { dialog: { id: "broker0", brokers: "127.0.0.1:2", saslMechanism: "plain", password: "__PWRD__" } }), /the saved password is not sent to other addresses/],
      [await said("post", "look-up/toString", { dialog: { id: "new", brokers: "127.0.0.1:1", saslMechanism: "none" } }), /there is no list toString/],
    ];
    for (const [[status, message], expected] of cases) {
      assert.equal(status, 400, `${status} ${message}`);
      assert.match(message, expected);
    }
  }).timeout(30_000);
});
