import type { Producer } from "kafkajs";
import { endOffsets, plainClient } from "./kafka";
import { SyntheticTrades } from "../../lib/trades/synthetic";

/** A trade as it stands in `iex_data`. */
export interface WireTrade { T: string; S: string; i: number; x: string; p: number; s: number; t: number; c: string[]; z: string }

const SYMBOLS = ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"];

/** Trades with ids from `from` on, no two alike: the same seed and range, the same trades. */
export function tradesOf(seed: string, from: number, count: number): WireTrade[] {
  const source = new SyntheticTrades({ symbols: SYMBOLS, seed: `${seed}/${from}`, priceModel: "gbm" });
  return source.fill([], count, { at: Date.UTC(2024, 0, 2, 15) + from, span: count }).map((trade, k) => ({ ...(trade as unknown as WireTrade), i: from + k }));
}

const sleep = (ms: number): Promise<void> => new Promise((done) => { setTimeout(done, ms); });

/**
 * Writes arrays of trades to a topic, each exactly once, whatever happens to the broker: it is the only writer, so after a send of unknown
 * outcome the partition's end says whether the array is there. Independent of what is tested (plain kafkajs, no retries of its own).
 */
export class TradeWriter {
  readonly #next: number[];
  #trades = 0;
  #arrays = 0;
  #producer: Promise<Producer> | undefined;

  constructor(private readonly brokers: string, private readonly topic: string, partitions: number, private readonly seed: string, private readonly perArray = 100) {
    this.#next = new Array<number>(partitions).fill(0);
  }

  /** Trades that are in the topic; their ids are 0 to trades - 1. */
  get trades(): number { return this.#trades; }
  /** Messages per partition. */
  get ends(): readonly number[] { return this.#next; }

  /** Begins behind what is in the topic already. */
  async catchUp(): Promise<void> { for (const [p, end] of (await endOffsets(this.brokers, this.topic)).entries()) this.#next[p] = end; }

  /** Writes arrays until `until` says so, with a pause after each. */
  async run(until: () => boolean, pauseMs: () => number): Promise<void> {
    while (!until()) {
      await this.write(1 + (this.#arrays * 7919) % this.perArray);
      await sleep(pauseMs());
    }
  }

  /** Writes one array of so many trades to the next partition. */
  async write(count: number): Promise<void> {
    const partition = this.#arrays++ % this.#next.length;
    const value = JSON.stringify(tradesOf(this.seed, this.#trades, count));
    for (;;) {
      try {
        await (await this.#connected()).send({ topic: this.topic, acks: -1, messages: [{ value, partition }] });
        break;
      } catch {
        await this.#disconnect();
        if (await this.#landed(partition)) break;
      }
    }
    this.#next[partition]!++;
    this.#trades += count;
  }

  #connected(): Promise<Producer> {
    return this.#producer ??= (async () => {
      const producer = plainClient(this.brokers).producer({ createPartitioner: () => ({ message }) => message.partition!, retry: { retries: 0 } });
      await producer.connect();
      return producer;
    })();
  }

  async #disconnect(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.then((p) => p.disconnect(), () => undefined).catch(() => undefined);
  }

  /** Whether the array of unknown outcome is in the log; asks until the broker is back. */
  async #landed(partition: number): Promise<boolean> {
    for (;;) {
      try {
        const end = (await endOffsets(this.brokers, this.topic))[partition]!;
        if (end === this.#next[partition]) return false;
        if (end === this.#next[partition]! + 1) return true;
        throw new Error(`${this.topic}-${partition} ends at ${end}, written were ${this.#next[partition]}: somebody else writes there`);
      } catch (error) {
        if (error instanceof Error && error.message.includes("somebody else")) throw error;
        await sleep(200);
      }
    }
  }

  close(): Promise<void> { return this.#disconnect(); }
}
