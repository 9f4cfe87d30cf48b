import type { PartitionSpec, Schema, Snapshot, SnapshotRef, SortOrder } from "./types";

/**
 * What a commit changes, in the words of Iceberg's REST catalog (TableUpdate of its OpenAPI description). A file-based catalog applies them to
 * the metadata that it read (applyUpdates), a REST catalog sends them.
 */
export type MetadataUpdate =
  | { action: "assign-uuid"; uuid: string }
  | { action: "add-schema"; schema: Schema; "last-column-id"?: number }
  | { action: "set-current-schema"; "schema-id": number }
  | { action: "add-spec"; spec: PartitionSpec }
  | { action: "set-default-spec"; "spec-id": number }
  | { action: "add-sort-order"; "sort-order": SortOrder }
  | { action: "set-default-sort-order"; "sort-order-id": number }
  | { action: "add-snapshot"; snapshot: Snapshot }
  | ({ action: "set-snapshot-ref"; "ref-name": string } & SnapshotRef)
  | { action: "remove-snapshot-ref"; "ref-name": string }
  | { action: "remove-snapshots"; "snapshot-ids": bigint[] }
  | { action: "set-properties"; updates: Record<string, string> }
  | { action: "remove-properties"; removals: string[] };
