import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { nodeTypes } from "../support/flows";
import { root } from "../support/start";

const pages = [
  ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map((f) => join(root, f)),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".md")).map((f) => join(root, "docs", f)),
];

describe("documentation", () => {
  for (const page of pages) {
    it(`${relative(root, page)}: every link within the repository leads somewhere`, () => {
      const text = readFileSync(page, "utf8").replace(/```[\s\S]*?```/g, "").replace(/`[^`\n]*`/g, "");
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|mailto:|#)/.test(target!)) continue;
        assert.ok(existsSync(join(dirname(page), target!.split("#")[0]!)), target);
      }
    });
  }

  it("has a page for every node, and the README's table names it", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    for (const type of nodeTypes()) {
      assert.ok(existsSync(join(root, "docs", "nodes", `${type}.md`)), type);
      assert.match(readme, new RegExp(`\\| \`${type}\` \\|`));
    }
  });

  it("every property in the help of a node has the form that the editor knows: a colon in its text would cut off what stands before it", () => {
    for (const type of nodeTypes()) {
      const help = readFileSync(join(root, "nodes", type, "locales", "en-US", `${type}.html`), "utf8");
      for (const line of help.split("\n").filter((l) => l.startsWith(":"))) assert.match(line, /^: [^:()]+ \([^:()]+\) : [^:]+$/, `${type}: ${line}`);
    }
  });

  it("is reached from docs/README.md", () => {
    const index = readFileSync(join(root, "docs", "README.md"), "utf8");
    for (const page of pages.filter((p) => p.includes(`${join(root, "docs")}`) && !p.endsWith(join("docs", "README.md")))) {
      const path = relative(join(root, "docs"), page);
      assert.ok(index.includes(`(${path})`), path);
    }
  });

  it("calls the two commands at the top of the README as package.json has them", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };
    const top = readFileSync(join(root, "README.md"), "utf8").slice(0, 800);
    for (const name of ["start", "test"]) assert.ok(scripts[name] && top.includes(`npm ${name}`), name);
    assert.match(readFileSync(join(root, ".ci", "run"), "utf8"), /^npm test/m);
  });
});
