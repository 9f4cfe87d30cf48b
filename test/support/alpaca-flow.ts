import type { NodeAPI } from "node-red";
import alpacaAccount from "../../nodes/alpaca-account/alpaca-account";
import alpacaIn from "../../nodes/alpaca-in/alpaca-in";
import type { SourceStatistics } from "../../lib/alpaca/status";
import type { RawTrade } from "../../lib/trades/types";
import type { AlpacaServer } from "./alpaca-server";
import { load, settle, type Message, type NodeModule } from "./helper";

export const alpacaNode = alpacaIn as unknown as NodeModule;
export const accountNode = alpacaAccount as unknown as NodeModule;

/** Waits that a test has no time for. */
export const QUICK = { backoffFirstMs: 20, backoffMaxMs: 200, zombieStepMs: 20, zombieMaxMs: 100, patientMs: 200, pingMs: 400, pongMs: 200 };

/** What config nodes bring along: the account of a test server. */
export function accountOf(server: AlpacaServer, more: object = {}): object {
  return { id: "account", type: "alpaca-account", feed: "custom", url: server.url, restUrl: server.restUrl, ...more };
}

/** A foreign node whose completion the test decides. */
export class Holder {
  readonly held: { msg: Message; done: (error?: Error) => void }[] = [];
  hold = true;

  readonly module: NodeModule = (RED: NodeAPI) => {
    const take = (msg: Message, done: (error?: Error) => void): void => {
      this.held.push({ msg, done });
      if (!this.hold) done();
    };
    RED.nodes.registerType("test-holder", function (this: never, config: never) {
      const node = this as unknown as { on(event: string, callback: (msg: Message, send: unknown, done: (error?: Error) => void) => void): void };
      RED.nodes.createNode(this, config);
      node.on("input", (msg, _send, done) => take(msg, done));
    } as never);
  };

  /** Lets everything pass from now on. */
  release(): void {
    this.hold = false;
    for (const { done } of this.held) done();
  }
}

/** One alpaca-in with collectors on its outputs. */
export async function loadAlpaca(server: AlpacaServer, config: object = {}, options: Parameters<typeof load>[3] & { account?: object } = {}) {
  const { account, ...rest } = options;
  const rig = await load(alpacaNode, "alpaca-in", { account: "account", symbols: "AAPL MSFT", batchMaxWaitMs: 5, ...config }, {
    credentials: { account: { key: "test-key", secret: "test-secret" } }, ...rest, configs: [accountOf(server, account), ...rest.configs ?? []], modules: [accountNode, ...rest.modules ?? []],
  });
  const [out, other] = rig.outputs as [Message[], Message[]];
  return {
    ...rig, out, other,
    trades: () => out.flatMap((msg) => msg.payload as RawTrade[]),
    records: (topic: string) => other.filter((msg) => msg.topic === topic).map((msg) => msg.payload as Record<string, unknown>),
    /** What the node counts. */
    async statistics(): Promise<SourceStatistics> {
      rig.node.receive({ payload: "status" });
      await settle();
      return other.filter((msg) => msg.topic === "statistics").at(-1)!.payload as SourceStatistics;
    },
  };
}
