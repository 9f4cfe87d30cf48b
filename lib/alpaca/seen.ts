import type { TradeColumns, TradeDictionary } from "../trades/columnar/columns";
import type { RawTrade } from "../trades/types";

/** 32-bit words of a key: symbol and exchange, id (two), time (two). */
const WORDS = 5;
const WORD = 4_294_967_296;
/** A key that no trade has: it was forgotten. */
const FORGOTTEN = -1;

/** A slot holds the index of its key plus one, and above it some bits of the key's hash: most keys that are not the wanted one are told by these, without a look at the key itself. */
const INDEX_BITS = 20, INDEX = (1 << INDEX_BITS) - 1;

/**
 * Remembers up to `limit` keys in the order in which they came; exact, no hash stands for a key. They are put into the table when somebody looks for one:
 * a feed in order never does.
 */
class Generation {
  count = 0;
  private indexed = 0;
  private keys: Int32Array;
  private slots: Int32Array;

  constructor(private readonly limit: number) {
    const first = Math.min(limit, 1024);
    this.keys = new Int32Array(first * WORDS);
    this.slots = new Int32Array(first * 2);
  }

  get full(): boolean { return this.count >= this.limit; }

  /** Index of a key, -1 where it is not there. */
  find(code: number, pair: number, idLow: number, idHigh: number, timeLow: number, timeHigh: number): number {
    if (this.indexed < this.count) this.index();
    const { slots, keys } = this;
    const mask = slots.length - 1, tag = code & ~INDEX;
    for (let slot = code & mask; ; slot = (slot + 1) & mask) {
      const found = slots[slot]!;
      if (found === 0) return -1;
      if ((found & ~INDEX) !== tag) continue;
      const index = (found & INDEX) - 1;
      const at = index * WORDS;
      if (keys[at + 1] === idLow && keys[at + 3] === timeLow && keys[at] === pair && keys[at + 2] === idHigh && keys[at + 4] === timeHigh) return index;
    }
  }

  add(pair: number, idLow: number, idHigh: number, timeLow: number, timeHigh: number): void {
    const { keys } = this;
    const at = this.count * WORDS;
    keys[at] = pair;
    keys[at + 1] = idLow;
    keys[at + 2] = idHigh;
    keys[at + 3] = timeLow;
    keys[at + 4] = timeHigh;
    if (++this.count * WORDS === keys.length && !this.full) this.grow();
  }

  forget(index: number): void { this.keys[index * WORDS] = FORGOTTEN; }

  private grow(): void {
    const keys = new Int32Array(Math.min(this.limit, this.count * 4) * WORDS);
    keys.set(this.keys);
    this.keys = keys;
  }

  /** Puts what is new into the table. */
  private index(): void {
    const { keys } = this;
    const size = powerOfTwo((keys.length / WORDS) * 2);
    if (size > this.slots.length) {
      this.slots = new Int32Array(size);
      this.indexed = 0;
    }
    const { slots } = this;
    const mask = slots.length - 1;
    for (; this.indexed < this.count; this.indexed++) {
      const at = this.indexed * WORDS;
      const code = hash(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!);
      let slot = code & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = (this.indexed + 1) | (code & ~INDEX);
    }
  }
}

/**
 * The trades that have passed, by symbol, exchange, id and time (S, x, i, t): what comes again from the stream or the history is known. Two
 * generations take turns, so between half of `capacity` and all of it is remembered; 28 bytes a trade, taken as needed.
 */
export class SeenTrades {
  private current: Generation;
  private previous: Generation | undefined;
  private readonly pairs = new Map<string, Map<string | null, number>>();
  private nextPair = 0;
  /** Per symbol and exchange: time and id of the latest trade. */
  private readonly latestTime: number[] = [];
  private readonly latestHigh: number[] = [];
  private readonly latestLow: number[] = [];
  private readonly byDictionary = new WeakMap<TradeDictionary, Map<number, number>>();
  private lastDictionary: TradeDictionary | undefined;
  private lastPairs = new Map<number, number>();
  private lastCodes = -1;
  private lastPair = 0;
  private readonly half: number;

  /** @param capacity a power of two, up to 2^20 */
  constructor(capacity = 1 << 20) {
    this.half = capacity / 2;
    this.current = new Generation(this.half);
  }

  get size(): number { return this.current.count + (this.previous?.count ?? 0); }

  /** Remembers row k; false when it was known. */
  addRow(columns: TradeColumns, k: number): boolean {
    const { id, time } = columns;
    return this.add(this.pairOfRow(columns, k), id[k * 2]!, id[k * 2 + 1]!, time[k * 2]!, time[k * 2 + 1]!);
  }

