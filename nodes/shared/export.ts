import type { NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import { exportFormat, exportJob, type ExportedJob, type ExportNode } from "../../lib/export";
import { adminEndpoint } from "./admin";

/**
 * For the dialog of a sink: `{nodes, id, as}` with the nodes that the editor shows, deployed or not, -> the job that leads to that sink as text. Reads
 * neither credentials nor the environment; for those who may edit such a node, as its text names the user directory.
 */
export function exportEndpoint(RED: NodeAPI, type: "iceberg-out" | "kafka-out"): void {
  adminEndpoint(RED, "post", `${type}/export`, `${type}.write`, ({ body }): Promise<ExportedJob> => {
    const { nodes, id, as } = body as { nodes?: unknown; id?: unknown; as?: unknown };
    return Promise.resolve(exportJob(checked(nodes), String(id), exportFormat(as), RED.settings.userDir ?? process.cwd()));
  });
}

function checked(nodes: unknown): ExportNode[] {
  if (Array.isArray(nodes) && nodes.every((node) => typeof (node as ExportNode | null)?.id === "string" && typeof (node as ExportNode).type === "string")) return nodes as ExportNode[];
  throw new TicklakeError("CONFIG_INVALID", "An export takes the nodes of a flow: a list of objects with id and type.");
}
