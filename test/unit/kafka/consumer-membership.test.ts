import assert from "node:assert/strict";
import { encodeSubscription, decodeSubscription, decodeAssignment, encodeAssignment } from "../../../lib/kafka/consumer/member-protocol";
import type { TicklakeError } from "../../../lib/errors";
import { kafkaError } from "../../../lib/kafka/errors";
import { refusal, settle, unreachable } from "../../support/scripted-wire";
import { consumerOn, readingConsumer } from "./consumer-harness";

const at = (partition: number, topic = "t") => ({ topic, partition });
const code = (error: unknown): string | undefined => (error as TicklakeError | undefined)?.code;

describe("kafka consumer: membership", () => {
  it("takes the member id that the broker gives, joins with it, and is assigned", async () => {
    const { wire, told } = await readingConsumer({ topics: { t: 2 } });
    assert.deepEqual(wire.calls.filter((call) => /^(join|sync)/.test(call)), ["join -", "join member-1", "sync 1"]);
    assert.deepEqual(told, ["state connecting", "state joining", "state running", "assigned t/0,t/1"]);
  });

  it("beats on its own time, however long the user takes for records", async () => {
    const { wire, clock } = await readingConsumer();
    const before = wire.count("heartbeat");
    await clock.advance(15_000);
    assert.equal(wire.count("heartbeat") - before, 15);
  });

  it("UNKNOWN_MEMBER_ID: everything is lost at once, and it joins as somebody new", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.next("heartbeat", refusal("unknownMemberId"));
    await clock.advance(3000);
    assert.deepEqual(told, ["lost t/0", "state joining", "state running", "assigned t/0"]);
    assert.deepEqual(wire.calls.filter((call) => call.startsWith("join")).slice(-2), ["join -", "join member-2"]);
    assert.deepEqual(wire.subscription().owned, [], "it does not claim what it lost");
  });

  it("ILLEGAL_GENERATION: everything is lost, the member stays", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.next("heartbeat", refusal("illegalGeneration"));
    await clock.advance(3000);
    assert.deepEqual(told, ["lost t/0", "state joining", "state running", "assigned t/0"]);
    assert.equal(wire.calls.filter((call) => call.startsWith("join")).at(-1), "join member-1");
  });

  it("a rebalance takes only what really leaves: the rest goes on where it was, paused or not", async () => {
    const harness = await readingConsumer({ topics: { t: 4 }, from: 0n });
    const { wire, clock, told, consumer } = harness;
    for (let p = 0; p < 4; p++) await wire.append(at(p), `${p}a`, `${p}b`);
    await clock.advance(600);
    consumer.pause([at(1)]);
    told.length = 0;
    wire.otherMembers = [{ memberId: "other", metadata: encodeSubscription({ topics: ["t"], owned: [], generation: -1 }) }];
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    assert.equal(consumer.assignment.length, 2);
    assert.deepEqual(told, ["state joining", "state running", "revoked t/2,t/3"], "what stays is neither revoked nor assigned");
    assert.deepEqual(wire.gave("other"), [at(2), at(3)]);
    assert.deepEqual(wire.subscription(), { topics: ["t"], owned: [at(0), at(1), at(2), at(3)], generation: 1 });
    told.length = 0;
    for (let p = 0; p < 4; p++) await wire.append(at(p), `${p}c`);
    await clock.advance(600);
    assert.deepEqual(told, ["records t/0 2-2"], "position kept; the paused one stays paused; nothing of what left");
    consumer.resume([at(1)]);
    await clock.advance(600);
    assert.deepEqual(told.slice(1), ["records t/1 2-2"]);
  });

  it("before joining it lets the user settle: heartbeats and commits go on, records are held back", async () => {
    let finish = (): void => {};
    const harness = await readingConsumer({ events: () => ({ rebalancing: () => new Promise<void>((resolve) => { finish = resolve; }) }) });
    const { wire, clock, told, consumer } = harness;
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    assert.equal(told.at(-1), "rebalancing");
    const beats = wire.count("heartbeat");
    const joins = wire.count("join");
    await wire.append(at(0), "held back");
    await consumer.commit([{ ...at(0), offset: 7n }]);
    await clock.advance(9000);
    assert.equal(wire.offsets.get("t/0"), 7n);
    assert.ok(wire.count("heartbeat") - beats >= 3);
    assert.equal(wire.count("join"), joins, "not joined yet");
    assert.deepEqual(harness.values, []);
    finish();
    await clock.advance(1000);
    assert.equal(wire.count("join"), joins + 1);
    assert.deepEqual(harness.values, ["held back"], "the partition stayed: what was fetched is shown");
  });

  it("settling that never ends is bounded, so that the group does not throw it out", async () => {
    const { wire, clock } = await readingConsumer({ events: () => ({ rebalancing: () => new Promise<void>(() => {}) }) });
    const joins = wire.count("join");
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(1000 + 35_000);
    assert.equal(wire.count("join"), joins);
    await clock.advance(2000);
    assert.equal(wire.count("join"), joins + 1);
  });

  it("the coordinator moves: it is looked up again and nothing is lost", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.next("heartbeat", refusal("notCoordinator"), refusal("coordinatorNotAvailable"));
    await clock.advance(6000);
    assert.equal(wire.count("forgetCoordinator"), 2);
    assert.equal(wire.count("join"), 2, "no new join");
    assert.deepEqual(told, [], "not even the status flickers");
  });

  it("the coordinator is down for a while: the status says so and that it is over, nothing is lost", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.always("heartbeat", unreachable());
    await clock.advance(20_000);
    assert.deepEqual(told, ["state down KAFKA_UNREACHABLE"]);
    wire.always("heartbeat", undefined);
    await clock.advance(5000);
    assert.deepEqual(told, ["state down KAFKA_UNREACHABLE", "state running"]);
  });

  it("no heartbeat for a whole session: lost at once, without being told, and tried again without end", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.always("heartbeat", unreachable());
    wire.always("join", unreachable());
    await clock.advance(31_000);
    assert.equal(told.includes("lost t/0"), true);
    const joins = wire.count("join");
    await clock.advance(300_000);
    assert.ok(wire.count("join") - joins > 50, "still trying");
    assert.ok(wire.count("join") - joins < 300, "with pauses");
    wire.always("heartbeat", undefined);
    wire.always("join", undefined);
    await clock.advance(10_000);
    assert.deepEqual(told.slice(-2), ["state running", "assigned t/0"]);
  });

  it("the process stood still for longer than its session: not one more record is shown, and nothing is committed", async () => {
    const harness = await readingConsumer();
    const { wire, clock, told, consumer } = harness;
    await wire.append(at(0), "read by somebody else meanwhile");
    wire.always("join", unreachable());
    clock.jump(40_000);
    told.length = 0;
    await settle();
    assert.equal(told[0], "lost t/0");
    assert.deepEqual(harness.values, []);
    await assert.rejects(consumer.commit([{ ...at(0), offset: 1n }]), (error) => code(error) === "KAFKA_NOT_ASSIGNED");
    assert.equal(wire.offsets.has("t/0"), false);
  });

  it("a missed generation: others may have had the partitions, so they are lost and assigned anew", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.generation = 5;
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    assert.deepEqual(told, ["state joining", "lost t/0", "state running", "assigned t/0"]);
  });

  it("a generation whose assignment nobody got is none that was missed", async () => {
    const { wire, clock, told } = await readingConsumer();
    told.length = 0;
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    wire.next("sync", refusal("rebalanceInProgress"));
    await clock.advance(3500);
    assert.equal(wire.generation, 3);
    assert.deepEqual(told, ["state joining", "state running"]);
  });

  it("the connection is lost while it waits for its assignment: it asks again, without another rebalance", async () => {
    const { wire, clock, told } = consumerOn({ prepare: (script) => script.next("sync", unreachable(), refusal("coordinatorLoadInProgress")) });
    await clock.advance(3000);
    assert.equal(told.at(-1), "assigned t/0");
    assert.deepEqual(wire.calls.filter((call) => /^(join|sync)/.test(call)), ["join -", "join member-1", "sync 1", "sync 1", "sync 1"]);
  });

  it("the group may not be used: down with the reason, and on as soon as it is granted", async () => {
    const denied = kafkaError(30, { doing: "Joining" });
    const { wire, clock, told, lastError } = consumerOn({ prepare: (script) => script.always("join", denied) });
    await clock.advance(60_000);
    assert.equal(told.at(-1), "state down KAFKA_DENIED");
    assert.match(lastError()!.message, /"g"/);
    wire.always("join", undefined);
    await clock.advance(6000);
    assert.equal(told.at(-1), "assigned t/0");
  });

  it("members with other strategies in the group: the error says what to do", async () => {
    const inconsistent = kafkaError(23, { doing: "Joining" });
    const { clock, told, lastError } = consumerOn({ prepare: (script) => script.always("join", inconsistent) });
    await clock.advance(10_000);
    assert.equal(told.at(-1), "state down CONFIG_INVALID");
    assert.match(lastError()!.message, /group id of its own/);
  });

  it("a starting coordinator is waited for without alarm", async () => {
    const { clock, told } = consumerOn({ prepare: (script) => script.next("join", refusal("coordinatorLoadInProgress"), refusal("coordinatorNotAvailable")) });
    await clock.advance(3000);
    assert.deepEqual(told, ["state connecting", "state joining", "state running", "assigned t/0"]);
  });

  it("no broker at the start: down, then everything as usual", async () => {
    const { wire, clock, told } = consumerOn({ prepare: (script) => { script.always("join", unreachable()); script.always("metadata", unreachable()); } });
    await clock.advance(120_000);
    assert.equal(told.includes("state down KAFKA_UNREACHABLE"), true);
    wire.always("join", undefined);
    wire.always("metadata", undefined);
    await clock.advance(10_000);
    assert.deepEqual(told.slice(-2), ["state running", "assigned t/0"]);
  });

  it("as leader it has the group assigned again when partitions come, and when they are gone for good", async () => {
    const { wire, clock, told } = await readingConsumer({ topics: { t: 1 } });
    wire.topics.set("t", { leaders: [1, 1, 1] });
    await clock.advance(31_000);
    assert.equal(told.at(-1), "assigned t/1,t/2", told.join(" | "));
    const joins = wire.count("join");
    wire.topics.delete("t");
    for (const looks = wire.count("metadata"); wire.count("metadata") === looks;) await clock.advance(100);
    wire.topics.set("t", { leaders: [1, 1, 1] });
    await clock.advance(30_000);
    assert.equal(wire.count("join"), joins, "a broker that did not know the topic for a moment moves nothing");
    wire.topics.delete("t");
    await clock.advance(35_000);
    assert.equal(told.at(-1), "revoked t/0,t/1,t/2");
  });

  it("a topic that is missing is reported and waited for, the others are read", async () => {
    const harness = await readingConsumer({ topics: { t: 1 }, subscribe: ["t", "later"] });
    const { wire, clock, told, lastError } = harness;
    await wire.append(at(0), "read");
    await clock.advance(1000);
    assert.deepEqual(harness.values, ["read"]);
    assert.equal(told.includes("state running KAFKA_TOPIC_UNKNOWN"), true);
    assert.match(lastError()!.message, /"later"/);
    wire.topics.set("later", { leaders: [1, 1] });
    await clock.advance(2000);
    assert.equal(told.includes("assigned later/0,later/1"), true);
    assert.equal(lastError(), undefined);
  });

  it("shares a group with foreign members: it offers range, leads by it, and takes what a foreign leader gives", async () => {
    const { wire, clock, told } = await readingConsumer({ topics: { t: 3 } });
    assert.deepEqual(wire.joined!.protocols.map(({ name }) => name), ["ticklake-sticky", "range", "RoundRobinAssigner"]);
    wire.protocol = "range";
    wire.otherMembers = [{ memberId: "a-java-client", metadata: encodeSubscription({ topics: ["t"], owned: [], generation: -1 }) }];
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    assert.deepEqual(wire.gave("a-java-client"), [at(0), at(1)], "range: the first of the ids gets the first partitions");
    wire.leader = "a-java-client";
    wire.given = [at(1)];
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    told.length = 0;
    await clock.advance(3000);
    assert.deepEqual(told.filter((line) => !line.startsWith("state")), ["revoked t/2", "assigned t/1"]);
  });

  it("a member whose subscription cannot be read costs nobody his partitions", async () => {
    const { wire, clock, consumer } = await readingConsumer({ topics: { t: 2 } });
    wire.otherMembers = [{ memberId: "broken", metadata: Buffer.from([0]) }];
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    assert.equal(consumer.assignment.length, 2);
  });

  it("leaves the group when it stops, within seconds even if nobody answers", async () => {
    const quick = await readingConsumer();
    await quick.consumer.stop();
    assert.equal(quick.wire.calls.includes("leave member-1"), true);
    assert.equal(quick.told.at(-1), "state stopped");
    assert.equal(quick.wire.closed, true);

    const slow = await readingConsumer({ prepare: (script) => script.always("leave", () => new Promise<void>(() => {})) });
    let stopped = false;
    const stopping = slow.consumer.stop().then(() => { stopped = true; });
    await slow.clock.advance(2900);
    await stopping;
    assert.equal(stopped, true);
  });

  it("leaves also when it stops while it waits to join, so that the others need not wait for it", async () => {
    const { wire, consumer } = consumerOn({ prepare: (script) => script.next("join", async () => {}, () => new Promise<void>(() => {})) });
    await settle();
    assert.equal(wire.calls.at(-1), "join member-1");
    await consumer.stop();
    assert.equal(wire.calls.includes("leave member-1"), true);
  });

  it("handlers that throw end nothing", async () => {
    const harness = await readingConsumer({ topics: { t: 1 }, events: () => ({
      assigned: () => { throw new Error("no"); }, revoked: () => Promise.reject(new Error("no")), rebalancing: () => Promise.reject(new Error("no")),
    }) });
    harness.wire.next("heartbeat", refusal("rebalanceInProgress"), refusal("unknownMemberId"));
    await harness.clock.advance(10_000);
    assert.equal(harness.told.at(-1), "assigned t/0");
    assert.ok(harness.consumer.membership);
  });
});

