import assert from "node:assert/strict";
import { type LagSource, partitionsOf, segmentParts, totalLag, withKafkaLag } from "../../../lib/pinot/table/lag";
import { recorded } from "../../support/pinot/stand-in";

const info = (state: string, offset: number, more: object = {}) => ({ serverName: "s", consumerState: state, lastConsumedTimestamp: 0, partitionToOffsetMap: { 0: String(offset) }, ...more });
const map = (segments: Record<string, unknown>) => ({ _segmentToConsumingInfoMap: segments });
const lag = (records: string, ms: string) => ({ partitionOffsetInfo: { currentOffsetsMap: { 0: "5" }, recordsLagMap: { 0: records }, availabilityLagMsMap: { 0: ms } } });

describe("lag of a Pinot table", () => {
  it("is what 1.5 tells, per partition of the newest segment that a server tells of", () => {
    const partitions = partitionsOf(recorded("consuming segments").response);
    assert.deepEqual(partitions.map((one) => [one.partition, one.state, one.offset, one.recordsLag, one.lagMs]), [[0, "CONSUMING", 66_664, 13_361, 4_812_819], [1, "CONSUMING", 20_000, 0, 0], [2, "CONSUMING", 66_664, 33_336, 4_813_758]]);
    // Segment 4 of partition 0 is there, but no server tells of it yet.
    assert.match(partitions[0]!.segment!, /__0__3__/);
    assert.deepEqual(totalLag(partitions), { records: 46_697, ms: 4_813_758 });
  });

  it("of several replicas is that of the one that is behind most", () => {
    const [one] = partitionsOf(map({ "t__0__1__20260101T0000Z": [info("CONSUMING", 9, lag("1", "10")), info("CONSUMING", 5, lag("40", "900")), info("CONSUMING", 9, lag("2", "NOT_CALCULATED"))] }));
    assert.deepEqual([one!.recordsLag, one!.lagMs], [40, 900]);
    assert.equal(partitionsOf(map({ "t__0__1__20260101T0000Z": [info("CONSUMING", 9), info("NOT_CONSUMING", 5)] }))[0]!.state, "NOT_CONSUMING");
  });

  it("is not known while no server tells, and then neither is the table's", () => {
    const partitions = partitionsOf(map({ "t__0__0__20260101T0000Z": [info("CONSUMING", 9, lag("0", "NOT_CALCULATED"))], "t__1__0__20260101T0000Z": [] }));
    assert.deepEqual(partitions.map((one) => [one.state, one.recordsLag, one.lagMs]), [["CONSUMING", 0, 0], ["STARTING", undefined, undefined]]);
    assert.deepEqual(totalLag(partitions), {});
    assert.deepEqual(partitionsOf(undefined), []);
    assert.deepEqual(totalLag([]), {});
  });

  it("before 0.12 follows from Kafka's end offsets and the time of the oldest record that waits", async () => {
    const kafka: LagSource = {
      ends: (topic, partitions) => { assert.equal(topic, "trades"); return Promise.resolve(partitions.map((partition) => [10n, 9_007_199_254_740_999n][partition]!)); },
      timestamp: (_, partition, offset) => { assert.equal(partition, 1); return Promise.resolve(Number(offset - 9_007_199_254_740_993n) * 10 + 5_000); },
      close: () => Promise.resolve(),
    };
    const told = partitionsOf(map({
      "t__0__0__20260101T0000Z": [info("CONSUMING", 10)],
      "t__1__0__20260101T0000Z": [{ consumerState: "CONSUMING", partitionToOffsetMap: { 1: "9007199254740993" } }],
      "t__2__0__20260101T0000Z": [],
    }));
    const partitions = await withKafkaLag(told, "trades", kafka, 7_500);
    assert.deepEqual(partitions.map((one) => [one.offset, one.recordsLag, one.lagMs]), [[10, 0, 0], ["9007199254740993", 6, 2_500], [undefined, undefined, undefined]]);
  });

  it("does not count the marks of transactions' ends, which take offsets and are no records", async () => {
    const lagOf = async (end: bigint, record?: bigint) => {
      const kafka: LagSource = { ends: () => Promise.resolve([end]), timestamp: (_topic, _partition, offset) => Promise.resolve(offset === record ? 400 : undefined), close: () => Promise.resolve() };
      const [one] = await withKafkaLag(partitionsOf(map({ "t__0__0__20260101T0000Z": [info("CONSUMING", 10)] })), "trades", kafka, 1_000);
      return [one!.recordsLag, one!.lagMs];
    };
    assert.deepEqual(await lagOf(13n), [0, 0]);
    assert.deepEqual(await lagOf(13n, 11n), [1, 600]);
    assert.deepEqual(await lagOf(1_000n, 10n), [990, 600]);
  });

  it("finds partition and number in the names of segments", () => {
    assert.deepEqual(segmentParts("my__table__12__345__20261123T0708Z"), { partition: 12, sequence: 345 });
    assert.equal(segmentParts("uploaded_segment"), undefined);
  });
});
