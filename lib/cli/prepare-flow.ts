/** A flow file made ready to run without an editor. Pure. */
import { TicklakeError } from "../errors";

/** A node of a flow file. */
export interface FlowNode { readonly id: string; readonly type: string; readonly [property: string]: unknown }

export interface PrepareOptions {
  /** Names, or beginnings of names, of the groups whose nodes run; empty = all nodes. Config nodes always stay. */
  readonly only?: readonly string[];
  /** Whether dashboards are kept. They need a package of their own and a port. */
  readonly dashboard: boolean;
}

/** The text of a flow file as nodes. @throws TicklakeError CONFIG_INVALID for what is none */
export function parseFlow(text: string, file: string): FlowNode[] {
  let parsed: unknown;
  try { parsed = JSON.parse(text); } catch (error) {
    throw new TicklakeError("CONFIG_INVALID", `${file} is no JSON: ${(error as Error).message}. Export the flow in the editor: menu, Export, all flows, Download.`);
  }
  if (Array.isArray(parsed) && parsed.length > 0 && parsed.every((node) => typeof (node as FlowNode | null)?.id === "string" && typeof (node as FlowNode).type === "string")) return parsed as FlowNode[];
  throw new TicklakeError("CONFIG_INVALID", `${file} is no flow: it must be a JSON array of nodes, as the editor exports it.`);
}

/**
 * The nodes that run. What does not run is disabled rather than left away, so that wires still lead to it and results are still told.
 *
 * @throws TicklakeError CONFIG_INVALID for a group that is not there
 */
export function prepareFlow(nodes: readonly FlowNode[], { only = [], dashboard }: PrepareOptions): FlowNode[] {
  const wanted = only.length > 0 ? members(nodes, only) : undefined;
  return nodes
    .filter(({ type }) => dashboard || !type.startsWith("ui-"))
    .map((node) => (wanted === undefined || !isOnCanvas(node) || wanted.has(node.id) ? node : { ...node, d: true }));
}

const isOnCanvas = (node: FlowNode): boolean => "x" in node && "y" in node && node.type !== "group";

/** Ids of the nodes of some groups, nested ones included. */
function members(nodes: readonly FlowNode[], names: readonly string[]): Set<string> {
  const groups = nodes.filter(({ type }) => type === "group");
  const found = new Set<string>();
  for (const name of names) {
    const chosen = groups.filter((group) => typeof group["name"] === "string" && group["name"].toLowerCase().startsWith(name.toLowerCase()));
    if (chosen.length === 0) throw new TicklakeError("CONFIG_INVALID", `The flow has no group "${name}". It has: ${groups.map((group) => String(group["name"])).join(", ") || "no groups"}.`);
    for (const group of chosen) add(group);
  }
  return found;

  function add(group: FlowNode): void {
    for (const id of group["nodes"] as string[] ?? []) {
      found.add(id);
      const inner = groups.find((one) => one.id === id);
      if (inner) add(inner);
    }
  }
}
