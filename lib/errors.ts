/**
 * The errors of the whole package: one class, a closed list of codes. A code stands for a decision:
 * fix the configuration, try again, rebase on a conflict, find out what happened, or set the record aside.
 */

/** What whoever receives an error can do about it. */
export type ErrorKind =
  /** Nothing changes until somebody edits a setting. */
  | "configuration"
  /** The same call may succeed later: back off and repeat. */
  | "retry"
  /** Another writer was first: read again, rebase, repeat. */
  | "conflict"
  /** The request may or may not have taken effect: look before doing anything. */
  | "unknown-outcome"
  /** This record or batch can never succeed. */
  | "bad-record"
  /** A bug or a damaged file. */
  | "internal";

const KINDS = {
  CONFIG_INVALID: "configuration",
  FILE_NOT_ALLOWED: "configuration",
  FILE_NOT_FOUND: "configuration",
  FILE_UNREADABLE: "configuration",
  CSV_DIALECT_UNKNOWN: "configuration",
  CSV_MERGE_TOO_LARGE: "configuration",
  CONTROL_INVALID: "configuration",
  SCHEMA_INVALID: "configuration",
  SCHEMA_MISMATCH: "configuration",
  PARTITION_SPEC_INVALID: "configuration",
  TABLE_NAME_INVALID: "configuration",
  TABLE_NOT_FOUND: "configuration",
  TABLE_UNSUPPORTED: "configuration",
  TABLE_REPLACED: "configuration",
  TOPIC_REPLACED: "configuration",
  CATALOG_INVALID: "configuration",
  SQL_INVALID: "configuration",
  SQL_TOO_LARGE: "configuration",
  SQL_BUSY: "retry",
  SNAPSHOT_NOT_FOUND: "configuration",
  STORAGE_DENIED: "configuration",
  STORAGE_FULL: "retry",
  STORAGE_FAILED: "retry",
  TABLE_EXISTS: "conflict",
  TABLE_BUSY: "conflict",
  FILE_EXISTS: "conflict",
  COMMIT_CONFLICT: "conflict",
  WATERMARK_MOVED: "conflict",
  COMMIT_UNKNOWN: "unknown-outcome",
  KAFKA_UNREACHABLE: "retry",
  KAFKA_TOPIC_UNKNOWN: "configuration",
  KAFKA_DENIED: "configuration",
  KAFKA_UNSUPPORTED: "configuration",
  KAFKA_RECORD_TOO_LARGE: "bad-record",
  KAFKA_RECORD_REFUSED: "bad-record",
  KAFKA_RECORD_DAMAGED: "bad-record",
  KAFKA_NOT_ASSIGNED: "conflict",
  KAFKA_FENCED: "conflict",
  KAFKA_OFFSETS_LOST: "configuration",
  KAFKA_FAILED: "retry",
  ALPACA_UNREACHABLE: "retry",
  ALPACA_DENIED: "configuration",
  ALPACA_LIMIT: "configuration",
  ALPACA_REFUSED: "configuration",
  PINOT_UNREACHABLE: "retry",
  PINOT_DENIED: "configuration",
  PINOT_REFUSED: "configuration",
  PINOT_CASE_FOLDED: "configuration",
  PINOT_TIMEOUT: "retry",
  PINOT_FAILED: "retry",
  RECORD_INVALID: "bad-record",
  DELIVERY_FAILED: "retry",
  DELIVERY_HELD_UP: "retry",
  DELIVERY_ABORTED: "retry",
  DELIVERY_CUT: "retry",
  STOPPED: "retry",
  TABLE_CORRUPT: "internal",
  WORKER_FAILED: "retry",
  INTERNAL: "internal",
} as const satisfies Record<string, ErrorKind>;

/** The closed list of error codes. */
export type ErrorCode = keyof typeof KINDS;

/** Every error code with its kind (docs are generated from it). */
export const ERROR_KINDS: Readonly<Record<ErrorCode, ErrorKind>> = KINDS;

/**
 * An error of this package. `message` says what happened and what to do about it, and never holds a secret.
 *
 * @example throw new TicklakeError("FILE_NOT_FOUND", `No file at ${path}. Check the path; it is relative to the user directory.`, { cause });
 */
export class TicklakeError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  /** True where repeating the same call may mend it. */
  readonly retryable: boolean;
  /** More facts for programs: line number, field, table ... */
  readonly details?: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TicklakeError";
    this.code = code;
    this.kind = KINDS[code];
    this.retryable = this.kind === "retry" || this.kind === "conflict";
    if (options.details) this.details = options.details;
  }
}

/** Anything thrown, as a TicklakeError (an unknown error becomes `code`, by default INTERNAL, with its cause kept). */
export function asTicklakeError(error: unknown, code: ErrorCode = "INTERNAL", prefix = ""): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new TicklakeError(code, prefix + text, { cause: error });
}
