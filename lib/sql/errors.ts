/**
 * Errors of the engine in words that help the one who wrote the SQL. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { originalName, restoreNames } from "./names";

interface EngineError { exception_type?: string; exception_message?: string; error_subtype?: string; name?: string }

/** A table that the query names, for hints. */
export interface NamedTable { name: string; columns: readonly string[] }

/** Whether a file that the plan named was gone when the engine wanted it: the snapshot was expired meanwhile. */
export function isFileGone(error: unknown): boolean {
  if (error instanceof TicklakeError) return error.code === "FILE_NOT_FOUND" || (error.cause instanceof TicklakeError && error.cause.code === "FILE_NOT_FOUND");
  const engine = parse(error);
  return engine.exception_type === "IO" && /No files found|No such file|Cannot open file/i.test(engine.exception_message ?? "");
}

/** The error to report. */
export function sqlError(error: unknown, tables: readonly NamedTable[]): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const engine = parse(error);
  const message = restoreNames(engine.exception_message ?? "").trim();
  const name = unknownColumn(engine);
  if (name !== undefined) return new TicklakeError("SQL_INVALID", columnMessage(name, tables), { cause: error, details: { column: name } });
  const table = /Referenced table "([^"]*)" not found/.exec(message);
  if (table) {
    return new TicklakeError("SQL_INVALID", `No table or alias \`${table[1]}\` in FROM. Names are case-sensitive; FROM has ${tables.map((t) => t.name).join(", ") || "no table"}.`, { cause: error });
  }
  switch (engine.exception_type) {
    case "INTERRUPT":
      return stopped(error);
    case "Out of Memory":
      return new TicklakeError("SQL_TOO_LARGE", `The query needs more memory than it may take: ${message.split("\n")[0]}. Filter or aggregate more, or query fewer columns.`, { cause: error });
    case "IO": case "HTTP":
      return new TicklakeError("STORAGE_FAILED", `A data file cannot be read: ${message}`, { cause: error });
    case "Permission":
      return new TicklakeError("SQL_INVALID", `A query reads Iceberg tables only: ${message}`, { cause: error });
    case "INTERNAL": case "FATAL":
      return new TicklakeError("INTERNAL", message, { cause: error });
    default:
      return new TicklakeError("SQL_INVALID", `${engine.exception_type ? `${engine.exception_type}: ` : ""}${message}`, { cause: error });
  }
}

/** The query's signal came. */
export function stopped(cause?: unknown): TicklakeError {
  return new TicklakeError("STOPPED", "The query was stopped because its node is being closed or replaced.", { cause });
}

function parse(error: unknown): EngineError {
  const text = error instanceof Error ? error.message : String(error);
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch { /* not every error of the engine is JSON */ }
  return { exception_message: text };
}

function unknownColumn(engine: EngineError): string | undefined {
  const text = engine.exception_message ?? "";
  if (engine.error_subtype === "COLUMN_NOT_FOUND" && engine.name) return originalName(engine.name);
  const match = /does not have a column named "([^"]*)"/.exec(text) ?? /Referenced column "([^"]*)"/.exec(text) ?? /Column "([^"]*)" does not exist/.exec(text)
    ?? /Column "+([^"]*)"+ in (?:EXCLUDE|REPLACE|RENAME) list/.exec(text);
  return match ? originalName(match[1]!) : undefined;
}

function columnMessage(column: string, tables: readonly NamedTable[]): string {
  const lists = tables.map(({ name, columns }) => `${tables.length === 1 ? "the table" : name} has ${columns.join(", ")}`);
  const near = tables.flatMap(({ columns }) => columns).find((name) => name !== column && name.toLowerCase() === column.toLowerCase());
  const hint = near ? ` Names are case-sensitive: did you mean \`${near}\`?` : " Names are case-sensitive.";
  return `No column \`${column}\`; ${lists.join("; ") || "the query has no table"}.${hint}`;
}
