import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The package.json, seen from dist/nodes/shared and from nodes/shared. */
const MANIFESTS = ["../../../package.json", "../../package.json"].map((file) => join(__dirname, file));

let known: string | undefined;

/** The version of this package. */
export function packageVersion(): string {
  const file = MANIFESTS.find((path) => existsSync(path));
  return known ??= file ? (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version : "unknown";
}
