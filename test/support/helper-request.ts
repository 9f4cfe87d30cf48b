import { createRequire } from "node:module";

interface Answer { status: number; body: unknown }
interface Request extends PromiseLike<Answer> { send(body: object): Request }

// One helper per process; it has no types.
const helper = createRequire(__filename)("node-red-node-test-helper") as { request(): Record<"get" | "post", (path: string) => Request> };

/** Calls an admin endpoint of the nodes that the test helper has loaded. */
export async function request(method: "get" | "post", path: string, body?: object): Promise<Answer> {
  const call = helper.request()[method](path);
  const { status, body: answer } = await (body ? call.send(body) : call);
  return { status, body: answer };
}
