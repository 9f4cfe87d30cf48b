import type { Node, NodeMessage } from "node-red";
import { asTicklakeError } from "../../lib/errors";
import { short } from "./define";
import { observe } from "./observe";
import { StatusLine } from "./status";

/** What became of a message: what goes out beside its own properties, and how the status tells it. */
export interface NodeAnswer { msg: Record<string, unknown>; status: string; warning?: boolean; /** The answer is bad news: red. */ alarm?: boolean }

export interface AnswerContext { signal: AbortSignal; progress(text: string): void }

/**
 * A node that answers each message with one. An answer passes the message's own properties on; an error goes to `done` and into the status. When the node
 * closes, `signal` aborts and what is under way is waited for; then `closed` is called. A message that `refuse` has an error for is answered with that at
 * once, and the status goes on telling of what is under way.
 */
export function answerMessages(
  node: Node, answer: (msg: NodeMessage, context: AnswerContext) => Promise<NodeAnswer>, closed: () => Promise<void> | void = () => {}, refuse: (underWay: number) => Error | undefined = () => undefined,
): void {
  const status = new StatusLine(node);
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  const counted = { recordsIn: 0, recordsOut: 0 };
  const figures = observe(node, { read: () => counted });

  node.on("input", (msg, send, done) => {
    const refusal = refuse(running.size);
    if (refusal) { done(refusal); return; }
    counted.recordsIn++;
    const began = performance.now();
    const work = answer(msg, { signal: closing.signal, progress: (text) => { status.idle(short(text)); } }).then((answered) => {
      const { payload } = answered.msg;
      const rows = Array.isArray(payload) ? payload.length : 1;
      counted.recordsOut += rows;
      figures?.batch(rows, performance.now() - began, Date.now());
      if (answered.alarm) status.fail(short(answered.status));
      else if (answered.warning) status.warn(short(answered.status));
      else status.ok(short(answered.status));
      send({ ...msg, ...answered.msg } as NodeMessage);
      done();
    }).catch((caught: unknown) => {
      const error = asTicklakeError(caught, "SQL_INVALID");
      if (!closing.signal.aborted) status.fail(short(error.message));
      done(error);
    }).finally(() => running.delete(work));
    running.add(work);
  });

  node.on("close", (done: () => void) => {
    closing.abort();
    void Promise.allSettled([...running]).then(closed).then(() => { status.end(); done(); }, done);
  });
}
