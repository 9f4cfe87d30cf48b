import { TicklakeError } from "../errors";
import type { NotReady } from "./registry";

/** What the flows are doing. `waiting`: they did not start, for the reason given; somebody has to act. */
export type FlowsPhase = { readonly phase: "starting" | "running" | "stopped" } | { readonly phase: "waiting"; readonly reason: string };

/** The answer to /readyz. */
export interface Readiness {
  readonly status: "ready" | "not ready";
  readonly flows: FlowsPhase["phase"];
  /** Why not, in one line. */
  readonly reason?: string;
  /** Nodes that cannot do their work. */
  readonly nodes: readonly NotReady[];
}

const TEXT = { starting: "flows are starting", stopped: "flows are stopped" } as const;

/**
 * Whether a process can do its work: flows run, and every node of ours that has something to reach reaches it. A node that waits because others are slow is ready,
 * and so is one that somebody has paused.
 */
export function readiness(flows: FlowsPhase, nodes: readonly NotReady[]): Readiness {
  const reason = flows.phase === "waiting" ? `flows did not start: ${flows.reason}`
    : flows.phase !== "running" ? TEXT[flows.phase]
    : nodes.length > 0 ? nodes.map(({ name, type, id, reason: why }) => `${name || `${type} ${id}`}: ${why}`).join("; ")
    : undefined;
  return { status: reason === undefined ? "ready" : "not ready", flows: flows.phase, ...(reason === undefined ? {} : { reason }), nodes };
}

/** For callers who have not said who they are: how many, without names and reasons. */
export function withoutNames({ status, flows, nodes }: Readiness): object { return { status, flows, nodes: nodes.length }; }

/** An attempt may take so long, ms, before the next one is told. */
const ATTEMPT_MS = 15_000;

/**
 * Whether a sink's trouble is one that keeps it from working. A record that cannot be written is the record's trouble. What mends itself is over when nothing waits and no
 * further attempt was told after the one that was due at `until` (Unix ms; undefined: nothing is tried, somebody has to act).
 */
export function keepsFromWorking(error: unknown, until: number | undefined, waiting: number, now: number): boolean {
  if (error instanceof TicklakeError && error.kind === "bad-record") return false;
  return until === undefined || waiting > 0 || now < until + ATTEMPT_MS;
}
