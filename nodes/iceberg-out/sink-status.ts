import type { TicklakeError } from "../../lib/errors";
import type { CommitResult } from "../../lib/iceberg/sink/committer";
import { keepsFromWorking } from "../../lib/metrics/health";
import { short } from "../shared/define";
import type { StatusLine } from "../shared/status";

/** What is in the way, for the errors that mend themselves. */
const TROUBLE: { readonly [code: string]: string | undefined } = {
  STORAGE_FULL: "disk full", STORAGE_FAILED: "storage fails", COMMIT_CONFLICT: "others write to the table", COMMIT_UNKNOWN: "storage does not answer", WORKER_FAILED: "encoder failed",
  KAFKA_UNREACHABLE: "Kafka does not answer", KAFKA_FAILED: "Kafka does not answer",
};

/** What to do, in the few words that a status holds. The log has the whole message. */
const ADVICE: { readonly [code: string]: ((error: TicklakeError) => string) | undefined } = {
  TABLE_REPLACED: () => "table was made anew: going on in the new one",
  TOPIC_REPLACED: ({ details }) => `${String(details?.["topic"])}/${String(details?.["partition"])} was made anew: seek with forget`,
};

/** Columns that a commit added or widened: the first few, the log has all. */
function columnsText(columns: NonNullable<CommitResult["columns"]>): string {
  const shown = columns.slice(0, 3).map(({ name, type }) => short(`${name} (${type})`, 40)).join(", ");
  return `new: ${shown}${columns.length > 3 ? ` and ${columns.length - 3} more` : ""}`;
}

const number = (n: number): string => n.toLocaleString("en-US");

/** What stands under an iceberg-out node: how much waits, what the last commit took, what is in the way. */
export class SinkStatus {
  #waiting = new Map<string, number>();
  #rejected = 0;
  #last: Pick<CommitResult, "rows" | "ms" | "columns"> | undefined;
  /** What maintenance did last, and tables whose history is too long. */
  #maintained: string | undefined;
  readonly #advice = new Map<string, string>();
  #trouble: { table: string; text: () => string; error: TicklakeError; until?: number } | undefined;

  constructor(private readonly line: StatusLine) {
    line.idle("ready");
  }

  waiting(table: string, rows: number): void {
    this.#waiting.set(table, rows);
    this.#show();
  }

  rejected(): void { this.#rejected++; }

  get #total(): number {
    let sum = 0;
    for (const rows of this.#waiting.values()) sum += rows;
    return sum;
  }

  /** Why nothing can be committed now, in the words of the status; undefined while it can. */
  notReady(waiting: number): string | undefined {
    if (!this.#trouble || !keepsFromWorking(this.#trouble.error, this.#trouble.until, waiting, Date.now())) return undefined;
    return this.#trouble.text();
  }

  committed(table: string, result: CommitResult, waiting: number): void {
    this.#last = result;
    if (this.#trouble?.table === table) this.#trouble = undefined;
    this.waiting(table, waiting);
  }

  retrying(table: string, error: TicklakeError, waitMs: number): void {
    this.#trouble = { table, error, until: Date.now() + waitMs, text: () => short(`${TROUBLE[error.code] ?? error.code}, next try in ${Math.ceil(waitMs / 1000)} s, ${number(this.#total)} rows wait`) };
    this.#show();
  }

  failed(table: string, error: TicklakeError): void {
    this.#trouble = { table, error, text: () => short(ADVICE[error.code]?.(error) ?? error.message) };
    this.#show();
  }

  maintained(_table: string, text: string): void {
    this.#maintained = text;
    this.#show();
  }

  advice(table: string, text: string | undefined): void {
    if (text === undefined ? !this.#advice.delete(table) : this.#advice.get(table) === text) return;
    if (text !== undefined) this.#advice.set(table, text);
    this.#show();
  }

  end(): void { this.line.end(); }

  #show(): void {
    if (this.#trouble) { this.line[this.#trouble.until === undefined ? "fail" : "warn"](this.#trouble.text()); return; }
    if (this.#rejected > 0 && !this.#last && this.#total === 0) {
      this.line.warn(`no row fits the table: ${number(this.#rejected)} rejected, reasons on output 2`);
      return;
    }
    const texts = [`${number(this.#total)} rows wait`];
    if (this.#last) texts.push(`last commit ${number(this.#last.rows)} in ${number(this.#last.ms)} ms`);
    if (this.#last?.columns) texts.push(columnsText(this.#last.columns));
    if (this.#rejected > 0) texts.push(`${number(this.#rejected)} rejected`);
    if (this.#maintained) texts.push(this.#maintained);
    const advice = this.#advice.values().next().value;
    if (advice) this.line.warn(short(`${advice} · ${texts.join(" · ")}`));
    else this.line.ok(texts.join(" · "));
  }
}
