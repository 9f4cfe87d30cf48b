import { TicklakeError } from "../../errors";
import type { TableIdentifier } from "../types";

/**
 * The table that a text names, for a catalog: `db.trades`. A first part that is the catalog's name, or `spark_catalog` in a name of three or more
 * parts, means the catalog and is left out. Parts with dots stand in backquotes or double quotes, as in SQL.
 *
 * @throws TicklakeError TABLE_NAME_INVALID with what is wrong
 */
export function parseIdentifier(text: string, catalogName: string): TableIdentifier {
  let parts = splitName(text);
  if (parts.length > 1 && (parts[0] === catalogName || (parts[0] === "spark_catalog" && parts.length >= 3))) parts = parts.slice(1);
  if (parts.length < 2) {
    throw invalid(text, text.trim() === "" ? "the name is empty" : "it has no namespace", `Write namespace and table, for example db.${parts[0]?.replace(/\s+/g, "_") || "flattened_stocks"}.`);
  }
  return checkIdentifier({ namespace: parts.slice(0, -1), name: parts.at(-1)! });
}

/**
 * The identifier, if its parts are safe as names of folders.
 *
 * @throws TicklakeError TABLE_NAME_INVALID
 */
export function checkIdentifier(identifier: TableIdentifier): TableIdentifier {
  const text = identifierText(identifier);
  for (const part of [...identifier.namespace, identifier.name]) checkPart(part, text);
  return identifier;
}

/** `db.trades`. */
export function identifierText(identifier: TableIdentifier): string {
  return [...identifier.namespace, identifier.name].map((part) => (part.includes(".") ? `\`${part}\`` : part)).join(".");
}

function checkPart(part: string, text: string): void {
  const advice = "Use letters, digits, _ and -.";
  if (part === "") throw invalid(text, "a part of it is empty", "Write namespace and table, for example db.flattened_stocks.");
  if (part === "." || part === "..") throw invalid(text, `"${part}" leads out of the warehouse`, advice);
  if (/[/\\:]/.test(part)) throw invalid(text, "it contains a path separator", advice);
  if (/[\u0000-\u001f\u007f]/.test(part)) throw invalid(text, "it contains control characters", advice);
  if (part !== part.trim() || part.endsWith(".")) throw invalid(text, "a part begins or ends with a blank, or ends with a dot", advice);
  if (Buffer.byteLength(part) > 200) throw invalid(text, "a part is longer than 200 bytes", "Use a shorter name.");
}

/** The parts of a name: split at dots outside of backquotes and double quotes. @throws TicklakeError TABLE_NAME_INVALID for quotes that are not closed */
export function splitName(whole: string): string[] {
  const text = whole.trim();
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const quote = text[at];
    if (quote === "`" || quote === '"') {
      const end = text.indexOf(quote, at + 1);
      if (end < 0) throw invalid(whole, `a ${quote} is not closed`, "Close the quote.");
      parts.push(text.slice(at + 1, end));
      at = end + 1;
      if (at < text.length && text[at] !== ".") throw invalid(whole, "something follows a closing quote", "Separate the parts with dots.");
    } else {
      const dot = text.indexOf(".", at);
      const end = dot < 0 ? text.length : dot;
      parts.push(text.slice(at, end));
      at = end;
    }
    if (at >= text.length) return parts;
    at++;
  }
}

function invalid(text: string, reason: string, advice: string): TicklakeError {
  return new TicklakeError("TABLE_NAME_INVALID", `"${text}" is no table name: ${reason}. ${advice}`);
}
