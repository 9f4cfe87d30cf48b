import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { load, loadAll, YAML11_SCHEMA } from "js-yaml";
import { readConfig } from "../../lib/config";
import { shippedFlows } from "../support/flows";
import { startGcpLogging, type GcpLogging } from "../support/gcp-logging";
import { root, temporaryFolder, until } from "../support/start";

type Json = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- other people's file formats

const runtime = join(root, "runtime");
const text = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");
const yaml = (file: string): Json => load(text("runtime", file), { schema: YAML11_SCHEMA }) as Json;
const manifest = JSON.parse(text("package.json")) as { version: string; files: string[] };
const locked = (name: string): string => (JSON.parse(text("package-lock.json")) as { packages: Record<string, { version: string }> }).packages[`node_modules/${name}`]!.version;

const compose = yaml("compose.yaml");
const services = compose["services"] as Record<string, Json>;
const dockerfile = text("runtime", "Dockerfile");
const argument = (name: string): string => new RegExp(`^ARG ${name}=(\\S+)$`, "m").exec(dockerfile)?.[1] ?? assert.fail(`no ARG ${name}`);
const kubernetes = readdirSync(join(runtime, "kubernetes")).filter((f) => f !== "kustomization.yaml").flatMap((file) => loadAll(text("runtime", "kubernetes", file)) as Json[]);
const ofKind = (kind: string, name?: string): Json => kubernetes.find((one) => one["kind"] === kind && (name === undefined || one["metadata"].name === name)) ?? assert.fail(`no ${kind} ${name ?? ""}`);
const deployments = kubernetes.filter((one) => one["kind"] === "Deployment");
/** What the processes run with: the variables, and those that config.yaml stands for. */
const config: Record<string, string> = {
  ...(ofKind("ConfigMap", "ticklake")["data"] as Record<string, string>),
  ...readConfig((ofKind("ConfigMap", "ticklake-config")["data"] as Record<string, string>)["config.yaml"]!, { file: "config.yaml", folder: "/config", environment: {} }).variables,
};
const secret = ofKind("Secret")["stringData"] as Record<string, string>;
/** `${NAME:-default}` with the default. */
const defaultOf = (value: unknown): string => String(value ?? "").replace(/\$\{\w+:?-?([^}]*)\}/, "$1");

/** Names of variables that the flows, the settings, and the nodes read. */
function variablesRead(): Set<string> {
  const names = new Set<string>();
  const take = (from: string, pattern: RegExp): void => { for (const [, name] of from.matchAll(pattern)) names.add(name!); };
  for (const { nodes } of shippedFlows()) {
    take(JSON.stringify(nodes), /\$\{([A-Z][A-Z0-9_]*)\}/g);
    for (const { env } of nodes as unknown as { env?: { name: string }[] }[]) for (const { name } of env ?? []) names.add(name);
  }
  for (const file of readdirSync(runtime).filter((f) => f.endsWith(".js"))) take(text("runtime", file), /process\.env\.([A-Z][A-Z0-9_]*)/g);
  for (const folder of ["lib", "nodes"]) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"))) take(text(folder, file), /"([A-Z]+_[A-Z0-9_]+)"/g);
  }
  return names;
}

