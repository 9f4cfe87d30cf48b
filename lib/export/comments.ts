/** The head of an exported job. Pure. */
import type { Job } from "./types";

/** Sentences on lines of a comment; a name with line breaks cannot leave it. */
export function comment(prefix: string, lines: readonly string[]): string {
  return lines.map((line) => `${prefix} ${line.replace(/[\r\n\u2028\u2029]+/g, " ")}`.trimEnd()).join("\n");
}

/** What stands above every job: what it is, how it is run, what it leaves out. */
export function head(job: Job, { what, how, notes }: { readonly what: string; readonly how: readonly string[]; readonly notes: readonly string[] }): string[] {
  const { source, target, variables } = job;
  const to = target.kind === "iceberg" ? `the Iceberg table ${[target.catalog.name, ...target.table].join(".")}` : `the Kafka topic ${target.topic}`;
  return [
    `From the Kafka topic${source.topics.length > 1 ? "s" : ""} ${source.topics.join(", ")} into ${to}, as ${what}.`,
    `Exported by ticklake from ${job.title}${job.flow === "" ? "" : ` of the flow "${job.flow}"`}.`,
    "", ...how,
    ...(variables.size === 0 ? [] : ["", "Variables of the flow, with the values that stand here; the environment of Node-RED may have others:", ...[...variables].map(([name, value]) => `  ${name} = ${value}`)]),
    "", "Not carried over, or other than in the flow:", ...[...job.notCarried, ...notes].map((note) => `  * ${note}`),
  ];
}

/** The variables in a text that nobody has filled in, sorted. */
export function unknownVariables(text: string): string[] {
  return [...new Set([...text.matchAll(/\$\{(?:env:)?([^}\s]+)\}/g)].map((match) => match[1]!))].sort();
}
