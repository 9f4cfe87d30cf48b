/** When a table's history has grown so long that every commit pays for it. Pure. */

/** Above these, commits and the planning of queries slow down noticeably: each reads and writes the whole list of snapshots. */
export const ADVISED_SNAPSHOTS = 5000;
export const ADVISED_METADATA_BYTES = 8 * 1024 * 1024;

export interface HistorySize {
  readonly snapshots: number;
  /** Of the current metadata file. */
  readonly metadataBytes: number;
}

/** The advice, short for a status and long for a log; undefined where there is nothing to say. */
export function expiryAdvice(table: string, { snapshots, metadataBytes }: HistorySize, maintained: boolean): { readonly status: string; readonly log: string } | undefined {
  if (snapshots <= ADVISED_SNAPSHOTS && metadataBytes <= ADVISED_METADATA_BYTES) return undefined;
  const count = snapshots.toLocaleString("en-US"), size = `${(metadataBytes / 1e6).toFixed(1)} MB`;
  const remedy = maintained
    ? "Maintenance keeps what the table's properties ask for: lower history.expire.max-snapshot-age-ms or ticklake.maintenance.max-snapshots, or remove tags and branches that are no longer needed."
    : "Expire old ones: operation expire-snapshots of an iceberg-table node, or CALL system.expire_snapshots, or switch on maintenance in this node.";
  return {
    status: `${count} snapshots, ${size} of metadata: expire old ones`,
    log: `${table} has ${count} snapshots and ${size} of metadata, which every commit reads and writes. ${remedy}`,
  };
}