describe("the container image", () => {
  it("stands on the official Node-RED of the tests, by its number, and holds the dashboard of the tests", () => {
    assert.match(argument("NODE_RED"), new RegExp(`^${locked("node-red").replaceAll(".", "\\.")}-22$`));
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    assert.deepEqual(bases, ["nodered/node-red:${NODE_RED}", "nodered/node-red:${NODE_RED}"]);
    assert.equal(argument("DASHBOARD"), locked("@flowfuse/node-red-dashboard"));
    assert.equal(argument("VERSION"), manifest.version);
  });

  it("runs as a user that is not root and known by number, on the port that it exposes", () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "));
    assert.match(last, /^USER 1000$/m);
    assert.doesNotMatch(last, /^USER (root|0)$/m);
    const port = /PORT=(\d+)/.exec(last)![1];
    assert.match(last, new RegExp(`^EXPOSE ${port}$`, "m"));
    for (const [, file] of last.matchAll(/\/opt\/ticklake\/(runtime\/[\w.]+\.js)"\]/g)) assert.ok(existsSync(join(root, file!)), file);
  });

  it("is built from everything that the package and its build need, and from no secret or leftover", () => {
    const ignored = text(".dockerignore").split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.replace(/^\*\*\//, ""));
    for (const needed of ["package.json", "package-lock.json", "config.example.yaml", ".npmrc", "bin", "lib", "nodes", "flows", "icons", "resources", "runtime", "scripts", "tsconfig.json", "tsconfig.build.json", "LICENSE", "README.md"]) assert.ok(!ignored.includes(needed), needed);
    for (const unwanted of ["node_modules", ".git", ".env", "config.yaml", ".stack", ".ticklake", "*_cred.json", "dist"]) assert.ok(ignored.includes(unwanted), unwanted);
  });
});

describe("compose.yaml", () => {
  it("pins every image, and those that the tests run beside us to the versions of the tests", () => {
    const images = Object.fromEntries(Object.values(services).map(({ image }) => (image as string).split(":") as [string, string]));
    for (const [image, tag] of Object.entries(images)) assert.match(tag ?? "", /\d+[.-]\d+/, image);
    assert.equal(images["apache/kafka"], /KAFKA_VERSION = "(.+)"/.exec(text("scripts", "kafka-server.mjs"))![1]);
    assert.equal(images["apache/iceberg-rest-fixture"], /REST_CATALOG = ".*:(.+)"/.exec(text("scripts", "rest-catalog-server.mjs"))![1]);
    assert.equal(images["ticklake"], manifest.version);
  });

  it("publishes the ports of `npm run stack`, each once, on this machine only", () => {
    const published = Object.entries(services).flatMap(([name, { ports = [] }]) => (ports as string[]).map((port) => ({ name, port })));
    for (const { name, port } of published) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    const hostPorts = Object.fromEntries(published.map(({ name, port }) => [`${port.split(":")[1]}`, `${name}:${port.split(":")[2]}`]));
    assert.equal(Object.keys(hostPorts).length, published.length);
    const port = (script: string, name: string): string => new RegExp(`servingPort\\("${name}", \\w+, (\\d+)`).exec(text("scripts", script))![1]!;
    assert.equal(hostPorts[port("kafka-server.mjs", "kafka")], "kafka:9092");
    assert.equal(hostPorts[port("s3-server.mjs", "s3")], "s3:9000");
    assert.equal(hostPorts[port("rest-catalog-server.mjs", "rest")], "iceberg-rest:8181");
    assert.equal(hostPorts[port("pinot-server.mjs", "pinot")], "pinot-controller:9000");
    assert.equal(hostPorts["8099"], "pinot-broker:8099");
    assert.equal(hostPorts["1880"], `ticklake:${/PORT=(\d+)/.exec(dockerfile)![1]}`);
  });

  it("starts everything in order: what lives has a health check, and whoever needs it waits for it", () => {
    for (const [name, service] of Object.entries(services)) {
      const ends = service["restart"] === "on-failure";
      assert.equal(Boolean(service["healthcheck"]), !ends, `${name}: ${ends ? "ends, so it has no" : "lives, so it has a"} health check`);
      for (const [other, { condition }] of Object.entries((service["depends_on"] ?? {}) as Record<string, { condition: string }>)) {
        assert.equal(condition, services[other]!["restart"] === "on-failure" ? "service_completed_successfully" : "service_healthy", `${name} needs ${other}`);
      }
    }
    const needed = new Set(Object.values(services).flatMap(({ depends_on = {} }) => Object.keys(depends_on as object)));
    assert.deepEqual(Object.keys(services).filter((name) => !needed.has(name)), ["ticklake", "flattener"]);
  });

  it("can have any number of flatteners: nothing of theirs belongs to one process", () => {
    for (const [name, service] of Object.entries(services)) assert.ok(!("container_name" in service), name);
    const { flattener, ticklake } = services as Record<string, Json>;
    assert.deepEqual([flattener!["ports"], flattener!["volumes"], flattener!["hostname"]], [[], [], undefined]);
    assert.ok((flattener!["tmpfs"] as string[]).some((place) => place.startsWith("/data:")), "a user directory of its own");
    assert.equal(defaultOf(String(flattener!["deploy"].replicas)), "0");
    // The same pipeline in the same group, and no second source.
    assert.deepEqual({ ...flattener!["environment"] as object, SOURCE: "" }, { ...ticklake!["environment"] as object, SOURCE: "" });
    assert.equal(flattener!["environment"].SOURCE, "none");
    // Transactional ids are made of group, topic and partition: whoever has the partition fences who had it before, in whatever process.
    const flow = JSON.parse(text("flows", "6 Documented pipeline", "Documented pipeline.json")) as Json[];
    const group = flow.find(({ type, name }) => type === "group" && /Flattener/.test(name as string))!["id"] as string;
    assert.deepEqual(flow.filter(({ type, g }) => type === "kafka-out" && g === group).map(({ transactional, transactionalIdPrefix }) => [transactional, transactionalIdPrefix] as unknown[]), [[true, ""]]);
    assert.deepEqual(flow.filter(({ type }) => type === "iceberg-out").map(({ writerId }) => writerId as string), [""]);
  });

  it("gives ticklake only variables that something reads, and the addresses of its own services", () => {
    const { environment } = services["ticklake"] as { environment: Record<string, string> };
    const read = variablesRead();
    assert.deepEqual(Object.keys(environment).filter((name) => !read.has(name)), []);
    const listeners = (services["kafka"]!["environment"].KAFKA_ADVERTISED_LISTENERS as string).split(",");
    assert.ok(listeners.includes(`INTERNAL://${environment["KAFKA_BROKERS"]}`), "Kafka's inner listener");
    assert.ok(listeners.includes("HOST://localhost:9092"), "Kafka's listener for this machine");
    for (const name of ["S3_ENDPOINT", "PINOT_CONTROLLER_URL", "PINOT_BROKER_URL"]) {
      const { hostname, port } = new URL(environment[name]!);
      assert.ok((services[hostname]!["ports"] as string[]).some((published) => published.endsWith(`:${port}`)), name);
    }
    const bucket = /^s3a?:\/\/([^/]+)/.exec(environment["ICEBERG_WAREHOUSE"]!)![1];
    assert.match(JSON.stringify(services["s3-bucket"]!["command"]), new RegExp(`mc mb --ignore-existing lake/${bucket}"`));
    assert.match(services["iceberg-rest"]!["environment"].CATALOG_WAREHOUSE as string, new RegExp(`^s3://${bucket}/`));
    assert.ok(shippedFlows().some(({ name }) => name === `${defaultOf(environment["FLOW"])}.json`), defaultOf(environment["FLOW"]));
  });

  it("mounts the settings where the container looks for them, read-only: the example, which sets nothing that its own environment needs otherwise", () => {
    const { environment, volumes } = services["ticklake"] as { environment: Record<string, string>; volumes: string[] };
    const [from, to, mode] = /^(\$\{[^}]*\}):(.*):(\w+)$/.exec(volumes.find((one) => one.includes("CONFIG_FILE"))!)!.slice(1);
    assert.deepEqual([to, mode], ["/config/config.yaml", "ro"]);
    assert.match(text("runtime", "container.js"), new RegExp(`standard: "${to}"`));
    const { variables } = readConfig(readFileSync(join(runtime, defaultOf(from)), "utf8"), { file: "config.yaml", folder: "/config", environment: Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, defaultOf(value)])) });
    assert.deepEqual(Object.keys(variables).filter((name) => /URL|ENDPOINT|BROKERS|WAREHOUSE/.test(name)), ["ALPACA_URL"], "addresses of its own services come from compose.yaml");
  });

  it("takes its secrets from .env, whose example holds every variable with the default of compose.yaml", () => {
    const example = Object.fromEntries([...text("runtime", ".env.example").matchAll(/^([A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
    const used = Object.fromEntries([...text("runtime", "compose.yaml").matchAll(/(?<!\$)\$\{(\w+):?-([^}]*)\}/g)].map(([, name, value]) => [name!, value!]));
    assert.deepEqual(example, used);
    assert.match(text(".gitignore"), /^\.env$/m);
    for (const { environment = {} } of Object.values(services)) {
      for (const [name, value] of Object.entries(environment as Record<string, unknown>)) if (/SECRET|PASSWORD|ACCESS_KEY/.test(name)) assert.match(String(value), /^\$\{/, name);
    }
  });
});

describe("the Kubernetes manifests", () => {
  it("are all in the kustomization, which names the image of this version", () => {
    const { resources, images } = yaml(join("kubernetes", "kustomization.yaml")) as { resources: string[]; images: { newTag: string }[] };
    assert.deepEqual([...resources, "kustomization.yaml"].sort(), readdirSync(join(runtime, "kubernetes")).sort());
    assert.equal(images[0]!.newTag, manifest.version);
  });

  it("set only variables that something reads, with the names of compose.yaml", () => {
    const read = variablesRead();
    const set = [...Object.keys(config), ...Object.keys(secret), ...deployments.flatMap((d) => (d["spec"].template.spec.containers[0].env as { name: string }[]).map(({ name }) => name))];
    assert.deepEqual(set.filter((name) => !read.has(name)), []);
    for (const name of Object.keys(services["ticklake"]!["environment"] as object)) {
      if (/KEY|SECRET|PASSWORD/.test(name)) assert.ok(name in secret && !(name in config), `${name} belongs into the secret`);
    }
    assert.ok(shippedFlows().some(({ name }) => name === `${config["FLOW"]}.json`), config["FLOW"]);
  });

  it("run as the image's user with a root file system that cannot be written, and probe what answers", () => {
    assert.equal(deployments.length, 2);
    for (const { spec: { template: { spec } } } of deployments as unknown as { spec: { template: { spec: Json } } }[]) {
      const [container] = spec["containers"] as [Json];
      assert.deepEqual([spec["securityContext"].runAsNonRoot, spec["securityContext"].runAsUser, spec["securityContext"].seccompProfile.type], [true, 1000, "RuntimeDefault"]);
      assert.deepEqual(container!["securityContext"], { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } });
      assert.deepEqual([container!["startupProbe"], container!["livenessProbe"], container!["readinessProbe"]].map((probe: Json) => probe["httpGet"].path), ["/healthz", "/healthz", "/readyz"]);
      assert.equal(container!["ports"][0].containerPort, Number(/PORT=(\d+)/.exec(dockerfile)![1]));
      const mounts = container!["volumeMounts"] as { name: string; mountPath: string; readOnly?: boolean }[];
      assert.deepEqual(mounts.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath).sort(), ["/data", "/tmp"]);
      // Where runtime/container.js looks for it.
      const mounted = mounts.filter(({ readOnly }) => readOnly === true).map(({ name, mountPath }) => [(spec["volumes"] as Json[]).find((volume) => volume["name"] === name)!["configMap"].name, mountPath]);
      assert.deepEqual(mounted, [["ticklake-config", "/config"]]);
      assert.ok(spec["terminationGracePeriodSeconds"] > 15, "Node-RED's time to close");
    }
  });

  it("never have more processes in the group than partitions, and scale by the lag of that group", () => {
    const { spec } = ofKind("HorizontalPodAutoscaler") as { spec: Json };
    const others = deployments.filter((d) => d["metadata"].name !== spec["scaleTargetRef"].name).reduce((sum, d) => sum + Number(d["spec"].replicas), 0);
    assert.ok(spec["maxReplicas"] + others <= Number(config["PARTITIONS"]), `${spec["maxReplicas"]} + ${others} processes, ${config["PARTITIONS"]} partitions`);
    assert.deepEqual(spec["metrics"][0].external.metric.selector.matchLabels, { consumergroup: config["GROUP_ID"], topic: config["SOURCE_TOPIC"] });
    assert.equal(ofKind("Deployment", spec["scaleTargetRef"].name as string)["spec"].replicas, undefined);
  });

  it("select what they mean: budget, service and network policy", () => {
    const labels = (name: string): Json => ofKind("Deployment", name)["spec"].template.metadata.labels as Json;
    for (const [selector, name] of [
      [ofKind("PodDisruptionBudget")["spec"].selector.matchLabels, "ticklake-flattener"], [ofKind("Service")["spec"].selector, "ticklake-source"],
      ...deployments.map((d) => [d["spec"].selector.matchLabels, d["metadata"].name]),
    ] as [Json, string][]) for (const [label, value] of Object.entries(selector)) assert.equal(labels(name)[label], value);
    // Given to all pods by the kustomization.
    const shared = yaml(join("kubernetes", "kustomization.yaml"))["labels"][0] as Json;
    assert.equal(shared["includeTemplates"], true);
    assert.deepEqual(ofKind("NetworkPolicy")["spec"].podSelector.matchLabels, shared["pairs"]);
    const open = (ofKind("NetworkPolicy")["spec"].egress as { ports: { port: number }[] }[]).flatMap(({ ports }) => ports.map(({ port }) => port));
    for (const port of [config["KAFKA_BROKERS"]!.split(":")[1], ...Object.values(config).filter((value) => value.startsWith("http://")).map((value) => new URL(value).port)]) assert.ok(open.includes(Number(port)), port);
  });
});

describe("what the container runs", function () {
  this.timeout(180_000);
  const running = new Set<ChildProcess>();
  after(() => { for (const child of running) child.kill("SIGKILL"); });

  interface Run { url: string; port: string; userDir: string; output(): string; ended: Promise<number | null>; stop(): Promise<number | null> }

  async function run(env: Record<string, string>, userDir = temporaryFolder("container")): Promise<Run> {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    const port = String((server.address() as AddressInfo).port);
    await new Promise((done) => server.close(done));
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(npm_|TICKLAKE_|HOST$|FLOW$)/i.test(key)));
    const child = spawn(process.execPath, [join(runtime, "container.js")], { cwd: root, env: { ...inherited, HOST: "127.0.0.1", PORT: port, TICKLAKE_HEADLESS: "without-password", TICKLAKE_USER_DIR: userDir, TICKLAKE_LOG: "info", ...env }, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (data: string) => { printed += data; });
    const ended = new Promise<number | null>((done) => child.on("close", (code) => { running.delete(child); done(code); }));
    return { url: `http://127.0.0.1:${port}`, port, userDir, output: () => printed, ended, stop() { child.kill("SIGTERM"); return ended; } };
  }
  const started = (one: Run): Promise<string> => until("flows to start", () => one.output(), (output) => output.includes("Started flows"), 90_000);
  const health = (port: string, ...path: string[]): Promise<{ code: number | null; output: string }> => new Promise((done) => {
    const child = spawn(process.execPath, [join(runtime, "healthcheck.js"), ...path], { env: { PATH: process.env["PATH"], PORT: port }, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (data: string) => { output += data; });
    child.on("close", (code) => done({ code, output }));
  });

  it("puts the shipped flow in place and runs it without an editor; the health check sees it live and be ready; SIGTERM ends it with 0", async () => {
    const one = await run({ FLOW: "1 Quick start/Trades into an Iceberg table" });
    await started(one);
    assert.deepEqual(JSON.parse(readFileSync(join(one.userDir, "flows.json"), "utf8")), shippedFlows().find(({ name }) => name === "1 Quick start/Trades into an Iceberg table.json")!.nodes);
    for (const path of ["/", "/flows", "/settings", "/ticklake/kafka-out/compressions"]) assert.equal((await fetch(one.url + path)).status, 404, path);
    assert.match((await health(one.port)).output, /"status":"ok"/);
    assert.equal((await health(one.port)).code, 0);
    await until("readiness", () => health(one.port, "/readyz"), ({ code }) => code === 0, 60_000);
    assert.equal(await one.stop(), 0);
    const { code, output } = await health(one.port);
    assert.equal(code, 1);
    assert.match(output, /ECONNREFUSED/);
  });

  it("serves the editor to who knows the password, follows a mounted flow, and keeps what the editor changed", async () => {
    const folder = temporaryFolder("mounted");
    const mounted = join(folder, "flows.json");
    const flow = (label: string): string => JSON.stringify([{ id: "00000000000000c0", type: "tab", label, disabled: false, info: "" }]);
    writeFileSync(mounted, flow("First"));
    const userDir = join(folder, "data");
    mkdirSync(userDir);
    const env = { FLOW: mounted, TICKLAKE_ADMIN_PASSWORD: "open sesame" };
    const one = await run(env, userDir);
    await started(one);
    assert.equal((await fetch(`${one.url}/`)).status, 200);
    assert.equal((await fetch(`${one.url}/flows`)).status, 401);
    const login = (username: string, password: string) => fetch(`${one.url}/auth/token`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ client_id: "node-red-admin", grant_type: "password", scope: "*", username, password }) });
    for (const [name, password] of [["admin", "open"], ["admin", ""], ["root", "open sesame"]] as const) assert.notEqual((await login(name, password)).status, 200, `${name}, ${password}`);
    const { access_token: token } = await (await login("admin", "open sesame")).json() as { access_token: string };
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    assert.match(await (await fetch(`${one.url}/flows`, { headers })).text(), /First/);
    assert.equal((await fetch(`${one.url}/flows`, { method: "POST", headers, body: flow("Mine") })).status, 204);
    assert.equal(await one.stop(), 0);
    assert.ok(!one.output().includes("sesame"));

    writeFileSync(mounted, flow("Second"));
    const two = await run(env, userDir);
    await started(two);
    assert.match(two.output(), /differs from the flow in .*, which was edited there and runs on/);
    assert.match(readFileSync(join(userDir, "flows.json"), "utf8"), /Mine/);
    assert.equal(await two.stop(), 0);
    assert.equal(readFileSync(mounted, "utf8"), flow("Second"));
  });

  it("says what FLOW may be when it names nothing", async () => {
    for (const [FLOW, said] of [["9 Nowhere/Nothing", /no shipped flow has that name. There are:\n(.*\n)* {2}1 Quick start\/Trades into an Iceberg table/], ["/nowhere/flows.json", /no such file in the container/]] as const) {
      const one = await run({ FLOW });
      assert.equal(await one.ended, 1);
      assert.match(one.output(), said);
    }
  });

  it("reads the mounted settings; the environment wins; one that is wrong ends it before anything runs", async () => {
    const folder = temporaryFolder("container-config");
    const settings = join(folder, "config.yaml"), flows = join(folder, "flows.json");
    writeFileSync(flows, JSON.stringify([
      { id: "tab", type: "tab", label: "Settings" },
      { id: "once", type: "inject", z: "tab", name: "", props: [{ p: "payload" }], payload: "DEST_TOPIC", payloadType: "env", once: true, onceDelay: 0.1, repeat: "", crontab: "", topic: "", wires: [["print"]], x: 1, y: 1 },
      { id: "print", type: "function", z: "tab", name: "", outputs: 0, wires: [], libs: [], x: 1, y: 1, func: "console.log(`topic ${msg.payload} of ${env.get('SOURCE_TOPIC')}`);" },
    ]));
    writeFileSync(settings, "kafka:\n  topic: from_file\n  dest_topic: file_too\n");
    const env = { TICKLAKE_CONFIG: settings, FLOW: flows };
    const one = await run({ ...env, SOURCE_TOPIC: "from_env", LOG_FORMAT: "gcp" });
    await until("the flow's variables", one.output, (output) => output.includes("topic file_too of from_env"));
    assert.equal(await one.stop(), 0);
    assert.match(one.output(), /"severity":"INFO","message":"Settings from .*config\.yaml; the environment or the command line says otherwise of SOURCE_TOPIC\."/);

    writeFileSync(settings, "kafka:\n  dest_topic: ${NOWHERE}\n");
    const wrong = await run(env);
    assert.equal(await wrong.ended, 1);
    assert.match(wrong.output(), /config\.yaml:2:15: kafka\.dest_topic: \$\{NOWHERE\} is not set/);
    const folderInstead = await run({ ...env, TICKLAKE_CONFIG: folder });
    assert.equal(await folderInstead.ended, 1);
    assert.match(folderInstead.output(), /is a folder, not a configuration\. \(A container engine makes one/);
  });

  describe("LOG_EXPORT=gcp", () => {
    const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", SPAN = "00f067aa0ba902b7", SECRET = "pl4nted-secret";
    const folder = temporaryFolder("log-export"), flows = join(folder, "flows.json");
    /** A function prints and warns, and iceberg-out refuses what it is given, for a message with a trace. */
    writeFileSync(flows, JSON.stringify([
      { id: "tab", type: "tab", label: "Log" },
      { id: "once", type: "inject", z: "tab", name: "", props: [], once: true, onceDelay: 0.1, repeat: "", crontab: "", topic: "", wires: [["print"]], x: 1, y: 1 },
      { id: "print", type: "function", z: "tab", name: "Printer", outputs: 1, wires: [["sink"]], libs: [], x: 1, y: 1, func: `console.log("printed ${SECRET}");\nnode.warn("warned ${SECRET}");\nreturn { payload: 5, traceparent: "00-${TRACE}-${SPAN}-01" };` },
      { id: "sink", type: "iceberg-out", z: "tab", name: "Lake", catalog: "catalog", table: "db.t", wires: [[], []], x: 1, y: 1 },
      { id: "catalog", type: "iceberg-catalog", name: "local", catalogType: "hadoop", warehouse: "./warehouse" },
    ]));
    let server: GcpLogging;
    beforeEach(async () => { server = await startGcpLogging(); });
    afterEach(() => { server.stop(); });
    const exported = (more: Record<string, string> = {}): Promise<Run> => run({ FLOW: flows, LOG_EXPORT: "gcp", LOG_ENDPOINT: server.endpoint, GOOGLE_CLOUD_PROJECT: "trades", METADATA_SERVER_DETECTION: "none", KAFKA_SASL_PASSWORD: SECRET, ...more });

    it("every entry arrives once with all its fields, through an outage of the API and up to the last one before the end; standard output goes on", async () => {
      server.answer = { code: 14, details: "down for a while" };
      const one = await exported({ LOG_NAME: "pipeline" });
      await until("the outage to be told", one.output, (output) => /\[warn\] Google Cloud Logging cannot be written to: 14 UNAVAILABLE: down for a while\. What is logged waits/.test(output));
      await until("the sink's error on standard output", one.output, (output) => output.includes("msg.payload"));
      server.answer = "ok";
      const find = (text: string | RegExp) => server.entries().filter(({ message }) => (typeof text === "string" ? message === text : text.test(message)));
      await until("the sink's error in the log", () => find(/msg\.payload/).length, (n) => n > 0);
      assert.equal(await one.stop(), 0);

      const [refused] = find(/msg\.payload/), [warned] = find("warned ***");
      assert.deepEqual([find(/msg\.payload/).length, find("warned ***").length, find("printed ***").length], [1, 1, 1]);
      assert.deepEqual({ ...refused, insertId: "", message: "", stack: "", time: "" }, {
        insertId: "", message: "", stack: "", time: "", severity: "ERROR", labels: { node: "sink", type: "iceberg-out", name: "Lake", flow: "tab", ...(refused!.labels["code"] ? { code: refused!.labels["code"] } : {}) }, trace: `projects/trades/traces/${TRACE}`, spanId: SPAN, traceSampled: true,
      });
      assert.deepEqual([warned!.severity, warned!.labels, warned!.trace], ["WARNING", { node: "print", type: "function", name: "Printer", flow: "tab" }, ""]);
      assert.ok(Math.abs(Date.now() - Date.parse(refused!.time)) < 180_000);
      assert.equal(find("Started flows").length, 1);
      assert.equal(find("Stopped flows").length, 1, "logged after SIGTERM");
      assert.doesNotMatch(JSON.stringify(server.requests), new RegExp(SECRET));
      assert.match(one.output(), /\[info\] Google Cloud Logging answers again/);
      for (const { logName, resource, partialSuccess } of server.requests) assert.deepEqual({ logName, resource, partialSuccess }, { logName: "projects/trades/logs/pipeline", resource: { type: "global", labels: { project_id: "trades" } }, partialSuccess: true });
      const first = server.requests[0]!.entries[0]!.insertId;
      assert.ok(server.requests.filter(({ entries }) => entries.some(({ insertId }) => insertId === first)).length > 1, "it was tried again");
    });

    it("an API that hangs holds up neither the flows nor the end", async () => {
      server.answer = "never";
      const one = await exported();
      await until("the sink's error on standard output", one.output, (output) => output.includes("msg.payload"));
      await until("a request", () => server.requests.length, (n) => n > 0);
      const began = performance.now();
      assert.equal(await one.stop(), 0);
      assert.ok(performance.now() - began < 15_000, "the time that the last call leaves");
      assert.match(one.output(), /Stopped flows\n(.*\n)*.*\[warn\] \d+ entries of the log did not reach Google Cloud Logging; they stand on standard output\./);
    });

    it("says what is wrong with it before anything runs", async () => {
      const one = await exported({ LOG_ENDPOINT: "http://example.com" });
      assert.equal(await one.ended, 1);
      assert.match(one.output(), /^LOG_ENDPOINT is not encrypted/);
    });
  });
});
