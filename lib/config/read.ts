/** The text of config.yaml to the variables that it stands for. Pure. */
import { STREAM } from "../alpaca/account";
import { distance, nearest } from "../cli/nearest";
import { place as absolute } from "../cli/settings";
import { COMMANDS } from "../cli/parameters";
import { CONFIG, SECTIONS, SETTINGS, type Setting } from "./keys";
import { expand } from "./expand";
import { invalidConfig, type Problem } from "./problems";
import { parseYaml, shownKey, type At, type Tree } from "./yaml";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ReadOptions {
  /** The file, as messages name it. */
  readonly file: string;
  /** The folder that places in the file are relative to. */
  readonly folder: string;
  /** For `${NAME}`, and what it sets wins over the file. */
  readonly environment: Environment;
  /** Where trades come from, when the command says so; otherwise SOURCE says it, or the file. Alpaca's keys must be set for live ones only. */
  readonly source?: string;
}

/** What a file says. Holds secrets: never log it whole. */
export interface Config {
  /** Variables that are to be set: those of the file that the environment does not have. */
  readonly variables: Readonly<Record<string, string>>;
  /** Variables of the environment that say otherwise than the file, and won. */
  readonly overridden: readonly string[];
}

/** A value as it stands in the file. */
interface Found { readonly setting: Setting; readonly value: Tree; readonly expanded: boolean }

/**
 * Reads the file.
 *
 * @throws TicklakeError CONFIG_INVALID naming every mistake by file, line and column, and what to do; never with a value that may be a secret
 */
export function readConfig(text: string, options: ReadOptions): Config {
  const { tree, problems, broken } = parseYaml(text.replace(/^\uFEFF/, ""));
  if (broken) throw invalidConfig(options.file, problems);
  const reading = new Reading(options, problems);
  const values = tree === undefined ? {} : reading.top(tree);
  const checked = reading.check(values);
  if (reading.problems.length > 0) throw invalidConfig(options.file, reading.problems);
  return variablesOf(checked, reading.source, options);
}

const pathOf = (path: readonly PropertyKey[]): string => path.filter((part) => typeof part === "string").join(".");

class Reading {
  /** Where trades come from; undefined where nobody says it. */
  source: string | undefined;
  private readonly found = new Map<string, Found>();

  constructor(private readonly options: ReadOptions, readonly problems: Problem[]) {}

  /** The file as plain values, with the environment put in. What is empty is left out. */
  top(tree: Tree): Record<string, unknown> {
    if (tree.kind !== "map") {
      if (tree.kind === "scalar" && tree.text.trim() === "") return {};
      this.say(tree.at, `A configuration is made of keys and values, such as symbols: AAPL MSFT, not of ${tree.kind === "list" ? "a list" : "text"}.${noBlank(tree, [...Object.keys(SECTIONS), ...SETTINGS.map(({ path }) => path)])}`);
      return {};
    }
    const { source, environment } = this.options, said = tree.entries.find(({ key }) => key === "source")?.value;
    this.source = source ?? (environment["SOURCE"] || (said?.kind === "scalar" ? expand(said.text, environment).text : undefined));
    const out = Object.create(null) as Record<string, unknown>;
    for (const { key, at, value } of tree.entries) {
      if (Object.hasOwn(SECTIONS, key)) {
        const section = this.section(key, value);
        if (section) out[key] = section;
        continue;
      }
      this.one(out, "", key, at, value);
    }
    return out;
  }

  private section(name: string, tree: Tree): Record<string, unknown> | undefined {
    if (isNothing(tree)) return undefined;
    if (tree.kind !== "map") {
      const keys = keysOf(name);
      this.say(tree.at, `${name} is a section: its keys stand below it, indented, such as ${keys[0]!}.${noBlank(tree, keys)}`);
      return undefined;
    }
    const out = Object.create(null) as Record<string, unknown>;
    for (const { key, at, value } of tree.entries) this.one(out, `${name}.`, key, at, value);
    return out;
  }

  private one(out: Record<string, unknown>, prefix: string, key: string, at: At, value: Tree): void {
    const path = prefix + key, setting = SETTINGS.find((one) => one.path === path);
    if (setting === undefined) {
      this.say(at, unknownKey(prefix, key));
      return;
    }
    if (isNothing(value)) return;
    const put = this.value(value, setting);
    this.found.set(path, { setting, value, expanded: put.expanded });
    if (put.value !== undefined && put.value !== "") out[key] = put.value;
  }

  /** With the environment put in; undefined where that failed. */
  private value(tree: Tree, setting: Setting): { value: unknown; expanded: boolean } {
    if (tree.kind === "list") {
      const items = tree.items.map((item) => this.value(item, setting));
      return { value: items.map(({ value }) => value).filter((value) => value !== undefined && value !== ""), expanded: items.some(({ expanded }) => expanded) };
    }
    // A section where there should be a value: the schema refuses it.
    if (tree.kind === "map") return { value: {}, expanded: false };
    const { text, expanded, unset, malformed } = expand(tree.text, this.options.environment);
    if (malformed) this.say(tree.at, `${setting.path} has a \${ that begins no variable. Write \${NAME} or \${NAME:-default}; a plain \${ is written $\${.`);
    if (unset.length > 0) {
      if (!givenBy(setting, this.options.environment) && this.needed(setting)) {
        this.say(tree.at, `${setting.path}: ${unset.map((name) => `\${${name}}`).join(" and ")} ${unset.length > 1 ? "are" : "is"} not set in the environment. Set ${unset.length > 1 ? "them" : "it"}, or give a default: \${${unset[0]!}:-...}.`);
      }
      return { value: undefined, expanded: true };
    }
    return { value: malformed ? undefined : text, expanded };
  }

