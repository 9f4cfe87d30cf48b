import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import type { SourceClock } from "../../../lib/kafka/source/contract";
import { Outage } from "../../../lib/kafka/source/outage";
import { describeSource, lagFigures, notReadyOf, type StatusFacts, type StatusPartition } from "../../../lib/kafka/source/status";

/** A clock that stands until `pass`. */
class Clock implements SourceClock {
  #now = 0;
  #due: { at: number; callback: () => void }[] = [];
  now(): number { return this.#now; }
  after(ms: number, callback: () => void): () => void {
    const one = { at: this.#now + ms, callback };
    this.#due.push(one);
    return () => { this.#due = this.#due.filter((other) => other !== one); };
  }
  later(callback: () => void): void { callback(); }
  pass(ms: number): void {
    this.#now += ms;
    const due = this.#due.filter(({ at }) => at <= this.#now);
    this.#due = this.#due.filter(({ at }) => at > this.#now);
    for (const { callback } of due) callback();
  }
}

function setUp(): { clock: Clock; outage: Outage; warnings: string[] } {
  const clock = new Clock();
  const warnings: string[] = [];
  return { clock, warnings, outage: new Outage(clock, { warn: (text) => warnings.push(text), changed: () => undefined }) };
}

const unreachable = new TicklakeError("KAFKA_UNREACHABLE", "Group \"g\": None of the brokers answers. Connecting to the cluster failed: nothing listens at a:9092. Check that the broker runs.");
const noCoordinator = new TicklakeError("KAFKA_FAILED", "Finding the coordinator of group \"g\" failed (COORDINATOR_NOT_AVAILABLE).");
const noTopic = new TicklakeError("KAFKA_TOPIC_UNKNOWN", "There is no topic \"t\".");

describe("what a kafka-in says of an outage", () => {
  it("an outage of minutes with hundreds of attempts is one warning a minute, and a status that stands still", () => {
    const { clock, outage, warnings } = setUp();
    outage.state("running");
    const seen = new Set<string | undefined>();
    for (let s = 0; s < 150; s++) {
      outage.state("joining");
      seen.add(outage.trouble?.message);
      clock.pass(200);
      outage.state("down", unreachable);
      seen.add(outage.trouble?.message);
      clock.pass(800);
    }
    assert.equal(warnings.length, 3, warnings.join("\n"));
    assert.match(warnings[0]!, /nothing listens at a:9092.*nothing is lost/);
    seen.delete(undefined);
    assert.equal(seen.size, 1);
    outage.state("joining");
    assert.ok(outage.trouble, "an attempt is no end");
    outage.state("running");
    assert.equal(outage.trouble, undefined);
    outage.state("down", unreachable);
    assert.equal(warnings.length, 4, "the next outage is told at once");
  });

  it("a group that takes long to form after an outage is joining, not down", () => {
    const { clock, outage } = setUp();
    outage.state("down", unreachable);
    outage.state("joining");
    clock.pass(6000);
    assert.equal(outage.trouble, undefined);
  });

  it("a coordinator that is there within seconds is not worth a warning, one that is not is", () => {
    const { clock, outage, warnings } = setUp();
    outage.state("down", noCoordinator);
    clock.pass(500);
    outage.state("joining");
    outage.state("down", noCoordinator);
    assert.deepEqual(warnings, []);
    clock.pass(3000);
    outage.state("joining");
    outage.state("down", noCoordinator);
    assert.equal(warnings.length, 1);
  });

  it("another reason is told although the outage goes on", () => {
    const { outage, warnings } = setUp();
    outage.state("down", unreachable);
    outage.state("down", new TicklakeError("KAFKA_DENIED", "The user may not read."));
    assert.equal(warnings.length, 2);
  });

  it("a topic that its own flow creates at once is not warned of; one that stays away once, however often the group is joined", () => {
    const { clock, outage, warnings } = setUp();
    outage.state("running", noTopic);
    assert.ok(outage.unknownTopics);
    clock.pass(1000);
    outage.state("running");
    clock.pass(10_000);
    assert.deepEqual([warnings, outage.unknownTopics], [[], undefined]);
    for (let k = 0; k < 5; k++) {
      outage.state("running", noTopic);
      clock.pass(3500);
      outage.state("joining");
      outage.state("down", noCoordinator);
      assert.ok(outage.unknownTopics, "still waited for");
    }
    assert.deepEqual(warnings.filter((text) => text.includes("no topic")), ["There is no topic \"t\". It is waited for."]);
  });

  it("the status says in few words what is wrong and where", () => {
    const facts: StatusFacts = {
      state: "down", trouble: unreachable, unknownTopics: undefined, groupId: "g", partitions: [], rate: 0, inFlight: 0, full: false, heldUpBy: undefined, deadLetters: 0, undecodable: 0, paused: false, now: 0,
    };
    assert.deepEqual(describeSource(facts), { kind: "warn", text: "broker down: nothing listens at a:9092" });
    const dead = new TicklakeError("KAFKA_UNREACHABLE", "Connecting to the cluster failed: kafka.example.com:9092 does not answer. Check address, network and firewall.");
    assert.equal(describeSource({ ...facts, trouble: dead }).text, "broker down: kafka.example.com:9092 does not answer");
    assert.equal(describeSource({ ...facts, trouble: new Error("short") }).text, "broker down: short");
    const waiting = { ...facts, state: "running" as const, trouble: undefined };
    assert.equal(describeSource({ ...waiting, unknownTopics: "There is no topic \"a\" at b:1. Create it." }).text, "waiting for topic a");
    assert.equal(describeSource({ ...waiting, unknownTopics: "Topics \"a\", \"b\" cannot be read (There is no topic \"a\" at b:1.). Create them." }).text, "waiting for topics a, b");
  });

  it("is not ready while it cannot read what is there; slow flows, pauses and other members are no reason", () => {
    const partition: StatusPartition = { key: "t/0", state: "reading", position: 5n, end: 9n, error: undefined, attempts: 0, retryAt: undefined, userPaused: false, isolating: false } as StatusPartition;
    const fine: StatusFacts = {
      state: "running", trouble: undefined, unknownTopics: undefined, groupId: "g", partitions: [partition], rate: 0, inFlight: 0, full: true, heldUpBy: "slow", deadLetters: 3, undecodable: 1, paused: false, now: 0,
    };
    for (const facts of [fine, { ...fine, partitions: [] }, { ...fine, paused: true, partitions: [{ ...partition, userPaused: true }] }, { ...fine, state: "joining" as const }, { ...fine, unknownTopics: "There is no topic \"a\"." }]) {
      assert.equal(notReadyOf(facts), undefined, JSON.stringify(facts.state));
    }
    for (const [facts, reason] of [
      [{ ...fine, trouble: unreachable }, /broker down/], [{ ...fine, state: "connecting" as const }, /connecting/], [{ ...fine, state: "joining" as const, partitions: [] }, /joining group g/],
      [{ ...fine, partitions: [], unknownTopics: "There is no topic \"a\"." }, /waiting for topic a/], [{ ...fine, partitions: [{ ...partition, state: "stopped" as const, error: new Error("poison") }] }, /stopped: t\/0: poison/],
    ] as [StatusFacts, RegExp][]) assert.match(notReadyOf(facts) ?? "ready", reason);
  });

  it("tells the lag of every partition whose end is known", () => {
    const at = { topic: "t", state: "reading" as const };
    const readers = [{ ...at, partition: 0, position: 5n, end: 9n }, { ...at, partition: 1, position: 9n, end: 7n }, { ...at, partition: 2, position: 0n, end: undefined }];
    assert.deepEqual(lagFigures(readers), { lag: 4, partitions: [{ topic: "t", partition: 0, lag: 4 }, { topic: "t", partition: 1, lag: 0 }] });
    assert.deepEqual(lagFigures([]), { partitions: [] });
  });
});
