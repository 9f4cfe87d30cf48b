import { codeColumn, idColumn, numberColumn, symbolColumn } from "../decoder";
import { TimeReader } from "../time";
import type { Dialect } from "./types";

/**
 * Some venues' trade ids are no numbers (BitMEX: UUIDs), and a trade's id is one. So such an id becomes the first 63
 * bits of its FNV-1a hash: the same at every reading, and as good as unique within a day.
 */
export function hashedId(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text.trim(), "utf8")) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return String(hash >> 1n);
}

/** Tardis `trades` (crypto): microsecond epochs, the exchange by name; amounts are fractional. */
export const tardis: Dialect = {
  name: "tardis",
  title: "Tardis trades",
  required: ["exchange", "symbol", "timestamp", "local_timestamp", "price", "amount"],
  plan: (header) => ({
    symbol: symbolColumn(header.at("symbol")),
    time: ["timestamp", "local_timestamp"].map((n) => ({ index: header.at(n), reader: new TimeReader("us") })),
    price: numberColumn(header.at("price"), "price"),
    size: numberColumn(header.at("amount"), "size"),
    // Venues without ids leave the column empty.
    id: withLine(header.at("id")),
    exchange: codeColumn(header.at("exchange")),
  }),
};

function withLine(index: number) {
  const id = index >= 0 ? idColumn([index], hashedId) : undefined;
  return (r: Parameters<ReturnType<typeof idColumn>>[0]) => (id && r.ends[index]! > r.starts[index]! ? id(r) : r.line);
}
