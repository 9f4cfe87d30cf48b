import { IndexedRecordSet } from "../../lib/kafka/records/record-set";

export interface SetRecord { readonly value: Buffer | string | null; readonly key?: string | null; readonly offset?: number }

/** Records of one partition as a fetch brings them, their bytes one behind the other. */
export function recordSet(records: readonly SetRecord[], at: { topic?: string; partition?: number; baseOffset?: bigint } = {}): IndexedRecordSet {
  const n = records.length;
  const parts: Buffer[] = [];
  let end = 0;
  const put = (bytes: Buffer): number => (parts.push(bytes), (end += bytes.length) - bytes.length);
  const index = {
    offsetDelta: new Float64Array(n), timestamps: new Float64Array(n), keyStart: new Int32Array(n), keyEnd: new Int32Array(n), valueStart: new Int32Array(n), valueEnd: new Int32Array(n), headersStart: new Int32Array(n),
  };
  const place = (k: number, value: Buffer | string | null | undefined, start: Int32Array, stop: Int32Array): void => {
    start[k] = value == null ? -1 : put(Buffer.from(value as string));
    stop[k] = value == null ? -1 : end;
  };
  records.forEach(({ value, key, offset }, k) => {
    index.offsetDelta[k] = offset ?? k;
    index.timestamps[k] = 1_700_000_000_000 + k;
    place(k, key, index.keyStart, index.keyEnd);
    place(k, value, index.valueStart, index.valueEnd);
    index.headersStart[k] = put(Buffer.of(0));
  });
  const baseOffset = at.baseOffset ?? 0n;
  return new IndexedRecordSet({ topic: at.topic ?? "iex_data", partition: at.partition ?? 0, data: Buffer.concat(parts), count: n, baseOffset, nextOffset: baseOffset + BigInt(n === 0 ? 0 : index.offsetDelta[n - 1]! + 1), ...index });
}
