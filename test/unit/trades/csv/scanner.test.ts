import assert from "node:assert/strict";
import fc from "fast-check";
import { RecordScanner, Scan } from "../../../../lib/trades/csv/scanner";

interface Seen { fields?: string[]; reason?: string; text?: string; line: number; offset: number }

/** Scans bytes that arrive in pieces of the given sizes. */
function scan(bytes: Buffer, sizes: number[] = [], options: { expected?: number; maxRecordBytes?: number; separator?: string } = {}): Seen[] {
  const scanner = new RecordScanner({ separator: (options.separator ?? ",").charCodeAt(0), expected: options.expected, maxRecordBytes: options.maxRecordBytes });
  const seen: Seen[] = [];
  let at = 0, piece = 0;
  for (;;) {
    const found = scanner.next();
    if (found === Scan.Record) {
      const fields = Array.from({ length: scanner.count }, (_, i) => scanner.field(i));
      // The offset of the next record tells where this one ended.
      seen.push({ fields, line: scanner.line, offset: scanner.offset });
    } else if (found === Scan.Bad) seen.push({ reason: scanner.reason, text: scanner.recordText(), line: scanner.line, offset: scanner.offset });
    else if (found === Scan.End) return seen;
    else if (at < bytes.length) {
      const size = Math.max(1, sizes[piece++ % Math.max(1, sizes.length)] ?? bytes.length);
      scanner.push(bytes.subarray(at, at + size));
      at += size;
    } else scanner.finish();
  }
}

const fields = (text: string, options = {}) => scan(Buffer.from(text), [], options).map((s) => s.fields ?? s.reason);

describe("CSV scanner", () => {
  it("splits plain fields, keeping empty ones, with LF, CRLF or nothing at the end", () => {
    assert.deepEqual(fields("a,b\nc,\r\n,d"), [["a", "b"], ["c", ""], ["", "d"]]);
    assert.deepEqual(fields("a,b\r\n"), [["a", "b"]]);
    assert.deepEqual(fields("a,b\r"), [["a", "b"]]);
  });

  it("understands quotes with separators, line ends and doubled quotes in them", () => {
    assert.deepEqual(fields('"a,b",c\n"say ""hi""","x\ny"\r\n"",z\n'), [["a,b", "c"], ['say "hi"', "x\ny"], ["", "z"]]);
  });

  it("takes a quote within a bare field as it is", () => {
    assert.deepEqual(fields('5" disk,b\n'), [['5" disk', "b"]]);
  });

  it("skips blank lines and counts them", () => {
    assert.deepEqual(scan(Buffer.from("a,b\n\n   \r\nc,d\n")).map((s) => s.line), [1, 4]);
  });

  it("counts the lines of records that span several", () => {
    assert.deepEqual(scan(Buffer.from('"a\nb\nc",1\nd,2\n')).map((s) => s.line), [1, 4]);
  });

  it("says at which byte the next record begins", () => {
    assert.deepEqual(scan(Buffer.from("ä,b\r\ncc,d\n"), [1]).map((s) => s.offset), [6, 11]);
  });

  for (const separator of [",", "|", ";", "\t"]) {
    it(`separates by ${JSON.stringify(separator)}`, () => {
      assert.deepEqual(fields(`a${separator}"b${separator}c"${separator}d\n`, { separator }), [["a", `b${separator}c`, "d"]]);
    });
  }

  it("a quote that is never closed costs its line only", () => {
    assert.deepEqual(fields('a,b\n"c,d\ne,f\ng,h\n'), [["a", "b"], "a quote is never closed", ["e", "f"], ["g", "h"]]);
  });

  it("a quote that the next row's quote closes costs its line only", () => {
    assert.deepEqual(fields('a,"b\nc,"d",e\nf,g\n'), ["text stands behind a closing quote", ["c", "d", "e"], ["f", "g"]]);
  });

  it("a quote that joins two rows into one of the wrong width costs its line only", () => {
    assert.deepEqual(fields('a,"b\nc","d"\ne,"f"\n', { expected: 2 }), ["a quote is not closed on this line", ['c"', "d"], ["e", "f"]]);
  });

  it("sets a line aside that is too long, without keeping it, and goes on", () => {
    const seen = scan(Buffer.from(`a,b\n${"x".repeat(5000)}\nc,d\n`), [64], { maxRecordBytes: 256 });
    assert.deepEqual(seen.map((s) => s.fields ?? s.reason), [["a", "b"], "the line is longer than 256 bytes", ["c", "d"]]);
    assert.deepEqual(seen.map((s) => s.line), [1, 2, 3]);
    assert.ok(seen[1]!.text!.length <= 1001);
  });

  it("property: rows survive writing and scanning, wherever the pieces are cut", () => {
    const field = fc.string({ unit: fc.constantFrom("a", "Z", "7", ".", "ü", "€", "😀", ",", '"', "\n", "\r", " "), maxLength: 8 });
    const quote = (text: string) => (/[",\n\r]/.test(text) || text.trim() === "" ? `"${text.replaceAll('"', '""')}"` : text);
    fc.assert(fc.property(
      fc.array(fc.array(field, { minLength: 2, maxLength: 5 }), { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), fc.constantFrom("\n", "\r\n"), fc.boolean(),
      (rows, sizes, eol, last) => {
        const text = rows.map((row) => row.map(quote).join(",")).join(eol) + (last && rows.length > 0 ? eol : "");
        assert.deepEqual(scan(Buffer.from(text), sizes).map((s) => s.fields), rows);
      },
    ), { numRuns: 500 });
  });

  it("property: any bytes whatever give the same in pieces as in one, and no line is skipped unseen", () => {
    const unit = fc.constantFrom("a", "b1", ",", '"', '""', "\n", "\r\n", "\r", "é", " ");
    fc.assert(fc.property(fc.array(unit, { maxLength: 60 }), fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 6 }), fc.constantFrom(0, 2, 3), (units, sizes, expected) => {
      const bytes = Buffer.from(units.join(""));
      // A bad line's reason may depend on how much was there to see; what is good and where it is must not.
      const whole = scan(bytes, [], { expected, maxRecordBytes: 40 });
      const pieces = scan(bytes, sizes, { expected, maxRecordBytes: 40 });
      assert.deepEqual(pieces.map((s) => [s.line, s.offset, s.fields]), whole.map((s) => [s.line, s.offset, s.fields]));
      for (let i = 1; i < whole.length; i++) assert.ok(whole[i]!.line > whole[i - 1]!.line && whole[i]!.offset > whole[i - 1]!.offset);
    }), { numRuns: 1000 });
  });
});
