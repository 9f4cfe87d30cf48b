import type { PinotHttp } from "../http";
import type { AskBroker } from "./run";

/** Queries go to the broker of a cluster. */
export function askBroker(http: Pick<PinotHttp, "send">): AskBroker {
  return async (request, wait) => (await http.send("broker", { method: "POST", path: "/query/sql", body: request, ...wait })).body;
}
