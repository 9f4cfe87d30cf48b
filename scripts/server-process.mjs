// What the servers of scripts/*-server.mjs have in common: ports of the loopback interface, processes and folders that end with this
// process, and running in the foreground for a user.
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { createServer } from "node:net";

/** Processes and folders that end with this process. */
export const running = new Set();
export const temporary = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of temporary) try { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); } catch { /* the system empties its temporary folder */ }
});

/** Kills a server when this process is gone, however it ended: a server must not live on unseen. */
export function watch(child, signal) {
  if (process.platform === "win32") return () => undefined;
  const watchdog = spawn("/bin/sh", ["-c", `read line; [ "$line" = over ] || kill -${signal} ${child.pid}`], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  watchdog.unref();
  watchdog.stdin.on("error", () => undefined);
  watchdog.stdin.unref?.();
  return () => { watchdog.stdin.end("over\n"); };
}

/** Whether nobody listens on a port of the loopback interface. */
export const isFree = (port) => new Promise((done) => {
  const server = createServer();
  server.once("error", () => done(false)).listen(port, "127.0.0.1", () => server.close(() => done(true)));
});

/** Below the range from which the system takes ports of outgoing connections: a server must find its own again after a kill. */
export async function freePorts(count) {
  const ports = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > 500) throw new Error("No free port between 20000 and 32000.");
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (!ports.includes(port) && await isFree(port)) ports.push(port);
  }
  return ports;
}

/** The port for a server in the foreground: the one asked for, else the usual one or the next free. Undefined, and said, when the one asked for is taken. */
export async function servingPort(part, asked, usual, log) {
  if (asked !== undefined && !await isFree(asked)) {
    log(`Port ${asked} is taken. Give another one: npm run stack -- ${part} --port ${asked + 1}`);
    return undefined;
  }
  let port = asked ?? usual;
  while (!await isFree(port)) port++;
  if (asked === undefined && port !== usual) log(`Port ${usual} is taken; using ${port}.`);
  return port;
}

/** Waits for a server until Ctrl-C. Resolves with the exit code. */
export async function foreground({ name, ended, stop, logs, log }) {
  let stopping = false;
  const end = () => { if (!stopping) log("Stopping ..."); stopping = true; void stop(); };
  process.on("SIGINT", end).on("SIGTERM", end).on("SIGHUP", end);
  await ended;
  log(stopping ? "Stopped." : `${name} ended by itself:\n${logs().slice(-4000)}`);
  return stopping ? 0 : 1;
}

/** One server process, started and killed as often as wanted. */
export class ServerProcess {
  #child;
  #ended = Promise.resolve();
  #text = "";

  /**
   * @param {object} options
   * - name: for people
   * - command, args, env, cwd: what runs
   * - ready: () => Promise<boolean>, asked until it answers
   * - orphanSignal: what the server gets when this process dies (KILL)
   */
  constructor(options) { this.options = { orphanSignal: "KILL", readyMs: 30_000, ...options }; }

  get pid() { return this.#child?.pid; }
  get alive() { return this.#child !== undefined; }
  get ended() { return this.#ended; }
  logs() { return this.#text; }

  /** Resolves when it answers. */
  async start() {
    const { name, command, args, env, cwd, orphanSignal } = this.options;
    if (this.alive) throw new Error(`${name} runs already.`);
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...(cwd ? { cwd } : {}), env: { ...process.env, ...env } });
    this.#child = child;
    running.add(child);
    const over = watch(child, orphanSignal);
    const heard = (data) => { this.#text = (this.#text + data).slice(-1_000_000); };
    child.stdout.setEncoding("utf8").on("data", heard);
    child.stderr.setEncoding("utf8").on("data", heard);
    this.#ended = new Promise((done) => {
      const end = () => { running.delete(child); over(); if (this.#child === child) this.#child = undefined; done(); };
      child.on("error", (error) => { heard(`${error.message}\n`); end(); }).on("close", end);
    });
    await this.#ready(child);
  }

  async #ready(child) {
    const { name, ready, readyMs } = this.options;
    const deadline = Date.now() + readyMs;
    for (;;) {
      if (this.#child !== child) throw new Error(`${name} ended before it was ready:\n${this.#text.slice(-4000)}`);
      if (await ready()) return;
      if (Date.now() > deadline) throw new Error(`${name} was not ready within ${readyMs / 1000} s:\n${this.#text.slice(-4000)}`);
      await new Promise((r) => setTimeout(r, 50));
    }
  }

  /** Sends a signal; resolves when the process is gone (at once for SIGSTOP and SIGCONT). */
  async kill(signal = "SIGKILL") {
    this.#child?.kill(signal);
    if (signal !== "SIGSTOP" && signal !== "SIGCONT") await this.#ended;
  }

  /** Clean; after 20 s by force. */
  async stop() {
    const child = this.#child;
    const timer = setTimeout(() => child?.kill("SIGKILL"), 20_000);
    await this.kill("SIGTERM");
    clearTimeout(timer);
  }
}
