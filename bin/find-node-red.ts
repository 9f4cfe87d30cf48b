import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { TicklakeError } from "../lib/errors";

/** What of Node-RED's module is used to run it inside this process. */
export interface NodeRed {
  init(settings: object): void;
  init(server: unknown, settings: object): void;
  start(): Promise<unknown>;
  stop(): Promise<unknown>;
  readonly events: NodeJS.EventEmitter;
  readonly hooks: { add(name: string, handler: (event: never) => void): void };
  readonly nodes: { getNode(id: string): { receive(msg: object): void } | null };
  readonly httpNode: unknown;
}

/**
 * Node-RED as the user has it: where TICKLAKE_NODE_RED says, beside this package, in the working folder, in ~/.node-red, in a container of
 * Node-RED's own image, or the one that the command `node-red` starts.
 *
 * @throws TicklakeError CONFIG_INVALID saying how to install it
 */
export function findNodeRed(packageRoot: string): { red: NodeRed; folder: string } {
  const said = process.env["TICKLAKE_NODE_RED"];
  const folder = said ? packageFolder(resolve(said)) : undefined;
  if (said && !folder) throw new TicklakeError("CONFIG_INVALID", `TICKLAKE_NODE_RED=${said} is no folder of Node-RED. Name the one that holds its package.json.`);
  const found = folder ?? beside([packageRoot, process.cwd(), join(homedir(), ".node-red"), "/usr/src/node-red", join(dirname(process.execPath), "..", "lib")]) ?? onPath();
  if (!found) {
    throw new TicklakeError("CONFIG_INVALID", "Node-RED is not installed here; the ticklake command runs its flows in it. Install it with\n\n  npm install -g node-red\n\nor say where it is: TICKLAKE_NODE_RED=/path/to/node_modules/node-red");
  }
  return { red: createRequire(join(found, "package.json"))(found) as NodeRed, folder: found };
}

const packageFolder = (place: string): string | undefined => [place, dirname(place)].find((folder) => existsSync(join(folder, "package.json")) && existsSync(join(folder, "red.js")));

function beside(folders: readonly string[]): string | undefined {
  for (const folder of folders) {
    try { return dirname(createRequire(join(folder, "any.js")).resolve("node-red/package.json")); } catch { /* not there */ }
  }
  return undefined;
}

function onPath(): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const program = join(folder, "node-red");
    if (!existsSync(program)) continue;
    const found = packageFolder(dirname(realpathSync(program)));
    if (found) return found;
  }
  return undefined;
}
