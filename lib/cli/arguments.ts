/** A command line against the table of parameters. Pure. */
import { parseArgs } from "node:util";
import { parseDuration } from "../units";
import { nearest } from "./nearest";
import { COMMANDS, type Command, command, familyOf, type Parameter } from "./parameters";

/** A command line that cannot be meant so; `message` says how it is written. Exit code 2. */
export class UsageError extends Error {
  constructor(message: string, readonly command?: string) { super(message); }
}

/** What was asked for. */
export interface Asked {
  readonly command: Command;
  /** By parameter name; only what was given. Lists are joined with blanks. */
  readonly values: ReadonlyMap<string, string>;
  /** Values of parameters that may be given more than once. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
  readonly help: boolean;
}

/**
 * Reads the words after `ticklake`.
 *
 * @throws UsageError naming what is unknown, with the nearest right name, or what is missing or wrong
 */
export function parseCommandLine(argv: readonly string[]): Asked {
  const [name, ...rest] = argv;
  const names = COMMANDS.map((one) => one.name);
  if (name === undefined) throw new UsageError(`Say what to do: ${names.join(", ")}.`);
  const family = familyOf(name);
  if (family.length > 0) {
    const member = command(`${name} ${rest[0] ?? ""}`);
    if (!member) throw new UsageError(`ticklake ${name} is followed by one of ${family.map((one) => one.name.slice(name.length + 1)).join(", ")}${rest[0] === undefined ? "" : `, not by "${rest[0]}"`}.`);
    return parseFor(member, rest.slice(1));
  }
  const found = command(name);
  if (!found) {
    const near = nearest(name, names);
    throw new UsageError(`There is no command "${name}".${near ? ` Did you mean ${near}?` : ""} There are: ${names.join(", ")}.`);
  }
  return parseFor(found, rest);
}

function parseFor(found: Command, argv: readonly string[]): Asked {
  const flags = Object.fromEntries(found.parameters.map(({ name, kind }) => [name, { type: kind === "flag" ? "boolean" as const : "string" as const, ...(name === "help" ? { short: "h" } : {}), multiple: true }]));
  const { tokens } = parseArgs({ args: [...argv], options: flags, strict: false, allowPositionals: true, tokens: true });
  const values = new Map<string, string>(), lists = new Map<string, string[]>(), positionals: string[] = [];
  let open: Parameter | undefined;
  for (const token of tokens) {
    if (token.kind === "option-terminator") { open = undefined; continue; }
    if (token.kind === "positional") {
      if (open) values.set(open.name, `${values.get(open.name)!} ${token.value}`);
      else positionals.push(token.value);
      continue;
    }
    const parameter = found.parameters.find((one) => one.name === token.name);
    if (!parameter) throw unknown(token.rawName, found);
    // `--symbols A B C`: what follows belongs to the list.
    open = parameter.kind === "list" ? parameter : undefined;
    const value = valueOf(parameter, token.value, found);
    if (parameter.many) lists.set(parameter.name, [...lists.get(parameter.name) ?? [], value]);
    else values.set(parameter.name, value);
  }
  const help = values.has("help");
  if (!help) {
    checkPositionals(found, positionals);
    for (const [name, given] of lists) for (const value of given) check(found.parameters.find((one) => one.name === name)!, value, found);
    for (const [name, value] of values) check(found.parameters.find((one) => one.name === name)!, value, found);
  }
  return { command: found, values, lists, positionals, help };
}

function valueOf(parameter: Parameter, given: string | undefined, found: Command): string {
  if (parameter.kind === "flag") {
    if (given !== undefined) throw new UsageError(`--${parameter.name} takes no value.`, found.name);
    return "true";
  }
  if (given === undefined || (given.startsWith("--") && given.length > 2)) throw new UsageError(`--${parameter.name} takes a value: --${parameter.name} <${parameter.value}>.`, found.name);
  return given;
}

function unknown(rawName: string, found: Command): UsageError {
  const names = found.parameters.map(({ name }) => name);
  const near = nearest(rawName.replace(/^-+/, ""), names);
  const elsewhere = COMMANDS.filter((one) => one !== found && one.parameters.some(({ name }) => `--${name}` === rawName)).map(({ name }) => name);
  const hint = near ? ` Did you mean --${near}?` : elsewhere.length > 0 ? ` It belongs to: ${elsewhere.join(", ")}.` : "";
  return new UsageError(`ticklake ${found.name} does not know ${rawName}.${hint}`, found.name);
}

function checkPositionals({ name, positionals }: Command, given: readonly string[]): void {
  const { usage = "", least = 0, most = 0 } = positionals ?? {};
  if (given.length < least) throw new UsageError(`ticklake ${name} needs ${usage}.`, name);
  if (given.length > most) throw new UsageError(`ticklake ${name} does not know what to do with "${given[most]!}".${usage ? ` It takes ${usage}; text with blanks stands in quotes.` : ""}`, name);
}

function check(parameter: Parameter, value: string, { name: of }: Command): void {
  const { name, kind, choices, least, secret } = parameter;
  const wrong = (what: string): UsageError => new UsageError(`--${name}${secret ? "" : ` "${value}"`} ${what}`, of);
  if (kind === "choice" && !choices!.includes(value)) {
    const near = nearest(value, choices!);
    throw wrong(`is none of ${choices!.join(", ")}.${near ? ` Did you mean ${near}?` : ""}`);
  }
  if (kind === "whole" && !(/^-?\d+$/.test(value) && Number.isSafeInteger(Number(value)))) throw wrong("is no whole number.");
  if (kind === "number" && !(Number(value) > 0)) throw wrong("is no number above 0.");
  if (least !== undefined && Number(value) < least) throw wrong(`is too small: the least is ${least}.`);
  if (kind === "duration") {
    try { parseDuration(value, `--${name}`); } catch { throw wrong('is no duration. Use seconds, or words such as "10 seconds", "500 ms", "1 minute".'); }
  }
  if ((kind === "text" || kind === "list") && value.trim() === "") throw wrong("is empty.");
}
