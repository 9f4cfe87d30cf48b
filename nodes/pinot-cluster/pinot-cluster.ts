import type { NodeAPI } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { PinotCluster, testPinot } from "../../lib/pinot/cluster";
import { parsePinot, type PinotCredentials, type PinotSettings } from "../../lib/pinot/settings";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { type Dialog, isDeployed, UNCHANGED, variableIn } from "../shared/dialog";
import type { ClusterNode } from "./clusters";

const SETTINGS = ["controllerUrl", "brokerUrl"] as const;
const CREDENTIALS = { username: { type: "text" }, password: { type: "password" }, token: { type: "password" } } as const;
const NAMES = Object.keys(CREDENTIALS) as (keyof typeof CREDENTIALS)[];

export = (RED: NodeAPI): void => {
  defineNode<ClusterNode>(RED, "pinot-cluster", (node, config) => {
    try {
      node.cluster = new PinotCluster(parsePinot(config as PinotSettings, node.credentials as PinotCredentials ?? {}, (name) => process.env[name]), { label: node.name });
    } catch (caught) {
      // Told by every node that uses it, and once here.
      node.invalid = asTicklakeError(caught, "CONFIG_INVALID");
      node.error(node.invalid.message, { error: node.invalid });
    }
  }, { credentials: { ...CREDENTIALS } });

  adminEndpoint(RED, "post", "pinot-cluster/test", "pinot-cluster.write", async ({ body }) => {
    const dialog = body as Dialog;
    try {
      const deployed = isDeployed(RED, dialog, SETTINGS, NAMES) ? RED.nodes.getNode(String(dialog["id"])) as ClusterNode : undefined;
      if (deployed?.invalid) throw deployed.invalid;
      if (deployed?.cluster) return await testPinot(deployed.cluster);
      const later = variableIn(dialog);
      if (later !== undefined) return { ok: true, message: `${later} is filled in at the deploy; test again then.` };
      // What is saved goes only to the address for which it was saved, and variables of this machine to none that somebody types.
      if (NAMES.some((name) => dialog[name] === UNCHANGED)) throw new TicklakeError("CONFIG_INVALID", "These settings differ from the deployed ones, and the saved password or token is not sent to other addresses. Deploy first, or enter it again.");
      return await testPinot(new PinotCluster(parsePinot(dialog, dialog, () => undefined)));
    } catch (caught) {
      return { ok: false, message: asTicklakeError(caught).message };
    }
  });
};
