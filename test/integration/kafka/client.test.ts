import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { TicklakeError } from "../../../lib/errors";
import { openKafka } from "../../../lib/kafka/client";
import { KafkaCluster } from "../../../lib/kafka/cluster";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import type { KafkaClient, KafkaOptions } from "../../../lib/kafka/types";
import { createTopic, deleteTopics, produce, sharedKafka, startKafka, uniqueTopic, valuesOf, type RunningKafka } from "../../support/kafka";
import { startProxy, type Proxy } from "../../support/proxy";

/** What is older than a topic's retention is deleted by the broker in the middle of a test. */
const NOW = Date.now();

function batch(...values: string[]): RecordBatchBuilder {
  const builder = new RecordBatchBuilder();
  for (const value of values) builder.addText(null, value, NOW);
  return builder;
}

describe("asking a cluster", function () {
  this.timeout(30_000);
  let brokers: string;
  let client: KafkaClient;
  const topics: string[] = [];
  const named = (): string => { const name = uniqueTopic("b-admin"); topics.push(name); return name; };

  before(async () => { ({ brokers } = await sharedKafka()); client = openKafka({ brokers: brokers.split(","), clientId: "ticklake" }); });
  after(async () => {
    await client.close();
    const there = await Promise.all(topics.map((name) => existing(name)));
    const left = topics.filter((_, k) => there[k]);
    if (left.length > 0) await deleteTopics(brokers, ...left);
  });
  const existing = async (name: string): Promise<boolean> => {
    const fresh = openKafka({ brokers: brokers.split(","), clientId: "ticklake" });
    try { return (await fresh.admin.describeTopic(name)) !== undefined; } finally { await fresh.close(); }
  };

  it("tells its id, its brokers and its topics", async () => {
    const { clusterId, brokers: found } = await client.admin.describeCluster();
    assert.equal(clusterId, await client.admin.clusterId());
    assert.match(clusterId, /^[\w-]{20,}$/);
    assert.ok(found.some(({ address }) => brokers.split(",").includes(address)));
  });

  it("creates a topic once, with its partitions and settings, ready to be written to", async () => {
    const name = named();
    const wanted = { name, partitions: 5, replicationFactor: 1, config: { "max.message.bytes": "12345", "cleanup.policy": "compact" } };
    assert.deepEqual(await Promise.all([client.admin.createTopic(wanted), client.admin.createTopic(wanted)]).then((made) => made.sort()), [false, true]);
    assert.deepEqual(await client.admin.describeTopic(name), { name, partitions: 5, replicationFactor: 1, internal: false });
    assert.equal(await client.admin.maxMessageBytes(name), 12_345);
    assert.equal(await client.admin.createTopic({ ...wanted, partitions: 9 }), false);
    assert.equal((await client.admin.describeTopic(name))?.partitions, 5, "an existing topic stays as it is");
    assert.ok((await client.admin.topics()).some((topic) => topic.name === name));
  });

  it("says what of a new topic is wrong, in the broker's words too", async () => {
    const topic = { name: named(), partitions: 1, replicationFactor: 1 };
    await assert.rejects(client.admin.createTopic({ ...topic, replicationFactor: 3 }), { code: "CONFIG_INVALID", message: /INVALID_REPLICATION_FACTOR.*The broker says: .*3/ });
    await assert.rejects(client.admin.createTopic({ ...topic, name: "a/b" }), { code: "CONFIG_INVALID", message: /INVALID_TOPIC_EXCEPTION.*letters, digits/ });
    await assert.rejects(client.admin.createTopic({ ...topic, config: { "no.such.setting": "1" } }), { code: "CONFIG_INVALID", message: /no\.such\.setting/ });
    await assert.rejects(client.admin.createTopic({ ...topic, partitions: 0 }), { code: "CONFIG_INVALID", message: /INVALID_PARTITIONS/ });
  });

  it("never creates a topic by asking for it", async () => {
    const name = uniqueTopic("b-none");
    assert.equal(await client.admin.describeTopic(name), undefined);
    await assert.rejects(client.admin.end([{ topic: name, partition: 0 }]), { code: "KAFKA_TOPIC_UNKNOWN", message: new RegExp(`no topic "${name}"`) });
    assert.equal(await client.admin.describeTopic(name), undefined);
  });

  it("finds offsets by time, the ends of partitions in the order asked for, and the time of a record", async () => {
    const name = named();
    await client.admin.createTopic({ name, partitions: 3, replicationFactor: 1 });
    const producer = client.producer({ idempotent: true, compression: "gzip" });
    const builder = new RecordBatchBuilder();
    for (let k = 0; k < 10; k++) builder.addText(null, `v${k}`, 1_000 + k * 10);
    await producer.send({ topic: name, partition: 2 }, builder);
    await producer.send({ topic: name, partition: 2 }, batch("late"));
    await producer.close();
    const at = [2, 0, 1].map((partition) => ({ topic: name, partition }));
    assert.deepEqual(await client.admin.end(at), [11n, 0n, 0n]);
    assert.deepEqual(await client.admin.earliest(at), [0n, 0n, 0n]);
    assert.deepEqual(await client.admin.offsetsAt(at, 1_041), [5n, 0n, 0n]);
    assert.deepEqual(await client.admin.offsetsAt(at, 1_040), [4n, 0n, 0n]);
    assert.deepEqual(await client.admin.offsetsAt(at, 4_000_000_000_000), [11n, 0n, 0n]);
    assert.deepEqual(await Promise.all([0n, 7n, 10n, 11n, 500n].map((offset) => client.admin.timestampAt({ topic: name, partition: 2, offset }))), [1_000, 1_070, NOW, undefined, undefined]);
    await assert.rejects(client.admin.end([{ topic: name, partition: 3 }]), { code: "KAFKA_TOPIC_UNKNOWN", message: /has no partition 3: it has 3/ });
  });

  it("notices that a topic was deleted and created again with fewer partitions", async () => {
    const name = named();
    await createTopic(brokers, name, { partitions: 3 });
    await produce(brokers, name, [{ value: "x", partition: 2 }]);
    assert.deepEqual(await client.admin.end([{ topic: name, partition: 2 }]), [1n]);
    await deleteTopics(brokers, name);
    await createTopic(brokers, name, { partitions: 1 });
    assert.deepEqual(await client.admin.end([{ topic: name, partition: 0 }]), [0n]);
    await assert.rejects(client.admin.end([{ topic: name, partition: 2 }]), { code: "KAFKA_TOPIC_UNKNOWN" });
  });

  it("of a group that never was says that nothing is committed", async () => {
    const name = named();
    await client.admin.createTopic({ name, partitions: 1, replicationFactor: 1 });
    assert.deepEqual(await client.admin.committed(uniqueTopic("b-group"), [{ topic: name, partition: 0 }]), [undefined]);
  });
});

