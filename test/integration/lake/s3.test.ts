import assert from "node:assert/strict";
import { createServer, request as forward, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { testCatalog } from "../../../lib/iceberg/catalog/test-connection";
import type { Catalog, Table } from "../../../lib/iceberg/catalog/types";
import { append } from "../../../lib/iceberg/commit";
import { openFileIO } from "../../../lib/iceberg/io/open";
import type { FileIO } from "../../../lib/iceberg/io/types";
import { currentSnapshot } from "../../../lib/iceberg/metadata";
import { readWatermarks } from "../../../lib/iceberg/watermarks";
import { COMMIT_POINTS, runWriter } from "../../support/append-processes";
import { catalogConformance } from "../../support/catalog-conformance";
import { assertSound, dataFile, hintOf, liveEntries, SCHEMA, SPEC } from "../../support/iceberg";
import { nodeRedCommand, startNodeRed } from "../../support/node-red";
import { readRows } from "../../support/read-table";
import { freshBucket, s3Properties, sharedS3, sharedS3IO, startS3, type SharedS3 } from "../../support/s3";

const ID = { namespace: ["db"], name: "trades" };
const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("S3 on a real server", function () {
  this.timeout(60_000);
  let s3: SharedS3;
  let io: FileIO;
  let bucket: string;
  before(async () => { s3 = await sharedS3(); io = await sharedS3IO(); });
  beforeEach(async () => { bucket = await freshBucket(s3); });

  it("of 20 that create one object at once exactly one wins, 20 times", async () => {
    for (let round = 0; round < 20; round++) {
      const location = `s3://${bucket}/t/v${round}`;
      const ends = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => io.create(location, bytes(`writer ${i}`))));
      const winners = ends.flatMap((end, i) => (end.status === "fulfilled" ? [i] : []));
      assert.equal(winners.length, 1, `round ${round}`);
      for (const end of ends) if (end.status === "rejected") assert.equal(end.reason.code, "FILE_EXISTS");
      assert.equal(Buffer.from(await io.read(location)).toString(), `writer ${winners[0]}`);
    }
  });

  it("keys with spaces, percent signs, plus signs, letters of other scripts are found again by every way", async () => {
    const keys = ["a b", "a%20b", "a+b", "day=2026-01-02", "ü-日本", "a&b<c>", "q?x#y", "it's!*()"];
    for (const key of keys) await io.write(`s3a://${bucket}/k/${key}/f`, bytes(key));
    assert.deepEqual([...(await io.listFolder(`s3a://${bucket}/k`)).folders].sort(), [...keys].sort());
    for await (const { location, size, version } of io.listAll(`s3a://${bucket}/k`)) {
      const key = location.split("/").at(-2)!;
      assert.equal(Buffer.from(await io.read(location)).toString(), key);
      const info = await io.stat(location);
      assert.deepEqual([info!.size, info!.version], [size, version]);
      await io.delete(location);
    }
    assert.deepEqual((await io.listFolder(`s3a://${bucket}/k`)).files, []);
  });

  it("files of more than a part go up in parts and are read in ranges", async () => {
    const large = Buffer.alloc(40 * 1024 * 1024);
    for (let i = 0; i < large.length; i += 4096) large.writeUInt32LE(i, i);
    const location = `s3://${bucket}/big`;
    await io.write(location, large);
    assert.equal((await io.stat(location))!.size, large.length);
    for (const at of [0, 16 * 1024 * 1024 - 4096, large.length - 4096]) assert.equal(Buffer.from(await io.readRange(location, at, 4096)).readUInt32LE(0), at);
    assert.ok(Buffer.from(await io.read(location)).equals(large));
    await assert.rejects(io.write(location, bytes("mine")), { code: "FILE_EXISTS" });
  });

  it("lists more than a page", async () => {
    const names = Array.from({ length: 1010 }, (_, i) => `f${String(i).padStart(4, "0")}`);
    for (let i = 0; i < names.length; i += 100) await Promise.all(names.slice(i, i + 100).map((name) => io.write(`s3://${bucket}/many/${name}`, bytes(name))));
    assert.deepEqual((await io.listFolder(`s3://${bucket}/many`)).files.map((file) => file.location.split("/").at(-1)), names);
  });

  it("the hint never goes lower, whoever writes it", async () => {
    const location = `s3://${bucket}/hint`;
    await Promise.all([3, 1, 8, 4, 2, 5, 7, 6].map((to) => io.replace(location, bytes(String(to)), { unless: (now) => now !== undefined && Number(Buffer.from(now)) >= to })));
    assert.equal(Buffer.from(await io.read(location)).toString(), "8");
  });

  it("what is wrong with keys and bucket is said by the test button", async () => {
    const settings = { warehouse: `s3a://${bucket}/`, s3Endpoint: s3.endpoint };
    const test = (more: object, credentials: object = {}) => testCatalog(() => openCatalog({ ...settings, ...more }, "/", { credentials, variable: () => undefined, impatient: true }));
    // The documented keys hold for a store on this machine.
    assert.deepEqual(await test({}), { ok: true, message: `s3a://${bucket}: no table yet. Whether it may be written to shows with the first commit.` });
    await openCatalog(settings, "/", { variable: () => undefined }).createTable(ID, { schema: SCHEMA, spec: SPEC });
    assert.match((await test({})).message, /1 table \(db\.trades\)/);
    for (const [more, credentials, words] of [
      [{ warehouse: "s3://no-such-bucket-here" }, {}, /There is no bucket no-such-bucket-here/], [{}, { accessKeyId: "nobody", secretAccessKey: "hush" }, /does not know the access key/],
      [{}, { accessKeyId: s3.accessKey, secretAccessKey: "hush" }, /secret key does not belong/], [{ s3Endpoint: "http://127.0.0.1:1" }, {}, /Nothing listens/],
    ] as const) {
      const { ok, message } = await test(more, credentials);
      assert.equal(ok, false);
      assert.match(message, words);
      assert.doesNotMatch(message, /hush/);
    }
  });

  it("a store that ignores conditions is refused at the first commit, and serves a single writer", async () => {
    const careless = await carelessProxy(s3);
    try {
      const properties = s3Properties({ ...s3, endpoint: careless.endpoint });
      const refused = new HadoopCatalog({ warehouse: `s3://${bucket}/wh`, io: openFileIO(properties) });
      await assert.rejects(refused.createTable(ID, { schema: SCHEMA, spec: SPEC }), { code: "STORAGE_DENIED", message: /does not keep conditional writes/ });
      assert.deepEqual(await all(io, `s3://${bucket}`), []);
      const single = new HadoopCatalog({ warehouse: `s3://${bucket}/wh`, io: openFileIO({ ...properties, "ticklake.single-writer": "true" }) });
      const table = await single.createTable(ID, { schema: SCHEMA, spec: SPEC });
      // Two sinks of one process take turns.
      await Promise.all(["a", "b"].map(async (name) => append(await single.loadTable(ID), { files: [dataFile(`s3://${bucket}/d/${name}`)] })));
      await assertSound(table, [`s3://${bucket}/d/a`, `s3://${bucket}/d/b`]);
    } finally {
      await careless.stop();
    }
  });
});

