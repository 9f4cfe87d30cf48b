import type { KafkaOptions } from "./types";
import type { KafkajsLogger } from "./kafkajs";

export type LogLevel = "error" | "warn" | "info" | "debug";
export type KafkaLog = (level: LogLevel, text: string) => void;

/** Texts remembered for repetition; beyond that the oldest are forgotten, so that changing texts cannot fill memory. */
const REMEMBERED = 200;
const REPEAT_MS = 1000;

/**
 * A log that writes each text at most once a second (an outage repeats itself) and says how often it was left out.
 *
 * @param sink where lines go; none: nowhere
 */
export function quietLog(sink: KafkaOptions["log"], now: () => number = Date.now): KafkaLog {
  if (!sink) return () => {};
  const last = new Map<string, { at: number; dropped: number }>();
  return (level, text) => {
    const key = `${level} ${text}`;
    const before = last.get(key);
    const at = now();
    if (before && at - before.at < REPEAT_MS) { before.dropped++; return; }
    last.delete(key);
    last.set(key, { at, dropped: 0 });
    if (last.size > REMEMBERED) last.delete(last.keys().next().value as string);
    sink(level, before?.dropped ? `${text} (${before.dropped + 1} times)` : text);
  };
}

/**
 * kafkajs' logger on ours. What goes wrong on its connections reaches the callers as errors and from there status and log, so its
 * own lines about it are for debugging only; its debug lines, which hold requests and answers, are not made at all.
 */
export function kafkajsLogger(log: KafkaLog): KafkajsLogger {
  const text = (message: unknown, extra?: Record<string, unknown>) => {
    const broker = typeof extra?.broker === "string" ? ` (${extra.broker})` : "";
    return `Kafka client: ${message instanceof Error ? message.message : String(message)}${broker}`;
  };
  const logger: KafkajsLogger = {
    error: (message, extra) => log("debug", text(message, extra)),
    warn: (message, extra) => log("debug", text(message, extra)),
    info: (message, extra) => log("debug", text(message, extra)),
    debug: () => {},
    namespace: () => logger,
  };
  return logger;
}
