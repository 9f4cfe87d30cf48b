import { crc32 } from "node:zlib";

/** Count, sum of shares, digest. */
type Group = [number, number, number];

/** The digest of digest_days.py over flattened trades in JSON, whatever their order. */
export class TradeDigest {
  readonly groups: Record<string, Group> = {};
  trades = 0;

  /** @throws Error for a message that is no flattened trade with all its fields and no other */
  add(value: string): void {
    const trade = JSON.parse(value) as Record<string, unknown>;
    if (Object.keys(trade).join() !== "T,S,i,x,p,s,timestamp,c,z" || trade["T"] !== "t") throw new Error(`no flattened trade: ${value.slice(0, 200)}`);
    // As it is written: a number may have more digits than JavaScript keeps.
    const id = /"i":(\d+)/.exec(value)?.[1];
    const timestamp = trade["timestamp"] as number;
    const text = [trade["S"], id, trade["x"], trade["p"], trade["s"], timestamp, (trade["c"] as string[]).join(","), trade["z"]].join("|");
    const group = this.groups[`${String(trade["S"])}/${Math.floor(timestamp / 86_400_000)}`] ??= [0, 0, 0];
    group[0]++;
    group[1] += trade["s"] as number;
    group[2] = (group[2] + crc32(text)) >>> 0;
    this.trades++;
  }
}
