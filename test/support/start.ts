import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = join(__dirname, "..", "..");

export interface Started {
  readonly pid: number;
  readonly url: string;
  readonly userDir: string;
  /** Everything that was printed so far. */
  output(): string;
  /** Sends the signal and resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface StartOptions {
  readonly userDir: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Through npm, as a user does; signals go to npm. */
  readonly npm?: boolean;
}

const running = new Set<ChildProcess>();
process.on("exit", killAll);

/** Ends what a failed test left behind. */
export function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** A folder that is removed when the test file is done. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `ticklake-${name}-`));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function spawnStart(options: StartOptions): { child: ChildProcess; output: () => string; ended: Promise<number | null> } {
  const [command, args] = options.npm ? ["npm", ["start", "--"]] : [process.execPath, [join(root, "scripts", "start.mjs")]];
  // What an `npm test` around us hands down is not for this npm.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_/i.test(key)));
  const child = spawn(command, [...args, ...(options.args ?? [])], {
    cwd: root,
    env: { ...inherited, PORT: "0", ...options.env, TICKLAKE_USER_DIR: options.userDir },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (d: string) => { text += d; });
  child.stderr!.setEncoding("utf8").on("data", (d: string) => { text += d; });
  const ended = new Promise<number | null>((done) => child.on("close", (code) => { running.delete(child); done(code); }));
  return { child, output: () => text, ended };
}

/** Runs `npm start`'s script until it ends by itself; for what it refuses. */
export async function runStart(options: StartOptions): Promise<{ code: number | null; output: string }> {
  const { output, ended } = spawnStart(options);
  return { code: await ended, output: output() };
}

/** Runs `npm start`'s script until it says that it is running. */
export async function start(options: StartOptions): Promise<Started> {
  const { child, output, ended } = spawnStart(options);
  const url = await new Promise<string>((done, fail) => {
    const look = (): void => {
      if (!output().includes("Ctrl-C stops it")) return;
      done(/http:\/\/[^/\s]+/.exec(output())![0]);
    };
    child.stdout!.on("data", look);
    void ended.then((code) => fail(new Error(`npm start ended with code ${code}:\n${output()}`)));
  });
  return {
    pid: child.pid!,
    url,
    userDir: options.userDir,
    output,
    stop(signal = "SIGTERM") { child.kill(signal); return ended; },
  };
}

/** Asks again until the answer satisfies; says what the last one was when that takes too long. */
export async function until<T>(what: string, ask: () => T | Promise<T>, satisfied: (answer: T) => boolean, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let answer: T | undefined;
    let problem: unknown;
    try { answer = await ask(); if (satisfied(answer)) return answer; } catch (error) { problem = error; }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s; last: ${problem instanceof Error ? problem.message : JSON.stringify(answer)?.slice(0, 500)}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}
