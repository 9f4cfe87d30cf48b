import type { NodeAPI } from "node-red";

/** What the editor shows in place of a secret that is saved. */
export const UNCHANGED = "__PWRD__";

/** An open dialog's values, saved or not, and the id of its node. */
export type Dialog = Readonly<Record<string, unknown>>;

/** Whether a dialog shows exactly what is deployed, so that the deployed node's own credentials may be used for it. */
export function isDeployed(RED: NodeAPI, dialog: Dialog, settings: readonly string[], credentials: readonly string[]): boolean {
  const { id } = dialog;
  if (typeof id !== "string" || !RED.nodes.getNode(id)) return false;
  let saved: Record<string, unknown> | undefined;
  RED.nodes.eachNode((node) => { if (node.id === id) saved = node as unknown as Record<string, unknown>; });
  if (!saved) return false;
  const kept = (RED.nodes.getCredentials(id) ?? {}) as Record<string, unknown>;
  const same = (a: unknown, b: unknown): boolean => String(a ?? "") === String(b ?? "");
  return settings.every((name) => same(dialog[name], saved![name]))
    && credentials.every((name) => (dialog[name] === UNCHANGED ? Boolean(kept[name]) : same(dialog[name], kept[name])));
}

/** A variable that is filled in at the deploy only: who may look at a dialog must not learn from an answer what it holds. */
export function variableIn(dialog: Dialog): string | undefined {
  for (const value of Object.values(dialog)) {
    const variable = typeof value === "string" ? /\$\{[^}]+\}/.exec(value)?.[0] : undefined;
    if (variable !== undefined) return variable;
  }
  return undefined;
}