describe("kafka consumer: what members tell each other", () => {
  it("reads back what it writes", () => {
    const subscription = { topics: ["a", "bé"], owned: [at(0, "a"), at(7, "a"), at(1, "bé")], generation: 12 };
    assert.deepEqual(decodeSubscription(encodeSubscription(subscription)), subscription);
    const partitions = [at(3, "x"), at(4, "x"), at(0, "y")];
    assert.deepEqual(decodeAssignment(encodeAssignment(partitions)), partitions);
    assert.deepEqual(decodeAssignment(Buffer.alloc(0)), []);
    assert.deepEqual(decodeAssignment(null), []);
  });

  it("reads what kafkajs and Java write: version 0 without user data, versions 1 and 2 with owned partitions", () => {
    const kafkajs = Buffer.from("00000000000100017400000000", "hex");
    assert.deepEqual(decodeSubscription(kafkajs), { topics: ["t"], owned: [], generation: -1 });
    const java = Buffer.from("0002" + "00000001" + "000174" + "ffffffff" + "00000001" + "000174" + "00000001" + "00000005" + "00000009", "hex");
    assert.deepEqual(decodeSubscription(java), { topics: ["t"], owned: [at(5)], generation: 9 });
  });

  it("never trusts a length", () => {
    assert.throws(() => decodeSubscription(Buffer.from("00017fffffff", "hex")), RangeError);
    assert.deepEqual(decodeSubscription(Buffer.from("0001" + "00000001" + "000174" + "7fffffff", "hex")), { topics: ["t"], owned: [], generation: -1 });
    assert.throws(() => decodeAssignment(Buffer.from("00017fffffff", "hex")), RangeError);
  });
});