describe("who is let in", function () {
  this.timeout(60_000);
  let kafka: RunningKafka;
  const user = { username: "ticklake", password: "ticklake-secret" };
  /** An unsigned token, as brokers take it that are not told how to check one. */
  const token = (claims: object): string => `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`;

  before(async () => {
    kafka = await startKafka({
      listeners: ["ssl", "sasl", "sasl_ssl"],
      properties: {
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl.oauthbearer.sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";",
        "listener.name.sasl_ssl.connections.max.reauth.ms": 3000,
      },
    });
  });
  after(async function () { this.timeout(20_000); await kafka?.stop(); });

  const trusted = (): Record<string, unknown> => ({ ca: readFileSync(kafka.certificate!) });
  /** Connects, creates a topic, writes to it, reads it back with an independent client. */
  async function works(options: Omit<KafkaOptions, "clientId">): Promise<void> {
    const client = openKafka({ clientId: "ticklake", ...options });
    try {
      const topic = uniqueTopic("auth");
      await client.admin.createTopic({ name: topic, partitions: 1, replicationFactor: 1 });
      const producer = client.producer({ idempotent: true, compression: "none" });
      await producer.send({ topic, partition: 0 }, batch("a", "b"));
      await producer.close();
      assert.deepEqual(await client.admin.committed(topic, [{ topic, partition: 0 }]), [undefined]);
      assert.deepEqual(await valuesOf(kafka.brokers, topic), ["a", "b"]);
    } finally { await client.close(); }
  }
  async function refused(options: Omit<KafkaOptions, "clientId">): Promise<TicklakeError> {
    const lines: string[] = [];
    const client = openKafka({ clientId: "ticklake", log: (_level, text) => lines.push(text), ...options });
    try {
      const error = await client.admin.describeCluster().then(() => assert.fail("was let in"), (caught: unknown) => caught as TicklakeError);
      assert.ok(error instanceof TicklakeError, String(error));
      for (const secret of [options.sasl?.password ?? "-no-", "ticklake-secret"]) assert.ok(![error.message, JSON.stringify(error.details), String(error.stack), ...lines].join("\n").includes(secret), "no secret is told");
      return error;
    } finally { await client.close(); }
  }

  it("TLS alone", () => works({ brokers: [kafka.addresses.ssl], tls: trusted() }));
  for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"] as const) {
    it(`SASL ${mechanism}, with TLS and without`, async () => {
      await works({ brokers: [kafka.addresses.sasl], sasl: { mechanism, ...user } });
      await works({ brokers: [kafka.addresses.sasl_ssl], tls: trusted(), sasl: { mechanism, ...user } });
    });

    it(`SASL ${mechanism}: a wrong password is an error that names user and mechanism`, async () => {
      const error = await refused({ brokers: [kafka.addresses.sasl], sasl: { mechanism, username: "ticklake", password: "wr0ng-one" } });
      assert.equal(error.code, "KAFKA_DENIED");
      assert.match(error.message, new RegExp(`${kafka.addresses.sasl} refused user "ticklake" \\(SASL ${mechanism}\\)\\. Check user name, password and mechanism\\.`));
    });
  }

  it("a writer whose password is wrong is told at once instead of trying for ever", async () => {
    const client = openKafka({ brokers: [kafka.addresses.sasl], clientId: "ticklake", sasl: { mechanism: "plain", username: "ticklake", password: "wr0ng-one" } });
    const producer = client.producer({ idempotent: true, compression: "none" });
    await assert.rejects(producer.send({ topic: "any", partition: 0 }, batch("a")), { code: "KAFKA_DENIED" });
    await producer.close();
    await client.close();
  });

  it("OAUTHBEARER: a token is asked for, and a refused one is told with the broker's reason", async () => {
    let asked = 0;
    const seconds = Math.floor(Date.now() / 1000);
    await works({ brokers: [kafka.addresses.sasl], sasl: { mechanism: "oauthbearer", token: async () => { asked++; return token({ sub: "ada", iat: seconds, exp: seconds + 600 }); } } });
    assert.ok(asked >= 2, `${asked}`);
    const expired = await refused({ brokers: [kafka.addresses.sasl], sasl: { mechanism: "oauthbearer", token: async () => token({ sub: "ada", iat: seconds - 900, exp: seconds - 600 }) } });
    assert.equal(expired.code, "KAFKA_DENIED");
    assert.match(expired.message, /refused the token \(SASL oauthbearer\): invalid_token/);
  });

  it("a session that ends (connections.max.reauth.ms) is renewed without anybody noticing", async () => {
    const client = openKafka({ brokers: [kafka.addresses.sasl_ssl], clientId: "ticklake", tls: trusted(), sasl: { mechanism: "scram-sha-256", ...user } });
    const topic = uniqueTopic("auth");
    await client.admin.createTopic({ name: topic, partitions: 1, replicationFactor: 1 });
    const retries: string[] = [];
    const producer = client.producer({ idempotent: true, compression: "none", retrying: (error) => retries.push(error.message) });
    for (let k = 0; k < 10; k++) {
      await producer.send({ topic, partition: 0 }, batch(String(k)));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await producer.close();
    await client.close();
    assert.deepEqual(await valuesOf(kafka.brokers, topic), Array.from({ length: 10 }, (_, k) => String(k)));
    assert.deepEqual(retries, []);
  });

  it("a mechanism that the broker does not offer", async () => {
    const error = await refused({ brokers: [kafka.addresses.sasl_ssl], tls: trusted(), sasl: { mechanism: "oauthbearer", token: async () => "x" } });
    assert.equal(error.code, "CONFIG_INVALID");
    assert.match(error.message, /does not offer the SASL mechanism oauthbearer/);
  });

  it("a certificate that nobody vouches for, and one for another name", async () => {
    const unknown = await refused({ brokers: [kafka.addresses.ssl], tls: true });
    assert.match(unknown.message, /The certificate of .* is not accepted|the certificate of .* is not accepted: self-signed certificate.*CA/);
    const other = await refused({ brokers: [kafka.addresses.ssl], tls: { ...trusted(), servername: "kafka.example.org" } });
    assert.match(other.message, /is not accepted: Hostname\/IP does not match certificate's altnames.*server name/);
    await works({ brokers: [kafka.addresses.ssl], tls: { rejectUnauthorized: false } });
  });

  it("the wrong port: TLS, SASL or neither where something else is spoken", async () => {
    const cluster = (address: string, more: Partial<KafkaOptions>): Promise<unknown> => {
      const one = new KafkaCluster({ brokers: [address], clientId: "ticklake", ...more }, { connectionTimeoutMs: 1_500, requestTimeoutMs: 1_500 });
      return one.metadata([]).finally(() => one.close());
    };
    const { plaintext, ssl, sasl } = kafka.addresses;
    await assert.rejects(cluster(plaintext, { tls: trusted() }), { code: "KAFKA_UNREACHABLE", message: /closed the connection\..*TLS or SASL|does not answer/ });
    await assert.rejects(cluster(ssl, {}), { code: "KAFKA_UNREACHABLE", message: /the broker may expect TLS|did not answer in time|does not answer/ });
    await assert.rejects(cluster(sasl, {}), { code: "KAFKA_UNREACHABLE", message: /may expect TLS or SASL/ });
    await assert.rejects(cluster(plaintext, { sasl: { mechanism: "plain", ...user } }), { code: "KAFKA_UNREACHABLE", message: /takes no SASL on this port/ });
  });
});

describe("a network that fails", function () {
  this.timeout(60_000);
  let kafka: RunningKafka;
  let proxy: Proxy;

  before(async () => {
    proxy = await startProxy();
    kafka = await startKafka({ proxyPort: proxy.port });
    proxy.target(kafka.addresses.proxied);
  });
  after(async function () { this.timeout(20_000); await proxy?.stop(); await kafka?.stop(); });

  it("a broker that is silent is given up after the time-out, closing does not wait for it, and it is used again when it speaks", async () => {
    const cluster = new KafkaCluster({ brokers: [proxy.address], clientId: "ticklake" }, { connectionTimeoutMs: 1_000, requestTimeoutMs: 500 });
    await cluster.metadata([]);
    proxy.mode("silent");
    const begun = Date.now();
    await assert.rejects(cluster.metadata([]), { code: "KAFKA_UNREACHABLE" });
    assert.ok(Date.now() - begun < 3_000, `${Date.now() - begun}`);
    const waiting = assert.rejects(cluster.metadata([]), (error: TicklakeError) => error.code === "STOPPED" || error.code === "KAFKA_UNREACHABLE");
    const closing = Date.now();
    const other = new KafkaCluster({ brokers: [proxy.address], clientId: "ticklake" });
    const never = assert.rejects(other.metadata([]), { code: "STOPPED" });
    await Promise.all([cluster.close(), new Promise((resolve) => setTimeout(resolve, 50)).then(() => other.close())]);
    await Promise.all([waiting, never]);
    assert.ok(Date.now() - closing < 1_000);
    proxy.mode("pass");
    const again = new KafkaCluster({ brokers: [proxy.address], clientId: "ticklake" });
    await again.metadata([]);
    await again.close();
  });

  it("connections that are cut while idle, and a broker that comes back later, cost a caller of the admin nothing", async () => {
    const client = openKafka({ brokers: [proxy.address], clientId: "ticklake" });
    const topic = await createTopic(kafka.brokers, uniqueTopic("cut"));
    const at = [{ topic, partition: 0 }];
    assert.deepEqual(await client.admin.end(at), [0n]);
    proxy.cutAll();
    assert.deepEqual(await client.admin.end(at), [0n]);
    proxy.mode("refuse");
    setTimeout(() => proxy.mode("pass"), 1_000);
    assert.deepEqual(await client.admin.end(at), [0n]);
    await client.close();
  });

  it("a cluster that is away says so within ten seconds, with its address", async () => {
    const client = openKafka({ brokers: [proxy.address], clientId: "ticklake" });
    proxy.mode("refuse");
    const begun = Date.now();
    await assert.rejects(client.admin.end([{ topic: "any", partition: 0 }]), { code: "KAFKA_UNREACHABLE", message: new RegExp(proxy.address.replace(".", "\\.")) });
    const took = Date.now() - begun;
    assert.ok(took > 8_000 && took < 11_500, `${took}`);
    const test = Date.now();
    await assert.rejects(client.admin.describeCluster(), { code: "KAFKA_UNREACHABLE" });
    assert.ok(Date.now() - test < 1_000, "the connection test answers at once");
    proxy.mode("pass");
    await client.close();
  });
});
