import assert from "node:assert/strict";
import fc from "fast-check";
import { partitionKey, range, sticky, type Assignment, type GroupMember } from "../../../lib/kafka/consumer/assignment";

const TOPICS = ["a", "b", "c", "d"];

/** A group: who subscribes to what, and how many partitions there are. */
const groups = fc.record({
  partitions: fc.uniqueArray(fc.constantFrom(...TOPICS), { minLength: 1 }).chain((topics) =>
    fc.tuple(...topics.map((topic) => fc.integer({ min: 0, max: 12 }).map((count) => [topic, count] as const)))),
  subscriptions: fc.array(fc.uniqueArray(fc.constantFrom(...TOPICS), { minLength: 1 }), { minLength: 1, maxLength: 6 }),
});

function fresh(subscriptions: readonly (readonly string[])[], first = 0): GroupMember[] {
  return subscriptions.map((topics, index) => ({ memberId: `m${first + index}`, topics, owned: [], generation: -1 }));
}

/** Everybody reports what the last assignment gave. */
function settled(members: readonly GroupMember[], assignment: Assignment, generation: number): GroupMember[] {
  return members.map((member) => ({ ...member, owned: assignment.get(member.memberId) ?? [], generation }));
}

function assertComplete(members: readonly GroupMember[], partitions: ReadonlyMap<string, number>, assignment: Assignment): void {
  const seen = new Map<string, string>();
  for (const [memberId, list] of assignment) {
    const member = members.find((candidate) => candidate.memberId === memberId)!;
    for (const at of list) {
      assert.ok(member.topics.includes(at.topic), `${memberId} does not subscribe to ${at.topic}`);
      assert.ok(at.partition < (partitions.get(at.topic) ?? 0), "no such partition");
      assert.ok(!seen.has(partitionKey(at)), `${partitionKey(at)} is read twice`);
      seen.set(partitionKey(at), memberId);
    }
  }
  const expected = [...partitions].filter(([topic]) => members.some((member) => member.topics.includes(topic))).reduce((sum, [, count]) => sum + count, 0);
  assert.equal(seen.size, expected, "every partition that somebody subscribes to is read");
  assert.equal(assignment.size, members.length, "every member gets an answer");
}

/** No chain of moves brings two members closer: the sum of squared loads is the smallest possible. */
function assertBalanced(members: readonly GroupMember[], assignment: Assignment): void {
  const load = (id: string): number => assignment.get(id)!.length;
  for (const from of members) {
    const reached = new Set([from.memberId]);
    for (const id of reached) {
      for (const to of members) {
        if (assignment.get(id)!.some((at) => to.topics.includes(at.topic))) reached.add(to.memberId);
      }
    }
    for (const id of reached) assert.ok(load(from.memberId) - load(id) <= 1, `${from.memberId} has ${load(from.memberId)}, ${id} could take some and has ${load(id)}`);
  }
}

function moved(before: readonly GroupMember[], after: Assignment): number {
  const owner = new Map([...after].flatMap(([id, list]) => list.map((at) => [partitionKey(at), id])));
  return before.flatMap((member) => member.owned.filter((at) => owner.has(partitionKey(at)) && owner.get(partitionKey(at)) !== member.memberId)).length;
}

