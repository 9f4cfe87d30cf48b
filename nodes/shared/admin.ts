import type { RequestHandler } from "express";
import type { NodeAPI } from "node-red";
import { asTicklakeError } from "../../lib/errors";

interface Request { params: Record<string, string | undefined>; query: Record<string, unknown>; body: unknown }

/**
 * An endpoint for our own dialogs, below `ticklake/` of the editor's address, for users with that permission. What the
 * handler returns is sent as JSON; an error as `{message, code}` with status 400 (404 where nothing was found).
 * Without an editor (`httpAdminRoot: false`) there is none.
 */
export function adminEndpoint(RED: NodeAPI, method: "get" | "post", path: string, permission: string, handle: (request: Request) => Promise<unknown>): void {
  if (!RED.httpAdmin || typeof RED.httpAdmin[method] !== "function") return;
  const guard = RED.auth.needsPermission(permission) as unknown as RequestHandler;
  RED.httpAdmin[method](`/ticklake/${path}`, guard, (incoming, response) => {
    Promise.resolve(incoming as unknown as Request).then(handle).then((body) => response.json(body), (caught: unknown) => {
      const error = asTicklakeError(caught);
      response.status(error.code.endsWith("_NOT_FOUND") ? 404 : 400).json({ code: error.code, message: error.message });
    });
  });
}
