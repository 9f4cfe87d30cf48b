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
export const nodeHtml: (type: string) => string = (createRequire(__filename)("../../scripts/node-html.mjs") as { nodeHtml(type: string): string }).nodeHtml;

interface Property { value?: unknown; validate?: (this: unknown, v: unknown, opt: object) => boolean | string; required?: boolean; type?: string }
export interface Definition { readonly category: string; readonly defaults: Record<string, Property>; readonly credentials?: Record<string, { type: "text" | "password" }>; readonly outputs?: number }

/** What a node's html registers in the editor: its properties with their defaults and validators. */
export function definition(type: string): Definition {
  const html = nodeHtml(type);
  let found: Definition | undefined;
  const RED = {
    nodes: { registerType: (name: string, d: Definition) => { if (name === type) found = d; }, node: () => ({}) },
    validators: { number: () => () => true, regex: () => () => true, typedInput: () => () => true },
    editor: {}, settings: {}, _: (key: string) => key,
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
