/** What a process did, counted from the results that its nodes send. Pure but for the clock that is handed in. */
import { formatCount, RateMeter } from "../trades/generator-rate";

/** One message that leaves a node. */
export interface Seen { readonly type: string; readonly port: number; readonly msg: Readonly<Record<string, unknown>> & { readonly payload?: unknown } }

/** Counts; trades unless it says otherwise. */
export interface Totals {
  /** That sources sent, repetitions included. */
  sent: number;
  batches: number;
  /** That Kafka acknowledged as arrays, and the messages that they are. */
  produced: number; messages: number;
  /** That Kafka acknowledged one by one. */
  flattened: number;
  /** Rows that tables committed, in how many commits, and attempts that lost to other writers; rows that were there already. */
  committed: number; commits: number; conflicts: number; duplicates: number;
  /** Trades that were printed. */
  printed: number;
  /** Records that were set aside. */
  rejected: number;
  /** Rows of a file that were in the topic before this process. */
  resumed: number;
}

/** Node types that make or bring trades, and stop when they are told so. */
export const SOURCES: ReadonlySet<string> = new Set(["synthetic-gen", "csv-replay", "alpaca-in"]);
const count = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

/** Counts the messages of a process. */
export class Statistics {
  readonly totals: Totals = { sent: 0, batches: 0, produced: 0, messages: 0, flattened: 0, committed: 0, commits: 0, conflicts: 0, duplicates: 0, printed: 0, rejected: 0, resumed: 0 };
  private readonly meter = new RateMeter();
  private readonly began: number;

  constructor(private readonly now: () => number = () => performance.now()) { this.began = now(); }

  /** @param length of the payload, told apart so that one that nobody has read stays unread */
  take({ type, port, msg }: Seen, length: number): void {
    const { totals } = this;
    if (SOURCES.has(type) && port === 0) { totals.sent += length; totals.batches++; totals.resumed = Math.max(totals.resumed, count(msg["resumedAfter"])); }
    else if ((type === "explode-trades" || type === "iceberg-out" || type === "kafka-in" || type === "csv-replay") && port === 1) totals.rejected++;
    else if (type === "kafka-out" && port === 0) this.acknowledged(msg);
    else if (type === "iceberg-out" && port === 0) this.committed(msg.payload as Record<string, unknown>);
  }

  /** Its source says that Kafka has all that was sent, some of it from another process. */
  delivered(): void { this.totals.produced = Math.max(this.totals.produced, this.totals.sent); }

  /** Trades that were handed to a node that prints. */
  printed(trades: number): void { this.totals.printed += trades; }

  /** Arrays say how many trades they hold in `msg.trades`. */
  private acknowledged(msg: Seen["msg"]): void {
    const { totals } = this, messages = count((msg.payload as Record<string, unknown> | undefined)?.["count"]);
    if (msg["trades"] === undefined) totals.flattened += messages;
    else { totals.produced += count(msg["trades"]); totals.messages += messages; }
  }

  private committed(result: Record<string, unknown>): void {
    const { totals } = this;
    totals.committed += count(result["rows"]);
    totals.conflicts += count(result["conflicts"]);
    totals.duplicates += count(result["duplicates"]);
    totals.commits++;
  }

  /** Of what was sent, the part that was acknowledged, in percent; undefined for a process without a source. */
  get successRate(): number | undefined {
    const { sent, produced } = this.totals;
    return sent === 0 ? undefined : Math.min(100, (produced / sent) * 100);
  }

  /** The farthest that trades came, which the rate is of. */
  private get done(): number {
    const { produced, flattened, committed, printed } = this.totals;
    return Math.max(produced, flattened, committed, printed);
  }

  get seconds(): number { return (this.now() - this.began) / 1000; }

  /** One line for a terminal. */
  progress(): string {
    return `${this.parts().join(", ") || "nothing yet"}; ${formatCount(this.meter.sample(this.now(), this.done))}/s`;
  }

  private parts(): string[] {
    const { sent, produced, flattened, committed, commits, printed, rejected } = this.totals;
    return [
      ...(sent > 0 || produced > 0 ? [`${number(produced)} of ${number(sent)} trades acknowledged`] : []), ...(flattened > 0 ? [`${number(flattened)} flattened`] : []),
      ...(committed > 0 ? [`${number(committed)} in the table (${commits} commit${commits === 1 ? "" : "s"})`] : []), ...(printed > 0 ? [`${number(printed)} printed`] : []),
      ...(rejected > 0 ? [`${number(rejected)} set aside`] : []),
    ];
  }

  /** What is printed at the end. */
  report(): string {
    const { totals, seconds, successRate } = this;
    const rate = seconds > 0 ? this.done / seconds : 0;
    const lines: [string, string][] = [];
    if (totals.sent > 0) lines.push(
      ["Trades sent", `${number(totals.sent)} in ${number(totals.batches)} batches`],
      ["Trades acknowledged", `${number(totals.produced)} in ${number(totals.messages)} messages`],
      ["Success rate", `${successRate!.toFixed(2)} %`],
    );
    if (totals.resumed > 0) lines.push(["In the topic already", `${number(totals.resumed)} rows of the file`]);
    if (totals.flattened > 0) lines.push(["Trades into the topic", number(totals.flattened)]);
    if (totals.commits > 0) lines.push(["Rows into the table", `${number(totals.committed)} in ${number(totals.commits)} ${totals.commits === 1 ? "commit" : "commits"}${totals.conflicts > 0 ? ` (${number(totals.conflicts)} lost to other writers and made anew)` : ""}`]);
    if (totals.duplicates > 0) lines.push(["In the table already", number(totals.duplicates)]);
    if (totals.printed > 0) lines.push(["Trades printed", number(totals.printed)]);
    if (totals.rejected > 0) lines.push(["Set aside", number(totals.rejected)]);
    lines.push(["Throughput", `${rate < 100 ? rate.toFixed(1) : number(Math.round(rate))} trades/s`], ["Duration", `${seconds.toFixed(1)} s`]);
    const width = Math.max(...lines.map(([name]) => name.length));
    return ["Statistics", ...lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join("\n");
  }
}

const number = (n: number): string => n.toLocaleString("en-US");
