/**
 * What must hold at the server for a commit: "only if the base is still the current version", in the words of the REST specification
 * (TableRequirement of its OpenAPI description). Pure.
 *
 * All of them go along with every commit, not only those that its updates demand: whoever changed columns, partitioning or rows in between makes the
 * commit a conflict, as on every other catalog. Properties cannot be asserted (see watermark-guard.ts).
 */
import type { TableMetadata } from "../../types";
import type { MetadataUpdate } from "../../updates";

export type TableRequirement =
  | { type: "assert-table-uuid"; uuid: string }
  | { type: "assert-ref-snapshot-id"; ref: string; "snapshot-id": bigint | null }
  | { type: "assert-current-schema-id"; "current-schema-id": number }
  | { type: "assert-last-assigned-field-id"; "last-assigned-field-id": number }
  | { type: "assert-default-spec-id"; "default-spec-id": number }
  | { type: "assert-last-assigned-partition-id"; "last-assigned-partition-id": number }
  | { type: "assert-default-sort-order-id"; "default-sort-order-id": number };

/** The requirements of a commit of `updates` that was built on `base`. */
export function requirementsOf(base: TableMetadata, updates: readonly MetadataUpdate[]): TableRequirement[] {
  return [
    { type: "assert-table-uuid", uuid: base["table-uuid"] },
    ...assertedRefs(base, updates).map((ref): TableRequirement => ({ type: "assert-ref-snapshot-id", ref, "snapshot-id": snapshotOf(base, ref) })),
    { type: "assert-current-schema-id", "current-schema-id": base["current-schema-id"] },
    { type: "assert-last-assigned-field-id", "last-assigned-field-id": base["last-column-id"] },
    { type: "assert-default-spec-id", "default-spec-id": base["default-spec-id"] },
    { type: "assert-last-assigned-partition-id", "last-assigned-partition-id": base["last-partition-id"] },
    { type: "assert-default-sort-order-id", "default-sort-order-id": base["default-sort-order-id"] },
  ];
}

/** `main`, every other branch or tag that is changed; all of them where snapshots are removed, which none of them may have come to need. */
function assertedRefs(base: TableMetadata, updates: readonly MetadataUpdate[]): string[] {
  const refs = new Set(["main"]);
  for (const update of updates) {
    if (update.action === "set-snapshot-ref" || update.action === "remove-snapshot-ref") refs.add(update["ref-name"]);
    if (update.action === "remove-snapshots") for (const ref of Object.keys(base.refs)) refs.add(ref);
  }
  return [...refs];
}

/** Null: there is no such branch or tag, and there must be none. */
function snapshotOf(metadata: TableMetadata, ref: string): bigint | null {
  return metadata.refs[ref]?.["snapshot-id"] ?? null;
}

/** Whether the server might still take a commit on `base`, as far as a later version of the table tells: one that has no answer may be on its way yet. */
export function mayStillLand(base: TableMetadata, now: TableMetadata): boolean {
  return requirementsOf(base, []).every((requirement) => holds(requirement, now));
}

function holds(requirement: TableRequirement, now: TableMetadata): boolean {
  switch (requirement.type) {
    case "assert-table-uuid": return now["table-uuid"] === requirement.uuid;
    case "assert-ref-snapshot-id": return snapshotOf(now, requirement.ref) === requirement["snapshot-id"];
    case "assert-current-schema-id": return now["current-schema-id"] === requirement["current-schema-id"];
    case "assert-last-assigned-field-id": return now["last-column-id"] === requirement["last-assigned-field-id"];
    case "assert-default-spec-id": return now["default-spec-id"] === requirement["default-spec-id"];
    case "assert-last-assigned-partition-id": return now["last-partition-id"] === requirement["last-assigned-partition-id"];
    case "assert-default-sort-order-id": return now["default-sort-order-id"] === requirement["default-sort-order-id"];
  }
}
