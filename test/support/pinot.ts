/**
 * A real Pinot for tests: controller, broker and server of 0.11.0 in one process. For 1.x see pinot/stand-in.ts.
 */
import { createRequire } from "node:module";
import { PinotCluster } from "../../lib/pinot/cluster";
import { parsePinot } from "../../lib/pinot/settings";

export interface PinotStartOptions {
  /** Of the controller; a free one. */
  readonly port?: number;
  readonly brokerPort?: number;
  /** Kept by `stop`; by default a temporary folder. */
  readonly dataDir?: string;
  /** More settings, `pinot.*` and `controller.*`, for all components. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>;
  readonly heapMb?: number;
  /** A JVM for benchmarks: slow to warm up, fast then. */
  readonly fast?: boolean;
}

export interface RunningPinot {
  /** http://127.0.0.1:port */
  readonly controllerUrl: string;
  readonly brokerUrl: string;
  readonly dataDir: string;
  readonly pid: number | undefined;
  logs(): string;
  /** SIGKILL by default. Resolves when the process is gone; at once for SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

const server = createRequire(__filename)("../../scripts/pinot-server.mjs") as { startPinot(options?: PinotStartOptions): Promise<RunningPinot> };

/** A Pinot of your own. Takes 10 to 25 s and 500 MB; stop it. */
export const startPinot = (options?: PinotStartOptions): Promise<RunningPinot> => server.startPinot(options);

/** What a test may do with a Pinot that it shares: no kills, no settings of the cluster. */
export type SharedPinot = Pick<RunningPinot, "controllerUrl" | "brokerUrl">;

let shared: Promise<SharedPinot> | undefined;
let ours: Promise<RunningPinot> | undefined;
// A root hook of mocha: this file is loaded with the test files. Used outside of mocha, the server ends with the process.
if (typeof after === "function") after(async function () { this.timeout(60_000); await (await ours?.catch(() => undefined))?.stop(); });

/**
 * The Pinot of this mocha process, started by the first call and stopped at the end of the process; the running one of PINOT_CONTROLLER_URL and
 * PINOT_BROKER_URL when those are set. Tables of other tests live there too: use `uniqueTable`. Give a `before` that calls it 3 minutes.
 */
export function sharedPinot(): Promise<SharedPinot> {
  const [controllerUrl, brokerUrl] = [process.env["PINOT_CONTROLLER_URL"], process.env["PINOT_BROKER_URL"]];
  return shared ??= controllerUrl && brokerUrl ? Promise.resolve({ controllerUrl, brokerUrl }) : (ours = startPinot());
}

let tables = 0;
/** The name of a table that nobody has. */
export const uniqueTable = (prefix = "trades"): string => `${prefix}_${process.pid}_${Date.now().toString(36)}_${tables++}`;

/** Our own client for a server. */
export const clusterFor = (pinot: SharedPinot, parts: ConstructorParameters<typeof PinotCluster>[1] = {}): PinotCluster => new PinotCluster(parsePinot(pinot, {}, () => undefined), parts);