  /** Alpaca's keys are needed where Alpaca is: whoever has the documented file can use it for everything else without an account. */
  private needed({ path }: Setting): boolean {
    return !/^alpaca\.(key|secret)$/.test(path) || this.source === "live";
  }

  /** @returns the values of variables by path, as text */
  check(values: Record<string, unknown>): ReadonlyMap<string, string> {
    const out = new Map<string, string>(), result = CONFIG.safeParse(values);
    if (!result.success) {
      for (const issue of result.error.issues) {
        const path = pathOf(issue.path), one = this.found.get(path);
        if (one) this.say(one.value.at, mistake(path, one, issue.code === "custom" ? issue.message : undefined));
      }
      return out;
    }
    for (const { path } of SETTINGS) {
      const [section, name] = path.includes(".") ? path.split(".") as [string, string] : [undefined, path];
      const within = (section === undefined ? result.data : result.data[section]) as Record<string, unknown> | undefined;
      const value = within?.[name];
      if (typeof value === "string") out.set(path, value);
    }
    const feed = out.get("alpaca.feed"), address = out.get("alpaca.ws_url");
    if (address !== undefined && feed !== undefined && feed !== "custom" && address !== STREAM + feed) {
      this.say(this.found.get("alpaca.feed")!.value.at, "alpaca.feed and alpaca.ws_url name two streams. Leave one of them.");
    }
    return out;
  }

  private say(at: At, message: string): void { this.problems.push({ line: at.line, column: at.column, message }); }
}

/** `key:`, `key: ~` and `key: null` are the same as no key. */
const isNothing = (tree: Tree): boolean => tree.kind === "scalar" && (tree.text.trim() === "" || !tree.quoted && /^(~|null)$/.test(tree.text));

/** The names of a section's keys. */
const keysOf = (section: string): string[] => SETTINGS.filter(({ path }) => path.startsWith(`${section}.`)).map(({ path }) => path.slice(section.length + 1));

/** `topic:iex_data` is one word. */
function noBlank(tree: Tree, keys: readonly string[]): string {
  return tree.kind === "scalar" && keys.some((key) => tree.text.startsWith(`${key}:`)) ? " A blank stands after the colon." : "";
}

/** What is wrong with a value. */
function mistake(path: string, { setting, value, expanded }: Found, said: string | undefined): string {
  const { form } = setting;
  const shown = form.shown && !setting.secret && !expanded && value.kind === "scalar" && value.text.length <= 40 ? ` "${value.text.replace(/[^\x20-\x7e]/g, "?")}"` : "";
  if (said !== undefined) return `${path}${shown} ${said}`;
  if (value.kind === "scalar" && form.choices) {
    const near = shown === "" ? undefined : nearest(value.text, form.choices);
    return `${path}${shown} is none of ${form.choices.join(", ")}.${near ? ` Did you mean ${near}?` : ""}`;
  }
  return `${path} takes ${form.takes}${value.kind === "list" ? ", not a list" : value.kind === "map" ? ", not a section with keys" : ""}.`;
}

const plain = (name: string): string => name.replace(/[-_.\s]/g, "").toLowerCase();

/** Names an unknown key and what was meant: a key that is spelled much like it, one of another section, a variable, or an option of the command. */
function unknownKey(prefix: string, key: string): string {
  const here = prefix === "" ? SETTINGS.map(({ path }) => path).filter((path) => !path.includes(".")) : keysOf(prefix.slice(0, -1));
  const near = nearest(key, prefix === "" ? [...here, ...Object.keys(SECTIONS)] : here);
  const elsewhere = SETTINGS.find(({ path, variable, also }) => {
    const option = COMMANDS.flatMap(({ parameters }) => parameters).filter(({ env }) => env === variable).map(({ name }) => name);
    return [path, path.split(".").at(-1)!, variable, ...also, ...option].some((name) => plain(name) === plain(key) || plain(name) === plain(prefix + key));
  });
  const meant = near !== undefined && (elsewhere === undefined || distance(near, key) <= 1) ? prefix + near : elsewhere?.path;
  const there = prefix === "" ? `There are ${[...here, ...Object.keys(SECTIONS)].join(", ")}.` : `${prefix.slice(0, -1)} has ${here.join(", ")}.`;
  return `${shownKey(prefix + key)} is no setting. ${meant === undefined ? there : `Did you mean ${meant}?`}`;
}

/** The variable that has said it in the environment; one that is empty has not. */
function givenBy({ variable, also }: Setting, environment: Environment): string | undefined {
  return [variable, ...also].find((name) => environment[name]);
}

function variablesOf(values: ReadonlyMap<string, string>, source: string | undefined, { environment, folder }: ReadOptions): Config {
  const variables: Record<string, string> = {}, overridden: string[] = [];
  for (const setting of SETTINGS) {
    const value = values.get(setting.path);
    // All symbols: what a file of trades has without a filter, and the simulator without names.
    if (value === undefined || setting.path === "symbols" && value === "*" && /^(csv|synthetic)$/.test(source ?? "")) continue;
    const given = givenBy(setting, environment);
    if (given === undefined) variables[setting.variable] = setting.form.place ? absolute(value, folder) : value;
    else if (environment[given] !== value) overridden.push(given);
  }
  return { variables: { ...variables, ...feedOf(values, environment) }, overridden };
}

/** The documented file names the feed by its address: an address makes the feed custom. */
function feedOf(values: ReadonlyMap<string, string>, environment: Environment): Record<string, string> {
  return values.has("alpaca.ws_url") && !values.has("alpaca.feed") && !environment["ALPACA_FEED"] ? { ALPACA_FEED: "custom" } : {};
}
