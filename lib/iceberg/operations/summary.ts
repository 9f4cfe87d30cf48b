/** Results of operations for messages and for a line under a node. Pure. */
import type { OperationResult } from "./index";

/** A result as plain JSON: snapshot ids become text, for they pass 2^53. */
export function plainResult(result: OperationResult): Record<string, unknown> {
  return plain(result) as Record<string, unknown>;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined).map(([key, inner]) => [key, plain(inner)]));
}

/** What happened, in a few words: `expire-snapshots: 12 snapshots, 40 files, 3.1 MB`. */
export function summaryText(result: OperationResult): string {
  const { operation, dryRun } = result;
  const parts = [...counts(result), ...(typeof result["bytes"] === "number" && operation !== "describe" && operation !== "create" ? [size(result["bytes"])] : [])];
  return `${dryRun ? "dry run: " : ""}${operation}${parts.length > 0 ? `: ${parts.join(", ")}` : ""}`;
}

function counts(result: OperationResult): string[] {
  const number = (key: string): number => Number(result[key] ?? 0);
  const files = ["deleted_data_files_count", "deleted_position_delete_files_count", "deleted_equality_delete_files_count", "deleted_manifest_files_count", "deleted_manifest_lists_count", "deleted_statistics_files_count"];
  switch (result.operation) {
    case "describe": return [many((result["columns"] as unknown[]).length, "column"), many(number("snapshots"), "snapshot")];
    case "create": return [result["created"] ? "created" : result.dryRun ? "can be created" : "was there already"];
    case "drop": return [result["dropped"] ? "dropped" : "is there", ...(result["purge"] ? [many(number("files_count"), "file")] : [])];
    case "expire-snapshots": return [many(number("expired_snapshots_count"), "snapshot"), many(files.reduce((sum, key) => sum + number(key), 0), "file")];
    case "remove-orphan-files": return [many(number("orphan_files_count"), "file")];
    case "rewrite-manifests": return [`${number("rewritten_manifests_count")} into ${many(number("added_manifests_count"), "manifest")}`];
    case "compact": return [`${number("rewritten_data_files_count")} into ${many(number("added_data_files_count"), "file")}`, size(number("rewritten_bytes_count"))];
    case "rollback": return [result["changed"] ? `${many((result["snapshots"] as unknown[]).length, "snapshot")} taken back` : "nothing to take back"];
    case "offsets": return [many((result["offsets"] as unknown[]).length, "partition")];
    case "reset-offsets": return [many((result["forgotten"] as unknown[]).length, "partition")];
    case "set-properties": return [many((result["set"] as unknown[]).length, "property", "properties") + " set", `${(result["removed"] as unknown[]).length} removed`];
    default: return [result["changed"] ? "changed" : "was so already"];
  }
}

function many(count: number, one: string, more = `${one}s`): string {
  return `${count} ${count === 1 ? one : more}`;
}

function size(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const at = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0);
  return `${at === 0 ? bytes : (bytes / 1000 ** at).toFixed(1)} ${units[at]!}`;
}
