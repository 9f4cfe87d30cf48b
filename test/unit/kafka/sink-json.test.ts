import assert from "node:assert/strict";
import fc from "fast-check";
import { TicklakeError } from "../../../lib/errors";
import { jsonOf, splitJsonArray } from "../../../lib/kafka/sink/json";
import { KeyCache, murmur2, Partitioner, partitionOfKey } from "../../../lib/kafka/sink/partitioner";

describe("JSON for Kafka", () => {
  it("is what JSON.stringify makes of anything without long numbers", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => { assert.equal(jsonOf(value), JSON.stringify(value)); }));
    assert.equal(jsonOf({ a: undefined, b: () => 1, c: [undefined], d: new Date(0), e: NaN }), '{"c":[null],"d":"1970-01-01T00:00:00.000Z","e":null}');
    assert.equal(jsonOf(undefined), "null");
  });

  it("writes a trade's id beyond 2^53 as a bare number with all its digits", () => {
    const trade = { T: "t", S: "AAPL", i: "9007199254740993", x: "V", p: 1.5 };
    assert.equal(jsonOf(trade), '{"T":"t","S":"AAPL","i":9007199254740993,"x":"V","p":1.5}');
    assert.equal(jsonOf([{ ...trade, i: 5 }, trade]), '[{"T":"t","S":"AAPL","i":5,"x":"V","p":1.5},{"T":"t","S":"AAPL","i":9007199254740993,"x":"V","p":1.5}]');
    assert.equal(jsonOf({ type: "t", symbol: "AAPL", id: "9007199254740993" }), '{"type":"t","symbol":"AAPL","id":9007199254740993}');
  });

  it("leaves text that looks like an id elsewhere as text", () => {
    for (const value of [{ i: "9007199254740993" }, { T: "t", i: "9007199254740993" }, { T: "t", S: "A", i: "12345" }, { T: "t", S: "A", i: "0012345678901234567" }, { T: "q", S: "A", i: "9007199254740993" }]) {
      assert.equal(jsonOf(value), JSON.stringify(value));
    }
    const tricky = { c: { i: "9007199254740993" }, T: "t", S: 'A","i":"9007199254740993', i: "9007199254740993" };
    assert.equal(jsonOf(tricky), '{"c":{"i":"9007199254740993"},"T":"t","S":"A\\",\\"i\\":\\"9007199254740993","i":9007199254740993}');
  });

  it("writes bigints as bare numbers, and everything around them as JSON.stringify does", () => {
    assert.equal(jsonOf({ a: 9223372036854775807n, b: [1n, undefined, "x"], c: undefined, d: new Date(0), e: { toJSON: () => 7n } }), '{"a":9223372036854775807,"b":[1,null,"x"],"d":"1970-01-01T00:00:00.000Z","e":7}');
    fc.assert(fc.property(fc.jsonValue(), (value) => { assert.equal(jsonOf({ value, n: 1n }), `{"value":${JSON.stringify(value)},"n":1}`); }));
  });

  it("says why something cannot be written", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const deep: unknown[] = [];
    for (let at = deep, k = 0; k < 200_000; k++) { const next: unknown[] = []; at.push(next); at = next; }
    for (const value of [circle, { n: 1n, circle }, deep]) {
      assert.throws(() => jsonOf(value), (error: TicklakeError) => error.code === "RECORD_INVALID" && /circular|too deep/.test(error.message));
    }
  });

  it("splits the text of an array into the texts of its elements", () => {
    fc.assert(fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 1, "\t"), (values, space) => {
      const parts = splitJsonArray(JSON.stringify(values, null, space))!;
      assert.deepEqual(parts.map((part) => JSON.stringify(JSON.parse(part))), values.map((value) => JSON.stringify(value)));
    }));
    assert.deepEqual(splitJsonArray(' [ 12345678901234567890 , "a,]\\"", {"b":[1, 2]} ] '), ["12345678901234567890", '"a,]\\""', '{"b":[1, 2]}']);
    assert.equal(splitJsonArray('{"a":[1]}'), undefined);
  });
});

describe("partition of a key", () => {
  it("is that of Java's default partitioner", () => {
    // org.apache.kafka.common.utils.UtilsTest.testMurmur2
    const cases: [string, number][] = [
      ["21", -973932308], ["foobar", -790332482], ["a-little-bit-long-string", -985981536], ["a-little-bit-longer-string", -1486304829],
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971], ["abc", 479470107],
    ];
    for (const [key, hash] of cases) assert.equal(murmur2(Buffer.from(key)), hash, key);
    assert.equal(partitionOfKey(Buffer.from("foobar"), 3), (-790332482 & 0x7fffffff) % 3);
  });

  it("is remembered without growing for ever", () => {
    const cache = new KeyCache(), partitioner = new Partitioner(7);
    for (let k = 0; k < 100_000; k++) {
      const key = cache.bytesOf(`k${k}`);
      assert.equal(partitioner.of(key), partitionOfKey(Buffer.from(`k${k}`), 7));
    }
    assert.equal(cache.bytesOf("k99999"), cache.bytesOf("k99999"));
  });
});
