/**
 * One query on a Pinot broker: parameters and LIMIT into the SQL, the answer into rows, `exceptions` into an error.
 */
import { TicklakeError } from "../../errors";
import { pause } from "../../retry";
import { stopped } from "../../sql/errors";
import { isPartial, queryError, readExceptions, RESOURCE_MISSING } from "./errors";
import { PINOT_DEFAULT_LIMIT, planLimit } from "./limit";
import type { PinotQuery } from "./options";
import { bindParameters } from "./parameters";
import { type BrokerAnswer, partialReasons, type PinotResult, readStatistics, readTable } from "./result";

/** `POST /query/sql` of a broker. `queryOptions` is `key=value;key=value`. */
export interface BrokerRequest { sql: string; queryOptions: string }

/**
 * Sends a request to the broker and resolves with its JSON, in which whole numbers beyond 2^53 are text of their digits; rejects with a TicklakeError
 * where there is none. `timeoutMs` is how long to wait for it.
 */
export type AskBroker = (request: BrokerRequest, options: { timeoutMs: number; signal?: AbortSignal }) => Promise<unknown>;

export interface RunOptions {
  signal?: AbortSignal;
  /** Milliseconds of a clock that only goes forward. */
  now?: () => number;
  pause?: typeof pause;
}

/** How long the broker may take to say itself that time is up. */
const GRACE_MS = 3000;
/** A table that was just created: for so long its query is asked again, so often. */
const NEW_TABLE_MS = 5000, NEW_TABLE_PAUSE_MS = 200;

const MISSING_LIMIT = `The query has no LIMIT: Pinot returns ${PINOT_DEFAULT_LIMIT} rows at the most, and does not say when there are more. Write a LIMIT, or tick "Add LIMIT".`;

/**
 * @throws TicklakeError SQL_INVALID, TABLE_NOT_FOUND, PINOT_TIMEOUT, PINOT_FAILED, PINOT_DENIED, SQL_BUSY, SQL_TOO_LARGE (`details.pinot` has Pinot's codes), STOPPED, and what `ask` throws
 */
export async function runPinotQuery(ask: AskBroker, query: PinotQuery, options: RunOptions = {}): Promise<PinotResult> {
  const { now = () => performance.now() } = options;
  const started = now();
  const bound = bindParameters(query.sql, query.params);
  const { sql, missing } = planLimit(bound, query);
  const answer = await askUntilServed(ask, sql, query.timeoutMs, { ...options, now });
  const exceptions = readExceptions(answer.exceptions);
  const hasRows = Boolean(answer.resultTable);
  if (exceptions.length > 0 && !(query.allowPartial && hasRows && isPartial(exceptions))) throw queryError(exceptions, bound);

  const { rows, columns, truncated } = readTable(answer, query.maxRows);
  const reasons = [...exceptions.map(({ errorCode, message }) => `${message.split("\n")[0]} (Pinot's error ${errorCode})`), ...partialReasons(answer)];
  const warnings = [...reasons, ...(missing ? [MISSING_LIMIT] : [])];
  const statistics = { ...readStatistics(answer), ms: Math.round(now() - started), truncated, partial: reasons.length > 0, limitMissing: missing, warnings };
  return { rows, columns, statistics };
}

/** Asks again for a while where the broker does not know yet who serves the table. */
async function askUntilServed(ask: AskBroker, sql: string, timeoutMs: number, { signal, now, pause: wait = pause }: RunOptions & { now: () => number }): Promise<BrokerAnswer> {
  const giveUp = now() + Math.min(NEW_TABLE_MS, timeoutMs);
  for (;;) {
    if (signal?.aborted) throw stopped();
    const answer = toAnswer(await ask({ sql, queryOptions: `timeoutMs=${timeoutMs}` }, { timeoutMs: timeoutMs + GRACE_MS, ...(signal ? { signal } : {}) }));
    const isNew = readExceptions(answer.exceptions).some(({ errorCode }) => errorCode === RESOURCE_MISSING);
    if (!isNew || now() >= giveUp) return answer;
    await wait(NEW_TABLE_PAUSE_MS, signal);
  }
}

function toAnswer(answer: unknown): BrokerAnswer {
  if (typeof answer === "object" && answer !== null && !Array.isArray(answer)) return answer as BrokerAnswer;
  throw new TicklakeError("INTERNAL", "The broker's answer is no object of JSON. Does its address lead to another service?");
}
