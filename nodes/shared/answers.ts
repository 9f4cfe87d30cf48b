import type { Node, NodeMessage } from "node-red";
import { asTicklakeError } from "../../lib/errors";
import { short } from "./define";
import { StatusLine } from "./status";

/** What became of a message: what goes out beside its own properties, and how the status tells it. */
export interface NodeAnswer { msg: Record<string, unknown>; status: string; warning?: boolean }

export interface AnswerContext { signal: AbortSignal; progress(text: string): void }

/**
 * A node that answers each message with one. An answer passes the message's own properties on; an error goes to `done` and into the status. When the node
 * closes, `signal` aborts and what is under way is waited for; then `closed` is called.
 */
export function answerMessages(node: Node, answer: (msg: NodeMessage, context: AnswerContext) => Promise<NodeAnswer>, closed: () => Promise<void> | void = () => {}): void {
  const status = new StatusLine(node);
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();

  node.on("input", (msg, send, done) => {
    const work = answer(msg, { signal: closing.signal, progress: (text) => { status.idle(short(text)); } }).then((answered) => {
      if (answered.warning) status.warn(short(answered.status));
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
