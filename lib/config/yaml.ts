/** A YAML text to a tree whose nodes know where they stand. Every scalar is text as it is written: `0123`, `TRUE` and `1e5` stay what they are. */
import type { CST, Document, LineCounter, Node, YAMLError } from "yaml";
import { TicklakeError } from "../errors";
import type { Problem } from "./problems";

/** A place in the file. */
export interface At { readonly line: number; readonly column: number }
export type Tree =
  | { readonly kind: "scalar"; readonly at: At; readonly text: string; readonly quoted: boolean }
  | { readonly kind: "list"; readonly at: At; readonly items: readonly Tree[] }
  | { readonly kind: "map"; readonly at: At; readonly entries: readonly Entry[] };
export interface Entry { readonly key: string; readonly at: At; readonly value: Tree }

type Yaml = typeof import("yaml");

/** Lists in sections, and no more. */
const DEEPEST = 16;

/** What the package calls a mistake, as people who write the file would. Its own words are not used: they repeat what stands there. */
const WORDS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "A tab is used to indent; YAML takes blanks only.",
  BAD_INDENT: "This line is indented differently from its neighbours, or a bracket before it is not closed. Keys of one section begin in one column.",
  BLOCK_AS_IMPLICIT_KEY: "There is a second colon in this line. Put the value in quotes.",
  MULTILINE_IMPLICIT_KEY: "A colon and a blank are missing in this line: write key: value.",
  BAD_SCALAR_START: "A value cannot begin with this character. Put it in quotes.",
  BAD_DQ_ESCAPE: "A backslash in double quotes begins an escape, and this is none. Use single quotes, or write two backslashes.",
  MULTIPLE_DOCS: "A second document begins here (--- or ...). One is read.",
  BAD_ALIAS: 'An asterisk alone stands in quotes: "*".',
  BAD_DIRECTIVE: "YAML does not know this directive (a line that begins with %).",
  KEY_OVER_1024_CHARS: "This key has more than 1024 characters.",
};
const OTHERWISE = "This is no YAML: something is missing, or too much, here or in the line before. Values with special characters stand in quotes.";

const UNFINISHED = "A closing quote or bracket is missing, or a comma between the entries of a list. A value with ${...} or a colon inside [ ] stands in quotes.";

/** The optional package. */
export function loadYaml(load: (name: string) => unknown = require): Yaml {
  try {
    return load("yaml") as Yaml;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    throw new TicklakeError("CONFIG_INVALID", "Reading config.yaml needs the package yaml, which is not installed here (npm leaves optional packages out with --omit=optional). Install it:\n\n  npm install yaml", { cause: error });
  }
}

/**
 * Reads a file with one document. Anchors, aliases and tags are refused: nobody needs them here, and they can make much of little.
 *
 * @returns the tree (undefined: an empty document), and what is wrong; `broken`: it is no YAML, and the tree a guess
 */
export function parseYaml(text: string, yaml: Yaml = loadYaml()): { tree: Tree | undefined; problems: Problem[]; broken: boolean } {
  // Known before anything walks it: very deep ones end the process.
  const counted = new yaml.LineCounter(), deep = tooDeep([...new yaml.Parser(counted.addNewLine).parse(text)]);
  if (deep !== undefined) return { tree: undefined, broken: true, problems: [{ ...place(counted, deep), message: `Lists and sections stand within one another more than ${DEEPEST} deep here. A configuration has sections with keys, and lists.` }] };
  const lines = new yaml.LineCounter();
  const document: Document<Node> = yaml.parseDocument(text, { schema: "failsafe", prettyErrors: false, lineCounter: lines });
  const reader = new Reader(yaml, lines);
  for (const error of [...document.errors, ...document.warnings]) reader.refused(error);
  const broken = reader.problems.length > 0;
  const tree = document.contents ? reader.tree(document.contents) : undefined;
  return { tree, problems: reader.problems, broken };
}

