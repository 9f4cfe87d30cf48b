import type { Node, NodeAPI, NodeMessage } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { operationName, type OperationResult, runOperation } from "../../lib/iceberg/operations";
import { plainResult, summaryText } from "../../lib/iceberg/operations/summary";
import { catalogOf } from "../iceberg-catalog/catalogs";
import { answerMessages } from "../shared/answers";
import { defineNode, type RawConfig } from "../shared/define";
import { typedProperty } from "../shared/properties";

/** What a message may say of its own. */
type Asking = NodeMessage & { operation?: unknown; table?: unknown; options?: unknown };

export = (RED: NodeAPI): void => {
  defineNode(RED, "iceberg-table", (node, config) => {
    const catalog = catalogOf(RED, config["catalog"]);

    answerMessages(node, async (msg, { signal, progress }) => {
      const result = await run(msg, signal, progress).catch((caught: unknown) => { throw asTicklakeError(caught); });
      for (const warning of (result["warnings"] as string[] | undefined) ?? []) node.warn(warning);
      return { msg: { payload: plainResult(result) }, status: `${summaryText(result)}, ${result.ms} ms` };
    });

    async function run(msg: Asking, signal: AbortSignal, progress: (text: string) => void): Promise<OperationResult> {
      const { operation, table, options } = await readRequest(RED, node, config, msg);
      progress(`${operation} …`);
      return runOperation({ catalog, table, operation, options }, { signal, progress: (text) => { progress(`${operation}: ${text}`); } });
    }
  });
};

/** The node's settings, and what the message says instead. Options of the dialog belong to the dialog's operation. */
async function readRequest(RED: NodeAPI, node: Node, config: RawConfig, msg: Asking): Promise<{ operation: string; table: string; options: unknown }> {
  const own = operationName(config["operation"] || "describe");
  const operation = isSaid(msg.operation) ? operationName(msg.operation) : own;
  const table = isSaid(msg.table) ? msg.table : await typedProperty(RED, node, config, "table", msg);
  if (typeof table !== "string" || table.trim() === "") throw new TicklakeError("TABLE_NAME_INVALID", "No table is named. Enter one such as db.flattened_stocks, or send it as msg.table.");
  const settings = operation === own ? await readOptions(RED, node, config, msg) : {};
  if (!isSaid(msg.options)) return { operation, table, options: settings };
  if (typeof msg.options !== "object" || Array.isArray(msg.options)) throw new TicklakeError("CONFIG_INVALID", "msg.options must be an object, such as {dryRun: true}.");
  return { operation, table, options: { ...settings, ...msg.options } };
}

async function readOptions(RED: NodeAPI, node: Node, config: RawConfig, msg: Asking): Promise<object> {
  if (config["options"] === undefined || config["options"] === "") return {};
  const value = await typedProperty(RED, node, { options: config["options"], optionsType: config["optionsType"] || "json" }, "options", msg);
  if (!isSaid(value)) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as object;
  throw new TicklakeError("CONFIG_INVALID", `The options must be an object, such as {"dryRun": true}, but they are ${Array.isArray(value) ? "an array" : typeof value}.`);
}

function isSaid(value: unknown): value is NonNullable<unknown> {
  return value !== undefined && value !== null && value !== "";
}
