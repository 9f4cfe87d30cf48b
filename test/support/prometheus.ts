/** A reader of Prometheus' text format and the rules of `promtool check metrics`, written from their documentation: nothing of ours or of the client's is used. */

export interface Series { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }
export interface Family { readonly name: string; help?: string; type?: string; readonly series: Series[] }

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;

/** @throws Error at the first line that is not in the format */
export function parseMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const family = (name: string): Family => families.get(name) ?? (families.set(name, { name, series: [] }), families.get(name)!);
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const note = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (note) {
      const one = family(note[2]!);
      if (one.series.length > 0) throw new Error(`${line}: after its samples`);
      const key = note[1] === "HELP" ? "help" : "type";
      if (one[key] !== undefined) throw new Error(`${line}: said twice`);
      one[key] = note[3]!;
      continue;
    }
    const sample = LINE.exec(line);
    if (!sample) throw new Error(`no line of the format: ${line}`);
    const labels: Record<string, string> = {};
    let end = 0;
    for (const found of (sample[2] ?? "").matchAll(LABEL)) {
      labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
      end = found.index + found[0].length;
    }
    if (end !== (sample[2] ?? "").length) throw new Error(`labels: ${line}`);
    const value = sample[3] === "+Inf" ? Infinity : sample[3] === "-Inf" ? -Infinity : Number(sample[3]);
    // As Go's ParseFloat reads it, in any case.
    if (Number.isNaN(value) && !/^nan$/i.test(sample[3]!)) throw new Error(`value: ${line}`);
    const base = sample[1]!.replace(/_(bucket|sum|count)$/, "");
    const owner = ["histogram", "summary"].includes(families.get(base)?.type ?? "") ? base : sample[1]!;
    family(owner).series.push({ name: sample[1]!, labels, value });
  }
  return families;
}

const NOT_BASE = /_(milliseconds|millis|ms|microseconds|us|nanoseconds|ns|minutes|hours|days|kilobytes|kb|megabytes|mb|gigabytes|gb|bits|percent|celsius_degrees|sec|secs|s|b)(_|$)/;

/** What promtool would object to. */
export function lintMetrics(families: Map<string, Family>): string[] {
  const found: string[] = [];
  for (const { name, help, type, series } of families.values()) {
    const say = (what: string): void => { found.push(`${name}: ${what}`); };
    if (!help) say("no help text");
    if (!type) say("no type");
    if (/[A-Z]/.test(name)) say("camelCase");
    if (name.includes(":")) say("a colon is for recording rules");
    if (type === "counter" && !name.endsWith("_total")) say("a counter's name ends in _total");
    if (type !== "counter" && name.endsWith("_total")) say("only a counter's name ends in _total");
    if (type !== "histogram" && type !== "summary" && /_(count|sum|bucket)$/.test(name)) say("a suffix of histograms");
    if (/_(counter|gauge|histogram|summary)(_|$)/.test(name)) say("the type stands in the name");
    if (NOT_BASE.test(name)) say("no base unit, or an abbreviated one");
    if (type === "histogram" && !/_(seconds|bytes|records)$/.test(name)) say("a histogram without a unit");
    const seen = new Set<string>();
    for (const { name: line, labels, value } of series) {
      const key = `${line}${JSON.stringify(Object.entries(labels).sort())}`;
      if (seen.has(key)) say(`twice: ${key}`);
      seen.add(key);
      if (type === "counter" && !(value >= 0)) say(`a counter of ${value}`);
      for (const label of Object.keys(labels)) {
        if (/[A-Z]/.test(label) || label.startsWith("__")) say(`label ${label}`);
        if (label === "le" && !line.endsWith("_bucket")) say("le is for buckets");
      }
    }
    if (type === "histogram") for (const complaint of lintBuckets(series)) say(complaint);
  }
  return found;
}

/** Buckets grow, and the last one, without bound, is the count. */
function lintBuckets(series: readonly Series[]): string[] {
  const found: string[] = [];
  const groups = new Map<string, Series[]>();
  for (const one of series) {
    const { le: _, ...labels } = one.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter(({ name }) => name.endsWith("_bucket"));
    const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
    if (bounds.some((bound, k) => k > 0 && !(bound > bounds[k - 1]!)) || bounds.at(-1) !== Infinity) found.push(`bounds of ${key}: ${bounds.join(" ")}`);
    if (buckets.some(({ value }, k) => k > 0 && value < buckets[k - 1]!.value)) found.push(`buckets of ${key} shrink`);
    if (group.find(({ name }) => name.endsWith("_count"))?.value !== buckets.at(-1)?.value) found.push(`count of ${key} is not its last bucket`);
  }
  return found;
}
