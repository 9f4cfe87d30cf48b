import assert from "node:assert/strict";
import type { TicklakeError } from "../../../lib/errors";
import { PinotCluster, testPinot } from "../../../lib/pinot/cluster";
import { parsePinot } from "../../../lib/pinot/settings";
import { foldsByDefault, kafkaPlugin, parseVersion } from "../../../lib/pinot/version";
import { recorded, startStandIn, type StandIn } from "../../support/pinot/stand-in";

const parse = (settings: object, credentials: object = {}, variables: Record<string, string> = {}) => parsePinot(settings, credentials, (name) => variables[name]);

describe("settings of a Pinot cluster", () => {
  it("are two addresses, with the usual ports of this machine where nothing is said", () => {
    assert.deepEqual(parse({}), { controllerUrl: "http://localhost:9000", brokerUrl: "http://localhost:8099", secrets: [] });
    assert.deepEqual(parse({ controllerUrl: " https://pinot/controller/ ", brokerUrl: "http://b:1" }), { controllerUrl: "https://pinot/controller", brokerUrl: "http://b:1", secrets: [] });
  });

  it("take the shipped flows' variables, which may not be set", () => {
    const flow = { controllerUrl: "${PINOT_CONTROLLER_URL}", brokerUrl: "${PINOT_BROKER_URL}" };
    assert.equal(parse(flow).controllerUrl, "http://localhost:9000");
    assert.equal(parse({ controllerUrl: "", brokerUrl: "" }, {}, { PINOT_BROKER_URL: "http://there:2" }).brokerUrl, "http://there:2");
  });

  it("log in by name and password or by a token, of the dialog or else of the environment", () => {
    assert.equal(parse({}, { username: "me", password: "p" }).authorization, `Basic ${Buffer.from("me:p").toString("base64")}`);
    assert.equal(parse({}, { token: "abc" }).authorization, "Bearer abc");
    assert.equal(parse({}, { token: "Basic YWRtaW4=" }).authorization, "Basic YWRtaW4=");
    assert.equal(parse({}, {}, { PINOT_TOKEN: "Bearer x" }).authorization, "Bearer x");
    assert.equal(parse({}, {}, { PINOT_USERNAME: "u", PINOT_PASSWORD: "p" }).authorization, `Basic ${Buffer.from("u:p").toString("base64")}`);
    // A user of the dialog is never sent with the password of the environment.
    assert.equal(parse({}, { username: "me" }, { PINOT_PASSWORD: "theirs" }).authorization, `Basic ${Buffer.from("me:").toString("base64")}`);
  });

  it("that are wrong say what to do", () => {
    for (const [settings, credentials, reason] of [
      [{ controllerUrl: "localhost" }, {}, /controller is no URL/], [{ brokerUrl: "ftp://x" }, {}, /broker must begin with http/], [{ controllerUrl: "http://u:p@x" }, {}, /user name or password/],
      [{ controllerUrl: "http://x:9000/#/query" }, {}, /query or a fragment/], [{}, { password: "secret" }, /no user name/], [{}, { username: "a:b", password: "p" }, /colon/], [{}, { token: "a\nb" }, /character/],
    ] as const) assert.throws(() => parse(settings, credentials), (error: TicklakeError) => error.code === "CONFIG_INVALID" && reason.test(error.message) && !/secret/.test(error.message));
  });
});

describe("versions of Pinot", () => {
  it("are read from the controller's list of components and decide the plugin and the folding of case", () => {
    const version = parseVersion(recorded("version").response);
    assert.deepEqual([version.text, kafkaPlugin(version), foldsByDefault(version)], ["1.5.1", "kafka30", true]);
    const cases: [string, string, boolean][] = [["0.11.0-1b4d6b6", "kafka20", false], ["0.12.1", "kafka20", false], ["1.0.0-x", "kafka20", true], ["1.1.0", "kafka30", true], ["1.2.0-SNAPSHOT", "kafka30", true], ["2.0.0", "kafka30", true]];
    for (const [text, plugin, folds] of cases) {
      const one = parseVersion({ "pinot-controller": text });
      assert.deepEqual([kafkaPlugin(one), foldsByDefault(one)], [plugin, folds], text);
    }
    assert.equal(parseVersion({}).text, "unknown");
  });
});

