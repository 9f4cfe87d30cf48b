import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { definition, nodeTypes, shippedFlows, type FlowNode } from "../support/flows";
import { nodeRedCommand, startNodeRed, type NodeRedVersion, type RunningNodeRed } from "../support/node-red";
import { root, temporaryFolder, until } from "../support/start";

const NAME = "@ticklake/node-red-ticklake";
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string; dependencies: Record<string, string> };

/** npm without the settings that `npm test` hands down. */
function npm(args: string[], cwd: string): string {
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_/i.test(key)));
  return execFileSync("npm", args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

interface NodeSet { id: string; module: string; types: string[]; enabled: boolean; err?: string; version: string }

/** The shipped replay flow without its button: it starts by itself, and writes to a table of its own. */
function replayFlow(table: string): FlowNode[] {
  const flow = shippedFlows().find((f) => f.name.endsWith("Replay a CSV file.json"))!.nodes;
  return flow.map((n) => (n.type === "csv-replay" ? { ...n, autoStart: true } : n.type === "iceberg-out" ? { ...n, table: `db.${table}`, commitInterval: "1" } : n));
}

describe("the package, installed from its tarball", function () {
  this.timeout(240_000);
  const folder = temporaryFolder("package");
  const userDir = join(folder, "user");
  const types = nodeTypes();
  let packed: { filename: string; files: { path: string }[]; size: number };

  before(() => {
    mkdirSync(userDir);
    packed = (JSON.parse(npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root)) as typeof packed[])[0]!;
    writeFileSync(join(userDir, "package.json"), JSON.stringify({ name: "bare-user-directory", private: true, version: "0.0.1" }));
    npm(["install", "--omit=dev", "--no-fund", "--no-audit", "--prefer-offline", join(folder, packed.filename)], userDir);
  });

  it("holds what runs and nothing else", () => {
    const paths = packed.files.map((f) => f.path);
    for (const type of types) {
      for (const file of [`${type}.js`, `${type}.html`, ...["en-US", "de"].flatMap((language) => [`locales/${language}/${type}.json`, `locales/${language}/${type}.html`])]) {
        assert.ok(paths.includes(`dist/nodes/${type}/${file}`), `dist/nodes/${type}/${file}`);
      }
    }
    for (const file of ["LICENSE", "README.md", "CHANGELOG.md", "config.example.yaml", "resources/config.schema.json", "resources/editor.js", "resources/sample-trades.csv"]) assert.ok(paths.includes(file), file);
    const strangers = paths.filter((p) => !/^(dist|examples|resources)\//.test(p) && !["LICENSE", "README.md", "CHANGELOG.md", "config.example.yaml", "package.json"].includes(p));
    assert.deepEqual(strangers, []);
    assert.deepEqual(paths.filter((p) => /\.test\.|\.tsbuildinfo|\.env|_cred/.test(p)), []);
    assert.ok(packed.size < 1_500_000, `${packed.size} bytes`);
  });

  it("brings only its declared dependencies, not Node-RED", () => {
    for (const name of Object.keys(manifest.dependencies)) assert.ok(existsSync(join(userDir, "node_modules", ...name.split("/"))), name);
    assert.equal(existsSync(join(userDir, "node_modules", "node-red")), false);
    assert.equal(existsSync(join(userDir, "node_modules", "@flowfuse")), false);
  });

  it("works as a plain library: a program without Node-RED writes a table and asks it", () => {
    const answer = JSON.parse(execFileSync(process.execPath, [join(root, "test", "support", "library-user.cjs")], { cwd: userDir, encoding: "utf8" })) as { folder: string; rows: object; expected: object };
    rmSync(answer.folder, { recursive: true, force: true });
    assert.deepEqual(answer.rows, answer.expected);
  });

  for (const version of ["4", "5"] as NodeRedVersion[]) {
    describe(`Node-RED ${version}`, () => {
      let red: RunningNodeRed;
      before(async () => {
        assert.ok(nodeRedCommand(version), `Node-RED ${version} is not there: node scripts/stack.mjs node22 node-red-5`);
        red = await startNodeRed({ version, userDir, flow: replayFlow(`v${version}`), settings: { disableEditor: false } });
      });
      after(() => red?.stop());

      it("shows every node type, enabled and without an error", async () => {
        const response = await fetch(`${red.url}/nodes`, { headers: { accept: "application/json" } });
        const ours = ((await response.json()) as NodeSet[]).filter((n) => n.module === NAME);
        assert.deepEqual(ours.flatMap((n) => n.types).sort(), [...types].sort());
        for (const set of ours) assert.ok(set.enabled && !set.err, `${set.id}: ${set.err}`);
        assert.equal(ours[0]!.version, manifest.version);
      });

      it("serves every dialog, icon, label and help text", async () => {
        const html = await (await fetch(`${red.url}/nodes`, { headers: { accept: "text/html" } })).text();
        const icons = await (await fetch(`${red.url}/icons`)).json() as Record<string, string[]>;
        const catalogs = await (await fetch(`${red.url}/nodes/messages?lng=en-US`)).json() as Record<string, Record<string, object>>;
        for (const type of types) {
          assert.match(html, new RegExp(`data-template-name="${type}"`), `${type}: dialog`);
          assert.match(html, new RegExp(`data-help-name="${type}"`), `${type}: help`);
          assert.ok(Object.keys(catalogs[`${NAME}/${type}`]?.[type] ?? {}).length > 0, `${type}: labels`);
          if (definition(type).category === "config") continue;
          assert.ok(icons[NAME]?.includes(`${type}.svg`), `${type}: icon`);
          assert.match((await fetch(`${red.url}/icons/${NAME}/${type}.svg`)).headers.get("content-type")!, /^image\/svg\+xml/);
        }
        const script = await fetch(`${red.url}/resources/${NAME}/editor.js`);
        assert.equal(script.status, 200);
        assert.match(await script.text(), /window\.ticklake/);
      });

      it("offers every shipped flow in the Import menu", async () => {
        for (const { name, nodes } of shippedFlows()) {
          const path = `/library/examples/flows/${NAME}/${name.replace(/\.json$/, "").split("/").map(encodeURIComponent).join("/")}`;
          const response = await fetch(red.url + path);
          assert.equal(response.status, 200, path);
          assert.deepEqual(await response.json(), nodes);
        }
      });

      it("runs a flow: the sample that came with the package lands in a table", async () => {
        const metadata = join(userDir, "warehouse", "db", `v${version}`, "metadata");
        const hint = (): number => (existsSync(join(metadata, "version-hint.text")) ? Number(readFileSync(join(metadata, "version-hint.text"), "utf8")) : 0);
        await until("a commit", hint, (v) => v >= 2, 60_000);
        assert.equal(await red.stop(), 0);
        assert.doesNotMatch(red.logs(), /\[(warn|error)\] \[(csv-replay|explode-trades|iceberg-out|iceberg-query|iceberg-catalog)/);
        const table = JSON.parse(readFileSync(join(metadata, `v${hint()}.metadata.json`), "utf8")) as { snapshots: { summary: Record<string, string> }[] };
        assert.equal(table.snapshots.at(-1)!.summary["total-records"], "1800");
      });
    });
  }
});
