import { TicklakeError } from "../../errors";
import type { ConsumerState } from "../types";
import type { SourceClock } from "./contract";

/** An outage is told when it begins, and then so often. */
const WARN_EVERY_MS = 60_000;
/** Coordinators move, and the topics of a flow are created by its own kafka-out, within this: no trouble that anybody need hear of. */
const PASSES_MS = 3000;
/** Every attempt to join looks like an end of the outage: only one that lasts so long is one. */
const JOINS_MS = 5000;

interface OutageNews {
  warn(text: string): void;
  /** The status has to be drawn anew. */
  changed(): void;
}

/**
 * What of a consumer's troubles is said, and how often. A consumer that cannot reach its group changes between "joining" and "down" with every attempt;
 * its user sees one outage: one warning when it begins and one a minute, and a status that stands still.
 */
export class Outage {
  /** Why nothing or not all can be read. */
  trouble: Error | undefined;
  /** Which topics are waited for. */
  unknownTopics: string | undefined;
  private since: number | undefined;
  private warned: { at: number; code: string } | undefined;
  private toldTopics: string | undefined;
  private cancelTopics: (() => void) | undefined;
  private cancelJoin: (() => void) | undefined;

  constructor(private readonly clock: SourceClock, private readonly news: OutageNews) {}

  /** The consumer's state changed, or its error. */
  state(state: ConsumerState, error?: Error): void {
    this.cancelJoin?.();
    this.cancelJoin = undefined;
    const unknown = codeOf(error) === "KAFKA_TOPIC_UNKNOWN" ? error : undefined;
    this.topics(state, unknown);
    if (state === "down" && error) {
      this.trouble = error;
      this.down(error);
    } else if (this.since !== undefined && (state === "joining" || state === "connecting")) {
      this.cancelJoin = this.clock.after(JOINS_MS, () => this.over(unknown ? undefined : error));
    } else {
      this.over(unknown ? undefined : error);
    }
  }

  end(): void {
    this.cancelJoin?.();
    this.cancelTopics?.();
  }

  private over(error: Error | undefined): void {
    this.since = undefined;
    this.warned = undefined;
    this.trouble = error;
    this.news.changed();
  }

  private down(error: Error): void {
    const now = this.clock.now();
    this.since ??= now;
    const code = codeOf(error);
    if (code === "KAFKA_FAILED" && now - this.since < PASSES_MS) return;
    if (this.warned?.code === code && now - this.warned.at < WARN_EVERY_MS) return;
    this.warned = { at: now, code };
    this.news.warn(`${error.message.replace("; it is tried again.", ".")} It is tried again until it works; nothing is lost.`);
  }

  private topics(state: ConsumerState, unknown: Error | undefined): void {
    // Only where the group is held is it known that all topics are there.
    if (!unknown && state !== "running") return;
    this.unknownTopics = unknown?.message;
    if (!unknown) {
      this.cancelTopics?.();
      this.cancelTopics = undefined;
      this.toldTopics = undefined;
      return;
    }
    if (this.toldTopics === unknown.message || this.cancelTopics) return;
    this.cancelTopics = this.clock.after(PASSES_MS, () => {
      this.cancelTopics = undefined;
      if (this.unknownTopics === undefined || this.unknownTopics === this.toldTopics) return;
      this.toldTopics = this.unknownTopics;
      this.news.warn(`${this.unknownTopics} It is waited for.`);
    });
  }
}

function codeOf(error: Error | undefined): string { return error instanceof TicklakeError ? error.code : error ? "KAFKA_FAILED" : ""; }
