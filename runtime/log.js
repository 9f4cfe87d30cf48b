// How a process writes its log, chosen by LOG_FORMAT: `text` (one line per event, as Node-RED writes them), `json`, or `gcp` (the fields that Google Cloud Logging
// reads from standard output). With json and gcp every line on standard output is one JSON object, whoever printed it, and an error of many lines is one entry.
// With LOG_EXPORT=gcp it goes to Google's API as well: log-export.js
const { format, inspect } = require("node:util");
const { logExport } = require("./log-export.js");

const FORMATS = ["text", "json", "gcp"];
const LEVELS = { 10: "fatal", 20: "error", 30: "warn", 40: "info", 50: "debug", 60: "trace", 98: "audit", 99: "metric" };
/** https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity */
const SEVERITIES = { fatal: "CRITICAL", error: "ERROR", warn: "WARNING", info: "INFO", debug: "DEBUG", trace: "DEBUG", audit: "NOTICE", metric: "DEBUG" };
/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Where our nodes leave the traceparent of the message whose error they are telling; see nodes/shared/trace.ts. */
const TRACE = Symbol.for("ticklake.log.traceparent");
/** A log reader cuts longer entries off, or refuses them (Google's: 256 KiB). */
const LONGEST = 100_000;

/** The format that the environment asks for. @throws Error naming the formats */
function logFormat(env = process.env) {
  const asked = (env.LOG_FORMAT || "text").trim().toLowerCase();
  if (!FORMATS.includes(asked)) throw new Error(`LOG_FORMAT=${env.LOG_FORMAT} is no format of the log. Use ${FORMATS.slice(0, -1).join(", ")} or ${FORMATS.at(-1)}.`);
  return asked;
}

/** What an event says, as one text; of an error its code and where it arose as well. */
function contentOf(msg) {
  if (typeof msg === "string") return { message: msg.startsWith('{"__enc__":') ? decoded(msg) : msg };
  if (msg instanceof Error) return { message: msg.message, ...(msg.code === undefined ? {} : { code: String(msg.code) }), ...(msg.stack ? { stack: msg.stack } : {}) };
  if (typeof msg?.message === "string") return { message: msg.message, ...(msg.code === undefined ? {} : { code: String(msg.code) }) };
  try {
    return { message: JSON.stringify(msg) ?? String(msg) };
  } catch {
    // Circular, or with a 63-bit number.
    return { message: inspect(msg, { depth: 3, breakLength: Infinity }) };
  }
}

/** The debug sidebar's log handler, where it comes first, has replaced an error by its encoding for the editor. */
function decoded(encoded) {
  try {
    const { data } = JSON.parse(encoded);
    return typeof data?.message === "string" ? data.message : encoded;
  } catch {
    return encoded;
  }
}

/** Trace and span of an event: of the message that is being told of, or of the object that is logged. */
function traceOf(event) {
  const given = globalThis[TRACE] ?? event.msg?.traceparent;
  const found = typeof given === "string" ? TRACEPARENT.exec(given.trim()) : null;
  if (!found || /^0+$/.test(found[1]) || /^0+$/.test(found[2])) return undefined;
  return { trace: found[1], span: found[2], sampled: (parseInt(found[3], 16) & 1) === 1 };
}

const cut = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length - LONGEST} more characters)` : text);
const timeOf = (event) => new Date(event.timestamp ?? Date.now()).toISOString();

function json(event) {
  const { message, code, stack } = contentOf(event.msg);
  const trace = traceOf(event);
  return {
    time: timeOf(event), level: LEVELS[event.level] ?? String(event.level), message: cut(message),
    ...(event.type ? { type: event.type, node: event.id, ...(event.name ? { name: event.name } : {}), ...(event.z ? { flow: event.z } : {}) } : {}),
    ...(code ? { code } : {}), ...(stack ? { stack: cut(stack) } : {}), ...(trace ? { traceId: trace.trace, spanId: trace.span } : {}),
  };
}

/** https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields */
function gcp(event, env = process.env) {
  const { message, code, stack } = contentOf(event.msg);
  const trace = traceOf(event);
  const project = env.GOOGLE_CLOUD_PROJECT || env.GCLOUD_PROJECT;
  const labels = {
    ...(event.type ? { node: String(event.id), type: String(event.type) } : {}), ...(event.name ? { name: String(event.name) } : {}), ...(event.z ? { flow: String(event.z) } : {}), ...(code ? { code } : {}),
  };
  return {
    severity: SEVERITIES[LEVELS[event.level]] ?? "DEFAULT", message: cut(message), time: timeOf(event),
    ...(Object.keys(labels).length > 0 ? { "logging.googleapis.com/labels": labels } : {}),
    ...(trace ? {
      "logging.googleapis.com/trace": project ? `projects/${project}/traces/${trace.trace}` : trace.trace,
      "logging.googleapis.com/spanId": trace.span, "logging.googleapis.com/trace_sampled": trace.sampled,
    } : {}),
    // Error Reporting groups by it.
    ...(stack ? { stack_trace: cut(stack) } : {}),
  };
}

function text(event) {
  const node = event.type ? `[${event.type}:${event.name || event.id}] ` : "";
  return `${timeOf(event)} [${LEVELS[event.level] ?? event.level}] ${node}${contentOf(event.msg).message}`;
}

/** The line of an event of Node-RED's log ({level, msg, timestamp, id, type, name, z}) in a format. */
function lineOf(event, as) {
  return as === "text" ? text(event) : JSON.stringify(as === "gcp" ? gcp(event) : json(event));
}

/**
 * Node-RED's log handler. It leaves out the warning that a fresh user directory holds no credentials yet.
 *
 * @param write takes a line without its end
 */
function logHandler(as = logFormat(), write = (line) => { process.stdout.write(`${line}\n`); }) {
  const sent = exported(as, write);
  return (event) => {
    if (event.msg === "Encrypted credentials not found") return;
    write(lineOf(event, as));
    sent?.take(gcp(event));
  };
}

/** What LOG_EXPORT asks for; what it has to say itself is written here alone. */
const exported = (as, write) => logExport((level, msg) => write(lineOf({ level, msg, timestamp: Date.now() }, as)));

const CONSOLE = { log: 40, info: 40, debug: 50, warn: 30, error: 20 };
const taken = Symbol.for("ticklake.log.console");

/** With json and gcp, and with LOG_EXPORT, what anybody prints on the console is an entry too. Once per process. */
function takeConsole(as = logFormat()) {
  if (console[taken]) return;
  const sent = exported(as, (line) => { process.stdout.write(`${line}\n`); });
  if (as === "text" && !sent) return;
  console[taken] = true;
  const handle = as === "text" ? (event) => { sent.take(gcp(event)); } : logHandler(as);
  for (const [method, level] of Object.entries(CONSOLE)) {
    const plain = console[method];
    console[method] = (...args) => {
      if (as === "text") plain.apply(console, args);
      const msg = args.length === 1 && args[0] instanceof Error ? args[0] : format(...args).trim();
      if (msg !== "") handle({ level, msg, timestamp: Date.now() });
    };
  }
}

module.exports = { logFormat, logHandler, lineOf, takeConsole };
