import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(__dirname, "../..");

/** The cache folder of foreign readers and servers, filled by `node scripts/stack.mjs --fetch`. */
export const stackDir = resolve(root, process.env.TICKLAKE_STACK || ".stack");

/** Python with PyIceberg, DuckDB and Spark. */
export const pythonPath = process.platform === "win32" ? join(stackDir, "py", "Scripts", "python.exe") : join(stackDir, "py", "bin", "python");

/** Says what to do when the foreign readers are not there: a test that needs them fails, it does not pass by skipping. */
export function requirePython(): void {
  if (!existsSync(pythonPath)) throw new Error(`${pythonPath} is not there. Run: node scripts/stack.mjs python jars`);
}

/**
 * Runs a script of test/support/py (or a path) and gives what it printed.
 *
 * @throws Error with what it wrote to stderr when it fails
 */
export function runPython(script: string, args: readonly string[] = [], options: { stdin?: string; timeoutMs?: number } = {}): Promise<string> {
  requirePython();
  const file = script.includes("/") ? script : join(root, "test", "support", "py", script);
  return new Promise((done, fail) => {
    const child = execFile(pythonPath, [file, ...args], { maxBuffer: 256 * 1024 * 1024, timeout: options.timeoutMs ?? 120_000, cwd: root, env: { ...process.env, PYTHONPATH: join(stackDir, "httpfs") } }, (error, stdout, stderr) => {
      if (error) fail(new Error(`${script} failed: ${stderr.trim().split("\n").slice(-15).join("\n") || error.message}`));
      else done(stdout);
    });
    child.stdin?.end(options.stdin ?? "");
  });
}
