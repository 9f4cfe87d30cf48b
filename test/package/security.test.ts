import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { type EchoServer, startEchoServer } from "../support/echo-server";
import { definition, nodeTypes, type FlowNode } from "../support/flows";
import { startNodeRed, type RunningNodeRed } from "../support/node-red";
import { root, temporaryFolder } from "../support/start";

const spies = join(root, "test", "support", "spy-nodes");
const TAB: FlowNode = { id: "00000000000000f0", type: "tab", label: "Security", disabled: false, info: "" };

describe("endpoints of the editor", function () {
  this.timeout(150_000);
  /** Bcrypt of "letmein". */
  const password = "$2b$04$PWm8cgAz1rtsCq3pOSUFTuF138dgRXwYJCJbzedfRCyv3NAOlUHDW";
  let red: RunningNodeRed;
  let routes: { admin: { path: string; methods: string[] }[]; http: { path: string }[] };
  const ours = (): { path: string; method: string }[] => routes.admin.filter(({ path }) => path.includes("ticklake")).flatMap(({ path, methods }) => methods.map((method) => ({ path, method: method.toUpperCase() })));

  before(async () => {
    red = await startNodeRed({
      flow: [TAB, { id: "00000000000000f1", type: "test-spy", z: TAB.id, x: 100, y: 100, wires: [] }],
      settings: {
        nodesDir: [root, spies], disableEditor: false,
        adminAuth: { type: "credentials", users: [{ username: "reader", password, permissions: ["read"] }, { username: "stranger", password, permissions: ["other.read"] }] },
      },
    });
    routes = await red.until("the routes", () => red.events.find((e) => e.ev === "routes") as unknown as typeof routes);
  });
  after(() => red?.stop());

  async function status(route: { path: string; method: string }, token?: string): Promise<number> {
    const response = await fetch(red.url + route.path.replace(/:[a-z]+/g, "00000000000000ff"), {
      method: route.method, headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) }, ...(route.method === "POST" ? { body: "{}" } : {}),
    });
    await response.arrayBuffer();
    return response.status;
  }
  async function login(username: string, scope: string): Promise<string> {
    return ((await red.adminPost("/auth/token", { client_id: "node-red-admin", grant_type: "password", scope, username, password: "letmein" })) as { access_token: string }).access_token;
  }

  it("are all refused to who has not logged in, and to who may do other things only", async () => {
    assert.ok(ours().length >= 12, `${ours().length} routes`);
    const stranger = await login("stranger", "other.read");
    for (const route of ours()) {
      assert.equal(await status(route), 401, `${route.method} ${route.path}`);
      assert.equal(await status(route, stranger), 401, `${route.method} ${route.path}, stranger`);
    }
  });

  it("let who may read look things up, and nothing else: what acts, connects elsewhere or opens files needs the right to write", async () => {
    const reader = await login("reader", "read");
    for (const route of ours()) {
      const found = await status(route, reader);
      if (route.method === "GET") assert.notEqual(found, 401, `${route.method} ${route.path}`);
      else assert.equal(found, 401, `${route.method} ${route.path}`);
    }
  });

  it("lie below /ticklake/, and the flows' own address serves nothing of ours but metrics", () => {
    for (const { path } of ours()) assert.match(path, /^\/ticklake\//);
    assert.deepEqual(routes.http.map(({ path }) => path).filter((path) => path !== "/ticklake/metrics"), []);
  });
});

