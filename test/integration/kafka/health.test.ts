import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { startKafka, uniqueTopic, type RunningKafka } from "../../support/kafka";
import { KafkaFlow, Workplace } from "../../support/kafka-flow";

interface Answer { status: number; body: { status: string; flows: string; reason?: string; nodes: { id: string; name: string; reason: string }[] } }

async function ask(url: string, path: string): Promise<Answer> {
  const response = await fetch(url + path);
  return { status: response.status, body: await response.json() as Answer["body"] };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("probes of a headless process", () => {
  const place = new Workplace();
  let kafka: RunningKafka | undefined;
  after(async () => { await kafka?.stop(); await place.remove(); });

  it("readyz is 503 and names node and reason while Kafka is away, 200 when it is there; healthz is 200 all the time", async function () {
    this.timeout(240_000);
    const port = await freePort();
    const topic = uniqueTopic("probed");
    const flow = new KafkaFlow()
      .kafkaIn("in", ["", ""], { topics: topic, groupId: topic, name: "reader" })
      .kafkaOut("out", "", { topic, name: "writer" }).add("gen", "synthetic-gen", ["out", ""], { interval: "0.1", batchSize: 10 });
    const red = await place.start(flow, `127.0.0.1:${port}`, { name: "probed", settings: { httpAdminRoot: false } });
    const until = async (what: string, holds: (answer: Answer) => boolean): Promise<Answer> => {
      for (let last: Answer | undefined; ;) {
        last = await ask(red.url, "/readyz");
        if (holds(last)) return last;
        await red.until(`${what}; last answer ${JSON.stringify(last)}`, () => true);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };

    const away = await until("both nodes say so", ({ body }) => body.nodes.length === 2 && body.reason!.includes("nothing listens"));
    assert.equal(away.status, 503);
    assert.deepEqual(away.body.nodes.map(({ name }) => name).sort(), ["reader", "writer"]);
    assert.match(away.body.reason!, /reader: broker down: nothing listens at 127\.0\.0\.1:\d+/);
    assert.match(away.body.reason!, /writer: broker down, [\d.]+( [kM])? waiting, next try in \d+ s/);
    assert.equal((await ask(red.url, "/healthz")).status, 200);
    assert.equal((await fetch(`${red.url}/flows`)).status, 404, "there is no admin API");

    kafka = await startKafka({ port });
    const there = await until("all is well", ({ status }) => status === 200);
    assert.deepEqual(there.body, { status: "ready", flows: "running", nodes: [] });
    assert.equal((await ask(red.url, "/healthz")).body.status, "ok");
    assert.equal(await red.stop(), 0);
  });
});
