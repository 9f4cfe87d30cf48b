import assert from "node:assert/strict";
import { openKafka } from "../../../lib/kafka/client";
import type { PinotCluster } from "../../../lib/pinot/cluster";
import { parseTable, runTableOperation } from "../../../lib/pinot/table";
import { kafkaLag } from "../../../lib/pinot/table/kafka-lag";
import { countTopic } from "../../../lib/reconcile/kafka";
import { countPinot } from "../../../lib/reconcile/pinot";
import { reconcile, type Reconciliation } from "../../../lib/reconcile/run";
import { createTopic, deleteTopics, produce, sharedKafka } from "../../support/kafka";
import { clusterFor, sharedPinot, uniqueTable } from "../../support/pinot";

const HOUR = Date.UTC(2024, 0, 2, 14);
const RANGE = { from: HOUR, to: HOUR + 2 * 3_600_000 };

describe("a topic and the table of a real Pinot that reads it, reconciled", function () {
  this.timeout(180_000);
  let cluster: PinotCluster;
  let brokers: string;
  before(async () => {
    const [pinot, kafka] = await Promise.all([sharedPinot(), sharedKafka()]);
    [cluster, brokers] = [clusterFor(pinot), kafka.brokers];
  });

  const trade = (k: number): string => JSON.stringify({ T: "t", S: ["AAPL", "BRK.A"][k % 2], i: k, x: "V", p: 100 + k / 100, s: k + 1, timestamp: HOUR + k * 60_000, c: ["@"], z: "C" });

  for (const names of ["documented", "readable"]) {
    it(`agree, with ${names} names; and what one has more is named`, async () => {
      const name = uniqueTable("reconciled");
      const client = openKafka({ brokers: brokers.split(","), clientId: "test" });
      const table = (operation: "create" | "delete"): Promise<unknown> => runTableOperation({ cluster, operation, settings: parseTable({ kafkaBrokers: brokers, topic: name, table: name, names }), confirm: true }, { kafka: kafkaLag, warn: () => undefined });
      try {
        await createTopic(brokers, name, { partitions: 2 });
        await table("create");
        // 100 minutes in the range, and some before and behind it.
        await produce(brokers, name, Array.from({ length: 130 }, (_, k) => ({ value: trade(k - 5), partition: Math.abs(k) % 2 })));
        const compared = (): Promise<Reconciliation> => reconcile([
          { name: "topic", count: (range, signal) => countTopic(client, name, range, signal) },
          { name: "Pinot", count: (range, signal) => countPinot(cluster.http, name, range, signal) },
        ], RANGE);
        const becomes = async (wanted: (result: Reconciliation) => boolean): Promise<Reconciliation> => {
          for (const end = Date.now() + 60_000; ;) {
            const result = await compared();
            if (wanted(result) || Date.now() > end) return result;
            await new Promise((done) => { setTimeout(done, 200); });
          }
        };
        const equal = await becomes((result) => result.equal && result.places[1]!.trades > 0);
        assert.equal(equal.summary, "120 trades equal in 2 places", JSON.stringify(equal.differences.slice(0, 2)));
        assert.equal(equal.places[0]!.size, equal.places[1]!.size);

        // Pinot is asked for a minute less: its last trade is missing.
        const part = await reconcile([
          { name: "topic", count: (range, signal) => countTopic(client, name, range, signal) },
          { name: "Pinot", count: (range, signal) => countPinot(cluster.http, name, { ...range, to: range.to - 60_000 }, signal) },
        ], RANGE);
        assert.deepEqual(part.differences.map(({ text }) => text), [`BRK.A, 2024-01-02T15h: Pinot ${name} has 1 fewer than Kafka ${name} (29 against 30)`]);
        await assert.rejects(countPinot(cluster.http, `${name}_not`, RANGE), { code: "TABLE_NOT_FOUND" });
      } finally {
        await client.close();
        await table("delete").catch(() => undefined);
        await deleteTopics(brokers, name).catch(() => undefined);
      }
    });
  }
});