catalogConformance("hadoop on S3", {
  open: async (same?: Catalog) => new HadoopCatalog({ warehouse: same ? same.tableLocation({ namespace: [], name: "x" }).slice(0, -2) : `s3a://${await freshBucket()}`, io: await sharedS3IO() }),
  drop: async (catalog) => { for (const location of await all(catalog.io, catalog.tableLocation(ID))) await catalog.io.delete(location); },
});

describe("writers of a table in S3 that die or lose their store", function () {
  this.timeout(180_000);
  const BATCH = 3;

  /** As many rows as the watermark covers, and a hint that is not ahead. */
  async function reached(warehouse: string): Promise<number> {
    const table = await new HadoopCatalog({ warehouse, io: await sharedS3IO() }).loadTable({ namespace: ["db"], name: "t" });
    const rows = (await liveEntries(table)).reduce((sum, entry) => sum + entry.file.recordCount, 0);
    const { watermarks } = readWatermarks(table.state.metadata);
    const end = Number(watermarks[0]?.nextOffset ?? 0n);
    assert.equal(rows, end, "as many rows as the watermark covers");
    assert.equal(currentSnapshot(table.state.metadata)?.summary["total-records"] ?? "0", String(rows));
    const hint = await hintOf(table).catch((error: { code?: string }) => (error.code === "FILE_NOT_FOUND" ? "1" : Promise.reject(error as Error)));
    assert.ok(/^\d+$/.test(hint) && Number(hint) <= table.state.version, `the hint says ${hint}`);
    return end;
  }

  const rowIds = async (warehouse: string): Promise<bigint[]> => {
    const table = await new HadoopCatalog({ warehouse, io: await sharedS3IO() }).loadTable({ namespace: ["db"], name: "t" });
    return (await readRows(table)).map((row) => row["id"] as bigint).sort((a, b) => (a < b ? -1 : 1));
  };

  it("SIGKILL before, in and after a commit: no row lost, none twice, and the next writer goes on", async () => {
    const s3 = await sharedS3();
    const warehouse = `s3a://${await freshBucket()}`;
    const catalog = { settings: { warehouse, s3Endpoint: s3.endpoint }, credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } };
    const job = { catalog, writer: "w", partition: 0, batch: BATCH };
    let now = 0;
    for (const point of ["after-data", "after-manifest-list", "after-link", "after-hint"] as const) {
      const { killed } = await runWriter({ ...job, end: now + 100 * BATCH }, { point, count: 1 });
      assert.equal(killed, true, `${point} was reached`);
      const landed = COMMIT_POINTS.indexOf(point) >= COMMIT_POINTS.indexOf("after-link");
      const after = await reached(warehouse);
      assert.equal(after - now, landed ? BATCH : 0, `${point}: the commit ${landed ? "is" : "is not"} in the table`);
      now = after;
    }
    await runWriter({ ...job, end: now + 7 });
    assert.deepEqual(await rowIds(warehouse), Array.from({ length: now + 7 }, (_, i) => BigInt(i)));
  });

  it("a store that is killed and comes back under a writer: each commit is there once", async () => {
    const s3 = await startS3();
    try {
      const io = openFileIO(s3Properties(s3, { "s3.request-timeout": "2", "s3.connect-timeout": "1" }));
      const catalog = new HadoopCatalog({ warehouse: "s3://warehouse", io });
      const table: Table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const files: string[] = [];
      for (let i = 0; i < 12; i++) {
        const file = `s3://warehouse/d/${i}`;
        files.push(file);
        const outage = i % 3 === 1 ? new Promise<void>((done) => { setImmediate(() => { void s3.kill().then(() => s3.restart()).then(done); }); }) : undefined;
        for (;;) {
          try {
            // What a sink does: one append, run again until its outcome is known.
            await append(table, { files: [dataFile(file)] });
            break;
          } catch (error) {
            assert.match((error as { code: string }).code, /^(STORAGE_FAILED|COMMIT_UNKNOWN)$/);
            const there = await whenBack(async () => (await liveEntries(await catalog.loadTable(ID))).some((entry) => entry.file.filePath === file));
            if (there) break;
          }
        }
        await outage;
      }
      await assertSound(await catalog.loadTable(ID), files);
    } finally {
      await s3.stop();
    }
  });
});