describe("kafka consumer: assignment", () => {
  for (const [name, assign] of Object.entries({ sticky, range })) {
    it(`${name}: every partition has exactly one reader that subscribes to it`, () => {
      fc.assert(fc.property(groups, (group) => {
        const partitions = new Map(group.partitions);
        const members = fresh(group.subscriptions);
        assertComplete(members, partitions, assign(members, partitions));
      }));
    });
  }

  it("sticky: balanced, whatever members subscribe to and own", () => {
    fc.assert(fc.property(groups, groups, (first, second) => {
      const before = fresh(first.subscriptions);
      const members = settled(fresh(second.subscriptions), sticky(before, new Map(first.partitions)), 1);
      const partitions = new Map(second.partitions);
      const assignment = sticky(members, partitions);
      assertComplete(members, partitions, assignment);
      assertBalanced(members, assignment);
    }), { numRuns: 300 });
  });

  it("sticky: as few partitions move as balance allows when members come and go", () => {
    const sizes = fc.record({ partitions: fc.integer({ min: 1, max: 40 }), before: fc.integer({ min: 1, max: 7 }), leave: fc.integer({ min: 0, max: 6 }), join: fc.integer({ min: 0, max: 5 }) });
    fc.assert(fc.property(sizes, ({ partitions: count, before, leave, join }) => {
      const partitions = new Map([["t", count]]);
      const old = fresh(Array.from({ length: before }, () => ["t"]));
      const stay = settled(old, sticky(old, partitions), 1).slice(Math.min(leave, before - 1));
      const members = [...stay, ...fresh(Array.from({ length: join }, () => ["t"]), 10)];
      const assignment = sticky(members, partitions);
      assertBalanced(members, assignment);
      // Everybody ends with floor or one more; those who own more than floor keep the extra ones as long as there are any.
      const floor = Math.floor(count / members.length);
      const extra = count % members.length;
      const over = stay.map((member) => member.owned.length).filter((owned) => owned > floor);
      const least = over.reduce((sum, owned) => sum + owned - floor, 0) - Math.min(extra, over.length);
      assert.equal(moved(members, assignment), least);
    }), { numRuns: 300 });
  });

  it("sticky: nothing moves when nothing changes, and new partitions move no old ones", () => {
    fc.assert(fc.property(groups, fc.integer({ min: 1, max: 5 }), (group, more) => {
      const partitions = new Map(group.partitions);
      const members = fresh(group.subscriptions);
      const first = sticky(members, partitions);
      const again = settled(members, first, 3);
      assert.deepEqual(sticky(again, partitions), first);
      const uniform = again.every((member) => member.topics.length === TOPICS.length);
      const grown = new Map([...partitions].map(([topic, count]) => [topic, count + more]));
      if (uniform) assert.equal(moved(again, sticky(again, grown)), 0);
    }));
  });

  it("sticky: of two members that own a partition the one of the later generation keeps it", () => {
    const at = { topic: "t", partition: 0 };
    const zombie = { memberId: "a", topics: ["t"], owned: [at], generation: 4 };
    const owner = { memberId: "b", topics: ["t"], owned: [at], generation: 5 };
    assert.deepEqual(sticky([zombie, owner], new Map([["t", 1]])).get("b"), [at]);
  });

  it("sticky: the same whatever order the members come in", () => {
    fc.assert(fc.property(groups, (group) => {
      const partitions = new Map(group.partitions);
      const members = fresh(group.subscriptions);
      const sort = (assignment: Assignment): unknown => [...assignment].sort(([a], [b]) => (a < b ? -1 : 1));
      assert.deepEqual(sort(sticky([...members].reverse(), partitions)), sort(sticky(members, partitions)));
    }));
  });

  it("range: consecutive partitions per topic in the order of the members' ids, as Kafka's own assignor gives them", () => {
    const members = fresh([["t", "u"], ["t", "u"]]);
    const assignment = range(members, new Map([["t", 3], ["u", 3]]));
    assert.deepEqual(assignment.get("m0")!.map(partitionKey), ["t/0", "t/1", "u/0", "u/1"]);
    assert.deepEqual(assignment.get("m1")!.map(partitionKey), ["t/2", "u/2"]);
  });

  it("sticky: a group of 200 members and 5,000 partitions is assigned without being felt", () => {
    const members = fresh(Array.from({ length: 200 }, () => ["t"]));
    const partitions = new Map([["t", 5000]]);
    const grown = [...settled(members, sticky(members, partitions), 1), ...fresh([["t"]], 900)];
    const started = performance.now();
    assertBalanced(grown.slice(-1), sticky(grown, partitions));
    assert.ok(performance.now() - started < 1000);
  });
});
