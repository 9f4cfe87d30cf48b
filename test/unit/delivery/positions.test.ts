import { strict as assert } from "node:assert";
import { isTiedAcross } from "../../../lib/delivery/runs";
import type { LogPosition, TargetPosition } from "../../../lib/delivery/types";
import type { Message } from "../../../lib/delivery/ledger";
import { TicklakeError } from "../../../lib/errors";
import { Bench, f, g, parkAt } from "./bench";

/** A node that makes one message of several and completes them in the same turn, as join does. */
function join(b: Bench, messages: readonly Message[], to: { id: string; type: string }): Message {
  const out: Message = { _msgid: "joined" };
  b.loop.turn++;
  for (const message of messages) b.ledger.received(message, f);
  b.ledger.sent(out, f, to);
  for (const message of messages) b.ledger.completed(message, f);
  for (const message of messages) b.ledger.returned(message, f, true);
  b.turn();
  return out;
}

/** What `send` with an offset reads. */
const at: LogPosition = { cluster: "c", group: "g", topic: "t", partition: 0 };

describe("ledger: partitions that move", () => {
  describe("giving a partition up", () => {
    it("aborts what is open of it without a word, in a new epoch; other partitions stay", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { delivery: gone, messages: [m] } = b.send(source, [sink.node], { partition: "a" });
      const { delivery: kept, messages: [k] } = b.send(source, [sink.node], { partition: "b" });
      const part = parkAt(b, sink, m!), other = parkAt(b, sink, k!);
      source.abort("a");
      assert.equal(gone.state, "aborted");
      assert.equal(part.state, "dropped");
      b.turn();
      assert.deepEqual([b.failed.length, sink.seen.aborted, source.stats().open, source.stats().failed], [0, [part], 1, 0]);
      assert.deepEqual([kept.state, other.state], ["settled", "parked"]);
      assert.equal(b.send(source, [sink.node], { partition: "a" }).delivery.epoch, gone.epoch + 1);
      assert.equal(b.send(source, [sink.node], { partition: "b" }).delivery.epoch, kept.epoch);
    });

    it("aborts all partitions when none is named, and drops what is still on its way", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const late = ["a", "b"].map((partition) => b.send(source, [sink.node], { partition }).messages[0]!);
      source.abort();
      for (const message of late) { b.receive(message, sink.node); assert.equal(sink.accept(message).state, "dropped"); }
      b.turn();
      assert.deepEqual([source.stats().open, source.stats().records, source.hasRoom()], [0, 0, true]);
    });

    it("begins a new epoch where nothing was open, too: what comes next is another reading of the log", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const first = b.send(source, [sink.node]);
      parkAt(b, sink, first.messages[0]!).done();
      b.turn();
      source.abort("0");
      assert.equal(b.send(source, [sink.node]).delivery.epoch, first.delivery.epoch + 1);
      assert.equal(b.ledger.wasAborted(first.delivery.token), false, "it was delivered and stays so");
    });

    it("tells what a join tied to it in another partition: that one has to be read again", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const a = b.send(source, [f], { partition: "a" }), c = b.send(source, [f], { partition: "c" });
      parkAt(b, sink, join(b, [a.messages[0]!, c.messages[0]!], sink.node));
      source.abort("a");
      b.turn();
      assert.deepEqual(b.failed.map(({ partition, failed }) => [partition, failed]), [["c", c.delivery]]);
    });

    it("takes along what the source opened in the tied partition before it heard of it: that would come out of order", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const a = b.send(source, [f], { partition: "a" }), c = b.send(source, [f], { partition: "c" });
      parkAt(b, sink, join(b, [a.messages[0]!, c.messages[0]!], sink.node));
      source.abort("a");
      const since = b.send(source, [sink.node], { partition: "c" });
      b.turn();
      assert.deepEqual([b.failed.map(({ aborted }) => aborted), since.delivery.state], [[[c.delivery, since.delivery]], "aborted"]);
    });
  });

  describe("going back", () => {
    it("aborts what is open and tells the source once: range, reason and the node that asks", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), other = b.sink("other");
      const first = b.send(source, [sink.node], { offset: 0 });
      parkAt(b, sink, first.messages[0]!).done();
      const open = b.send(source, [sink.node, other.node], { offset: 1 });
      const [mine, theirs] = [parkAt(b, sink, open.messages[0]!), parkAt(b, other, open.messages[1]!)];
      b.turn();
      assert.equal(sink.rewind(at, 0n, 2n, "db.t was rolled back"), true);
      assert.deepEqual([mine.state, theirs.state], ["dropped", "dropped"], "at once: nothing of it may be committed any more");
      b.turn();
      assert.deepEqual(b.rewinds, [{ partition: "0", to: 0n, from: 2n, reason: "db.t was rolled back", node: "sink" }]);
      assert.deepEqual([b.failed.length, other.seen.aborted], [0, [theirs]]);
      assert.equal(b.send(source, [sink.node]).delivery.epoch, 1);
    });

    it("finds the source that reads the partition now: not one that was closed, nor one that reads another cluster, group or topic", () => {
      const b = new Bench(), before = b.source(), sink = b.sink();
      b.send(before, [sink.node], { offset: 0 });
      before.close();
      b.turn();
      assert.equal(sink.rewind(at, 0n, 1n, "x"), false, "there is none");
      const now = b.source();
      assert.equal(sink.rewind(at, 0n, 1n, "x"), false, "it has sent nothing of it yet");
      b.send(now, [sink.node], { offset: 1 });
      for (const other of [{ cluster: "other" }, { group: "other" }, { topic: "other" }, { partition: 1 }]) assert.equal(sink.rewind({ ...at, ...other }, 0n, 1n, "x"), false);
      assert.equal(sink.rewind(at, 0n, 1n, "x"), true);
      b.turn();
      assert.equal(b.rewinds.length, 1);
    });

    it("finds a source that says what it reads before it has sent anything: a quiet partition may never send", () => {
      const b = new Bench(), asked: LogPosition[] = [];
      const sink = b.sink("sink", { assigned: (position) => { asked.push(position); sink.rewind(position, 3n, 9n, "x"); } });
      b.source().assigned("p0", at);
      b.turn();
      b.turn();
      assert.deepEqual(asked, [at]);
      assert.deepEqual(b.rewinds.map(({ partition, to }) => [partition, to]), [["p0", 3n]]);
    });

    it("goes back at least to what was open: a target that lost less does not make it skip that", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      b.send(source, [sink.node], { offset: 3 });
      b.send(source, [sink.node], { offset: 7 });
      sink.rewind(at, 5n, 9n, "x");
      b.turn();
      assert.deepEqual(b.rewinds.map(({ to, from }) => [to, from]), [[3n, 9n]]);
    });

    it("aborts what the source opened between the wish and its hearing of it", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      b.send(source, [sink.node], { offset: 5 });
      sink.rewind(at, 0n, 5n, "x");
      const { delivery } = b.send(source, [sink.node], { offset: 6 });
      b.turn();
      assert.equal(delivery.state, "aborted");
      assert.equal(b.rewinds.length, 1);
    });

    it("leaves a source alone that cannot go back", () => {
      const b = new Bench(), sink = b.sink();
      const source = b.ledger.openSource<string>("csv", { maxInFlight: 9, maxInFlightBytes: 9, deliveryTimeoutMs: 0, caughtIsDone: false }, { delivered: () => undefined, failed: () => undefined });
      const part = parkAt(b, sink, b.send(source, [sink.node], { offset: 0 }).messages[0]!);
      assert.equal(sink.rewind(at, 0n, 1n, "x"), false);
      b.turn();
      assert.equal(part.state, "parked");
    });
  });

  describe("a sink that goes last", () => {
    it("takes only what nobody else has anything open of, and is woken when the others are done", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), other = b.sink("other");
      const one = b.send(source, [sink.node, other.node]), two = b.send(source, [sink.node]);
      const parts = [parkAt(b, sink, one.messages[0]!), parkAt(b, sink, two.messages[0]!)];
      const theirs = parkAt(b, other, one.messages[1]!);
      b.turn();
      assert.deepEqual(sink.take({ last: true }), [], "the other sink has not committed");
      const woken = sink.seen.settled;
      theirs.done();
      b.turn();
      assert.equal(sink.seen.settled, woken + 1);
      const [run, ...more] = sink.take({ last: true });
      assert.deepEqual([run!.deliveries, run!.parts, more.length], [[one.delivery, two.delivery], parts, 0]);
      assert.deepEqual(sink.take({ last: true }), [], "one transaction of a partition at a time");
      sink.committed([run!]);
      for (const part of parts) part.done();
      b.turn();
      assert.equal(b.delivered.length, 2);
    });

    it("is not woken for what another sink still holds", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), other = b.sink("other");
      sink.take({ last: true });
      const { messages: [m, n] } = b.send(source, [sink.node, other.node]);
      parkAt(b, other, n!);
      parkAt(b, sink, m!);
      b.turn();
      assert.deepEqual([sink.seen.settled, other.seen.settled], [0, 1]);
    });

    it("stops at the first delivery that something else is open of, and takes one epoch", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = [b.send(source, [sink.node]), b.send(source, [sink.node]), b.send(source, [sink.node, g])];
      for (const { messages: [m] } of sent) parkAt(b, sink, m!);
      b.turn();
      const [run] = sink.take({ last: true });
      assert.deepEqual(run!.deliveries, [sent[0]!.delivery, sent[1]!.delivery]);
      sink.giveBack([run!]);
      const failing = parkAt(b, sink, b.send(source, [sink.node]).messages[0]!);
      failing.fail(new Error("no"));
      b.turn();
      b.receive(sent[2]!.messages[1]!, g);
      b.ledger.completed(sent[2]!.messages[1]!, g);
      parkAt(b, sink, b.send(source, [sink.node]).messages[0]!);
      b.turn();
      assert.deepEqual(sink.take({ last: true }).map(({ deliveries }) => deliveries.map((d) => d.epoch)), [[0, 0, 0]], "one transaction at a time, none of two epochs");
    });

    it("takes nothing of a delivery that has failed, before that is judged", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { delivery, messages: [m] } = b.send(source, [sink.node]);
      parkAt(b, sink, m!);
      b.turn();
      source.fail(delivery, new Error("no"));
      assert.deepEqual(sink.take({ last: true }), []);
    });

    it("goes on from the oldest delivery not delivered: one that it has committed and somebody else still holds keeps it waiting", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const other = b.sink("other");
      const one = b.send(source, [sink.node, other.node]);
      const part = parkAt(b, sink, one.messages[0]!), theirs = parkAt(b, other, one.messages[1]!);
      b.turn();
      sink.committed(sink.take());
      part.done();
      parkAt(b, sink, b.send(source, [sink.node]).messages[0]!);
      b.turn();
      assert.deepEqual(sink.take({ last: true }), []);
      theirs.done();
      b.turn();
      assert.equal(sink.take({ last: true }).length, 1);
    });

    it("leaves parts alone that a join tied beyond the partition, and tells them apart", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const first = parkAt(b, sink, b.send(source, [sink.node], { partition: "a" }).messages[0]!);
      const a = b.send(source, [f], { partition: "a" }), c = b.send(source, [f], { partition: "c" });
      const tied = parkAt(b, sink, join(b, [a.messages[0]!, c.messages[0]!], sink.node));
      b.turn();
      assert.deepEqual([isTiedAcross(first), isTiedAcross(tied)], [false, true]);
      assert.deepEqual(sink.take({ last: true }).map((run) => run.parts), [[first]]);
    });

    it("takes what a join made within one partition", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = [b.send(source, [f]), b.send(source, [f])];
      const tied = parkAt(b, sink, join(b, sent.map(({ messages }) => messages[0]!), sink.node));
      b.turn();
      assert.equal(isTiedAcross(tied), false);
      const [run] = sink.take({ last: true });
      assert.deepEqual([run!.deliveries, run!.parts], [sent.map(({ delivery }) => delivery), [tied]]);
    });

    it("sees who is in the way, and a second one that goes last too", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), rival = b.sink("rival");
      const { delivery, messages: [m, n] } = b.send(source, [sink.node, rival.node, g]);
      parkAt(b, sink, m!);
      parkAt(b, rival, n!);
      b.turn();
      sink.take({ last: true });
      rival.take({ last: true });
      assert.deepEqual(sink.blockers(delivery), [{ node: "rival", parts: 1, parked: true, last: true }, { node: "g", parts: 1, parked: false, last: false }]);
      assert.deepEqual(rival.blockers(delivery).map(({ node, last }) => [node, last]), [["sink", true], ["g", false]]);
    });
  });

  describe("where is my data", () => {
    it("tells per partition how much is open, and who has had the oldest batch since when", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      b.turn(100);
      const first = b.send(source, [sink.node, f], { partition: "a", records: 5 });
      b.turn(100);
      parkAt(b, sink, first.messages[0]!);
      b.send(source, [sink.node], { partition: "a", records: 7 });
      assert.deepEqual(source.openPartitions(), [{
        partition: "a", deliveries: 2, records: 12, openedAt: 100,
        holders: [{ node: "f", parts: 1, since: 100, parked: false }, { node: "sink", parts: 1, since: 200, parked: true }],
      }]);
      source.abort();
      assert.deepEqual(source.openPartitions(), []);
    });

    it("names the source itself while it sends", () => {
      const b = new Bench(), source = b.source();
      source.open({ partition: "a", records: 1, bytes: 1, context: "" });
      assert.deepEqual(source.openPartitions()[0]!.holders, [{ node: "src", parts: 1, since: 0, parked: false }]);
    });

    it("asks every sink how far its target is; one that cannot tell costs the others nothing", async () => {
      const b = new Bench(), source = b.source();
      const position: TargetPosition = { ...at, target: "db.t", node: "one", nextOffset: 7n };
      b.sink("one", { positions: (asked) => { assert.deepEqual(asked, at); return [position]; } });
      b.sink("two");
      b.sink("three", { positions: () => Promise.reject(new Error("catalog is away")) });
      assert.deepEqual(await source.positions(at), [position]);
      assert.deepEqual(b.errors.map((error) => (error as Error).message), ["catalog is away"]);
    });

    it("makes every sink forget before it says that one could not", async () => {
      const b = new Bench(), source = b.source();
      const forgot: string[] = [];
      b.sink("one", { forget: () => Promise.reject(new TicklakeError("STORAGE_FAILED", "Disk away.")) });
      b.sink("two", { forget: async () => { await Promise.resolve(); forgot.push("db.t"); return ["db.t"]; } });
      await assert.rejects(source.forget(at), (error: TicklakeError) => error.code === "STORAGE_FAILED" && /db\.t/.test(error.message) && /Disk away/.test(error.message));
      assert.deepEqual(forgot, ["db.t"]);
      b.sink("one").close();
      const quiet = new Bench();
      quiet.sink("two", { forget: () => Promise.resolve(["db.t"]) });
      assert.deepEqual(await quiet.source().forget(at), ["db.t"]);
    });
  });
});
