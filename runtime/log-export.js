// LOG_EXPORT=gcp: what goes to the log goes to Google Cloud Logging's API as well, beside standard output. For machines whose output nobody at Google reads.
//
//   GOOGLE_CLOUD_PROJECT   the project (otherwise that of the credentials); who writes is found as in all of Google's libraries
//   LOG_NAME               the log's name (ticklake)
//   LOG_ENDPOINT           another address of the API: host:port or a URL; without encryption on this machine only
//
// The package @google-cloud/logging is loaded only then. Entries wait in a bounded buffer and are written in batches; nobody waits for the API, and while it does not
// answer the log on standard output goes on. An entry that is written twice, because the first answer was lost, is one entry: its insertId is the same.
const { randomBytes } = require("node:crypto");
const { createRequire } = require("node:module");
const { setTimeout: pause } = require("node:timers/promises");

const PACKAGE = "@google-cloud/logging";
/** One request: far below the API's 10 MB. https://cloud.google.com/logging/quotas#api-limits */
const BATCH = { entries: 500, bytes: 1024 * 1024 };
/** What may wait. */
const KEPT = { entries: 10_000, bytes: 16 * 1024 * 1024 };
/** The API refuses larger entries (256 KiB). */
const LARGEST_ENTRY = 240 * 1024;
const TIMES = { gather: 1000, request: 10_000, firstPause: 1000, longestPause: 30_000, last: 3000, tell: 60_000, resource: 5000 };
/** Of google.rpc.Code: the same request will be refused again. */
const INVALID_ARGUMENT = 3;
/** Variables whose values are secrets, besides those of config.yaml. */
const SECRET_NAME = /(_PASSWORD|_SECRET|_SECRET_KEY|_SECRET_ACCESS_KEY|_ACCESS_KEY_ID|_API_KEY_ID|_TOKEN|^ALPACA_KEY)$/;

const isLoopback = (host) => host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);

/** Where the API is asked. @throws Error saying how LOG_ENDPOINT is written */
function endpointOf(given) {
  if (!given) return {};
  const text = given.trim(), bare = !/^[a-z]+:\/\//i.test(text);
  const wrong = (why) => new Error(`LOG_ENDPOINT ${why} Write host:port, or https://host:port.`);
  if (!URL.canParse(bare ? `http://${text}` : text)) throw wrong("is no address.");
  const url = new URL(bare ? `http://${text}` : text), loopback = isLoopback(url.hostname);
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || !/^\/?$/.test(url.pathname)) throw wrong("holds more than a host and a port.");
  if (url.protocol === "http:" && !bare && !loopback) throw wrong("is not encrypted, which is allowed for this machine only: the log and a token are sent there.");
  const insecure = url.protocol === "http:" && loopback;
  return { apiEndpoint: url.hostname, port: Number(url.port || (insecure ? 80 : 443)), insecure };
}

/** The settings of the environment, checked. undefined: nothing is exported. @throws Error */
function exportSettings(env = process.env) {
  const asked = (env.LOG_EXPORT || "").trim().toLowerCase();
  if (asked === "" || asked === "none") return undefined;
  if (asked !== "gcp") throw new Error(`LOG_EXPORT=${env.LOG_EXPORT} is nothing that logs can be sent to. Use gcp, or none.`);
  const logName = env.LOG_NAME || "ticklake";
  if (!/^[A-Za-z0-9/_.-]{1,400}$/.test(logName)) throw new Error("LOG_NAME may have letters, digits and / _ - . only.");
  return { logName, project: env.GOOGLE_CLOUD_PROJECT || env.GCLOUD_PROJECT || undefined, endpoint: endpointOf(env.LOG_ENDPOINT) };
}

/** Where the package lies: beside this one, in the folder of Node-RED, or in the user directory. @throws Error saying how to install it */
function findPackage(env = process.env) {
  try {
    return require.resolve(PACKAGE, { paths: [__dirname, process.cwd(), ...(env.TICKLAKE_USER_DIR ? [env.TICKLAKE_USER_DIR] : [])] });
  } catch {
    throw new Error(`LOG_EXPORT=gcp needs the package ${PACKAGE}, which is not installed here. Install it beside Node-RED:\n\n  npm install ${PACKAGE}`);
  }
}

/** Newer versions of the package have the API in one of its own. */
function ownApi(file) {
  try { return createRequire(file).resolve(`${PACKAGE}-api`); } catch { return file; }
}

/** The API behind one function. */
async function openApi({ project, endpoint }, file) {
  const { Logging } = require(file);
  const { apiEndpoint, port, insecure } = endpoint;
  // The very gRPC that the library speaks with: another copy's credentials would not be known to it.
  const grpc = () => ["google-gax", "@grpc/grpc-js"].reduce((from, name) => createRequire(from).resolve(name), ownApi(file));
  const logging = new Logging({ ...(project ? { projectId: project } : {}), ...(apiEndpoint ? { apiEndpoint, port } : {}), ...(insecure ? { sslCreds: require(grpc()).credentials.createInsecure() } : {}) });
  const id = project ?? await logging.auth.getProjectId();
  // Asks the metadata server, which is not everywhere.
  const detected = await Promise.race([logging.setDetectedResource().then(() => logging.detectedResource).catch(() => undefined), pause(TIMES.resource, undefined, { ref: false })]);
  return {
    project: id,
    resource: { type: "global", ...detected, labels: { project_id: id, ...detected?.labels } },
    write: (request) => logging.loggingService.writeLogEntries(request, { timeout: TIMES.request, retry: { retryCodes: [] } }),
  };
}

