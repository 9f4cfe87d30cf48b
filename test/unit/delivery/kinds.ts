import type { Row, SimNode, World } from "./world";

/** What foreign nodes do with a message. Each is deterministic in the rows it lets through, so that what must arrive is known. */
export const KINDS = ["same", "fresh", "copy", "filter", "delay", "split", "no-done", "no-done-fresh", "async", "twice-done", "foreign-field"] as const;
export type Kind = typeof KINDS[number];

export const passes = (kind: Kind, row: Row): boolean => kind !== "filter" || row.n % 3 !== 0;

/** A node of this kind. */
export function foreign(world: World, id: string, kind: Kind): SimNode {
  switch (kind) {
    case "same": return world.node(id, (m, send, done) => { send(m); done(); });
    // return {payload: msg.payload}: function nodes keep the _msgid
    case "fresh": return world.node(id, (m, send, done) => { send({ _msgid: m._msgid, payload: m.payload }); done(); });
    case "copy": return world.node(id, (m, send, done) => { done(); send(world.clone(m)); });
    case "foreign-field": return world.node(id, (m, send, done) => { send({ _msgid: m._msgid, payload: m.payload, delivery: { my: "own" } }); done(); });
    case "filter": return world.node(id, (m, send, done) => {
      const payload = m.payload.filter((row) => passes(kind, row));
      if (payload.length > 0) send({ ...m, payload });
      done();
    });
    case "split": return world.node(id, (m, send, done) => {
      for (const row of m.payload) send({ ...m, _msgid: undefined, payload: [row] });
      done();
    });
    case "async": return world.node(id, (m, send, done) => { world.loop.at(world.integer(0, 30), () => { send({ payload: m.payload, _msgid: m._msgid }); done(); }); });
    case "twice-done": return world.node(id, (m, send, done) => { send(m); done(); done(); done(new Error("too late to matter")); });
    case "no-done": { const node = world.node(id, (m) => { world.send(node, m); }, { completes: false }); return node; }
    case "no-done-fresh": { const node = world.node(id, (m) => { world.send(node, world.message(m.payload)); }, { completes: false }); return node; }
    case "delay": {
      const held = new Set<() => void>();
      return world.node(id, (m, send, done) => {
        const cancel = world.loop.at(world.integer(1, 200), () => { held.delete(end); send(m); done(); });
        const end = (): void => { cancel(); done(); };
        held.add(end);
      // As Node-RED's delay does: done without sending.
      }, { close: () => { for (const end of held) end(); held.clear(); } });
    }
  }
}

/** Collects rows of several messages into one and completes them together, as the join and batch nodes do. */
export function join(world: World, id: string, count: number): SimNode {
  let held: { rows: Row[]; done: () => void }[] = [];
  return world.node(id, (m, send, done) => {
    held.push({ rows: m.payload, done });
    if (held.length < count) return;
    const all = held;
    held = [];
    send({ ...m, payload: all.flatMap((one) => one.rows) });
    for (const one of all) one.done();
  }, { close: () => { for (const one of held) one.done(); held = []; } });
}

/** Calls `times` times what a bad node does, then behaves. */
export function flaky(world: World, id: string, how: "error" | "throw" | "never", times: number): SimNode {
  let left = times;
  return world.node(id, (m, send, done) => {
    if (left > 0 && world.chance(0.3)) {
      left--;
      if (how === "error") done(new Error("bad day"));
      else if (how === "throw") throw new Error("thrown");
      return;
    }
    send(m);
    done();
  });
}