  addTrade(trade: RawTrade): boolean {
    const [low, high] = words(trade.i);
    return this.add(this.pairOf(trade.S, trade.x), low, high, trade.t | 0, Math.floor(trade.t / WORD));
  }

  /** It did not pass after all: the history may bring it. */
  forgetRow(columns: TradeColumns, k: number): void {
    const { id, time } = columns;
    this.forget(this.pairOfRow(columns, k), id[k * 2]!, id[k * 2 + 1]!, time[k * 2]!, time[k * 2 + 1]!);
  }

  forgetTrade(trade: RawTrade): void {
    const [low, high] = words(trade.i);
    this.forget(this.pairOf(trade.S, trade.x), low, high, trade.t | 0, Math.floor(trade.t / WORD));
  }

  private add(pair: number, idLow: number, idHigh: number, timeLow: number, timeHigh: number): boolean {
    // What is later than everything of its symbol and exchange (or as late, with a higher id) cannot have passed before.
    if (!this.isLatest(pair, idLow >>> 0, idHigh, timeHigh * WORD + (timeLow >>> 0))) {
      const code = hash(pair, idLow, idHigh, timeLow, timeHigh);
      if (this.previous && this.previous.find(code, pair, idLow, idHigh, timeLow, timeHigh) >= 0) return false;
      if (this.current.find(code, pair, idLow, idHigh, timeLow, timeHigh) >= 0) return false;
    }
    this.current.add(pair, idLow, idHigh, timeLow, timeHigh);
    if (this.current.full) {
      this.previous = this.current;
      this.current = new Generation(this.half);
    }
    return true;
  }

  private isLatest(pair: number, low: number, high: number, time: number): boolean {
    const { latestTime, latestHigh, latestLow } = this;
    const before = latestTime[pair]!;
    if (time < before || (time === before && (high < latestHigh[pair]! || (high === latestHigh[pair] && low <= latestLow[pair]!)))) return false;
    latestTime[pair] = time;
    latestHigh[pair] = high;
    latestLow[pair] = low;
    return true;
  }

  private forget(pair: number, idLow: number, idHigh: number, timeLow: number, timeHigh: number): void {
    const code = hash(pair, idLow, idHigh, timeLow, timeHigh);
    for (const generation of [this.current, this.previous]) {
      const index = generation?.find(code, pair, idLow, idHigh, timeLow, timeHigh) ?? -1;
      if (index >= 0) generation!.forget(index);
    }
  }

  private pairOfRow(columns: TradeColumns, k: number): number {
    const { dictionary } = columns;
    if (dictionary !== this.lastDictionary) {
      let known = this.byDictionary.get(dictionary);
      if (!known) this.byDictionary.set(dictionary, known = new Map());
      this.lastDictionary = dictionary;
      this.lastPairs = known;
      this.lastCodes = -1;
    }
    const codes = columns.symbol[k]! * 65_536 + columns.exchange[k]!;
    if (codes === this.lastCodes) return this.lastPair;
    const known = this.lastPairs;
    let pair = known.get(codes);
    this.lastCodes = codes;
    if (pair === undefined) known.set(codes, pair = this.pairOf(dictionary.symbols.values[columns.symbol[k]!]!, dictionary.exchanges.values[columns.exchange[k]!]!));
    this.lastPair = pair;
    return pair;
  }

  private pairOf(symbol: string, exchange: string | null): number {
    let exchanges = this.pairs.get(symbol);
    if (!exchanges) this.pairs.set(symbol, exchanges = new Map());
    let pair = exchanges.get(exchange);
    if (pair === undefined) {
      exchanges.set(exchange, pair = this.nextPair++);
      this.latestTime.push(-1);
      this.latestHigh.push(0);
      this.latestLow.push(0);
    }
    return pair;
  }
}

function words(id: number | string): [number, number] {
  if (typeof id === "number") return [id | 0, Math.floor(id / WORD)];
  const long = BigInt(id);
  return [Number(BigInt.asIntN(32, long)), Number(BigInt.asIntN(32, long >> 32n))];
}

function hash(a: number, b: number, c: number, d: number, e: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ b ^ (h >>> 15), 0xc2b2ae35);
  h = Math.imul(h ^ c ^ (h >>> 13), 0x27d4eb2f);
  h = Math.imul(h ^ d ^ (h >>> 16), 0x165667b1);
  h = Math.imul(h ^ e ^ (h >>> 15), 0x9e3779b1);
  return h ^ (h >>> 16);
}

function powerOfTwo(n: number): number { return 2 ** Math.ceil(Math.log2(n)); }
