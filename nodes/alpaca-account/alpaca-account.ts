import type { NodeAPI } from "node-red";
import { parseAccount, type AccountCredentials, type AccountSettings } from "../../lib/alpaca/account";
import { RateLimit } from "../../lib/alpaca/history";
import { openWebSocket } from "../../lib/alpaca/socket";
import { testStream } from "../../lib/alpaca/test-connection";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { type Dialog, isDeployed, UNCHANGED, variableIn } from "../shared/dialog";
import type { AccountNode } from "./accounts";

const SETTINGS = ["feed", "url", "restUrl"] as const;
/** Requests a minute that Alpaca's free plan allows. */
const FREE_PLAN = 200;

export = (RED: NodeAPI): void => {
  defineNode<AccountNode>(RED, "alpaca-account", (node, config) => {
    try {
      const account = parseAccount(config as AccountSettings, node.credentials as AccountCredentials ?? {}, (name) => process.env[name]);
      const perMinute = Number(config["restPerMinute"] ?? FREE_PLAN) || FREE_PLAN;
      if (!(perMinute >= 1)) throw new TicklakeError("CONFIG_INVALID", "restPerMinute: the least is 1.");
      node.shared = { account, rateLimit: new RateLimit(perMinute), users: new Set() };
    } catch (caught) {
      node.invalid = asTicklakeError(caught, "CONFIG_INVALID");
      // Told by every node that needs it, and what is wrong once here. That there are no keys yet is nothing wrong as long as nobody needs them.
      if (node.invalid.details?.["missing"] === undefined) node.error(node.invalid.message, { error: node.invalid });
    }
  }, { credentials: { key: { type: "text" }, secret: { type: "password" } } });

  adminEndpoint(RED, "post", "alpaca-account/test", "alpaca-account.write", async ({ body }) => {
    const dialog = body as Dialog;
    try {
      const deployed = isDeployed(RED, dialog, SETTINGS, ["key", "secret"]) ? (RED.nodes.getNode(String(dialog["id"])) as AccountNode) : undefined;
      if (deployed?.invalid) throw deployed.invalid;
      if (deployed?.shared) return { ok: true, message: await testStream(deployed.shared.account, openWebSocket) };
      const later = variableIn(dialog);
      if (later !== undefined) return { ok: true, message: `${later} is filled in at the deploy; test again then.` };
      // What is saved goes only to the address for which it was saved, and variables of this machine to none that somebody types.
      if (dialog["secret"] === UNCHANGED) throw new TicklakeError("CONFIG_INVALID", "These settings differ from the deployed ones, and the saved secret is not sent to other addresses. Deploy first, or enter it again.");
      return { ok: true, message: await testStream(parseAccount(dialog, dialog, () => undefined), openWebSocket) };
    } catch (caught) {
      return { ok: false, message: asTicklakeError(caught).message };
    }
  });
};