describe("iceberg-out in Node-RED writes to S3", function () {
  this.timeout(120_000);
  for (const version of ["4", "5"] as const) {
    it(`Node-RED ${version}: with the documented defaults, s3a://warehouse/ and no keys of its own`, async function () {
      if (!nodeRedCommand(version)) throw new Error(`Node-RED ${version} is not there: node scripts/stack.mjs node22 node-red-5`);
      const s3 = await sharedS3();
      const table = `db.flow_${version}`;
      const red = await startNodeRed({
        version, nodesDir: process.cwd(),
        env: { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_SESSION_TOKEN: "", AWS_PROFILE: "" },
        flow: [
          { id: "tab", type: "tab", label: "S3" },
          { id: "cat", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: "s3a://warehouse/", s3Endpoint: s3.endpoint, s3Region: "us-east-1", s3PathStyle: true },
          { id: "gen", type: "synthetic-gen", z: "tab", symbols: "AAPL MSFT", batchSize: 50, interval: "0.1", batchCount: "20", seed: "7", wires: [["flat"]] },
          { id: "flat", type: "explode-trades", z: "tab", wires: [["out"], []] },
          { id: "out", type: "iceberg-out", z: "tab", catalog: "cat", table, commitInterval: "1", wires: [["tell"], []] },
          { id: "tell", type: "function", z: "tab", func: "console.log('@@' + JSON.stringify({ ev: 'commit', rows: msg.payload.rows })); return null;", libs: [], wires: [] },
        ],
      });
      try {
        await red.until("1,000 rows to be committed", () => red.events.reduce((sum, event) => sum + (event.ev === "commit" ? Number(event["rows"]) : 0), 0) >= 1000, 60_000);
      } finally {
        await red.stop();
      }
      // Node-RED's own warnings name no node.
      assert.doesNotMatch(red.logs(), /\[(error|warn)\] \[|Warning/);
      const found = await new HadoopCatalog({ warehouse: "s3a://warehouse", io: await sharedS3IO() }).loadTable({ namespace: ["db"], name: `flow_${version}` });
      const rows = await readRows(found);
      assert.equal(rows.length, 1000);
      assert.ok(rows.every((row) => row["S"] === "AAPL" || row["S"] === "MSFT"));
      assert.equal(found.state.metadata.location, `s3a://warehouse/db/flow_${version}`);
      assert.ok((await liveEntries(found)).every((entry) => entry.file.filePath.startsWith("s3a://warehouse/db/")));
    });
  }
});

async function all(io: FileIO, folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { location } of io.listAll(folder)) found.push(location);
  return found;
}

