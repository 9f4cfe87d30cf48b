import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ERROR_KINDS } from "../../lib/errors";
import { nodeTypes } from "../support/flows";
import { meanings, nodeFacts, withTable } from "../../scripts/node-docs";
import { root } from "../support/start";

const pages = [
  ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map((f) => join(root, f)),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".md")).map((f) => join(root, "docs", f)),
];

/** A page without its code: what is between fences and backticks is no link and no heading. */
const prose = (text: string): string => text.replace(/^( *)(```+)[^\n]*\n[\s\S]*?^\1\2/gm, "");

/** The anchors of a page as GitHub makes them: lower case, words joined by hyphens, punctuation left out, a number behind what is there already. */
function anchorsOf(page: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, title] of prose(readFileSync(page, "utf8")).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const slug = title!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase().replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-");
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

describe("documentation", () => {
  for (const page of pages) {
    it(`${relative(root, page)}: every link within the repository leads somewhere, to the heading that it names`, () => {
      const text = prose(readFileSync(page, "utf8")).replace(/`[^`\n]*`/g, "code");
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|mailto:)/.test(target!)) continue;
        const [path, anchor] = target!.split("#") as [string, string | undefined];
        const file = path === "" ? page : join(dirname(page), path);
        assert.ok(existsSync(file), target);
        if (anchor !== undefined && file.endsWith(".md")) assert.ok(anchorsOf(file).has(anchor), `${target}: no such heading`);
      }
    });
  }

  for (const type of nodeTypes()) {
    it(`${type}: the table of its properties is what the code has, and every property is explained`, () => {
      const page = readFileSync(join(root, "docs", "nodes", `${type}.md`), "utf8");
      assert.ok(page === withTable(type, page), `docs/nodes/${type}.md differs from the code: run npm run docs`);
      const said = meanings(page);
      for (const { property } of nodeFacts(type).rows) assert.ok(said.get(property), `docs/nodes/${type}.md does not say what ${property} means: fill the last column of its row`);
    });
  }

  it("troubleshooting: a section for every code that an error can have, with its kind, what it means and what to do", () => {
    const page = readFileSync(join(root, "docs", "troubleshooting.md"), "utf8");
    const sections = [...page.matchAll(/^#### ([A-Z_]+)\n\*([a-z-]+)\* · [^\n]+\n\n[^\n]{20,}\n\n\*\*What to do:\*\* [^\n]{5,}$/gm)].map(([, code, kind]) => `${code} ${kind}`);
    assert.deepEqual(sections.sort(), Object.entries(ERROR_KINDS).map(([code, kind]) => `${code} ${kind}`).sort());
    assert.equal([...page.matchAll(/^####/gm)].length, sections.length, "a section of another form");
  });

  it("names no code that no error has", () => {
    // What looks like a code and is none: variables, Kafka's own names.
    const prefixes = /^(CONFIG|FILE|CSV|CONTROL|SCHEMA|PARTITION_SPEC|TABLE|TOPIC|CATALOG|SQL|SNAPSHOT|STORAGE|COMMIT|WATERMARK|ALPACA|PINOT|RECORD|DELIVERY|WORKER|KAFKA)_[A-Z_]*(INVALID|UNKNOWN|DENIED|FAILED|UNREACHABLE|REFUSED|MISMATCH|FOUND|ALLOWED|LOST|FENCED|CORRUPT|REPLACED|UNSUPPORTED|CONFLICT|TIMEOUT|BUSY|LARGE|FULL|EXISTS|MOVED|ABORTED|CUT|UP|LIMIT|DAMAGED|ASSIGNED|FOLDED|UNREADABLE)$/;
    const texts = [...pages, ...nodeTypes().map((type) => join(root, "nodes", type, "locales", "en-US", `${type}.html`))];
    for (const file of texts) for (const [word] of readFileSync(file, "utf8").matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)) if (prefixes.test(word)) assert.ok(word in ERROR_KINDS, `${relative(root, file)}: ${word}`);
  });

  it("shows pictures that are pictures, none of them large or forgotten, and none of them in the package", () => {
    const folder = join(root, "docs", "images");
    const shown = new Set(pages.flatMap((page) => [...readFileSync(page, "utf8").matchAll(/!\[[^\]]+\]\(([^)\s]+\.png)\)/g)].map(([, file]) => join(dirname(page), file!))));
    assert.deepEqual([...shown].sort(), readdirSync(folder).map((file) => join(folder, file)).sort());
    for (const file of shown) {
      const png = readFileSync(file);
      assert.equal(png.subarray(1, 4).toString("latin1"), "PNG", file);
      assert.ok(png.length > 15_000 && png.length <= 150_000, `${file}: ${png.length} bytes`);
      assert.ok(png.readUInt32BE(16) >= 600 && png.readUInt32BE(20) >= 400, `${file}: width and height`);
    }
    const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: string[] };
    assert.ok(files.length > 0 && files.every((file) => !file.startsWith("docs")));
  });

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

  it("SECURITY.md counts the packages as package.json has them, and none that is installed with this one runs a script", () => {
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, object>;
    const words = ["None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"];
    const [required, optional] = [dependencies!, optionalDependencies!].map((packages) => words[Object.keys(packages).length]!);
    assert.ok(readFileSync(join(root, "SECURITY.md"), "utf8").includes(`${required} packages are required, ${optional!.toLowerCase()} are optional`));
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, { hasInstallScript?: boolean; dev?: boolean }> };
    assert.deepEqual(Object.entries(lock.packages).filter(([path, { hasInstallScript, dev }]) => path !== "" && hasInstallScript && !dev).map(([path]) => path), []);
  });

  it("calls the two commands at the top of the README as package.json has them", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };
    const top = readFileSync(join(root, "README.md"), "utf8").slice(0, 800);
    for (const name of ["start", "test"]) assert.ok(scripts[name] && top.includes(`npm ${name}`), name);
    assert.match(readFileSync(join(root, ".ci", "run"), "utf8"), /^npm test/m);
  });
});
