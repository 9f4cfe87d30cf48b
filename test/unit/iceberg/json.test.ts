import assert from "node:assert/strict";
import fc from "fast-check";
import { parseJson, stringifyJson } from "../../../lib/iceberg/json";

describe("JSON with exact whole numbers", () => {
  it("keeps every digit of 63-bit ids, both ways", () => {
    const text = '{"snapshot-id":8744736658442914487,"parent-snapshot-id":-9223372036854775808,"small":42}';
    const value = parseJson(text) as Record<string, unknown>;
    assert.equal(value["snapshot-id"], 8744736658442914487n);
    assert.equal(value["parent-snapshot-id"], -9223372036854775808n);
    assert.equal(value["small"], 42);
    assert.equal(stringifyJson(value), text);
  });

  it("is a number up to 2^53 - 1, a bigint beyond", () => {
    assert.equal(parseJson("9007199254740991"), 9007199254740991);
    assert.equal(parseJson("9007199254740992"), 9007199254740992n);
    assert.equal(parseJson("9007199254740993"), 9007199254740993n);
    assert.equal(parseJson("1e20"), 1e20);
    assert.equal(parseJson("12345678901234567890.5"), 12345678901234567890.5);
  });

  it("never touches digits inside of text", () => {
    assert.deepEqual(parseJson('{"a\\"8744736658442914487":"8744736658442914487","b":"\\\\"}'), { 'a"8744736658442914487': "8744736658442914487", b: "\\" });
  });

  it("reads all JSON exactly as JSON.parse does", () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, 2, "\t"), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.deepEqual(parseJson(text), rounded(JSON.parse(text), text));
    }), { numRuns: 500 });
  });

  it("writes what JSON.parse reads back", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(stringifyJson(value)), JSON.parse(JSON.stringify(value)));
    }), { numRuns: 500 });
  });

  it("accepts and refuses the same texts as JSON.parse", () => {
    const pieces = ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\u00e9"', '"\\x"', "1", "-", "0", "01", "1.", ".5", "1e", "1e+5", "-0", "true", "tru", "null", "nul", " ", "\n", "\t", "\u0000", "\\", "\ud800"];
    const accepts = (parse: (text: string) => unknown, text: string): boolean => {
      try {
        parse(text);
        return true;
      } catch (error) {
        assert.ok(error instanceof SyntaxError, String(error));
        return false;
      }
    };
    fc.assert(fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), (parts) => {
      const text = parts.join("");
      assert.equal(accepts(parseJson, text), accepts(JSON.parse, text), JSON.stringify(text));
    }), { numRuns: 5000 });
  });

  it("says where the text is wrong", () => {
    assert.throws(() => parseJson('{"a": 1,}'), /position 8/);
    assert.throws(() => parseJson('{"a": '), /ends too early/);
  });

  it("leaves a key called __proto__ a key", () => {
    const value = parseJson('{"__proto__":{"polluted":1}}') as Record<string, unknown>;
    assert.deepEqual(Object.keys(value), ["__proto__"]);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    assert.equal(stringifyJson(value), '{"__proto__":{"polluted":1}}');
  });

  it("refuses to write what JSON cannot hold", () => {
    assert.throws(() => stringifyJson({ a: NaN }), TypeError);
    assert.throws(() => stringifyJson([Infinity]), TypeError);
  });
});

/** JSON.parse's value, with the whole numbers that it rounded replaced by ours: compares everything else. */
function rounded(value: unknown, text: string): unknown {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && !/[.eE]/.test(text)) return BigInt(text);
  if (Array.isArray(value)) return value.map((item) => rounded(item, JSON.stringify(item)));
  if (typeof value === "object" && value !== null) {
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) Object.defineProperty(copy, key, { value: rounded(item, JSON.stringify(item)), enumerable: true, configurable: true, writable: true });
    return copy;
  }
  return value;
}