/** The answer of a store that may be away just now. */
async function whenBack<T>(look: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 30_000; ;) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > deadline || (error as { retryable?: boolean }).retryable !== true) throw error;
    }
  }
}

/** A store that takes no notice of If-None-Match, as some do: a real one behind a proxy that leaves the condition out. */
async function carelessProxy(s3: SharedS3): Promise<{ endpoint: string; stop(): Promise<void> }> {
  const client = new S3Client({ endpoint: s3.endpoint, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } });
  const server: Server = createServer((incoming, outgoing) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      const [bucket, ...key] = new URL(incoming.url!, "http://s3").pathname.slice(1).split("/").map(decodeURIComponent);
      if (incoming.method === "PUT" && (incoming.headers["if-none-match"] ?? incoming.headers["if-match"]) !== undefined) {
        // Signed anew: the signature covers the condition.
        const { ETag } = await client.send(new PutObjectCommand({ Bucket: bucket, Key: key.join("/"), Body: body }));
        outgoing.writeHead(200, { etag: ETag! }).end();
        return;
      }
      const onward = forward(s3.endpoint + incoming.url!, { method: incoming.method!, headers: incoming.headers }, (answer) => { outgoing.writeHead(answer.statusCode!, answer.headers); answer.pipe(outgoing); });
      onward.end(body);
    })();
  });
  await new Promise<void>((done) => { server.listen(0, "127.0.0.1", done); });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => { client.destroy(); server.closeAllConnections(); return new Promise((done) => { server.close(() => done()); }); },
  };
}
