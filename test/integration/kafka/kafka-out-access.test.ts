import assert from "node:assert/strict";
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { TicklakeError } from "../../../lib/errors";
import { openKafka } from "../../../lib/kafka/client";
import { KafkaCluster } from "../../../lib/kafka/cluster";
import { noTags, protocolCall, readList, skipTags, writeList } from "../../../lib/kafka/requests/fields";
import type { KafkaClient, KafkaOptions } from "../../../lib/kafka/types";
import { consumeAll, createTopic, plainClient, startKafka, uniqueTopic, valuesOf, type RunningKafka } from "../../support/kafka";
import { Process, Reader, until } from "../../unit/kafka/sink-world";

const SECRETS = ["ticklake-secret", "ada-secret", "changed-secret"];

/** AlterUserScramCredentials (KIP-554), version 0: a new password for SCRAM-SHA-256. */
async function setPassword(brokers: string, user: string, to: string): Promise<void> {
  const iterations = 4096, salt = randomBytes(16);
  const salted = pbkdf2Sync(to, salt, iterations, 32, "sha256");
  const cluster = new KafkaCluster({ brokers: [brokers], clientId: "independent" });
  try {
    const errors = await cluster.any((broker) => broker.connectionPool.send(protocolCall({ apiKey: 51, apiVersion: 0, apiName: "AlterUserScramCredentials", flexible: true }, (encoder) => {
      const bytes = (value: Buffer): void => { encoder.writeUVarInt(value.length + 1).writeBuffer(value); };
      writeList(encoder, [], () => { /* none is deleted */ }, true);
      writeList(encoder, [user], (name) => {
        encoder.writeUVarIntString(name).writeInt8(1).writeInt32(iterations);
        bytes(salt);
        bytes(salted);
        noTags(encoder);
      }, true);
      noTags(encoder);
    }, (decoder) => {
      decoder.readInt32();
      return readList(decoder, () => {
        decoder.readUVarIntString();
        const error = decoder.readInt16();
        decoder.readUVarIntString();
        skipTags(decoder);
        return error;
      }, true);
    })));
    assert.deepEqual(errors, [0]);
  } finally { await cluster.close(); }
}

