/** Counts the trades of a topic: lists as sources write them, single flattened trades, whatever names they have. */
import type { KafkaClient } from "../kafka/types";
import { TradeScanner } from "../trades/columnar/scanner";
import { TradeColumns, TradeDictionary } from "../trades/columnar/columns";
import { explode } from "../trades/explode";
import type { Trade } from "../trades/types";
import type { Counted } from "./compare";
import { Tally, type TimeRange } from "./tally";

/**
 * Reads the whole topic: a trade's time says nothing about where in the topic it stands. A replay writes old trades behind new ones.
 *
 * @throws TicklakeError as KafkaClient.readOnce
 */
export async function countTopic(client: KafkaClient, topic: string, range: TimeRange, signal?: AbortSignal): Promise<Counted> {
  const tally = new Tally();
  const scanner = new TradeScanner();
  let unreadable = 0;
  await client.readOnce(topic, (set) => {
    scanner.begin();
    for (let k = 0; k < set.count; k++) {
      if (set.valueStart[k]! < 0 || scanner.scan(set.data, set.valueStart[k]!, set.valueEnd[k]!) < 0) unreadable += addValue(tally, set.value(k), range);
    }
    tally.addColumns(scanner.columns, range);
  }, signal);
  return { name: `Kafka ${topic}`, tally, unreadable };
}

/** A value that the scanner leaves to the general way. Returns how much of it is no trade. */
function addValue(tally: Tally, value: Buffer | null, range: TimeRange): number {
  const { trades, rejects } = explode(value, { names: "documented", other: "reject" });
  const columns = new TradeColumns(new TradeDictionary(), trades.length);
  for (const trade of trades as Trade[]) {
    if (columns.push(trade)) continue;
    // Its dictionary is full: as many different texts do not come in one value, unless somebody means harm.
    tally.addColumns(columns, range);
    columns.count = 0;
    const one = new TradeColumns(new TradeDictionary(), 1);
    one.push(trade);
    tally.addColumns(one, range);
  }
  tally.addColumns(columns, range);
  return rejects.length;
}
