import { createRequire } from "node:module";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { runInNewContext } from "node:vm";
import { root } from "./start";

export interface FlowNode {
  readonly id: string;
  readonly type: string;
  readonly z?: string;
  readonly name?: string;
  readonly wires?: readonly (readonly string[])[];
  readonly [property: string]: unknown;
}

/** Every shipped flow: its path below flows/ and its nodes. */
export function shippedFlows(): { name: string; nodes: FlowNode[] }[] {
  const folder = join(root, "flows");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".json")).sort();
  return files.map((file) => ({ name: relative(folder, join(folder, file)), nodes: JSON.parse(readFileSync(join(folder, file), "utf8")) as FlowNode[] }));
}

/** A node's html as the editor gets it, shared sections included. */
export const { nodeHtml, catalogue, languages } = createRequire(__filename)("../../scripts/node-html.mjs") as {
  nodeHtml(type: string): string; catalogue(type: string, language: string): object; languages(type: string): string[];
};

/** What the editor makes of a key of a node's catalogue: the text with its values, or the key itself where there is none. */
export function translate(texts: object, key: string, values: Record<string, unknown> = {}): string {
  const text = key.split(".").reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], texts);
  return typeof text === "string" ? text.replace(/__(\w+)__/g, (all, name: string) => (name in values ? String(values[name]) : all)) : key;
}

interface Property { value?: unknown; validate?: (this: unknown, v: unknown, opt: object) => boolean | string; required?: boolean; type?: string }
export interface Definition { readonly category: string; readonly defaults: Record<string, Property>; readonly credentials?: Record<string, { type: "text" | "password" }>; readonly outputs?: number }

/** What a node's html registers in the editor: its properties with their defaults and validators. */
export function definition(type: string): Definition {
  const html = nodeHtml(type);
  const texts = catalogue(type, "en-US");
  let found: Definition | undefined;
  const RED = {
    nodes: { registerType: (name: string, d: Definition) => { if (name === type) found = d; }, node: () => ({}) },
    validators: { number: () => () => true, regex: () => () => true, typedInput: () => () => true },
    editor: {}, settings: {}, _: (key: string, values?: Record<string, unknown>) => translate(texts, key, values),
  };
  const window: { ticklake?: unknown } = {};
  const context = { RED, window, console, $: () => ({ val: () => undefined, length: 0 }) };
  runInNewContext(readFileSync(join(root, "resources", "editor.js"), "utf8"), context);
  Object.assign(context, { ticklake: window.ticklake });
  for (const script of html.matchAll(/<script type="text\/javascript">([\s\S]*?)<\/script>/g)) runInNewContext(script[1]!, context);
  if (!found) throw new Error(`nodes/${type}/${type}.html registers no ${type}`);
  return found;
}

/** The node types of the package. */
export function nodeTypes(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { "node-red": { nodes: Record<string, string> } };
  return Object.keys(manifest["node-red"].nodes);
}
