import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { BodyTooLarge, bodyText } from "../../lib/http-body";

describe("bodies of HTTP answers", () => {
  let server: Server;
  let url: string;
  const endless = Buffer.alloc(65_536, "x");

  before(async () => {
    server = createServer((request, response) => {
      if (request.url === "/endless") {
        const more = (): void => { while (response.write(endless)); };
        response.on("drain", more);
        more();
      } else if (request.url === "/bomb") {
        response.setHeader("content-encoding", "gzip").end(gzipSync(Buffer.alloc(4_000_000)));
      } else response.end(request.url === "/empty" ? undefined : "Grüße ✓ ".repeat(1000));
    }).listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => { server.closeAllConnections(); server.close(); });

  it("come whole up to the bound, however they are cut into pieces", async () => {
    const text = "Grüße ✓ ".repeat(1000);
    assert.equal(await bodyText(await fetch(`${url}/`), Buffer.byteLength(text)), text);
    await assert.rejects(bodyText(await fetch(`${url}/`), Buffer.byteLength(text) - 1), BodyTooLarge);
    assert.equal(await bodyText(await fetch(`${url}/empty`), 1), "");
    assert.equal(await bodyText(new Response(null, { status: 204 }), 1), "");
  });

  it("that never end are given up at the bound, and the error says whose they are", async () => {
    await assert.rejects(bodyText(await fetch(`${url}/endless`), 1_048_576), (error: Error) => error instanceof BodyTooLarge && error.message === `the answer of ${url} is larger than 1 MB`);
  });

  it("are measured as they unpack: a small one that becomes a large one is too large", async () => {
    await assert.rejects(bodyText(await fetch(`${url}/bomb`), 1_048_576), BodyTooLarge);
  });
});