describe("planted secrets and addresses", function () {
  this.timeout(180_000);
  const userDir = temporaryFolder("secrets");
  const types = nodeTypes();
  const configTypes = types.filter((type) => definition(type).category === "config");
  /** Secret by where it was planted. */
  const planted = new Map<string, string>();
  let echo: EchoServer;
  /** A server that only messages name. */
  let elsewhere: Server;
  let visitors = 0;
  let red: RunningNodeRed;
  const shown: { where: string; text: string }[] = [];

  const plant = (where: string): string => {
    const secret = `HUSH-${String(planted.size).padStart(3, "0")}-sesame/+open`;
    planted.set(where, secret);
    return secret;
  };
  const id = (n: number): string => `5ec0000000000${String(n).padStart(3, "0")}`;

  /** A node as the editor would make it, with addresses of the echoing server. */
  function node(n: number, type: string, more: Record<string, unknown> = {}): FlowNode {
    const { defaults, outputs = 0 } = definition(type);
    const properties = Object.fromEntries(Object.entries(defaults).map(([name, { value }]) => [name, /url|uri|endpoint/i.test(name) ? `http://${echo.address}` : value]));
    return { id: id(n), type, ...properties, ...(outputs ? { wires: Array.from({ length: outputs }, () => []) } : {}), ...more } as FlowNode;
  }

  /** What a config node needs to come to the point where it sends its secrets. */
  function variants(type: string): Record<string, unknown>[] {
    const s3 = { s3Endpoint: `http://${echo.address}`, warehouse: "s3://bucket/lake", catalogName: "lake" };
    if (type === "iceberg-catalog") {
      return [
        { ...s3, catalogType: "hadoop" }, { catalogType: "rest", catalogName: "rest", warehouse: "lake", drop: ["clientCredential"] },
        { catalogType: "rest", catalogName: "oauth", warehouse: "lake", drop: ["token"] }, { catalogType: "rest", catalogName: "glue", sigv4: true, warehouse: "lake" },
      ];
    }
    if (type === "kafka-broker") return [{ brokers: echo.closing, saslMechanism: "plain" }, { brokers: echo.closing, saslMechanism: "oauthbearer", oauthTokenEndpoint: `http://${echo.address}/token` }];
    if (type === "alpaca-account") return [{ feed: "custom", url: `ws://${echo.address}`, restUrl: `http://${echo.address}` }];
    return [{}];
  }

  before(async () => {
    echo = await startEchoServer();
    elsewhere = createServer((socket) => { visitors++; socket.on("error", () => undefined).destroy(); }).listen(0, "127.0.0.1");
    await new Promise((done) => elsewhere.once("listening", done));
    const flow: FlowNode[] = [TAB];
    const credentials: Record<string, Record<string, string>> = {};
    const env: Record<string, string> = {};
    let n = 0;
    const configs = new Map<string, string[]>();
    for (const type of configTypes) {
      for (const { drop = [], ...variant } of variants(type) as { drop?: string[] }[]) {
        const one = node(n++, type, variant), fromEnvironment = node(n++, type, variant);
        flow.push(one, fromEnvironment);
        configs.set(type, [...configs.get(type) ?? [], one.id, fromEnvironment.id]);
        credentials[one.id] = Object.fromEntries(Object.entries(definition(type).credentials ?? {}).filter(([name]) => !drop.includes(name))
          .map(([name, { type: kind }]) => [name, kind === "password" ? plant(`${type}.${name} of ${one.id}`) : /uri|url|endpoint/i.test(name) ? `http://${echo.address}/token` : `user-${name}`]));
      }
    }
    for (const name of secretVariables()) env[name] = plant(`environment ${name}`);
    for (const name of ["AWS_ACCESS_KEY_ID", "KAFKA_SASL_USERNAME", "APCA_API_KEY_ID"]) env[name] = "known";

    // Every other node, once for each config node that it can use, and all asked to do what they do.
    const asked: string[] = [];
    for (const type of types.filter((t) => !configTypes.includes(t))) {
      const uses = Object.entries(definition(type).defaults).find(([, { type: of }]) => of !== undefined && configTypes.includes(of));
      for (const config of uses ? configs.get(uses[1].type!)! : [""]) {
        const made = node(n++, type, { z: TAB.id, x: 300, y: 40 * n, ...(uses ? { [uses[0]]: config } : {}), ...(type === "kafka-in" ? { groupId: "security", topics: "t" } : {}) });
        flow.push(made);
        asked.push(made.id);
      }
    }
    const spy = { id: id(800), type: "test-spy", z: TAB.id, x: 500, y: 40, wires: [] };
    flow.push(
      { id: id(801), type: "inject", z: TAB.id, x: 100, y: 40, props: [{ p: "payload" }, { p: "sql", v: "SELECT * FROM db.t", vt: "str" }, ...addressesInMessages((elsewhere.address() as AddressInfo).port)], payload: '[{"T":"t","S":"A","i":1,"x":"V","p":1,"s":1,"timestamp":1,"c":[],"z":"C"}]', payloadType: "json", repeat: "", once: true, onceDelay: "0.1", wires: [asked] },
      { id: id(802), type: "catch", z: TAB.id, scope: null, uncaught: false, x: 100, y: 80, wires: [[spy.id]] },
      { id: id(803), type: "status", z: TAB.id, scope: null, x: 100, y: 120, wires: [[spy.id]] }, spy,
    );
    writeFileSync(join(userDir, "flows_cred.json"), JSON.stringify(credentials));
    red = await startNodeRed({ flow, userDir, env, settings: { nodesDir: [root, spies], credentialSecret: false, logging: { console: { level: "trace", metrics: true, audit: true } } } });
    await red.until("every kind of secret to have been sent", () => sentKinds().every((sent) => sent), 90_000);

    const routes = (await red.until("the routes", () => red.events.find((e) => e.ev === "routes")))["admin"] as { path: string; methods: string[] }[];
    for (const path of ["/flows", "/settings", "/nodes", "/ticklake/metrics", "/readyz", "/healthz", ...flow.filter((f) => configTypes.includes(f.type)).map((f) => `/credentials/${f.type}/${f.id}`)]) {
      shown.push({ where: path, text: await (await fetch(red.url + path, { headers: { accept: "application/json" } })).text() });
    }
    for (const { path, methods } of routes.filter((route) => route.path.startsWith("/ticklake/"))) {
      for (const one of flow.filter((f) => path.includes(`/${f.type}/`))) {
        const config = methods.includes("post") ? { ...one, ...Object.fromEntries(Object.keys(credentials[one.id] ?? {}).map((name) => [name, name === "oauth2ServerUri" ? credentials[one.id]![name] : "__PWRD__"])) } : undefined;
        const response = await fetch(red.url + path.replace(":id", one.id), config ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(config) } : {});
        shown.push({ where: `${path} of ${one.id}`, text: await response.text() });
      }
    }
    await red.stop();
    shown.push({ where: "log, statuses and messages", text: red.logs() });
    for (const file of readdirSync(userDir, { recursive: true, encoding: "utf8" })) {
      if (!file.startsWith("flows_cred") && !file.startsWith(".flows_cred") && statSync(join(userDir, file)).isFile()) shown.push({ where: file, text: readFileSync(join(userDir, file), "latin1") });
    }
  });
  after(async () => { await red?.stop(); await echo?.close(); elsewhere?.close(); });

  /** Every name by which our nodes know an address, and some more, as properties of a message: of its own, and within the places where messages may say something. */
  function addressesInMessages(port: number): { p: string; v: string; vt: string }[] {
    const known = configTypes.flatMap((type) => Object.keys(definition(type).defaults)).filter((name) => /url|uri|endpoint|brokers/i.test(name));
    const names = [...new Set([...known, "url", "uri", "endpoint", "host", "server", "brokers", "bootstrapServers", "s3Endpoint", "restUrl", "controllerUrl", "brokerUrl", "oauth2ServerUri", "location", "metadataLocation"])];
    const values = Object.fromEntries(names.map((name) => [name, /brokers|servers|host/i.test(name) ? `127.0.0.1:${port}` : `http://127.0.0.1:${port}`]));
    const properties = { ...values, "s3.endpoint": `http://127.0.0.1:${port}`, "uri": `http://127.0.0.1:${port}`, "write.data.path": "s3://elsewhere/data" };
    const inside = ["options", "kafka", "catalog", "broker", "account", "cluster", "config", "properties", "settings", "credentials", "headers", "params", "pinot", "iceberg"];
    return [...Object.entries(values).map(([p, v]) => ({ p, v, vt: "str" })), ...inside.map((p) => ({ p, v: JSON.stringify({ ...properties, properties }), vt: "json" }))];
  }

  /** Names of variables that hold secrets, as the sources have them. */
  function secretVariables(): string[] {
    const names = new Set<string>();
    for (const folder of ["lib", "nodes"]) {
      for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"))) {
        for (const [name] of readFileSync(join(root, folder, file), "utf8").matchAll(/\b(APCA|ALPACA|AWS|KAFKA|PINOT|ICEBERG|GOOGLE)_[A-Z_]*(SECRET|PASSWORD|TOKEN)[A-Z_]*\b/g)) if (!/_FILE$/.test(name)) names.add(name);
      }
    }
    return [...names].sort();
  }

  /** Whether what carries a secret has reached the echoing server: else nothing could come back from it. */
  function sentKinds(): boolean[] {
    const all = echo.received.join("\n");
    return [/AWS4-HMAC/, /Bearer HUSH/, /client_secret=HUSH|grant_type=client_credentials/, /"action":"auth"/, /x-amz-security-token/].map((kind) => kind.test(all));
  }

  it("secrets are in every credential field and every variable that the sources know", () => {
    for (const type of configTypes) {
      for (const [name, { type: kind }] of Object.entries(definition(type).credentials ?? {})) if (kind === "password") assert.ok([...planted.keys()].some((where) => where.startsWith(`${type}.${name} `)), `${type}.${name}`);
    }
    for (const name of ["APCA_API_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "KAFKA_SASL_PASSWORD", "KAFKA_OAUTH_TOKEN"]) assert.ok(planted.has(`environment ${name}`), name);
  });

  it("no message takes a node to an address: what only messages name is never called", () => {
    const asked = red.events.filter((e) => e.ev === "status" || e.ev === "message").length;
    assert.ok(asked > types.length, `${asked} statuses and messages`);
    assert.equal(visitors, 0);
  });

  it("secrets appear nowhere: not in the log, a status, a message, the flow, an answer of the editor, metrics or a file, not even where a server repeats them", () => {
    const found: string[] = [];
    for (const [origin, secret] of planted) {
      // Base64 of a longer text that holds the secret, wherever in it that begins.
      const encoded = [0, 1, 2].map((shift) => Buffer.from("_".repeat(shift) + secret).toString("base64").slice(4, 24));
      for (const form of [secret, encodeURIComponent(secret), ...encoded]) {
        for (const { where, text } of shown) {
          const at = text.indexOf(form);
          if (at >= 0) found.push(`${origin} in ${where}: …${text.slice(Math.max(0, at - 120), at + 60).replace(/\s+/g, " ")}…`);
        }
      }
    }
    assert.deepEqual(found, []);
  });
});
