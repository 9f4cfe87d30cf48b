import fc from "fast-check";
import { flaky, foreign, join, KINDS, passes, type Kind } from "./kinds";
import { generator, SimSink, SimSource, World, type Row, type SimNode } from "./world";

export type Disruption = { at: number; what: "redeploy-sink" | "redeploy-foreign" | "redeploy-source" | "crash" | "stop-start" | "revoke" | "rollback" };

export const scenario = fc.record({
  seed: fc.integer(),
  partitions: fc.integer({ min: 1, max: 3 }),
  rows: fc.integer({ min: 1, max: 40 }),
  maxBatch: fc.integer({ min: 1, max: 8 }),
  maxInFlight: fc.integer({ min: 1, max: 60 }),
  sources: fc.integer({ min: 1, max: 2 }),
  layers: fc.array(fc.array(fc.constantFrom<Kind>(...KINDS), { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
  bad: fc.array(fc.record({ how: fc.constantFrom("error", "throw", "never" as const), times: fc.integer({ min: 1, max: 3 }) }), { maxLength: 2 }),
  sinks: fc.integer({ min: 1, max: 3 }),
  /** The first sink commits in transactions that carry the source's offsets: it goes last. */
  last: fc.boolean(),
  giveBack: fc.constantFrom(0, 0.3),
  poison: fc.integer({ min: 0, max: 3 }),
  disruptions: fc.array(fc.record({
    at: fc.integer({ min: 1, max: 1500 }),
    what: fc.constantFrom("redeploy-sink", "redeploy-foreign", "redeploy-source", "crash", "stop-start", "revoke", "rollback" as const),
  }), { maxLength: 4 }),
});
export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** Builds the flow of a scenario, runs it until all is delivered or the virtual clock passes five minutes. */
export function play(s: Scenario, joinOf = 0, limit = 300_000) {
  const world = new World(generator(s.seed));
  const sources = Array.from({ length: s.sources }, (_, i) => new SimSource(world, `s${i}`, s));
  let poison = s.poison;
  const sinks = Array.from({ length: s.sinks }, (_, i) => new SimSink(world, `k${i}`, {
    intervalMs: world.integer(20, 400), commitMs: 50, giveBack: s.giveBack, poison: () => poison > 0 && world.chance(0.1) && poison-- > 0,
    last: s.last && i === 0 && joinOf === 0,
  }));
  const middle: { node: SimNode; kind: Kind }[] = [];
  let heads: SimNode[] = sinks.map((sink) => sink.node);
  if (joinOf > 1) {
    const node = join(world, "join", joinOf);
    node.wires = heads;
    heads = [node];
  }
  for (const [i, { how, times }] of s.bad.entries()) {
    const node = flaky(world, `bad${i}`, how as "error", times);
    node.wires = heads;
    if (world.chance(0.5)) node.catches = [world.node(`catch${i}`, (m, send, done) => { send(m); done(); }, { type: "catch" })];
    heads = [node];
  }
  for (const [l, layer] of [...s.layers.entries()].reverse()) {
    heads = layer.map((kind, i) => {
      const node = foreign(world, `n${l}-${i}`, kind);
      node.wires = heads.filter((_, index) => index === 0 || world.chance(0.5));
      if (world.chance(0.3)) node.complete = [world.node(`complete${l}-${i}`, (m, send, done) => { send(m); done(); }, { type: "complete" })];
      middle.push({ node, kind });
      return node;
    });
  }
  for (const source of sources) source.node.wires = heads;
  const kindOf = new Map(middle.map(({ node, kind }) => [node, kind]));
  const paths = (from: SimNode, row: Row, to: SimNode): number =>
    from === to ? 1 : (kindOf.has(from) && !passes(kindOf.get(from)!, row)) ? 0 : from.wires.reduce((sum, next) => sum + paths(next, row, to), 0);

  const start = (): void => { world.ledger.started(); for (const source of sources) source.start(); };
  const stopping = (): void => { world.ledger.stopping(); for (const source of sources) source.suspend(); };
  const disrupt = (what: Disruption["what"]): void => {
    if (what === "revoke") {
      sources[world.integer(0, sources.length - 1)]!.revoke(world.integer(0, s.partitions - 1));
      return;
    }
    if (what === "rollback") {
      sinks[world.integer(0, sinks.length - 1)]!.rollBack();
      return;
    }
    if (what === "crash") {
      world.loop.clear();
      world.boot();
      // Nothing of what foreign nodes held is left: their close callbacks find an empty ledger.
      for (const node of world.nodes) node.close?.();
      world.loop.clear();
      for (const sink of sinks) sink.open();
      for (const source of sources) source.open();
      world.loop.at(1, start);
      return;
    }
    stopping();
    world.loop.at(0, () => {
      if (what !== "redeploy-sink" && what !== "redeploy-source") for (const node of world.nodes) node.close?.();
      if (what === "redeploy-sink" || what === "stop-start") for (const sink of sinks) sink.close();
      world.loop.at(2, () => {
        if (what === "redeploy-source" || what === "stop-start") for (const source of sources) source.close();
        world.ledger.stopped();
        if (what === "redeploy-sink" || what === "stop-start") for (const sink of sinks) sink.open();
        if (what === "redeploy-source" || what === "stop-start") for (const source of sources) source.open();
        world.loop.at(5, start);
      });
    });
  };
  // One at a time, as deploys are.
  let last = 0;
  const pending: { time: number; what: Disruption["what"] }[] = [];
  for (const { at, what } of [...s.disruptions].sort((a, b) => a.at - b.at)) {
    last = Math.max(at, last + 20);
    const time = last;
    pending.push({ time, what: what as Disruption["what"] });
  }
  start();
  for (const { time, what } of pending.splice(0)) {
    world.loop.run(() => world.loop.now >= time, time);
    disrupt(what);
  }
  world.loop.run(() => sources.every((source) => source.done) && sinks.every((sink) => sink.lost.size === 0), limit);
  // What was sent and not needed any more must not do harm afterwards either.
  world.loop.run(() => false, world.loop.now + 1000);
  return { world, sources, sinks, paths };
}

