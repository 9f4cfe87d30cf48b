import assert from "node:assert/strict";
import fc from "fast-check";
import { internalName, literal, originalName, quote, restoreNames, uniqueNames } from "../../../lib/sql/names";

/** How DuckDB folds case: ASCII letters only. */
const fold = (name: string): string => name.replace(/[A-Z]/g, (c) => c.toLowerCase());
const names = fc.oneof(fc.string({ maxLength: 6 }), fc.stringMatching(/^[sSpP_\ue0f0]{0,4}$/));

describe("internal names", () => {
  it("differ whenever the originals do, even when case is folded", () => {
    fc.assert(fc.property(names, names, (a, b) => {
      assert.equal(fold(internalName(a)) === fold(internalName(b)), a === b);
    }), { numRuns: 2000 });
  });

  it("lead back to the original", () => {
    fc.assert(fc.property(names, (name) => { assert.equal(originalName(internalName(name)), name); }));
    assert.equal(restoreNames(`column "${internalName("S")}" of ${internalName("Trades")}`), 'column "S" of Trades');
  });

  it("are the names themselves where there is nothing to keep apart", () => {
    for (const name of ["s", "timestamp", "über", "a b", ""]) assert.equal(internalName(name), name);
  });

  it("quote what would end the quote", () => {
    assert.equal(quote('a"b'), '"a""b"');
    assert.equal(literal("it's"), "'it''s'");
  });

  it("of a result are unique, and no number meets a name that is there", () => {
    assert.deepEqual(uniqueNames(["S", "s", "S", "S_1", "S"]), ["S", "s", "S_2", "S_1", "S_3"]);
    fc.assert(fc.property(fc.array(fc.constantFrom("a", "a_1", "a_2", "b")), (list) => {
      const unique = uniqueNames(list);
      assert.equal(new Set(unique).size, list.length);
      list.forEach((name, i) => { if (list.indexOf(name) === i) assert.equal(unique[i], name, "the first of a name keeps it"); });
    }));
  });
});
