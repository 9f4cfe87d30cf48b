/**
 * When a table is due for maintenance. Pure: clock and table are given.
 *
 * New files are merged often but only with files about as small (`small`), and more rarely with all that are below the right size (`all`): each row is rewritten a few times, not
 * with every run. Snapshots go by age and by number, for every commit rewrites the list of all of them.
 */
import { numberProperty } from "../metadata";
import type { TableMetadata } from "../types";

/** Table properties that maintenance obeys. */
export const MAINTENANCE_PROPERTY = {
  /** Least time between two runs, ms. */
  interval: "ticklake.maintenance.interval-ms",
  /** Snapshots that are kept at the most. */
  maxSnapshots: "ticklake.maintenance.max-snapshots",
  maxAge: "history.expire.max-snapshot-age-ms",
  minKeep: "history.expire.min-snapshots-to-keep",
} as const;

export interface MaintenancePolicy {
  readonly intervalMs: number;
  /** Between two runs over files of every size. */
  readonly fullIntervalMs: number;
  readonly maxSnapshots: number;
  readonly maxAgeMs: number;
  readonly minKeep: number;
}

const INTERVAL_MS = 10 * 60_000;
const FULL_EVERY = 6;
/** Iceberg's default. */
const MAX_AGE_MS = 5 * 24 * 3_600_000;
/** Ten seconds make 8,640 snapshots a day. This many keep metadata below about a megabyte, and commits as fast as those of a new table. */
const MAX_SNAPSHOTS = 1000;
/** New files below which a run is not worth its commit. */
export const MIN_NEW_FILES = 5;
/** `small` merges files below this part of the target size. */
export const SMALL_PART = 1 / 16;

/** The policy of a table. An age that the user has set goes before the number of snapshots. */
export function policyOf(metadata: TableMetadata): MaintenancePolicy {
  const intervalMs = numberProperty(metadata, MAINTENANCE_PROPERTY.interval, INTERVAL_MS);
  const ageIsSet = metadata.properties[MAINTENANCE_PROPERTY.maxAge] !== undefined;
  return {
    intervalMs, fullIntervalMs: intervalMs * FULL_EVERY,
    maxSnapshots: numberProperty(metadata, MAINTENANCE_PROPERTY.maxSnapshots, ageIsSet ? Number.MAX_SAFE_INTEGER : MAX_SNAPSHOTS),
    maxAgeMs: numberProperty(metadata, MAINTENANCE_PROPERTY.maxAge, MAX_AGE_MS), minKeep: numberProperty(metadata, MAINTENANCE_PROPERTY.minKeep, 1),
  };
}

/** Entry of the snapshot summary by which processes see what others did. */
export const COMPACTION = "ticklake.compaction";
export type CompactionKind = "small" | "all";

/** What is due. */
export interface Due {
  readonly compact?: CompactionKind;
  /** Snapshots older than this go (Unix ms). */
  readonly expireBefore?: number;
}

/** When the last runs were, Unix ms; of this process, for those of others stand in the table. */
export interface LastRuns {
  readonly small: number;
  readonly all: number;
  /** There are files that a run over all sizes has still to see, although nothing new came: merged ones that are small yet, or some that could not be merged. */
  readonly owed?: boolean;
}

/**
 * What to do now.
 *
 * @param newFiles data files that were committed since the last run
 */
export function whatIsDue(metadata: TableMetadata, newFiles: number, last: LastRuns, now: number): Due {
  const policy = policyOf(metadata);
  const seen = { small: last.small, all: last.all };
  // The list is in the order of the commits; only its end can be of interest.
  for (const { summary, "timestamp-ms": at } of metadata.snapshots.slice(-policy.maxSnapshots).reverse()) {
    if (at < now - policy.fullIntervalMs) break;
    const kind = summary[COMPACTION];
    if (kind === "all") seen.all = Math.max(seen.all, at);
    if (kind === "all" || kind === "small") seen.small = Math.max(seen.small, at);
  }
  const expireBefore = expiryBound(metadata, now);
  const compact = (newFiles > 0 || last.owed) && now - seen.all >= policy.fullIntervalMs ? "all" : newFiles >= MIN_NEW_FILES && now - seen.small >= policy.intervalMs ? "small" : undefined;
  return { ...(compact ? { compact } : {}), ...(expireBefore === undefined ? {} : { expireBefore }) };
}

/** Snapshots older than this are to go now, Unix ms. Undefined where so little would go that it is not worth a commit. */
export function expiryBound(metadata: TableMetadata, now: number): number | undefined {
  const { snapshots } = metadata, { maxSnapshots, maxAgeMs, minKeep, intervalMs } = policyOf(metadata);
  if (snapshots.length <= Math.max(1, minKeep)) return undefined;
  const byAge = now - maxAgeMs;
  const tooMany = snapshots.length > maxSnapshots + Math.ceil(maxSnapshots / 10);
  const byNumber = tooMany ? snapshots[snapshots.length - maxSnapshots]!["timestamp-ms"] : -Infinity;
  const oldest = snapshots[0]!["timestamp-ms"];
  // By age: an interval's worth at a time.
  return tooMany || oldest < byAge - Math.min(intervalMs, maxAgeMs) ? Math.max(byAge, byNumber) : undefined;
}

/** When snapshots are to go by their age although nothing more comes, Unix ms. Undefined where there are none, or where the oldest stayed past its time (a tag may hold it). */
export function nextExpiry(metadata: TableMetadata, now: number): number | undefined {
  const { snapshots } = metadata, { maxAgeMs, minKeep, intervalMs } = policyOf(metadata);
  if (snapshots.length <= Math.max(1, minKeep)) return undefined;
  const at = snapshots[0]!["timestamp-ms"] + maxAgeMs + Math.min(intervalMs, maxAgeMs) + 1;
  return at > now ? at : undefined;
}
