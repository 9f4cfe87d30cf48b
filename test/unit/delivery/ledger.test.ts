import { strict as assert } from "node:assert";
import type { Message } from "../../../lib/delivery/ledger";
import { TicklakeError } from "../../../lib/errors";
import { Bench, f, g, parkAt } from "./bench";

describe("ledger", () => {
  describe("counting", () => {
    it("delivers in a later turn, when every part is done", () => {
      const b = new Bench(), source = b.source();
      const { messages: [m1, m2] } = b.send(source, [f, g]);
      b.turn();
      assert.equal(b.delivered.length, 0);
      for (const [m, n] of [[m1!, f], [m2!, g]] as const) { b.receive(m, n); b.ledger.completed(m, n); b.ledger.returned(m, n, true); }
      assert.equal(b.delivered.length, 0, "not in the turn of the last completion: Catch and Complete nodes receive after it");
      b.turn();
      assert.equal(b.delivered.length, 1);
      assert.deepEqual({ ...source.stats() }, { open: 0, records: 0, bytes: 0, opened: 1, openedRecords: source.stats().deliveredRecords, delivered: 1, deliveredRecords: 1, failed: 0 });
    });

    it("holds a delivery open until send has returned", () => {
      const b = new Bench(), source = b.source();
      const delivery = source.open({ partition: "0", records: 1, bytes: 1, context: "" });
      b.turn();
      assert.equal(b.delivered.length, 0);
      source.release(delivery);
      b.turn();
      assert.equal(b.delivered.length, 1, "a batch that goes nowhere is delivered");
    });

    it("counts one object sent twice to a node as two parts, and further done calls not at all", () => {
      const b = new Bench(), source = b.source();
      const { messages: [m] } = b.send(source, [f]);
      b.ledger.sent(m!, { id: source.id, type: "source" }, f);
      b.receive(m!, f);
      b.ledger.completed(m!, f);
      b.ledger.completed(m!, f);
      b.turn();
      assert.equal(b.delivered.length, 0, "the second done of the first reception completes nothing that was not received");
      b.receive(m!, f);
      b.ledger.completed(m!, f);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });

    it("counts what is received without having been sent: link call, Catch, Complete", () => {
      const b = new Bench(), source = b.source();
      const { messages: [m] } = b.send(source, [f]);
      b.receive(m!, f);
      b.ledger.received(m!, g);
      b.ledger.completed(m!, f);
      b.turn();
      assert.equal(b.delivered.length, 0);
      b.ledger.completed(m!, g);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });

    it("keeps what a switch has queued open until its turn has come, one message a turn of the event loop", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const node = { id: "switch", type: "switch" };
      const burst = Array.from({ length: 20 }, () => b.send(source, [node]).messages[0]!);
      // All of them arrive before it goes on with any but the first.
      const handled: number[] = [];
      const handle = (k: number): void => {
        b.ledger.sent(burst[k]!, node, sink.node);
        handled.push(k);
        if (k + 1 < burst.length) b.loop.at(0, () => handle(k + 1));
      };
      for (const [k, message] of burst.entries()) {
        b.receive(message, node);
        if (k === 0) handle(0);
        b.ledger.returned(message, node, false);
      }
      b.turn();
      assert.equal(handled.length, burst.length);
      assert.equal(b.delivered.length, 0, "every one is on its way to the sink");
      for (const message of burst) parkAt(b, sink, message).done();
      b.turn();
      assert.deepEqual([b.delivered.length, b.unprotected], [burst.length, []]);
    });

    it("what a switch has filtered out is delivered", () => {
      const b = new Bench(), source = b.source();
      const node = { id: "switch", type: "switch" };
      const { messages: [m] } = b.send(source, [node]);
      b.receive(m!, node);
      b.ledger.returned(m!, node, false);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });

    it("completes at postReceive where no handler takes done", () => {
      const b = new Bench(), source = b.source();
      const { messages: [m] } = b.send(source, [f]);
      b.receive(m!, f);
      b.ledger.returned(m!, f, false);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });

    it("goes by the part, not by what msg.delivery says at completion", () => {
      const b = new Bench(), source = b.source();
      const first = b.send(source, [f]), second = b.send(source, [f]);
      b.receive(first.messages[0]!, f);
      first.messages[0]!.delivery = second.delivery.token;
      b.ledger.completed(first.messages[0]!, f);
      b.turn();
      assert.deepEqual(b.delivered, [first.delivery]);
    });

    it("delivers in the order of the partition", () => {
      const b = new Bench(), source = b.source();
      const sent = [b.send(source, [f]), b.send(source, [f]), b.send(source, [f], { partition: "1" })];
      for (const { messages: [m] } of [...sent].reverse().slice(0, 2)) { b.receive(m!, f); b.ledger.completed(m!, f); }
      b.turn();
      assert.deepEqual(b.delivered.map((d) => d.partition), ["1"], "the later one of partition 0 waits for the earlier");
      b.receive(sent[0]!.messages[0]!, f);
      b.ledger.completed(sent[0]!.messages[0]!, f);
      b.turn();
      assert.deepEqual(b.delivered.slice(1).map((d) => d.batch), [0, 1]);
    });

    it("takes tokens of another process, and anything else, for no token", () => {
      const b = new Bench("p"), other = new Bench("q"), sink = b.sink();
      const foreign = other.send(other.source(), [f]).delivery.token;
      b.source();
      for (const delivery of [foreign, "ticklake|nonsense", "x", 5, { a: 1 }, null]) {
        const m = { delivery };
        b.ledger.sent(m, f, sink.node);
        const part = parkAt(b, sink, m);
        assert.deepEqual([part.state, part.deliveries.length], ["parked", 0]);
      }
      assert.deepEqual(b.unprotected, []);
    });
  });

  describe("keeping the token", () => {
    it("a message without a token inherits from the part with its _msgid", () => {
      const b = new Bench(), source = b.source();
      const one = b.send(source, [f]), two = b.send(source, [f]);
      b.receive(one.messages[0]!, f);
      b.receive(two.messages[0]!, f);
      const out: Message = { _msgid: two.messages[0]!._msgid };
      b.ledger.sent(out, f, g);
      assert.equal(out.delivery, two.delivery.token);
    });

    it("with an unknown _msgid it inherits from all parts that the node holds", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = [b.send(source, [f]), b.send(source, [f])];
      for (const { messages: [m] } of sent) b.receive(m!, f);
      const out: Message = { _msgid: "new" };
      b.ledger.sent(out, f, sink.node);
      assert.deepEqual(parkAt(b, sink, out).deliveries, sent.map((s) => s.delivery));
    });

    it("leaves a msg.delivery of the user's own alone and protects the message all the same", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m], delivery } = b.send(source, [f]);
      const out = b.pass(m!, f, { _msgid: m!._msgid, delivery: { street: "Wall" } }, sink.node);
      assert.deepEqual(out.delivery, { street: "Wall" });
      assert.deepEqual(parkAt(b, sink, out).deliveries, [delivery]);
    });

    it("reports a message sent after its node was done, and does not protect it", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m] } = b.send(source, [f]);
      b.receive(m!, f);
      b.ledger.completed(m!, f);
      b.turn();
      assert.equal(b.delivered.length, 1);
      const late = { delivery: m!.delivery, _msgid: m!._msgid };
      b.loop.turn++;
      b.ledger.sent(late, f, sink.node);
      assert.deepEqual(b.unprotected, [{ node: "f", reason: "late" }]);
      const part = parkAt(b, sink, late);
      assert.deepEqual([part.state, part.deliveries.length], ["parked", 0], "it is written as it comes");
    });

    it("protects it while the delivery is open", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m, other], delivery } = b.send(source, [f, g]);
      b.receive(m!, f);
      b.ledger.completed(m!, f);
      b.turn();
      const late = { delivery: m!.delivery };
      b.loop.turn++;
      b.ledger.sent(late, f, sink.node);
      assert.deepEqual(parkAt(b, sink, late).deliveries, [delivery]);
      assert.deepEqual(b.unprotected, []);
      assert.ok(other);
    });

    it("results of sinks and what Complete nodes receive from them carry no token", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m] } = b.send(source, [sink.node]);
      const part = parkAt(b, sink, m!);
      const result: Message = { _msgid: m!._msgid };
      b.ledger.sent(result, sink.node, f);
      assert.equal(result.delivery, undefined);
      part.done();
      const complete: Message = { delivery: m!.delivery, complete: { source: { id: "sink" } } };
      b.ledger.received(complete, { id: "c", type: "complete" });
      assert.equal(complete.delivery, undefined);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });
  });

  describe("ties", () => {
    /** Two batches in a node that sends one new object and completes both. */
    const joined = (b: Bench, sink: ReturnType<Bench["sink"]>, order: "send first" | "done first" = "send first") => {
      const source = b.source();
      const sent = [b.send(source, [f], { partition: "a" }), b.send(source, [f], { partition: "b" })];
      for (const { messages: [m] } of sent) b.receive(m!, f);
      b.loop.turn++;
      const out: Message = { ...sent[1]!.messages[0] };
      if (order === "done first") for (const { messages: [m] } of sent) b.ledger.completed(m!, f);
      b.ledger.sent(out, f, sink.node);
      if (order === "send first") for (const { messages: [m] } of sent) b.ledger.completed(m!, f);
      return { source, sent, out };
    };

    for (const order of ["send first", "done first"] as const) {
      it(`a new object is an open part of every delivery that the node completes in the turn (${order})`, () => {
        const b = new Bench(), sink = b.sink(), { sent, out } = joined(b, sink, order);
        const part = parkAt(b, sink, out);
        assert.deepEqual(new Set(part.deliveries), new Set(sent.map((s) => s.delivery)));
        b.turn();
        assert.equal(b.delivered.length, 0);
        const runs = sink.take();
        assert.deepEqual(runs.map((r) => r.partition).sort(), ["a", "b"]);
        assert.ok(runs.every((r) => r.parts[0] === part), "a tied part stands in the run of each partition");
        sink.committed(runs);
        part.done();
        b.turn();
        assert.equal(b.delivered.length, 2);
      });
    }

    it("an object that the node received itself is not tied (delay and batch release many in one turn)", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = [b.send(source, [f]), b.send(source, [f])];
      for (const { messages: [m] } of sent) b.receive(m!, f);
      b.loop.turn++;
      for (const { messages: [m] } of sent) { b.ledger.sent(m!, f, sink.node); b.ledger.completed(m!, f); }
      for (const { messages: [m], delivery } of sent) assert.deepEqual(parkAt(b, sink, m!).deliveries, [delivery]);
    });

    it("if one fails, all fail", () => {
      const b = new Bench(), sink = b.sink(), { out } = joined(b, sink);
      parkAt(b, sink, out).fail(new Error("no"));
      b.turn();
      assert.deepEqual(b.failed.map((x) => x.partition).sort(), ["a", "b"]);
    });

    it("a tied part is taken only together with all its deliveries", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const older = b.send(source, [g], { partition: "b" });
      const pair = [b.send(source, [f], { partition: "a" }), b.send(source, [f], { partition: "b" })];
      for (const { messages: [m] } of pair) b.receive(m!, f);
      b.loop.turn++;
      const tied: Message = { ...pair[0]!.messages[0] };
      b.ledger.sent(tied, f, sink.node);
      for (const { messages: [m] } of pair) b.ledger.completed(m!, f);
      parkAt(b, sink, tied);
      b.turn();
      assert.deepEqual(sink.take(), [], "partition b waits for an older batch, so a waits too");
      b.receive(older.messages[0]!, g);
      b.ledger.completed(older.messages[0]!, g);
      b.turn();
      assert.equal(sink.take().length, 2);
    });

    it("a batch joined with the remains of a failed one is read again, not lost", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const old = b.send(source, [f]);
      b.receive(old.messages[0]!, f);
      source.fail(old.delivery, new Error("elsewhere"));
      b.turn();
      const again = b.send(source, [f]);
      b.receive(again.messages[0]!, f);
      b.loop.turn++;
      const out: Message = { ...old.messages[0] };
      b.ledger.sent(out, f, sink.node);
      for (const { messages: [m] } of [old, again]) b.ledger.completed(m!, f);
      b.receive(out, sink.node);
      assert.equal(sink.accept(out).state, "dropped");
      b.turn();
      assert.equal(b.failed.length, 2);
      assert.equal((b.failed[1]!.error as TicklakeError).code, "DELIVERY_ABORTED");
    });
  });

  describe("parked and settled", () => {
    it("a delivery is settled when every open part is parked, and only then taken", () => {
      const b = new Bench(), source = b.source(), k1 = b.sink("k1"), k2 = b.sink("k2");
      const { messages: [m1, m2], delivery } = b.send(source, [k1.node, k2.node]);
      parkAt(b, k1, m1!);
      b.turn();
      assert.deepEqual([delivery.state, k1.take().length, k1.seen.settled], ["open", 0, 0]);
      parkAt(b, k2, m2!);
      b.turn();
      assert.deepEqual([delivery.state, k1.seen.settled, k2.seen.settled], ["settled", 1, 1]);
      assert.equal(k1.take().length, 1);
    });

    it("takes the longest run from the oldest not committed, with what never came here", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = [b.send(source, [sink.node]), b.send(source, [f]), b.send(source, [sink.node]), b.send(source, [f]), b.send(source, [sink.node])];
      const parts = [0, 2, 4].map((i) => parkAt(b, sink, sent[i]!.messages[0]!));
      b.receive(sent[1]!.messages[0]!, f);
      b.ledger.completed(sent[1]!.messages[0]!, f);
      b.turn();
      const [run] = sink.take();
      assert.deepEqual(run!.deliveries, sent.slice(0, 3).map((s) => s.delivery), "the fourth is still in a node: it might come here yet");
      assert.deepEqual(run!.parts, parts.slice(0, 2));
      assert.deepEqual(sink.take(), [], "nothing more of a partition while a commit of it is under way");
      sink.committed([run!]);
      b.receive(sent[3]!.messages[0]!, f);
      b.ledger.completed(sent[3]!.messages[0]!, f);
      b.turn();
      assert.deepEqual(sink.take()[0]!.deliveries.map((d) => d.batch), [3, 4]);
    });

    it("takes one epoch at a time, and gives back", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const one = b.send(source, [sink.node]), two = b.send(source, [f]);
      parkAt(b, sink, one.messages[0]!);
      source.fail(two.delivery, new Error("no"));
      b.turn();
      const again = b.send(source, [sink.node]);
      parkAt(b, sink, again.messages[0]!);
      b.turn();
      const runs = sink.take();
      assert.deepEqual(runs.map((r) => [r.epoch, r.deliveries.length]), [[0, 1]]);
      sink.giveBack(runs);
      assert.equal(runs[0]!.parts[0]!.state, "parked");
      const second = sink.take();
      assert.equal(second[0]!.parts[0], runs[0]!.parts[0]);
      sink.committed(second);
      assert.deepEqual(sink.take().map((r) => r.epoch), [1]);
    });

    it("a part that comes after its delivery went into a commit is unprotected and reported", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m], delivery } = b.send(source, [sink.node]);
      parkAt(b, sink, m!);
      b.turn();
      assert.equal(sink.take().length, 1);
      const late = { delivery: delivery.token };
      b.loop.turn++;
      b.ledger.sent(late, f, sink.node);
      assert.equal(parkAt(b, sink, late).deliveries.length, 0);
      assert.deepEqual(b.unprotected, [{ node: "f", reason: "committed" }]);
    });

    it("one that waits in a link-call node counts as parked", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), call = { id: "call", type: "link call" };
      const { messages: [m], delivery } = b.send(source, [call]);
      b.receive(m!, call);
      b.ledger.received(m!, sink.node);
      sink.accept(m!).park();
      b.ledger.returned(m!, call, true);
      b.turn();
      assert.equal(delivery.state, "settled");
      const runs = sink.take();
      sink.committed(runs);
      runs[0]!.parts[0]!.done();
      b.turn();
      assert.equal(b.delivered.length, 0, "the call has not returned");
      b.ledger.completed(m!, call);
      b.turn();
      assert.equal(b.delivered.length, 1);
    });

    it("completes the message when its part is done", () => {
      const b = new Bench(), source = b.source(), sink = b.sink(), ended: unknown[] = [];
      const { messages: [m] } = b.send(source, [sink.node]);
      const part = parkAt(b, sink, m!, (error) => ended.push(error));
      part.done();
      part.done();
      assert.deepEqual(ended, [undefined]);
    });
  });

  describe("failure", () => {
    it("aborts the delivery and the later ones of its partition; older ones and other partitions stay", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const sent = ["0", "0", "0", "1"].map((partition) => b.send(source, [sink.node], { partition }));
      const parts = sent.map((s) => parkAt(b, sink, s.messages[0]!));
      parts[1]!.fail(new Error("bad rows"));
      b.turn();
      assert.deepEqual(b.failed[0]!.aborted, [sent[1]!.delivery, sent[2]!.delivery]);
      assert.equal(b.failed[0]!.failed, sent[1]!.delivery);
      assert.equal(b.failed[0]!.node, "sink");
      assert.deepEqual(sink.seen.aborted, [parts[2]]);
      assert.deepEqual(parts.map((p) => p.state), ["parked", "failed", "dropped", "parked"]);
      assert.equal(sink.take().length, 2);
      const next = b.send(source, [sink.node]);
      assert.deepEqual([next.delivery.epoch, next.delivery.batch], [1, 4]);
    });

    it("sinks take no more of aborted deliveries, whichever way a message comes", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m, held], delivery } = b.send(source, [sink.node, f]);
      b.receive(held!, f);
      source.fail(delivery, new Error("no"));
      b.turn();
      b.receive(m!, sink.node);
      assert.equal(sink.accept(m!).state, "dropped");
      const fresh: Message = { _msgid: held!._msgid };
      b.ledger.sent(fresh, f, sink.node);
      b.receive(fresh, sink.node);
      assert.equal(sink.accept(fresh).state, "dropped", "what a node makes of an aborted batch is aborted too");
      assert.deepEqual(b.unprotected, []);
    });

    it("what has failed is not committed in the turn before the verdict", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m], delivery } = b.send(source, [sink.node]);
      parkAt(b, sink, m!);
      source.fail(delivery, new Error("no"));
      assert.deepEqual(sink.take(), []);
      b.turn();
      assert.equal(b.failed.length, 1);
    });

    it("done(err) fails whether a Catch node saw it or not; caughtIsDone turns that round", () => {
      for (const [caughtIsDone, caught, fails] of [[false, false, 1], [false, true, 1], [true, false, 1], [true, true, 0]] as const) {
        const b = new Bench(), source = b.source({ caughtIsDone });
        const { messages: [m] } = b.send(source, [f]);
        b.receive(m!, f);
        b.ledger.completed(m!, f, new Error("no"));
        const error: Message = { delivery: m!.delivery, error: { message: "no", source: { id: "f" } } };
        const c = { id: "c", type: "catch" };
        if (caught) { b.ledger.received(error, c); b.ledger.completed(error, c); }
        b.turn();
        assert.deepEqual([b.failed.length, b.delivered.length], [fails, 1 - fails], `caughtIsDone ${caughtIsDone}, caught ${caught}`);
      }
    });

    it("a handler that threw fails after 5 s, unless it calls done until then", () => {
      for (const finishes of [false, true]) {
        const b = new Bench(), source = b.source();
        const { messages: [m] } = b.send(source, [f]);
        b.receive(m!, f);
        b.ledger.errorLogged("f", new Error("thrown"));
        b.ledger.returned(m!, f, true);
        b.turn(4900);
        assert.equal(b.failed.length, 0);
        if (finishes) b.ledger.completed(m!, f);
        b.turn(200);
        b.turn();
        assert.deepEqual([b.failed.length, b.delivered.length], finishes ? [0, 1] : [1, 0]);
        if (!finishes) assert.match(b.failed[0]!.error.message, /thrown/);
      }
    });

    it("an error logged while no message is being handled fails nothing", () => {
      const b = new Bench(), source = b.source();
      const { messages: [m] } = b.send(source, [f]);
      b.receive(m!, f);
      b.ledger.returned(m!, f, true);
      b.ledger.errorLogged("f", new Error("something else"));
      b.turn(10_000);
      assert.equal(b.failed.length, 0);
    });

    it("a hold-up in a foreign node fails after deliveryTimeout; parked parts never do", () => {
      const b = new Bench(), source = b.source({ deliveryTimeoutMs: 3000 }), sink = b.sink();
      const parked = b.send(source, [sink.node], { partition: "1" });
      parkAt(b, sink, parked.messages[0]!);
      const { messages: [m] } = b.send(source, [f]);
      b.receive(m!, f);
      b.turn(2900);
      assert.equal(b.failed.length, 0);
      b.turn(60_000);
      b.turn();
      assert.deepEqual(b.failed.map((x) => [x.partition, x.node, (x.error as TicklakeError).code]), [["0", "f", "DELIVERY_HELD_UP"]]);
    });

    it("a link call that never returns times out once nothing else of its delivery is left", () => {
      const b = new Bench(), source = b.source({ deliveryTimeoutMs: 3000 }), call = { id: "call", type: "link call" };
      const { messages: [m] } = b.send(source, [call]);
      b.receive(m!, call);
      b.ledger.returned(m!, call, true);
      b.turn(5000);
      b.turn();
      assert.equal(b.failed[0]?.node, "call");
    });

    it("hands cutAt to the source that has the batch", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const { messages: [m] } = b.send(source, [sink.node]);
      const ended: unknown[] = [];
      b.receive(m!, sink.node);
      sink.accept(m!, (error) => ended.push(error)).fail(new Error("cut"), { cutAt: 7n });
      b.turn();
      assert.equal(b.failed[0]!.cutAt, 7n);
      assert.deepEqual(ended, [], "no error for the user");
    });
  });

  describe("pressure", () => {
    it("bounds records and bytes, lets one batch of any size through, and says when there is room again", () => {
      const b = new Bench(), source = b.source({ maxInFlight: 10 });
      assert.ok(source.hasRoom());
      const { messages: [m] } = b.send(source, [f], { records: 1000 });
      assert.ok(!source.hasRoom());
      b.receive(m!, f);
      b.ledger.completed(m!, f);
      b.turn();
      assert.deepEqual([source.hasRoom(), b.rooms], [true, 1]);
      const bytes = new Bench(), small = bytes.source({ maxInFlightBytes: 1 });
      bytes.send(small, [f]);
      assert.ok(!small.hasRoom());
    });

    it("tells sinks to flush when a source is at its bound", () => {
      const b = new Bench(), source = b.source({ maxInFlight: 2 }), sink = b.sink();
      const one = b.send(source, [sink.node]);
      parkAt(b, sink, one.messages[0]!);
      b.turn();
      assert.equal(sink.seen.pressure, 0);
      const two = b.send(source, [sink.node]);
      parkAt(b, sink, two.messages[0]!);
      b.turn();
      assert.equal(sink.seen.pressure, 1);
    });

    it("names the node in the way, and takes it back", () => {
      const b = new Bench(), source = b.source({ maxInFlight: 2, deliveryTimeoutMs: 0 });
      const sent = [b.send(source, [f]), b.send(source, [f])];
      for (const { messages: [m] } of sent) b.receive(m!, f);
      b.turn(5000);
      assert.deepEqual(b.heldUp.map((h) => [h?.node, h?.parts]), [["f", 2]]);
      for (const { messages: [m] } of sent) b.ledger.completed(m!, f);
      b.turn();
      assert.equal(b.heldUp.at(-1), undefined);
    });
  });

  describe("stopping", () => {
    it("a completion by a foreign node counts as failure, one by a sink does not", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const parked = b.send(source, [sink.node], { partition: "1" }), inside = b.send(source, [f]), noDone = b.send(source, [g], { partition: "2" });
      const part = parkAt(b, sink, parked.messages[0]!);
      b.receive(inside.messages[0]!, f);
      b.ledger.stopping();
      b.ledger.completed(inside.messages[0]!, f);
      b.receive(noDone.messages[0]!, g);
      b.ledger.returned(noDone.messages[0]!, g, false);
      const runs = sink.take();
      sink.committed(runs);
      part.done();
      b.turn();
      assert.deepEqual(b.failed.map((x) => [x.partition, (x.error as TicklakeError).code]), [["0", "STOPPED"], ["2", "STOPPED"]]);
      assert.deepEqual(b.delivered, [parked.delivery]);
    });

    it("sinks take no new part; at flows:stopped all that is not parked fails", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const late = b.send(source, [sink.node]), parked = b.send(source, [sink.node], { partition: "1" }), travelling = b.send(source, [f], { partition: "2" });
      parkAt(b, sink, parked.messages[0]!);
      b.ledger.stopping();
      b.receive(late.messages[0]!, sink.node);
      assert.equal(sink.accept(late.messages[0]!).state, "dropped");
      b.ledger.stopped();
      b.turn();
      assert.deepEqual(b.failed.map((x) => x.partition).sort(), ["0", "2"]);
      assert.equal(parked.delivery.state, "settled");
      assert.ok(travelling);
    });

    it("a link call that was stopped with its message waiting fails it; one that lives on still waits", () => {
      for (const alive of [true, false]) {
        const b = new Bench(), source = b.source(), call = { id: "call", type: "link call" };
        const { messages: [m] } = b.send(source, [call]);
        b.receive(m!, call);
        b.ledger.returned(m!, call, true);
        b.ledger.stopping();
        b.ledger.stopped(() => alive);
        b.turn();
        assert.equal(b.failed.length, alive ? 0 : 1);
      }
    });

    it("closing a sink fails what it has not committed; closing a source aborts what it has open without a word", () => {
      const b = new Bench(), source = b.source(), sink = b.sink();
      const one = b.send(source, [sink.node]);
      parkAt(b, sink, one.messages[0]!);
      sink.close();
      b.turn();
      assert.equal(b.failed.length, 1);
      const sink2 = b.sink(), two = b.send(source, [sink2.node]);
      const part = parkAt(b, sink2, two.messages[0]!);
      b.turn();
      assert.ok(source.hasSettled());
      source.close();
      b.turn();
      assert.deepEqual([b.failed.length, part.state, sink2.seen.aborted], [1, "dropped", [part]]);
      const late = { delivery: two.delivery.token };
      b.receive(late, sink2.node);
      assert.equal(sink2.accept(late).state, "dropped", "the tokens of a closed source stand for aborted batches");
      assert.throws(() => source.open({ partition: "0", records: 1, bytes: 1, context: "" }), { code: "STOPPED" });
    });
  });

  it("what a node throws at completion does not reach the sink that completes", () => {
    const bench = new Bench();
    const sink = bench.sink();
    const thrown = new Error("a Complete branch is broken");
    const [good, bad] = [sink.accept({ _msgid: "a" }, () => { throw thrown; }), sink.accept({ _msgid: "b" }, () => { throw thrown; })];
    good.park();
    good.done();
    bad.fail(new Error("poison"));
    assert.deepEqual([good.state, bad.state], ["done", "failed"]);
    assert.deepEqual(bench.errors, [thrown, thrown]);
  });

  it("stays linear: 50,000 open deliveries, a join of 10,000 of them, one abortion", function () {
    this.timeout(20_000);
    const b = new Bench(), source = b.source({ maxInFlight: 1e9 }), sink = b.sink();
    const started = performance.now();
    const sent = Array.from({ length: 50_000 }, (_, i) => b.send(source, [i < 10_000 ? f : sink.node], { partition: String(i % 4) }));
    for (const { messages: [m] } of sent.slice(0, 10_000)) b.receive(m!, f);
    b.loop.turn++;
    const out: Message = { ...sent[9_999]!.messages[0] };
    b.ledger.sent(out, f, sink.node);
    for (const { messages: [m] } of sent.slice(0, 10_000)) b.ledger.completed(m!, f);
    const tied = parkAt(b, sink, out);
    assert.equal(tied.deliveries.length, 10_000);
    for (const { messages: [m] } of sent.slice(10_000)) parkAt(b, sink, m!);
    b.turn();
    const runs = sink.take();
    assert.equal(new Set(runs.flatMap((r) => r.parts)).size, 40_001);
    sink.giveBack(runs);
    source.fail(sent[30_000]!.delivery, new Error("no"));
    b.turn();
    assert.equal(b.failed[0]!.aborted.length, 5_000);
    const again = sink.take();
    sink.committed(again);
    for (const part of new Set(again.flatMap((r) => r.parts))) part.done();
    b.turn();
    assert.equal(b.delivered.length, 45_000);
    // Quadratic work would take minutes; this takes well under two seconds on one slow core.
    assert.ok(performance.now() - started < 10_000, `${Math.round(performance.now() - started)} ms`);
  });
});
