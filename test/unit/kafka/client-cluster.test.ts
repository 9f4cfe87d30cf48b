import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import type { TicklakeError } from "../../../lib/errors";
import { KafkaCluster } from "../../../lib/kafka/cluster";
import { protocolCall } from "../../../lib/kafka/requests/fields";
import { FakeBroker, coordinatorAnswer, int32 } from "../../support/fake-broker";

const TIMES = { connectionTimeoutMs: 1_000, requestTimeoutMs: 400 };
const heartbeat = protocolCall({ apiKey: 12, apiVersion: 0, apiName: "Heartbeat" }, () => {}, (decoder) => decoder.readInt32());

describe("the cluster's connections", () => {
  const brokers: FakeBroker[] = [];
  const clusters: KafkaCluster[] = [];
  const start = async (): Promise<FakeBroker> => { const broker = await FakeBroker.start(); brokers.push(broker); return broker; };
  const open = (...addresses: string[]): KafkaCluster => {
    const cluster = new KafkaCluster({ brokers: addresses, clientId: "me" }, TIMES);
    clusters.push(cluster);
    return cluster;
  };
  afterEach(async () => {
    await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
    await Promise.all(brokers.splice(0).map((broker) => broker.stop()));
  });

  it("find the cluster by whichever address answers", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    const gone = await unusedPort();
    assert.equal((await open(`127.0.0.1:${gone}`, broker.address).metadata([])).clusterId, "fake");
  });

  it("name every address when none answers", async () => {
    const [a, b] = [await unusedPort(), await unusedPort()];
    await assert.rejects(open(`127.0.0.1:${a}`, `127.0.0.1:${b}`).metadata([]), (error: TicklakeError) => {
      assert.equal(error.code, "KAFKA_UNREACHABLE");
      assert.match(error.message, new RegExp(`nothing listens at 127\\.0\\.0\\.1:${a}.*nothing listens at 127\\.0\\.0\\.1:${b}`));
      return true;
    });
  });

  it("follow a broker to another address", async () => {
    const [seed, before, after] = [await start(), await start(), await start()];
    const tell = (moved: FakeBroker): void => { for (const broker of [seed, before, after]) broker.nodes = [seed.node(1), moved.node(2)]; };
    for (const broker of [before, after]) broker.answer = () => int32(broker.port);
    tell(before);
    const cluster = open(seed.address);
    assert.equal(await cluster.send(await cluster.node(2), heartbeat), before.port);
    tell(after);
    await before.stop();
    await assert.rejects(async () => cluster.send(await cluster.node(2), heartbeat), { code: "KAFKA_UNREACHABLE" });
    assert.equal(await cluster.send(await cluster.node(2), heartbeat), after.port);
  });

  it("end what a broker does not answer, and everything else on the way to it, after the time-out; the next call connects anew", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    broker.topics = { trades: [1] };
    const cluster = open(broker.address);
    const node = await cluster.node(1);
    const begun = Date.now();
    // Heartbeat and fetch have connections of their own; both are given up with the first that times out.
    const fetch = { ...heartbeat, request: { ...heartbeat.request, apiKey: 1, apiName: "Fetch" }, requestTimeout: 60_000 };
    const results = await Promise.allSettled([cluster.send(node, heartbeat), cluster.send(node, fetch)]);
    assert.ok(Date.now() - begun < 2_000);
    for (const result of results) assert.equal(result.status === "rejected" && (result.reason as TicklakeError).code, "KAFKA_UNREACHABLE");
    assert.match(String((results[0] as PromiseRejectedResult).reason), /did not answer in time/);
    broker.answer = () => int32(7);
    assert.equal(await cluster.send(await cluster.node(1), heartbeat), 7);
  });

  it("close at once although requests wait for a broker that is silent", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    const cluster = new KafkaCluster({ brokers: [broker.address], clientId: "me" }, { connectionTimeoutMs: 60_000, requestTimeoutMs: 60_000 });
    const node = await cluster.node(1);
    const waiting = cluster.send(node, heartbeat);
    const [other] = [await start()];
    other!.silent = true;
    const connecting = new KafkaCluster({ brokers: [other!.address], clientId: "me" }, { connectionTimeoutMs: 60_000, requestTimeoutMs: 60_000 });
    const neverReady = connecting.metadata([]);
    const rejected = [assert.rejects(waiting, { code: "STOPPED" }), assert.rejects(neverReady, { code: "STOPPED" })];
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begun = Date.now();
    await Promise.all([cluster.close(), connecting.close()]);
    await Promise.all(rejected);
    assert.ok(Date.now() - begun < 500);
    for (let k = 0; k < 50 && broker.open + other!.open > 0; k++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(broker.open + other!.open, 0, "sockets are closed");
    await assert.rejects(cluster.metadata([]), { code: "STOPPED" });
  });

  it("give fetches, joins and produce requests a connection of their own, so that nothing waits behind them", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    broker.answer = ({ apiKey }) => (apiKey === 12 ? int32(1) : undefined);
    const cluster = open(broker.address);
    const node = await cluster.node(1);
    const long = [0, 1, 11].map((apiKey) => cluster.send(node, { ...heartbeat, request: { ...heartbeat.request, apiKey, apiName: `API ${apiKey}` } }));
    const ended = Promise.allSettled(long);
    assert.equal(await cluster.send(node, heartbeat), 1);
    for (let k = 0; k < 50 && broker.requests.length < 6; k++) await new Promise((resolve) => setTimeout(resolve, 10));
    const sockets = new Map(broker.requests.map(({ apiKey, socket }) => [apiKey, socket]));
    assert.equal(new Set([0, 1, 11, 12].map((apiKey) => sockets.get(apiKey))).size, 4);
    assert.equal(broker.connections, 4);
    await cluster.close();
    await ended;
  });

  it("that the broker closed while they were idle are made again without an error", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    broker.answer = () => int32(3);
    const cluster = open(broker.address);
    assert.equal(await cluster.send(await cluster.node(1), heartbeat), 3);
    broker.cut();
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(await cluster.send(await cluster.node(1), heartbeat), 3);
  });

  it("make one connection for calls that come at once", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    broker.topics = { trades: [1, 1, 1] };
    const cluster = open(broker.address);
    await Promise.all(Array.from({ length: 20 }, (_, k) => cluster.leader({ topic: "trades", partition: k % 3 })));
    assert.equal(broker.connections, 1);
    assert.equal(broker.requests.filter(({ apiKey }) => apiKey === 3).length, 1, "one question for the leaders of a topic");
  });

  it("remember a coordinator until it is said to be another, or its connection is lost", async () => {
    const [seed, coordinator] = [await start(), await start()];
    for (const broker of [seed, coordinator]) broker.nodes = [seed.node(1), coordinator.node(2)];
    let asked = 0;
    const answer: FakeBroker["answer"] = ({ apiKey }) => { if (apiKey === 12) return int32(0); asked++; return coordinatorAnswer(coordinator.node(2)); };
    seed.answer = coordinator.answer = answer;
    const cluster = open(seed.address);
    for (let k = 0; k < 3; k++) assert.equal((await cluster.coordinator("group", "g")).brokerAddress, coordinator.address);
    assert.equal(asked, 1);
    cluster.forgetCoordinator("group", "g");
    await cluster.coordinator("group", "g");
    assert.equal(asked, 2);
    await cluster.coordinator("transaction", "g");
    assert.equal(asked, 3);
    coordinator.answer = () => undefined;
    await assert.rejects(cluster.send(await cluster.coordinator("group", "g"), heartbeat), { code: "KAFKA_UNREACHABLE" });
    coordinator.answer = answer;
    await cluster.coordinator("group", "g");
    assert.equal(asked, 4);
  });

  it("say which topics and partitions do not exist, and which have no leader now", async () => {
    const broker = await start();
    broker.nodes = [broker.node(1)];
    broker.topics = { trades: [1, -1] };
    const cluster = open(broker.address);
    await assert.rejects(cluster.leader({ topic: "quotes", partition: 0 }), { code: "KAFKA_TOPIC_UNKNOWN", message: /no topic "quotes"/ });
    await assert.rejects(cluster.leader({ topic: "trades", partition: 5 }), { code: "KAFKA_TOPIC_UNKNOWN", message: /has no partition 5: it has 2 \(0 to 1\)/ });
    await assert.rejects(cluster.leader({ topic: "trades", partition: 1 }), { code: "KAFKA_UNREACHABLE", message: /LEADER_NOT_AVAILABLE/ });
    broker.topics = { trades: [1, 1] };
    assert.equal(await cluster.leader({ topic: "trades", partition: 1 }), 1);
  });
});

async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}
