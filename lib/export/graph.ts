/** The wires of a flow, followed upstream through links and subflows. Pure. */
import type { ExportNode } from "./types";

interface Edge { readonly from: string; readonly port: number }

/** Which nodes messages come from, with the output that they leave by. Disabled nodes are not there. */
export class FlowGraph {
  readonly nodes = new Map<string, ExportNode>();
  readonly #into = new Map<string, Edge[]>();

  constructor(nodes: readonly ExportNode[]) {
    for (const node of nodes) if (node["d"] !== true) this.nodes.set(node.id, node);
    for (const node of this.nodes.values()) {
      wiresOf(node).forEach((to, port) => { for (const id of to) this.#wire({ from: node.id, port }, id); });
      if (node.type === "link out") for (const id of texts(node["links"])) this.#edge({ from: node.id, port: 0 }, id);
    }
  }

  /** Nodes upstream of one, the nearest first, without it. Nothing is looked for behind a node that `ends` the search; only wires that `follows` accepts. */
  upstream(id: string, ends: (node: ExportNode) => boolean, follows: (node: ExportNode, port: number) => boolean = () => true): ExportNode[] {
    const seen = new Set([id]), found: ExportNode[] = [];
    for (let near = [id]; near.length > 0;) {
      const next: string[] = [];
      for (const { from, port } of near.flatMap((one) => this.#into.get(one) ?? [])) {
        const node = this.nodes.get(from);
        if (!node || seen.has(from) || !follows(node, port)) continue;
        seen.add(from);
        found.push(node);
        if (!ends(node)) next.push(from);
      }
      near = next;
    }
    return found;
  }

  /** A wire to an instance of a subflow leads to the nodes at its input, one from an instance comes from those at its output. */
  #wire(edge: Edge, to: string): void {
    for (const from of this.#sources(edge)) for (const target of this.#targets(to)) this.#edge(from, target);
  }

  #sources({ from, port }: Edge): readonly Edge[] {
    const inside = this.#template(from)?.["out"];
    if (!Array.isArray(inside)) return [{ from, port }];
    return (((inside as { wires?: { id: string; port?: number }[] }[])[port]?.wires) ?? []).map(({ id, port: at }) => ({ from: id, port: at ?? 0 }));
  }

  #targets(to: string): readonly string[] {
    const inside = this.#template(to)?.["in"];
    return Array.isArray(inside) ? ((inside as { wires?: { id: string }[] }[])[0]?.wires ?? []).map(({ id }) => id) : [to];
  }

  #template(id: string): ExportNode | undefined {
    const type = this.nodes.get(id)?.type;
    return type?.startsWith("subflow:") ? this.nodes.get(type.slice("subflow:".length)) : undefined;
  }

  #edge(from: Edge, to: string): void {
    const known = this.#into.get(to);
    if (known) known.push(from); else this.#into.set(to, [from]);
  }
}

function wiresOf(node: ExportNode): readonly (readonly string[])[] {
  const wires = node["wires"];
  return Array.isArray(wires) ? wires.map(texts) : [];
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}
