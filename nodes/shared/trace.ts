/** Where runtime/log.js looks for the trace of what is being logged. */
const TRACE = Symbol.for("ticklake.log.traceparent");

/** Runs `log` (which logs at once, not later) so that its entries belong to the trace of a message: of its `traceparent`, or that of the HTTP request or headers that it came with. */
export function withTrace<T>(msg: unknown, log: () => T): T {
  const traceparent = traceparentOf(msg);
  if (traceparent === undefined) return log();
  const shared = globalThis as { [TRACE]?: string };
  const before = shared[TRACE];
  shared[TRACE] = traceparent;
  try {
    return log();
  } finally {
    if (before === undefined) delete shared[TRACE];
    else shared[TRACE] = before;
  }
}

interface Carrier { traceparent?: unknown; headers?: { traceparent?: unknown }; req?: { headers?: { traceparent?: unknown } } }

function traceparentOf(msg: unknown): string | undefined {
  if (typeof msg !== "object" || msg === null) return undefined;
  const { traceparent, headers, req } = msg as Carrier;
  const found = traceparent ?? headers?.traceparent ?? req?.headers?.traceparent;
  return typeof found === "string" ? found : undefined;
}
