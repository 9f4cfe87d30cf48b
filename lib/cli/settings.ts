/** From a command line and the environment to the environment that a flow runs with. Pure. */
import { isAbsolute, resolve } from "node:path";
import type { Asked } from "./arguments";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The group of the documented pipeline's flow that a command runs, and what it sets for it. */
const PARTS: Readonly<Record<string, { readonly only: readonly string[]; readonly set: Readonly<Record<string, string>> }>> = {
  generate: { only: ["1"], set: { SOURCE: "synthetic" } },
  live: { only: ["1"], set: { SOURCE: "live" } },
  replay: { only: ["1"], set: { SOURCE: "csv" } },
  flatten: { only: ["2", "3"], set: { SOURCE: "none" } },
};

/** The groups of the documented pipeline that a command runs; undefined for commands that run no part of it. */
export function partsOf(command: string): readonly string[] | undefined { return PARTS[command]?.only; }

/**
 * The variables to set for the flow. What the command line gives wins over the environment, the environment over config.yaml (lib/config), and
 * the flow itself has the defaults.
 *
 * @param folder what relative places are relative to
 */
export function flowVariables({ command, values, lists, positionals }: Asked, environment: Environment, folder: string): Record<string, string> {
  const set: Record<string, string> = {};
  for (const parameter of command.parameters) {
    const value = values.get(parameter.name);
    if (value !== undefined && parameter.env !== undefined) set[parameter.env] = value;
  }
  if (values.has("url") && !values.has("feed")) set["ALPACA_FEED"] = "custom";
  if (command.name === "replay") set["CSV_FILE"] = place(positionals[0]!, folder);
  for (const pair of lists.get("set") ?? []) {
    const at = pair.indexOf("=");
    set[pair.slice(0, at)] = pair.slice(at + 1);
  }
  const warehouse = set["ICEBERG_WAREHOUSE"] ?? environment["ICEBERG_WAREHOUSE"];
  if (warehouse !== undefined && command.name !== "run") set["ICEBERG_WAREHOUSE"] = place(warehouse, folder);
  return { ...set, ...PARTS[command.name]?.set };
}

/** What a parameter is: as the command line says, else the environment, else its default; empty without one. */
export function settingOf({ command, values }: Pick<Asked, "command" | "values">, name: string, variable: (name: string) => string | undefined): string {
  const parameter = command.parameters.find((one) => one.name === name);
  return values.get(name) ?? ((parameter?.env !== undefined && variable(parameter.env)) || (parameter?.default ?? ""));
}

/** A file of this machine, absolute; addresses and files of the package stay as they are. */
export function place(name: string, folder: string): string {
  return /^[a-z][a-z0-9+.-]+:/i.test(name) && !/^[a-z]:[\\/]/i.test(name) || name.startsWith("~") || isAbsolute(name) ? name : resolve(folder, name);
}
