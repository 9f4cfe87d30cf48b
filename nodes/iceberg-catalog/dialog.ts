import type { NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import type { CatalogCredentials, CatalogSettings } from "../../lib/iceberg/catalog/settings";

/** What the open dialog shows, saved or not. */
export type CatalogDialog = CatalogSettings & CatalogCredentials & { readonly id?: unknown };

/** What the editor shows in place of a password that is saved. */
const UNCHANGED = "__PWRD__";

export const CREDENTIALS: Record<keyof CatalogCredentials, { type: "text" | "password" }> = {
  accessKeyId: { type: "text" }, secretAccessKey: { type: "password" }, sessionToken: { type: "password" },
  token: { type: "password" }, clientCredential: { type: "password" }, oauth2ServerUri: { type: "text" },
};
const NAMES = Object.keys(CREDENTIALS) as (keyof CatalogCredentials)[];

/** Where secrets are sent. */
const ADDRESSES = ["uri", "s3Endpoint", "oauth2ServerUri"] as const;

/**
 * The credentials that a dialog shows, with the saved ones where it shows only that they are there.
 *
 * @throws TicklakeError CATALOG_INVALID where saved ones would go to another address than that for which they were saved: somebody who does not know
 *   them could have them sent to himself
 */
export function credentialsOf(RED: NodeAPI, dialog: CatalogDialog): CatalogCredentials {
  if (!NAMES.some((name) => dialog[name] === UNCHANGED)) return Object.fromEntries(NAMES.map((name) => [name, dialog[name]]));
  const saved = typeof dialog.id === "string" ? RED.nodes.getCredentials(dialog.id) as Record<string, unknown> | undefined ?? {} : {};
  const addresses: Record<string, unknown> = { ...savedNode(RED, dialog.id), oauth2ServerUri: saved["oauth2ServerUri"] };
  if (ADDRESSES.some((name) => String(dialog[name] ?? "").trim() !== String(addresses[name] ?? "").trim())) {
    throw new TicklakeError("CATALOG_INVALID", "An address differs from the deployed one, and saved secrets are not sent to other addresses. Deploy first, or enter them again.");
  }
  return Object.fromEntries(NAMES.map((name) => [name, dialog[name] === UNCHANGED ? saved[name] : dialog[name]]));
}

/** A variable that Node-RED fills in at the deploy. */
export function variableIn(dialog: CatalogDialog): string | undefined {
  return Object.values(dialog).find((value): value is string => typeof value === "string" && /^\$\{\S+\}$/.test(value));
}

function savedNode(RED: NodeAPI, id: unknown): Record<string, unknown> {
  let saved: Record<string, unknown> = {};
  RED.nodes.eachNode((node) => { if (node.id === id) saved = node as unknown as Record<string, unknown>; });
  return saved;
}