describe("a Pinot cluster", () => {
  let pinot: StandIn;
  afterEach(() => pinot?.close());
  const cluster = (credentials: object = {}) => new PinotCluster(parse(pinot, credentials));
  const fails = (work: Promise<unknown>, code: string, text: RegExp) => assert.rejects(work, (error: TicklakeError) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });

  it("tells its version, its health and whether it folds case", async () => {
    pinot = await startStandIn();
    const health = await cluster().health();
    assert.deepEqual([health.version, health.controller.ok, health.broker.ok, health.foldsCase], ["1.5.1", true, true, true]);
    assert.match((await testPinot(cluster())).message, /Connected to controller 1\.5\.1 .* tables need readable names/);
    await pinot.close();
    pinot = await startStandIn({ phase: "case-sensitive" });
    assert.equal(await cluster().foldsCase(), false);
  });

  it("is asked for its version once a minute", async () => {
    pinot = await startStandIn();
    let now = 0;
    const one = new PinotCluster(parse(pinot), { now: () => now });
    const asked = () => pinot.seen.filter((seen) => seen.path === "/version").length;
    await Promise.all([one.version(), one.version()]);
    assert.equal(asked(), 1);
    now = 61_000;
    await one.version();
    assert.equal(asked(), 2);
  });

  it("is asked again at once after it could not be reached", async () => {
    pinot = await startStandIn();
    const one = cluster();
    pinot.script((seen) => seen.path === "/version", "cut");
    await fails(one.version(), "PINOT_UNREACHABLE", /No Pinot controller answers at http:\/\/127/);
    assert.equal((await one.version()).text, "1.5.1");
  });

  it("that nobody answers for, or not in time, is unreachable", async () => {
    pinot = await startStandIn();
    pinot.script(() => true, "hang");
    await fails(cluster().http.send("broker", { method: "GET", path: "/health", timeoutMs: 50 }), "PINOT_UNREACHABLE", /broker at .* did not answer within 0\.05 s/);
    pinot.script(() => true, { status: 503, body: "<html>Service Unavailable</html>" });
    await fails(cluster().http.send("broker", { method: "GET", path: "/health" }), "PINOT_UNREACHABLE", /not there at present \(503\)\./);
    const gone = await startStandIn();
    await gone.close();
    const answer = await testPinot(new PinotCluster(parse({ controllerUrl: gone.controllerUrl, brokerUrl: pinot.brokerUrl })));
    assert.equal(answer.ok, false);
    assert.match(answer.message, /^The broker is well\. No Pinot controller answers at http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });

  it("says who is at fault when the addresses are mixed up", async () => {
    pinot = await startStandIn();
    const { ok, message } = await testPinot(new PinotCluster(parse({ controllerUrl: pinot.brokerUrl, brokerUrl: pinot.brokerUrl })));
    assert.equal(ok, false);
    assert.match(message, /answers, but not as a Pinot controller.*broker has another one/);
  });

  it("checks the login, and no message holds it", async () => {
    pinot = await startStandIn({ authorization: "Bearer s3cret-token" });
    assert.equal((await cluster({ token: "s3cret-token" }).version()).text, "1.5.1");
    await fails(cluster({ token: "other" }).version(), "PINOT_DENIED", /does not let this user do that \(401: Permission is denied\)/);
    pinot.script(() => true, { status: 400, body: { code: 400, error: "bad header Bearer s3cret-token" } });
    await fails(cluster({ token: "s3cret-token" }).version(), "PINOT_REFUSED", /bad header Bearer \*\*\*/);
    pinot.script(() => true, { status: 500, body: "s3cret-token s3cret-token" });
    await fails(cluster({ token: "s3cret-token" }).version(), "PINOT_FAILED", /500: \*\*\* \*\*\*/);
  });

  it("does not follow a server that refers to another one, and keeps long numbers", async () => {
    pinot = await startStandIn();
    pinot.script(() => true, { status: 302, body: "" });
    await fails(cluster().http.send("controller", { method: "GET", path: "/version" }), "PINOT_REFUSED", /refers to another address \(302\)/);
    // Plain text, so that the digits are sent as they are.
    pinot.script(() => true, { status: 200, body: '{"rows": [[9007199254740993]]}' });
    assert.deepEqual((await cluster().http.send("broker", { method: "POST", path: "/query/sql", body: { sql: "" } })).body, { rows: [["9007199254740993"]] });
  });

  it("gives a request up when it is told to", async () => {
    pinot = await startStandIn();
    const stop = new AbortController();
    pinot.script(() => true, "hang");
    const asked = cluster().http.send("broker", { method: "GET", path: "/health", signal: stop.signal });
    stop.abort();
    await fails(asked, "STOPPED", /given up/);
  });
});