/** Where it goes too deep; undefined: nowhere. Without recursion. */
function tooDeep(tokens: readonly CST.Token[]): number | undefined {
  const stack: [CST.Token, number][] = tokens.map((token) => [token, 0]);
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const [token, depth] = top;
    if (depth > DEEPEST) return token.offset;
    if (token.type === "document" && token.value) stack.push([token.value, depth]);
    if ("items" in token) for (const { key, value } of token.items) for (const child of [key, value]) if (child) stack.push([child, depth + 1]);
  }
  return undefined;
}

function place(lines: LineCounter, offset: number): At {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

class Reader {
  readonly problems: Problem[] = [];

  constructor(private readonly yaml: Yaml, private readonly lines: LineCounter) {}

  /** A mistake that the package found. */
  refused({ code, pos: [offset] }: YAMLError): void {
    // Told where the node is seen.
    if (code === "TAG_RESOLVE_FAILED" || code === "DUPLICATE_KEY") return;
    this.say(offset, code === "MISSING_CHAR" ? UNFINISHED : WORDS[code] ?? OTHERWISE);
  }

  tree(node: Node): Tree {
    const { yaml } = this, offset = node.range?.[0] ?? 0, at = place(this.lines, offset);
    if (yaml.isAlias(node)) {
      // An empty one is an asterisk: told by the package.
      if (node.source !== "") this.say(offset, "Aliases (*name) are not read here; write the value once more. An asterisk that is meant stands in quotes.");
      return { kind: "scalar", at, text: "", quoted: true };
    }
    if (node.anchor !== undefined) this.say(offset, "Anchors (&name) are not read here. An ampersand that is meant stands in quotes.");
    if (node.tag !== undefined && !/^tag:yaml\.org,2002:(str|map|seq)$/.test(node.tag)) this.say(offset, "Tags (!name) are not read here. An exclamation mark that is meant stands in quotes.");
    if (yaml.isMap(node)) return { kind: "map", at, entries: this.entries(node) };
    if (yaml.isSeq(node)) return { kind: "list", at, items: node.items.map((item) => (yaml.isNode(item) ? this.tree(item) : this.nothing(at))) };
    if (!yaml.isScalar(node)) return this.nothing(at);
    return { kind: "scalar", at, text: typeof node.value === "string" ? node.value : "", quoted: node.type !== "PLAIN" };
  }

  private entries(map: { readonly items: readonly { readonly key: unknown; readonly value: unknown }[] }): Entry[] {
    const seen = new Map<string, At>(), out: Entry[] = [];
    for (const { key, value } of map.items) {
      const node = key as Node, offset = node.range?.[0] ?? 0, at = place(this.lines, offset);
      if (!this.yaml.isScalar(key) || typeof key.value !== "string") { this.say(offset, "A key is one word: key: value."); continue; }
      const name = key.value, first = seen.get(name);
      if (first) { this.say(offset, `${shownKey(name)} stands here a second time; the first is in line ${first.line}. Leave one of them.`); continue; }
      seen.set(name, at);
      out.push({ key: name, at, value: this.yaml.isNode(value) ? this.tree(value) : this.nothing(at) });
    }
    return out;
  }

  private nothing(at: At): Tree { return { kind: "scalar", at, text: "", quoted: false }; }

  private say(offset: number, message: string): void {
    const problem = { ...place(this.lines, offset), message };
    // One mistake makes the package stumble several times over the same place.
    if (!this.problems.some(({ line, message: said }) => line === problem.line && (said === message || said !== OTHERWISE && message === OTHERWISE))) this.problems.push(problem);
  }
}

/** A key in a message: people sometimes put a whole line there. */
export function shownKey(key: string): string {
  const plain = key.replace(/[^\x20-\x7e\u00a0-\uffff]/g, "?");
  return plain.length > 40 ? `${plain.slice(0, 40)}...` : plain === "" ? '""' : plain;
}
