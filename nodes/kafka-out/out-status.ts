import type { Node } from "node-red";
import { asTicklakeError, type TicklakeError } from "../../lib/errors";
import { describeSink, type SinkFacts } from "../../lib/kafka/sink/status";
import { keepsFromWorking } from "../../lib/metrics/health";
import { RateMeter } from "../../lib/trades/generator-rate";
import { short } from "../shared/define";
import { StatusLine } from "../shared/status";

const TICK_MS = 1000;
/** An outage is told in the log when it begins, and then so often. */
const WARN_EVERY_MS = 60_000;
/** Leaders move and new topics settle within this: no trouble that anybody need hear of. */
const PASSES_MS = 2000;

/** What stands under a kafka-out node, told once a second while something happens. */
export class OutStatus {
  readonly #line: StatusLine;
  readonly #rate = new RateMeter(3000);
  #trouble: { error: Error; until?: number } | undefined;
  #troubleSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #warnedAt = -Infinity;
  #closed = false;

  /** @param counts records written so far, and waiting */
  constructor(private readonly node: Node, private readonly counts: () => { written: number; waiting: number }) {
    this.#line = new StatusLine(node);
    this.#line.idle("ready");
  }

  /** Counts changed. */
  changed(): void {
    if (this.#closed) return;
    this.#timer ??= setInterval(() => { this.#show(); }, TICK_MS).unref();
  }

  acked(): void {
    if (this.#trouble?.until !== undefined) this.node.log("Kafka answers again.");
    this.#trouble = undefined;
    this.#troubleSince = undefined;
    this.#warnedAt = -Infinity;
  }

  retrying(error: Error, waitMs: number): void {
    this.#troubleSince ??= Date.now();
    if (Date.now() - this.#troubleSince < PASSES_MS && (error as TicklakeError).code !== "KAFKA_UNREACHABLE") return;
    this.#trouble = { error, until: Date.now() + waitMs };
    if (Date.now() - this.#warnedAt >= WARN_EVERY_MS) {
      this.#warnedAt = Date.now();
      this.node.warn(`${error.message.replace("; it is tried again.", ".")} It is tried again until it works; nothing is lost.`);
    }
    this.changed();
    this.#show();
  }

  failed(error: Error): void {
    this.#trouble = { error };
    this.changed();
    this.#show();
  }

  /** Why nothing can be written now, in the words of the status; undefined while it can. */
  get notReady(): string | undefined {
    const { written, waiting } = this.counts();
    if (!this.#trouble || !keepsFromWorking(this.#trouble.error, this.#trouble.until, waiting, Date.now())) return undefined;
    return describeSink({ written, waiting, rate: 0, ...this.#troubleNow() }).text;
  }

  end(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#line.end();
  }

  #troubleNow(): Pick<SinkFacts, "trouble"> {
    if (!this.#trouble) return {};
    const { error, until } = this.#trouble;
    return { trouble: { error: asTicklakeError(error), ...(until === undefined ? {} : { nextTryS: Math.max(1, Math.ceil((until - Date.now()) / 1000)) }) } };
  }

  #show(): void {
    const { written, waiting } = this.counts();
    const rate = this.#rate.sample(Date.now(), written);
    const { kind, text } = describeSink({ written, waiting, rate, ...this.#troubleNow() });
    this.#line[kind](short(text));
    // Nothing moves: the line stays as it is.
    if (waiting === 0 && rate === 0 && this.#timer) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}
