import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { TicklakeError } from "../../../lib/errors";
import { keepsFromWorking, readiness, withoutNames, type FlowsPhase } from "../../../lib/metrics/health";
import type { NotReady } from "../../../lib/metrics/registry";
import { answerHealth } from "../../../nodes/shared/health";

const lost: NotReady = { id: "a1", type: "kafka-in", name: "trades", reason: "broker down: nothing listens at k:9092" };

describe("readiness", () => {
  it("is given while flows run and every node can do its work", () => {
    assert.deepEqual(readiness({ phase: "running" }, []), { status: "ready", flows: "running", nodes: [] });
  });

  it("names the nodes that cannot, by name or by type and id, with the reason", () => {
    const found = readiness({ phase: "running" }, [lost, { ...lost, id: "b2", name: "" }]);
    assert.equal(found.status, "not ready");
    assert.equal(found.reason, "trades: broker down: nothing listens at k:9092; kafka-in b2: broker down: nothing listens at k:9092");
    assert.deepEqual(withoutNames(found), { status: "not ready", flows: "running", nodes: 2 });
  });

  for (const [flows, reason] of [
    [{ phase: "starting" }, "flows are starting"], [{ phase: "stopped" }, "flows are stopped"], [{ phase: "waiting", reason: "missing-types" }, "flows did not start: missing-types"],
  ] as [FlowsPhase, string][]) {
    it(`is not given while ${reason}`, () => { assert.equal(readiness(flows, []).reason, reason); });
  }
});

describe("trouble of a sink", () => {
  const down = new TicklakeError("KAFKA_UNREACHABLE", "down");
  it("counts while something waits, or the next attempt is due, and is over when nothing more is told of it", () => {
    assert.equal(keepsFromWorking(down, 1000, 0, 900), true);
    assert.equal(keepsFromWorking(down, 1000, 0, 60_000), false);
    assert.equal(keepsFromWorking(down, 1000, 5, 60_000), true);
  });
  it("counts until somebody acts where nothing is tried again, unless it is a record's own", () => {
    assert.equal(keepsFromWorking(new TicklakeError("KAFKA_DENIED", "no"), undefined, 0, 1e9), true);
    assert.equal(keepsFromWorking(new TicklakeError("RECORD_INVALID", "no"), undefined, 0, 0), false);
  });
});

describe("/healthz and /readyz", () => {
  let server: Server | undefined;
  afterEach(() => { server?.close(); });

  async function serve(details: boolean, nodes: NotReady[] = []): Promise<string> {
    server = createServer((request, response) => { response.statusCode = 401; response.end(`app ${request.url}`); });
    answerHealth(server, { details, look: () => [{ phase: "running" }, nodes] });
    await new Promise<void>((resolve) => { server!.listen(0, "127.0.0.1", resolve); });
    return `http://127.0.0.1:${(server!.address() as AddressInfo).port}`;
  }

  it("answer ahead of an application that asks for a password; everything else reaches it", async () => {
    const url = await serve(true);
    const health = await fetch(`${url}/healthz`);
    assert.equal(health.status, 200);
    assert.equal((await health.json() as { status: string }).status, "ok");
    assert.equal((await fetch(`${url}/readyz?verbose`)).status, 200);
    assert.equal((await fetch(`${url}/healthz`, { method: "HEAD" })).status, 200);
    for (const [path, method] of [["/", "GET"], ["/healthz/x", "GET"], ["/readyz", "POST"]] as const) {
      const other = await fetch(url + path, { method });
      assert.deepEqual([other.status, await other.text()], [401, `app ${path}`]);
    }
  });

  it("503 says why, but names nobody where pages ask for a password", async () => {
    let answer = await fetch(`${await serve(true, [lost])}/readyz`);
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /trades: broker down: nothing listens at k:9092/);
    server!.close();
    answer = await fetch(`${await serve(false, [lost])}/readyz`);
    assert.equal(answer.status, 503);
    assert.deepEqual(await answer.json(), { status: "not ready", flows: "running", nodes: 1 });
  });
});
