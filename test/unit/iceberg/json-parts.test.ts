import assert from "node:assert/strict";
import fc from "fast-check";
import { parseJson } from "../../../lib/iceberg/json";
import { itemsOf, membersOf } from "../../../lib/iceberg/json-parts";

describe("JSON taken apart", () => {
  const written = fc.tuple(fc.jsonValue({ maxDepth: 5 }), fc.constantFrom(undefined, 2, "\t")).map(([value, indent]) => ({ value: JSON.parse(JSON.stringify(value)) as unknown, text: JSON.stringify(value, null, indent) }));

  it("gives the members of objects and the items of lists, whatever is in them", () => {
    fc.assert(fc.property(written, ({ value, text }) => {
      const members = membersOf(text), items = itemsOf(text);
      if (Array.isArray(value)) assert.deepEqual(items!.map((item) => JSON.parse(item) as unknown), value);
      else assert.equal(items, undefined);
      if (typeof value === "object" && value !== null && !Array.isArray(value)) assert.deepEqual(Object.fromEntries(Array.from(members!, ([name, part]) => [name, JSON.parse(part) as unknown])), value);
      else assert.equal(members, undefined);
    }), { numRuns: 1000 });
  });

  it("brackets, commas, quotes and backslashes in text are text", () => {
    assert.deepEqual(membersOf(' { "a\\"}\\\\" : "{[\\"]}\\\\" , "b":[{"c":"},"}] } '), new Map([['a"}\\', '"{[\\"]}\\\\"'], ["b", '[{"c":"},"}]']]));
    assert.deepEqual(itemsOf('["\\\\\\"", ",", 12345678901234567890 ]'), ['"\\\\\\""', '","', "12345678901234567890"]);
    assert.deepEqual(membersOf('{"a":1,"\\u0061":2}'), new Map([["a", "2"]]), "the last of one name, as everywhere");
  });

  it("passes over what was seen before, and gives the same", () => {
    const list = '[{"a":"],"},{"b":[1]}', text = `{"x":[1],"list":${list},{"c":2}],"deep":{"list":${list}]},"y":"z"}`;
    assert.deepEqual(membersOf(text, ["[9", list]), membersOf(text));
    assert.deepEqual(membersOf(text, [list])!.get("list"), `${list},{"c":2}]`);
  });

  it("of what is whole JSON nothing is missing, and what is none is refused here or by its parts", () => {
    const pieces = ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\"', "1", "tru", "null", " ", "\n", "\\"];
    const joined = (text: string): unknown => {
      const members = membersOf(text);
      if (members) return Object.fromEntries(Array.from(members, ([name, part]) => [name, parseJson(part)]));
      const items = itemsOf(text);
      return items ? items.map(parseJson) : parseJson(text);
    };
    const outcome = (read: (text: string) => unknown, text: string): unknown => {
      try { return read(text); } catch { return "refused"; }
    };
    fc.assert(fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 9 }), (parts) => {
      const text = parts.join("");
      assert.deepEqual(outcome(joined, text), outcome(parseJson, text), JSON.stringify(text));
    }), { numRuns: 5000 });
  });
});
