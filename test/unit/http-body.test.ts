import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { BodyTooLarge, bodyText } from "../../lib/http-body";
import { PinotHttp } from "../../lib/pinot/http";

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

  it("of Pinot that are too large are an error that says what to do", async () => {
    const chunk = new Uint8Array(8_388_608).fill(32);
    const pinot = new PinotHttp({ controllerUrl: "http://c", brokerUrl: "http://b", secrets: [] }, () => Promise.resolve(new Response(new ReadableStream({ pull(controller) { controller.enqueue(chunk); } }))));
    await assert.rejects(pinot.send("broker", { method: "POST", path: "/query/sql" }), { code: "PINOT_REFUSED", message: /broker.* larger than 256 MB\. Ask for fewer rows/ });
  });
});