/** The fields of a line of LOG_FORMAT=gcp as an entry of the API. https://cloud.google.com/logging/docs/reference/v2/rpc/google.logging.v2#logentry */
function entryOf({ severity, message, time, stack_trace: stack, ...special }, insertId) {
  const ms = Date.parse(time), field = (name) => special[`logging.googleapis.com/${name}`];
  return {
    severity, insertId, message, stack, timestamp: { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 },
    labels: field("labels") ?? {}, trace: field("trace"), spanId: field("spanId"), traceSampled: field("trace_sampled") === true,
  };
}

const bytesOf = ({ message, stack = "", labels }) => Buffer.byteLength(message) + Buffer.byteLength(stack) + Buffer.byteLength(JSON.stringify(labels)) + 300;

/** Text of at most so many bytes. */
const cut = (text, most) => (Buffer.byteLength(text) <= most ? text : `${Buffer.from(text).subarray(0, most).toString("utf8").replace(/\uFFFD+$/, "")}… (cut)`);

class GcpExport {
  #waiting = [];
  /** Entries of the request that is under way. */
  #sent = 0;
  #bytes = 0;
  #sequence = 0;
  #run = randomBytes(6).toString("hex");
  #sending;
  #opening;
  #timer;
  #pauseMs = TIMES.firstPause;
  #down = false;
  #dropped = 0;
  #toldAt = -Infinity;
  #ending;

  /**
   * @param settings of exportSettings
   * @param open yields {project, resource, write(request)}
   * @param tell takes a level of Node-RED's log and a text for standard output alone
   */
  constructor(settings, { open, tell, env = process.env }) {
    Object.assign(this, { settings, open, tell, env });
  }

