/** Help texts, from the table of parameters. Pure. */
import { COMMANDS, type Command, type Parameter } from "./parameters";

/** What `ticklake --help` prints. */
export function overview(version: string): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    `ticklake ${version}: market-data pipelines without an editor`, "",
    "Usage: ticklake <command> [options]", "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`), "",
    "ticklake <command> --help tells the options and their defaults.",
    "Ctrl-C writes what is under way and prints the statistics; a second one ends at once.",
    "Exit codes: 0 done or stopped cleanly, 1 failure, 2 a command line that cannot be meant so, 3 compared places differ, 130 ended at once by a second Ctrl-C.", "",
  ].join("\n");
}

/** What `ticklake pinot --help` prints: the help of all commands that begin with that word. */
export const familyHelp = (commands: readonly Command[]): string => commands.map(commandHelp).join("\n");

/** What `ticklake <command> --help` prints. */
export function commandHelp({ name, summary, positionals, parameters, example }: Command): string {
  const lefts = parameters.map(left);
  const width = Math.max(...lefts.map((text) => text.length));
  return [
    `ticklake ${name}: ${summary}`, "",
    `Usage: ticklake ${name}${positionals ? ` ${positionals.usage}` : ""} [options]`, "",
    ...parameters.map((parameter, k) => `  ${lefts[k]!.padEnd(width)}  ${right(parameter)}`), "",
    `Example: ${example}`, "",
  ].join("\n");
}

const left = ({ name, value }: Parameter): string => `--${name}${value ? ` <${value}>` : ""}`;

function right({ help, choices, default: standard, env, many }: Parameter): string {
  const facts = [
    ...(choices ? [choices.join(" | ")] : []), ...(many ? ["may be given more than once"] : []),
    ...(standard === undefined ? [] : [`default ${standard.includes(" ") ? `"${standard}"` : standard}`]), ...(env ? [`or ${env}`] : []),
  ];
  return `${help}${facts.length > 0 ? ` (${facts.join("; ")})` : ""}`;
}
