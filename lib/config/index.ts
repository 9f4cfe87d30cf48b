/** config.yaml: finds it, reads it, and puts what it says into the environment that flows run with. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { TicklakeError } from "../errors";
import { SECTIONS, SETTINGS } from "./keys";
import { readConfig } from "./read";

export { jsonSchema, SECTIONS, SETTINGS, type Setting } from "./keys";
export { readConfig, type Config, type ReadOptions } from "./read";

/** What it is called. */
export const CONFIG_FILE = "config.yaml";
/** The variable that names another one. */
export const CONFIG_VARIABLE = "TICKLAKE_CONFIG";
/** More is no configuration. */
const LARGEST = 64 * 1024;

export interface UseOptions {
  /** The file that is asked for; otherwise TICKLAKE_CONFIG names it. */
  readonly file?: string | undefined;
  /** Taken when nobody asks for one, and it is there. */
  readonly standard: string;
  /** What the name of the file is relative to. */
  readonly folder: string;
  /** Is added to. */
  readonly environment: Record<string, string | undefined>;
  /** Where trades come from, when the command says so. */
  readonly source?: string | undefined;
  /** One line: which file is used. */
  say(line: string): void;
}

/**
 * Sets the variables that config.yaml says and the environment does not. A file that lies there by chance, of another program, is left alone.
 *
 * @throws TicklakeError FILE_NOT_FOUND, FILE_UNREADABLE, CONFIG_INVALID; nothing is set then
 */
export function useConfig({ file, standard, folder, environment, source, say }: UseOptions): void {
  const asked = file ?? (environment[CONFIG_VARIABLE] || undefined), named = asked ?? standard, path = resolve(folder, named);
  if (asked === undefined && !existsSync(path)) return;
  const text = readText(path, named);
  if (asked === undefined && !isOurs(text)) {
    say(`${named} holds no setting of ticklake and is left alone.`);
    return;
  }
  const { variables, overridden } = readConfig(text, { file: named, folder: dirname(path), environment, ...(source === undefined ? {} : { source }) });
  Object.assign(environment, variables);
  say(`Settings from ${named}${overridden.length > 0 ? `; the environment or the command line says otherwise of ${overridden.join(", ")}` : ""}.`);
}

/** A key of ours stands at the beginning of a line, or of a map in braces. */
function isOurs(text: string): boolean {
  const names = [...Object.keys(SECTIONS), ...SETTINGS.map(({ path }) => path).filter((path) => !path.includes("."))];
  return new RegExp(`(^|[{,][ \\t]*)["'\\uFEFF]?(${names.join("|")})["']?\\s*:`, "m").test(text);
}

/** Read as a stream: it may be a pipe (`--config <(sops -d config.enc.yaml)`). */
function readText(path: string, named: string): string {
  const unreadable = (error: unknown): TicklakeError => {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return new TicklakeError("FILE_NOT_FOUND", `No configuration at ${named}. Name one that is there; config.example.yaml of the package is one to begin with.`, { cause: error });
    if (code === "EISDIR") return new TicklakeError("FILE_UNREADABLE", `${named} is a folder, not a configuration. (A container engine makes one where the file that it is to mount is missing.)`, { cause: error });
    if (code === "EACCES" || code === "EPERM") return new TicklakeError("FILE_UNREADABLE", `${named} may not be read by this user.`, { cause: error });
    return new TicklakeError("FILE_UNREADABLE", `${named} cannot be read: ${message}`, { cause: error });
  };
  const bytes = Buffer.alloc(LARGEST + 1);
  let length = 0;
  try {
    const fd = openSync(path, "r");
    try {
      for (let n = -1; n !== 0 && length < bytes.length; length += n) n = readSync(fd, bytes, length, bytes.length - length, null);
    } finally { closeSync(fd); }
  } catch (error) {
    throw unreadable(error);
  }
  if (length > LARGEST) throw new TicklakeError("CONFIG_INVALID", `${named} is larger than ${LARGEST / 1024} KiB, which no configuration is. Is it the right file?`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
  } catch (error) {
    throw new TicklakeError("CONFIG_INVALID", `${named} is no UTF-8 text. Save it as UTF-8.`, { cause: error });
  }
}
