import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { openRestCatalog } from "../../../lib/iceberg/catalog/rest/open";
import { append } from "../../../lib/iceberg/commit";
import { LocalFileIO } from "../../../lib/iceberg/io/local";
import { readManifestList } from "../../../lib/iceberg/manifests";
import { readWatermarks, resetWatermarks } from "../../../lib/iceberg/watermarks";
import type { ChildCatalog } from "../../support/append-child";
import { commitConformance, type FaultyCatalog, type LakeUnderTest } from "../../support/commit-conformance";
import { FaultyHttp, type HttpFault, type PassingRequest } from "../../support/http-faults";
import { dataFile, SCHEMA, SPEC } from "../../support/iceberg";
import { emptyCatalog, sharedRest } from "../../support/rest";
import { freshBucket, sharedS3 } from "../../support/s3";
import { type Fault, ScriptedIO } from "../../support/scripted-io";

/** Everything that may stand between a commit and its answer. */
const HTTP_FAULTS: Record<string, HttpFault> = {
  "answered 409": { answer: 409 }, "answered 412": { answer: 412 }, "answered 500": { answer: 500 }, "answered 503": { answer: 503 },
  "landed, answered 409": { after: 409 }, "landed, answered 412": { after: 412 }, "landed, answered 500": { after: 500 }, "landed, answered 503": { after: 503 },
  "a time-out before": "silent", "a time-out after it landed": "silent-after", "the connection cut before": "cut", "the connection cut after it landed": "cut-after",
  "the answer cut in half": "half-answer", "a proxy that repeats by itself": "twice", "a request that lands late": "late",
};

const isRestCommit = (request: PassingRequest): boolean => request.method === "POST" && /\/tables\/t$/.test(request.url);

/** A catalog behind a proxy that lets everything but commits pass. */
async function behindProxy(server: string, isCommit: (request: PassingRequest) => boolean, openAt: (address: string) => FaultyCatalog["catalog"]): Promise<FaultyCatalog> {
  const script: string[] = [];
  const proxy = await FaultyHttp.start(server, (request) => (isCommit(request) ? HTTP_FAULTS[script.shift() ?? ""] : undefined));
  return { catalog: openAt(proxy.address), script, stop: () => proxy.stop() };
}

const folders: string[] = [];
after(async () => { for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 }); });

commitConformance("hadoop on a local folder", {
  async place() {
    const warehouse = await mkdtemp(join(tmpdir(), "ticklake-commits-"));
    folders.push(warehouse);
    return { settings: { warehouse } };
  },
  faulty(place) {
    const script: string[] = [];
    const isCommit = (location: string): boolean => /\/v\d+\.metadata\.json$/.test(location);
    const io = new ScriptedIO(new LocalFileIO(), ({ operation, location }) => (operation === "create" && isCommit(location) ? script.shift() as Fault | undefined : undefined));
    return Promise.resolve({ catalog: new HadoopCatalog({ warehouse: String(place.settings.warehouse), io }), script, stop: () => io.settled() });
  },
  faults: ["before", "after", "lost", "landed", "late"] satisfies Fault[],
});

commitConformance("hadoop in S3", {
  async place(): Promise<ChildCatalog> {
    const { endpoint, accessKey, secretKey } = await sharedS3();
    return { settings: { warehouse: `s3a://${await freshBucket()}/lake`, s3Endpoint: endpoint }, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } };
  },
  async faulty({ settings, credentials = {} }) {
    const isCommit = (request: PassingRequest): boolean => request.method === "PUT" && request.headers["if-none-match"] === "*" && /\/v\d+\.metadata\.json(\?|$)/.test(request.url);
    return behindProxy(String(settings.s3Endpoint), isCommit, (s3Endpoint) => openCatalog({ ...settings, s3Endpoint, properties: { "s3.request-timeout": "0.4" } }, process.cwd(), { credentials }));
  },
  faults: Object.keys(HTTP_FAULTS),
});

const rest: LakeUnderTest = {
  async place(): Promise<ChildCatalog> {
    const settings = { catalogType: "rest", uri: (await sharedRest()).uri };
    await emptyCatalog(openRestCatalog(settings));
    return { settings };
  },
  faulty({ settings }) {
    return behindProxy(String(settings.uri), isRestCommit, (uri) => openCatalog({ ...settings, uri, properties: { "rest.client.socket-timeout-ms": "400" } }, process.cwd()));
  },
  faults: Object.keys(HTTP_FAULTS),
};
commitConformance("a REST catalog", rest);

describe("a REST catalog: a commit that only resets offsets", function () {
  this.timeout(60_000);

  for (const fault of ["answered 409", "landed, answered 409", "landed, answered 500", "a proxy that repeats by itself"]) {
    it(`${fault}: the table stays whole`, async () => {
      const place = await rest.place();
      const direct = await openCatalog(place.settings, process.cwd()).createTable({ namespace: ["db"], name: "t" }, { schema: SCHEMA, spec: SPEC });
      await append(direct, { files: [dataFile("/d/1")], watermarks: [{ writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: 5n, lastOffset: 4n, lastTimestamp: 5 }] });
      const { catalog, script, stop } = await rest.faulty(place);
      try {
        const table = await catalog.loadTable({ namespace: ["db"], name: "t" });
        script.push(fault);
        await assert.rejects(table.commit(table.state, resetWatermarks(table.state.metadata, () => true)!.updates), { code: /COMMIT_(CONFLICT|UNKNOWN)/ });
        const { metadata } = await direct.refresh();
        const landed = fault !== "answered 409";
        assert.equal(readWatermarks(metadata).watermarks.length, landed ? 0 : 1);
        for (const snapshot of metadata.snapshots) assert.ok((await readManifestList(direct.io, snapshot)).length > 0, "its list is there");
        await append(direct, { files: [dataFile("/d/2")] });
      } finally {
        await stop();
      }
    });
  }
});
