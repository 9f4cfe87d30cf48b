import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { root } from "./start";

export interface Ended { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** The `ticklake` command as a process of its own. */
export interface RunningCommand {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** Resolves when it ends. */
  readonly ended: Promise<Ended>;
  signal(signal: NodeJS.Signals): void;
}

const running = new Set<ChildProcess>();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });

/** Starts `ticklake` of dist/ with nothing of this process's environment that would set a flow. */
export function startCommand(args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd = root): RunningCommand {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(npm_|AWS_|APCA_|ALPACA_|KAFKA_|S3_|ICEBERG_|TICKLAKE_(CONFIG|USER_DIR)|PORT$|HOST$)/i.test(key)));
  const child = spawn(process.execPath, [join(root, "dist", "bin", "ticklake.js"), ...args], { cwd, env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let out = "", err = "";
  child.stdout.setEncoding("utf8").on("data", (data: string) => { out += data; });
  child.stderr.setEncoding("utf8").on("data", (data: string) => { err += data; });
  const ended = new Promise<Ended>((done) => child.on("close", (code) => { running.delete(child); done({ code, stdout: out, stderr: err }); }));
  return { pid: child.pid!, stdout: () => out, stderr: () => err, ended, signal: (signal) => { child.kill(signal); } };
}

/** Runs it to its end. */
export const runCommand = (args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd?: string): Promise<Ended> => startCommand(args, env, cwd).ended;
