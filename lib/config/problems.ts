/** What is wrong in a configuration file, and where. Pure. */
import { TicklakeError } from "../errors";

/** One mistake. `message` never holds a value that may be a secret. */
export interface Problem {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  readonly message: string;
}

/** More are counted only. */
const SHOWN = 20;

/**
 * All of them as one error, in the order of the file.
 *
 * @returns TicklakeError CONFIG_INVALID; `details.problems` has them all
 */
export function invalidConfig(file: string, problems: readonly Problem[]): TicklakeError {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const lines = sorted.slice(0, SHOWN).map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`);
  if (sorted.length > SHOWN) lines.push(`and ${sorted.length - SHOWN} more.`);
  return new TicklakeError("CONFIG_INVALID", lines.length === 1 ? lines[0]! : `${file} has ${sorted.length} mistakes:\n${lines.map((line) => `  ${line}`).join("\n")}`, { details: { problems: sorted } });
}
