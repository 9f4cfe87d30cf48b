import { strict as assert } from "node:assert";
import { FailurePolicy } from "../../../lib/delivery/policy";
import { TicklakeError } from "../../../lib/errors";

const failure = (error: Error = new Error("no"), partition = "0") => ({ partition, error });
const delay = (decision: ReturnType<FailurePolicy["failed"]>): number => (decision.action === "retry" ? decision.delayMs : -1);

describe("failure policy", () => {
  it("retry goes on without end, pausing twice as long each time up to the cap", () => {
    const policy = new FailurePolicy({ onFailure: "retry", maxAttempts: 2, baseDelayMs: 100, maxDelayMs: 1000, random: () => 0.999999 });
    assert.deepEqual(Array.from({ length: 6 }, () => delay(policy.failed(failure()))), [100, 200, 400, 800, 1000, 1000]);
  });

  it("jitters between half of the pause and all of it", () => {
    const policy = new FailurePolicy({ onFailure: "retry", maxAttempts: 2, baseDelayMs: 100, random: () => 0 });
    assert.equal(delay(policy.failed(failure())), 50);
  });

  it("stays finite after a thousand failures", () => {
    const policy = new FailurePolicy({ onFailure: "retry", maxAttempts: 2 });
    let last = 0;
    for (let i = 0; i < 1000; i++) last = delay(policy.failed(failure()));
    assert.ok(last >= 15_000 && last <= 30_000);
  });

  it("stop gives up after maxAttempts in a row of one partition; a delivery begins the count anew", () => {
    const policy = new FailurePolicy({ onFailure: "stop", maxAttempts: 2 });
    assert.equal(policy.failed(failure()).action, "retry");
    assert.equal(policy.failed(failure(new Error("no"), "1")).action, "retry");
    policy.reset("0");
    assert.equal(policy.failed(failure()).action, "retry");
    assert.deepEqual(policy.failed(failure()), { action: "stop", attempts: 2 });
    policy.reset();
    assert.equal(policy.failed(failure(new Error("no"), "1")).action, "retry");
  });

  it("dead-letter retries until the attempts are used up and then isolates", () => {
    const policy = new FailurePolicy({ onFailure: "dead-letter", maxAttempts: 2 });
    const isolate = (): boolean => { const decision = policy.failed(failure()); return decision.action === "retry" && decision.isolate; };
    assert.deepEqual([isolate(), isolate(), isolate()], [false, true, true]);
  });

  it("a sink that was fenced is no attempt, but pauses: an outage that outlasts a transaction is never taken for poison", () => {
    for (const onFailure of ["stop", "dead-letter"] as const) {
      const policy = new FailurePolicy({ onFailure, maxAttempts: 1, random: () => 0.5 });
      for (let k = 0; k < 20; k++) assert.deepEqual(policy.failed(failure(new TicklakeError("KAFKA_FENCED", "x"))), { action: "retry", delayMs: 375, attempts: 0, isolate: false });
    }
  });

  it("a stopped flow, a batch dragged along and a cut are no attempts and cost no pause", () => {
    const policy = new FailurePolicy({ onFailure: "stop", maxAttempts: 1 });
    for (const code of ["STOPPED", "DELIVERY_ABORTED", "DELIVERY_CUT"] as const) {
      assert.deepEqual(policy.failed(failure(new TicklakeError(code, "x"))), { action: "retry", delayMs: 0, attempts: 0, isolate: false });
    }
    assert.equal(policy.failed({ ...failure(), cutAt: 7n }).action, "retry");
    assert.equal(policy.failed(failure()).action, "stop");
  });
});
