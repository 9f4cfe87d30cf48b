import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { definition, nodeTypes, shippedFlows } from "../support/flows";
import { root } from "../support/start";

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { name: string; version: string };
const EDITOR_OWN = new Set(["id", "type", "z", "g", "x", "y", "wires", "d", "l", "info", "inputLabels", "outputLabels", "icon", "_users"]);

describe("shipped flows, as files", () => {
  const flows = shippedFlows();
  const ours = new Set(nodeTypes());

  it("use every node type of the package", () => {
    const used = new Set(flows.flatMap((f) => f.nodes.map((n) => n.type)));
    assert.deepEqual([...ours].filter((type) => !used.has(type)), []);
  });

  it("have ids that no other flow has, so that two of them can be imported into one editor", () => {
    const seen = new Map<string, string>();
    for (const { name, nodes } of flows) for (const { id } of nodes) {
      assert.match(id, /^[0-9a-f]{16}$/, `${name}: id ${id}`);
      assert.equal(seen.get(id), undefined, `${id} stands in ${name} and in ${seen.get(id)}`);
      seen.set(id, name);
    }
  });

  for (const { name, nodes } of flows) {
    describe(name, () => {
      const ids = new Set(nodes.map((n) => n.id));

      it("wires, groups, config nodes and tabs exist", () => {
        for (const node of nodes) {
          for (const target of (node.wires ?? []).flat()) assert.ok(ids.has(target), `${node.type} ${node.name} is wired to ${target}, which is not there`);
          for (const key of ["z", "g", "catalog", "broker", "group", "page", "ui", "theme"]) {
            const value = node[key];
            if (typeof value === "string" && value !== "" && /^[0-9a-f]{16}$/.test(value)) assert.ok(ids.has(value), `${node.type} ${node.name}: ${key} ${value} is not there`);
          }
        }
      });

      it("every node of ours says all its properties, knows no other, and passes the validators of its dialog", () => {
        for (const node of nodes.filter((n) => ours.has(n.type))) {
          const { defaults } = definition(node.type);
          const label = `${node.type} "${node.name}"`;
          for (const [key, property] of Object.entries(defaults)) {
            assert.ok(key in node, `${label} lacks ${key}`);
            if (property.validate) assert.equal(property.validate.call(node, node[key], {}), true, `${label}: ${key} = ${JSON.stringify(node[key])}`);
          }
          const unknown = Object.keys(node).filter((key) => !(key in defaults) && !EDITOR_OWN.has(key));
          assert.deepEqual(unknown, [], `${label} has properties that its dialog does not know`);
        }
      });

      it("says what it is, catches errors, names the packages that it needs, and holds no secret", () => {
        assert.ok(nodes.some((n) => n.type === "comment" && String(n.info).length > 100), "a comment node that explains");
        assert.ok(nodes.some((n) => n.type === "catch"), "a catch node");
        const modules = nodes.find((n) => n.type === "global-config")?.modules as Record<string, string> | undefined;
        assert.equal(modules?.[manifest.name], manifest.version);
        if (nodes.some((n) => n.type.startsWith("ui-"))) assert.ok(modules?.["@flowfuse/node-red-dashboard"]);
        assert.ok(!nodes.some((n) => "credentials" in n), "no credentials");
      });
    });
  }
});