describe("kafka-out where not everybody may do everything", function () {
  this.timeout(90_000);
  let kafka: RunningKafka;
  let clients: KafkaClient[] = [];
  const told: string[] = [];

  before(async () => {
    kafka = await startKafka({
      listeners: ["ssl", "sasl"], users: { ticklake: "ticklake-secret", ada: "ada-secret" },
      properties: {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS;User:ticklake",
        "listener.name.ssl.ssl.client.auth": "required", "listener.name.sasl.connections.max.reauth.ms": 3000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 200,
      },
    });
  });
  after(async function () { this.timeout(20_000); await kafka?.stop(); });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close()));
    clients = [];
    for (const secret of SECRETS) assert.ok(!told.join("\n").includes(secret), "no secret is told");
  });

  const ada = (password = "ada-secret"): Partial<KafkaOptions> => ({ brokers: [kafka.addresses.sasl], sasl: { mechanism: "scram-sha-256", username: "ada", password } });
  /** A process whose sinks reach the cluster like this. */
  function open(options: Partial<KafkaOptions> = {}, wrap: (client: KafkaClient) => KafkaClient = (client) => client): Process<{ client(): KafkaClient }> {
    return new Process({
      client: () => {
        const client = openKafka({ brokers: [kafka.brokers], clientId: "test", log: (level, text) => told.push(`${level} ${text}`), ...options });
        clients.push(client);
        return wrap(client);
      },
    });
  }
  async function allow(resourceType: AclResourceTypes, resourceName: string, ...operations: AclOperationTypes[]): Promise<void> {
    const admin = plainClient(kafka.brokers).admin();
    await admin.connect();
    await admin.createAcls({ acl: operations.map((operation) => ({ resourceType, resourceName, resourcePatternType: ResourcePatternTypes.LITERAL, principal: "User:ada", host: "*", operation, permissionType: AclPermissionTypes.ALLOW })) });
    await admin.disconnect();
  }
  const failure = ({ error }: { error?: Error | undefined }): TicklakeError => {
    assert.ok(error instanceof TicklakeError, String(error));
    told.push(error.message, JSON.stringify(error.details), String(error.stack));
    return error;
  };

  it("a topic that one may not use: said at once with what to grant, and it goes on as soon as it is granted", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("denied"));
    const sink = open(ada()).sink("s", {});
    const began = Date.now();
    const error = failure(await sink.send("a", topic));
    assert.equal(error.code, "KAFKA_DENIED");
    assert.match(error.message, new RegExp(`${topic}.*TOPIC_AUTHORIZATION_FAILED.*Grant it \\(kafka-acls: .*Describe, Write and Create to write`));
    assert.ok(Date.now() - began < 10_000, "no endless silence");
    await allow(AclResourceTypes.TOPIC, topic, AclOperationTypes.DESCRIBE);
    assert.equal(failure(await sink.send("b", topic)).code, "KAFKA_DENIED");
    // Write implies Describe, but not that one sees the topic's settings.
    await allow(AclResourceTypes.TOPIC, topic, AclOperationTypes.WRITE);
    assert.equal((await sink.send("c", topic)).error, undefined);
    assert.deepEqual(await valuesOf(kafka.brokers, topic), ["c"]);
  });

  it("a topic that one may not create", async () => {
    const error = failure(await open(ada()).sink("s", {}).send("a", uniqueTopic("forbidden")));
    assert.equal(error.code, "KAFKA_DENIED");
  });

  it("a transactional id that one may not use, and a group whose offsets one may not commit", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("out")), from = await createTopic(kafka.brokers, uniqueTopic("in"));
    await allow(AclResourceTypes.TOPIC, topic, AclOperationTypes.WRITE);
    await allow(AclResourceTypes.TOPIC, from, AclOperationTypes.READ);
    const group = uniqueTopic("group");
    const process = open(ada());
    const sink = process.sink("s", { transactional: true, transactionalIdPrefix: "p" });
    const reader = new Reader(process, { cluster: kafka.clusterId, group, topic: from, partition: 0, values: [1, 2, 3], batch: 3 }, (message) => sink.receive(message, topic), [sink.node]);
    reader.startAt(0);
    await until(() => reader.failed.length > 0, "the refusal", 10_000);
    assert.match(failure(reader.failed[0]!).message, /TRANSACTIONAL_ID_AUTHORIZATION_FAILED.*Grant Describe and Write on it/);
    await allow(AclResourceTypes.TRANSACTIONAL_ID, `p-${group}-${from}-0`, AclOperationTypes.WRITE, AclOperationTypes.DESCRIBE);
    await until(() => /GROUP_AUTHORIZATION_FAILED.*Grant Read on the group/.test(reader.failed.at(-1)!.error.message), "the next refusal", 10_000);
    await allow(AclResourceTypes.GROUP, group, AclOperationTypes.READ);
    await until(() => reader.delivered.length > 0, "delivery", 20_000);
    // Decided, and shown as soon as the brokers have written the markers: that follows the answer.
    let found: unknown[] = [];
    for (let k = 0; k < 50 && found.length < 3; k++) found = await valuesOf(kafka.brokers, topic);
    assert.deepEqual(found, ["1", "2", "3"]);
  });

  it("a password that is changed while one writes: the next authentication is refused and said; nothing is lost when it is right again", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("changed"));
    await allow(AclResourceTypes.TOPIC, topic, AclOperationTypes.WRITE);
    const password = (to: string): Promise<void> => setPassword(kafka.brokers, "ada", to);
    const sink = open(ada()).sink("s", {});
    const written: string[] = [];
    const send = async (value: string): Promise<TicklakeError | undefined> => {
      const { error } = await sink.send(value, topic);
      if (!error) written.push(value);
      return error && failure({ error });
    };
    assert.equal(await send("first"), undefined);
    await password("changed-secret");
    let refused: TicklakeError | undefined;
    for (let k = 0; k < 100 && !refused; k++) {
      refused = await send(`old ${k}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(refused?.code, "KAFKA_DENIED");
    assert.match(refused!.message, /refused user "ada" \(SASL scram-sha-256\)\. Check user name, password and mechanism/);
    await password("ada-secret");
    for (let k = 0; k < 50 && await send(`new ${k}`); k++) await new Promise((resolve) => setTimeout(resolve, 100));
    const found = await valuesOf(kafka.brokers, topic);
    assert.deepEqual(found.filter((value) => written.includes(value!)), written);
    assert.match(found.at(-1)!, /^new /);
  });

  it("a broker that wants a client certificate: said, with where to look", async () => {
    const sink = open({ brokers: [kafka.addresses.ssl], tls: { ca: readFileSync(kafka.certificate!) } }).sink("s", {});
    const sent = sink.send("x", "any");
    // The first thing said is only that nobody answers.
    await until(() => sink.retries.some(({ message }) => /does not accept our certificate, or wants one and gets none .*Check the client certificate and key/.test(message)), "the refusal", 30_000);
    await sink.sink.close(10);
    void sent;
  });

  it("a transaction that the broker ends because it lasted too long: its records come once all the same, and nobody counts an attempt", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("out")), from = await createTopic(kafka.brokers, uniqueTopic("in"));
    let slow = 2;
    const process = open({}, (client) => ({
      ...client,
      transactional: (options) => {
        const producer = client.transactional({ ...options, timeoutMs: 1000 });
        const commit = producer.commit.bind(producer);
        producer.commit = async (signal) => { if (slow-- > 0) await new Promise((resolve) => setTimeout(resolve, 3000)); return commit(signal); };
        return producer;
      },
    }));
    const sink = process.sink("s", { transactional: true, transactionalIdPrefix: "slow" });
    const group = uniqueTopic("group");
    const values = Array.from({ length: 100 }, (_, n) => n);
    const reader = new Reader(process, { cluster: kafka.clusterId, group, topic: from, partition: 0, values, batch: 10 }, (message) => sink.receive(message, topic), [sink.node]);
    reader.startAt(0);
    await until(() => reader.delivered.length >= 10 && reader.delivered.at(-1)!.lineage!.nextOffset === 100n, "delivery", 30_000);
    const records = (await consumeAll(kafka.brokers, topic)).map(({ value }) => Number(value)).sort((a, b) => a - b);
    assert.deepEqual(records, values);
    assert.ok(reader.failed.length > 0);
    for (const { error } of reader.failed) assert.match(error.message, /took over|taken over/);
    reader.stop();
  });
});