  /** An entry, in the fields of LOG_FORMAT=gcp. Never waits, never throws. */
  take(fields) {
    // Entries of one millisecond are sorted by it.
    const entry = entryOf(fields, `${this.#run}-${String(this.#sequence++).padStart(10, "0")}`);
    if (bytesOf(entry) > LARGEST_ENTRY) Object.assign(entry, { message: cut(entry.message, LARGEST_ENTRY / 2), ...(entry.stack ? { stack: cut(entry.stack, LARGEST_ENTRY / 4) } : {}) });
    entry.bytes = bytesOf(entry);
    this.#waiting.push(entry);
    this.#bytes += entry.bytes;
    while (this.#waiting.length > KEPT.entries || this.#bytes > KEPT.bytes) this.#drop();
    if (this.#waiting.length >= BATCH.entries && !this.#down) this.#begin(0);
    else this.#begin(TIMES.gather);
  }

  /** Writes what waits, for so many ms at the most; tells what stays behind. */
  async flush(ms = TIMES.last) {
    this.#ending = performance.now() + ms;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A process that ends before its first batch still has the package to load: its time begins then.
    if (this.#waiting.length > 0) await Promise.race([this.#opened().catch(() => undefined), pause(ms, undefined, { ref: false })]);
    const timer = new AbortController(), end = pause(ms, "late", { signal: timer.signal }).catch(() => "late");
    while (this.#waiting.length > 0 || this.#sending) {
      if (await Promise.race([this.#sending ?? (this.#sending = this.#send()), end]) === "late") break;
      if (this.#down && this.#waiting.length > 0 && await Promise.race([pause(200), end]) === "late") break;
    }
    timer.abort();
    const left = this.#waiting.length + this.#sent + this.#dropped;
    if (left > 0) this.tell(30, `${left} ${left === 1 ? "entry" : "entries"} of the log did not reach Google Cloud Logging; they stand on standard output.`);
    this.#ending = undefined;
  }

  #drop() {
    this.#bytes -= this.#waiting.shift().bytes;
    this.#dropped++;
    if (performance.now() - this.#toldAt < TIMES.tell) return;
    this.#toldAt = performance.now();
    this.tell(30, `Google Cloud Logging is behind: of what waits (at most ${KEPT.entries} entries) the oldest are dropped, ${this.#dropped} so far. They stand on standard output.`);
  }

  #begin(ms) {
    if (this.#sending || this.#ending) return;
    if (ms === 0 && this.#timer) { clearTimeout(this.#timer); this.#timer = undefined; }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sending ??= this.#send();
    }, ms).unref();
  }

  /** Loads the package, which takes a moment, and finds out who writes. Tried again when that fails. */
  #opened() {
    return this.#opening ??= this.open(this.settings).catch((error) => { this.#opening = undefined; throw error; });
  }

  /** One batch; the next one follows. */
  async #send() {
    try {
      const api = await this.#opened();
      const batch = this.#batch();
      this.#sent = batch.length;
      try {
        await this.#within(api.write(this.#request(api, batch)));
      } catch (error) {
        // The others were written (partialSuccess); these never will be.
        if (error.code !== INVALID_ARGUMENT) { this.#giveBack(batch); throw error; }
        this.tell(20, `Google Cloud Logging refused entries of the log: ${this.#clean(error.message)}`);
      } finally {
        this.#sent = 0;
      }
      this.#up();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#sending = undefined;
      if (this.#waiting.length > 0) this.#begin(this.#down ? this.#pauseMs : this.#waiting.length >= BATCH.entries ? 0 : TIMES.gather);
    }
  }

  /** The library's own time-out is not trusted alone: a connection that hangs must not hold the log. */
  async #within(call) {
    const late = new AbortController();
    try {
      return await Promise.race([call, pause(TIMES.request + 1000, undefined, { signal: late.signal, ref: false }).then(() => { throw Object.assign(new Error("no answer"), { code: 4 }); })]);
    } finally {
      late.abort();
    }
  }

  #batch() {
    let entries = 0, bytes = 0;
    while (entries < this.#waiting.length && entries < BATCH.entries && (entries === 0 || bytes + this.#waiting[entries].bytes <= BATCH.bytes)) bytes += this.#waiting[entries++].bytes;
    this.#bytes -= bytes;
    return this.#waiting.splice(0, entries);
  }

  #giveBack(batch) {
    this.#waiting.unshift(...batch);
    for (const { bytes } of batch) this.#bytes += bytes;
    while (this.#waiting.length > KEPT.entries || this.#bytes > KEPT.bytes) this.#drop();
  }

  #request({ project, resource }, batch) {
    const text = (value) => ({ stringValue: this.#clean(value) });
    return {
      logName: `projects/${project}/logs/${encodeURIComponent(this.settings.logName)}`, resource, partialSuccess: true,
      entries: batch.map(({ severity, insertId, message, stack, timestamp, labels, trace, spanId, traceSampled }) => ({
        severity, insertId, timestamp, labels: Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, this.#clean(value)])),
        jsonPayload: { fields: { message: text(message), ...(stack ? { stack_trace: text(stack) } : {}) } },
        ...(trace ? { trace: trace.startsWith("projects/") ? trace : `projects/${project}/traces/${trace}`, spanId, traceSampled } : {}),
      })),
    };
  }

  /** Without the secrets that the environment holds now: config.yaml may have brought some. */
  #clean(text) {
    const { withoutSecrets } = require("../dist/lib/redact");
    return withoutSecrets(text, Object.entries(this.env).filter(([name]) => SECRET_NAME.test(name)).map(([, value]) => value));
  }

  #up() {
    if (this.#down) {
      const lost = this.#dropped > 0 ? ` ${this.#dropped} entries were dropped meanwhile; they stand on standard output.` : "";
      this.tell(40, `Google Cloud Logging answers again.${lost}`);
    }
    this.#down = false;
    this.#dropped = 0;
    this.#toldAt = -Infinity;
    this.#pauseMs = TIMES.firstPause;
  }

  #failed(error) {
    if (!this.#down) this.tell(30, `Google Cloud Logging cannot be written to: ${this.#reason(error)} What is logged waits (at most ${KEPT.entries} entries) and is tried again; standard output has it all.`);
    else this.#pauseMs = Math.min(TIMES.longestPause, this.#pauseMs * 2);
    this.#down = true;
  }

  #reason(error) {
    let text = String(error?.message ?? error).split("\n")[0];
    try { text = this.#clean(text); } catch { text = "the package is not built yet"; }
    return /\.$/.test(text) ? text : `${text}.`;
  }
}

const KEY = Symbol.for("ticklake.log.export");

/**
 * The export of this process, when the environment asks for one: opened once, and written out before the process ends.
 *
 * @throws Error when a setting is wrong, or the package is not installed
 */
function logExport(tell, env = process.env) {
  if (globalThis[KEY]) return globalThis[KEY];
  const settings = exportSettings(env);
  if (!settings) return undefined;
  const file = findPackage(env);
  const made = new GcpExport(settings, { open: (one) => openApi(one, file), tell, env });
  writeOutAtEnd(made);
  return (globalThis[KEY] = made);
}

/** Node-RED leaves by process.exit when it has stopped, and after an error that nobody caught: what waits is written first. Anybody else's exit is one at once. */
function writeOutAtEnd(made) {
  const exit = process.exit;
  let ending = false, writing = false;
  process.exit = (code) => {
    if (!ending || writing) return exit.call(process, code);
    writing = true;
    void made.flush().finally(() => exit.call(process, code));
    return undefined;
  };
  for (const [signal, number] of [["SIGTERM", 15], ["SIGINT", 2], ["SIGHUP", 1]]) process.on(signal, () => {
    ending = true;
    // Nobody else ends the process: Node-RED is not there yet.
    if (process.listenerCount(signal) === 1) process.exit(128 + number);
  });
  process.on("uncaughtExceptionMonitor", () => { ending = true; });
  process.once("beforeExit", () => { void made.flush(); });
}

module.exports = { exportSettings, logExport, GcpExport, KEPT, BATCH };
