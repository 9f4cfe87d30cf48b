import assert from "node:assert/strict";
import { planMerge } from "../../../lib/iceberg/manifest-merge";
import { newTableMetadata } from "../../../lib/iceberg/metadata";
import type { ManifestFile, TableMetadata } from "../../../lib/iceberg/types";
import { SCHEMA, SPEC } from "../../support/iceberg";

const MB = 1024 * 1024;
const table = (properties: Record<string, string> = {}): TableMetadata => newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/t", uuid: "u", nowMs: 0, properties });
const manifest = (n: number, more: Partial<ManifestFile> = {}): ManifestFile => ({ path: `/m${n}`, length: 5000, specId: 0, content: 0, sequenceNumber: n, minSequenceNumber: n, addedSnapshotId: BigInt(n), ...more });
/** Youngest first, as in a list. */
const list = (count: number, more: Partial<ManifestFile> = {}): ManifestFile[] => Array.from({ length: count }, (_, i) => manifest(count - i, more));
const plan = (manifests: ManifestFile[], properties?: Record<string, string>): string[] => planMerge(manifests, table(properties)).map((group) => `${group[0]!.path}..${group.at(-1)!.path} (${group.length})`);

describe("merging manifests", () => {
  it("waits for 100, the new one counted", () => {
    assert.deepEqual(plan(list(98)), []);
    assert.deepEqual(plan(list(99)), ["/m99../m1 (99)"]);
  });

  it("obeys the table's properties", () => {
    assert.deepEqual(plan(list(9), { "commit.manifest.min-count-to-merge": "10" }), ["/m9../m1 (9)"]);
    assert.deepEqual(plan(list(500), { "commit.manifest-merge.enabled": "false" }), []);
    assert.deepEqual(plan(list(99), { "commit.manifest.min-count-to-merge": "nonsense" }), ["/m99../m1 (99)"]);
  });

  it("packs up to the target size from the oldest on; full groups are merged at once, single full manifests never again", () => {
    assert.deepEqual(plan(list(6, { length: 3 * MB })), ["/m2../m1 (2)", "/m4../m3 (2)"]);
    assert.deepEqual(plan([manifest(3), manifest(2, { length: 7.9 * MB }), manifest(1, { length: 8 * MB })]), []);
    assert.deepEqual(plan(list(4, { length: 9 * MB })), []);
  });

  it("keeps specs apart and leaves deletes and encrypted manifests alone", () => {
    const mixed = [...list(60), ...list(60, { specId: 1 }), ...list(200, { content: 1 }), ...list(200, { specId: 2, keyMetadata: Buffer.from([1]) })];
    assert.deepEqual(plan(mixed), []);
    assert.deepEqual(planMerge([...mixed, ...list(40)], table()).map((group) => [group.length, new Set(group.map((one) => one.specId)).size]), [[100, 1]]);
  });
});
