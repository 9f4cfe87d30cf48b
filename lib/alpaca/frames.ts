import { parseJson } from "../trades/explode-json";
import { rawTradeSchema, tradeIssue } from "../trades/schema";
import { FORM, TradeScanner } from "../trades/columnar/scanner";
import type { TradeColumns } from "../trades/columnar/columns";
import { parseRfc3339Ms } from "../trades/time";
import type { RawTrade } from "../trades/types";
import { decodeMsgpack } from "./msgpack";
import { MsgpackTrades } from "./msgpack-trades";
import type { ControlMessage, FeedMessage } from "./types";

/** What a frame was made of. The reader hands each on at once, in the order of the frame. */
export interface FrameSink {
  /** Trades from row `from` on are new in `columns`. */
  rows(columns: TradeColumns, from: number): void;
  /** A trade that does not fit into columns: of a fraction of a share, or with the text of its time. */
  trade(trade: RawTrade): void;
  other(message: FeedMessage): void;
  /** An element that is no message, or a trade with something missing; `reason` in words, `value` in a few characters. */
  malformed(reason: string, value: unknown): void;
}

const CONTROL = new Set<unknown>(["success", "error", "subscription"]);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads the frames of a stream. Frames of trades go straight into columns; whatever else there may be (other messages, a trade of an
 * odd form, broken text) takes the general way, element by element, and a broken one never costs its neighbours.
 */
export class FrameReader {
  private readonly scanner = new TradeScanner();
  private readonly packed = new MsgpackTrades();

  constructor(private readonly sink: FrameSink, private readonly keepNanos = false) {}

  /** The trades in columns that are collected at present. */
  get columns(): TradeColumns { return this.scanner.columns; }

  /** What was collected has been taken: begin anew. */
  begin(): void { this.scanner.begin(); }

  /** Takes a frame in. Returns the messages about the session that it held. */
  read(data: Uint8Array, binary: boolean): ControlMessage[] {
    if (!this.keepNanos) {
      const { columns } = this.scanner;
      const from = columns.count;
      // Nearly every frame begins with a trade or holds none.
      if (binary ? this.packed.scan(data, columns) : this.scan(data)) {
        this.sink.rows(columns, from);
        return [];
      }
    }
    let value: unknown;
    try {
      value = binary ? decodeMsgpack(data) : parseJson(utf8.decode(data));
    } catch (error) {
      this.sink.malformed(`A frame of ${data.length} bytes cannot be read: ${(error as Error).message}.`, excerpt(data));
      return [];
    }
    return this.elements(Array.isArray(value) ? value : [value]);
  }

  private scan(data: Uint8Array): boolean {
    const before = this.scanner.columns.count;
    const form = this.scanner.scan(data, 0, data.length);
    if (form >= 0 && (form & FORM.flat) === 0) return true;
    this.scanner.columns.count = before;
    return false;
  }

  private elements(list: readonly unknown[]): ControlMessage[] {
    const control: ControlMessage[] = [];
    for (const value of list) {
      if (typeof value !== "object" || value === null || Array.isArray(value) || typeof (value as { T?: unknown }).T !== "string") {
        this.sink.malformed("An element of a frame is no message: it has no T.", value);
        continue;
      }
      const message = value as FeedMessage;
      if (CONTROL.has(message.T)) control.push(message as unknown as ControlMessage);
      else if (message.T === "t") this.trade(message);
      else this.sink.other(withMs(message, this.keepNanos));
    }
    return control;
  }

  private trade(message: FeedMessage): void {
    const trade = toTrade(message, this.keepNanos);
    if (typeof trade === "string") {
      this.sink.malformed(`A trade cannot be used: ${trade}.`, message);
      return;
    }
    const { columns } = this.scanner;
    const from = columns.count;
    if (trade.tns === undefined && Number.isSafeInteger(trade.s) && columns.push({ ...trade, timestamp: trade.t })) this.sink.rows(columns, from);
    else this.sink.trade(trade);
  }
}

/**
 * A trade of the stream or the history in the pipeline's raw form: `t` becomes Unix ms, cut and never rounded; an id beyond 2^53 is text. Sizes may be
 * fractions (crypto). Gives the reason in words where it is no trade.
 */
export function toTrade(message: Readonly<Record<string, unknown>>, keepNanos = false): RawTrade | string {
  const { s, t } = message;
  // The schema's sizes are whole; the fraction is put back in.
  const fraction = typeof s === "number" && s >= 0 && Number.isFinite(s) && !Number.isInteger(s);
  const parsed = rawTradeSchema.safeParse(fraction ? { ...message, s: 0 } : message);
  if (!parsed.success) return tradeIssue(message) ?? "it is no trade";
  const { T, S, i, x, p, t: ms, c, z } = parsed.data;
  return { T, S, i, x, p, s: fraction ? s : parsed.data.s, t: ms, c, z, ...(keepNanos && typeof t === "string" ? { tns: t } : {}) };
}

/** Another message with its time in Unix ms (where it has one), as trades have it. */
function withMs(message: FeedMessage, keepNanos: boolean): FeedMessage {
  const { t } = message;
  const ms = typeof t === "string" ? parseRfc3339Ms(t) : undefined;
  return ms === undefined ? message : { ...message, t: ms, ...(keepNanos ? { tns: t } : {}) };
}

function excerpt(data: Uint8Array): string { return Buffer.from(data.buffer, data.byteOffset, Math.min(data.length, 80)).toString("utf8"); }
