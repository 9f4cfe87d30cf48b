import { type ErrorCode, TicklakeError } from "../../errors";

/** The error code of Node's file system errors, or "". */
export function errno(error: unknown): string {
  return typeof error === "object" && error !== null && typeof (error as { code?: unknown }).code === "string" ? (error as { code: string }).code : "";
}

const MEANING: Record<string, [ErrorCode, string]> = {
  ENOENT: ["FILE_NOT_FOUND", "There is no such file."],
  EEXIST: ["FILE_EXISTS", "It exists already."],
  ENOSPC: ["STORAGE_FULL", "The disk is full. Free space; writing goes on by itself."],
  EDQUOT: ["STORAGE_FULL", "The disk quota is used up. Free space or raise the quota; writing goes on by itself."],
  EACCES: ["STORAGE_DENIED", "Permission denied. Let the user that runs Node-RED read and write the warehouse folder."],
  EPERM: ["STORAGE_DENIED", "The operation is not permitted. Let the user that runs Node-RED read and write the warehouse folder."],
  EROFS: ["STORAGE_DENIED", "The file system is read-only. Mount it writable, or choose another warehouse folder."],
  ENOTDIR: ["STORAGE_DENIED", "A file stands where a folder is needed. Choose another warehouse folder, or move the file away."],
  EISDIR: ["STORAGE_DENIED", "A folder stands where a file is needed. Choose another warehouse folder, or move the folder away."],
  ENAMETOOLONG: ["STORAGE_DENIED", "The name is too long for this file system. Use a shorter warehouse path, table name or partition value."],
  EMFILE: ["STORAGE_FAILED", "Too many open files. Raise the limit (ulimit -n)."],
  ENFILE: ["STORAGE_FAILED", "The machine has too many open files."],
};

/** A file system error as a TicklakeError that says what to do. `what` is a verb: "read", "write". */
export function storageError(error: unknown, what: string, path: string): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const code = errno(error);
  const [kind, advice] = MEANING[code] ?? ["STORAGE_FAILED", `${error instanceof Error ? error.message : String(error)}. Check the disk; the operation is repeated by itself.`];
  return new TicklakeError(kind, `Cannot ${what} ${path}: ${advice}`, { cause: error, details: { path, errno: code } });
}
