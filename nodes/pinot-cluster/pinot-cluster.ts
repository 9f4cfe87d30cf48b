import type { NodeAPI } from "node-red";
import { asTicklakeError, TicklakeError } from "../../lib/errors";
import { PinotCluster, testPinot } from "../../lib/pinot/cluster";
import { parsePinot, type PinotCredentials, type PinotSettings } from "../../lib/pinot/settings";
import { tableColumns, tableNames } from "../../lib/pinot/query/tables";
import { adminEndpoint } from "../shared/admin";
import { defineNode } from "../shared/define";
import { type Dialog, isDeployed, UNCHANGED, variableIn } from "../shared/dialog";
import { lookUps } from "../shared/look-up";
import { type ClusterNode, clusterOf } from "./clusters";

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
      return await testPinot(undeployed(dialog));
    } catch (caught) {
      return { ok: false, message: asTicklakeError(caught).message };
    }
  });

  lookUps<PinotCluster>(RED, "pinot-cluster", {
    lists: {
      tables: async ({ http }) => (await tableNames(http)).map((value) => ({ value })),
      columns: async ({ http }, { table }) => (await tableColumns(http, String(table))).map(({ name, type }) => ({ value: name, about: type })),
    },
    deployed: async (id, work) => {
      if (!id || !RED.nodes.getNode(id)) throw new TicklakeError("CONFIG_INVALID", "Deploy the cluster first; then it can be asked.");
      return work(clusterOf(RED, id));
    },
    undeployed: async (dialog, work) => work(undeployed(dialog)),
  });
};

/** A cluster as a dialog has it that is not deployed. */
function undeployed(dialog: Dialog): PinotCluster {
  // What is saved goes only to the address for which it was saved, and variables of this machine to none that somebody types.
  if (NAMES.some((name) => dialog[name] === UNCHANGED)) throw new TicklakeError("CONFIG_INVALID", "These settings differ from the deployed ones, and the saved password or token is not sent to other addresses. Deploy first, or enter it again.");
  return new PinotCluster(parsePinot(dialog, dialog, () => undefined));
}
