import { TicklakeError } from "../../errors";
import { RecordBatchBuilder } from "../records/builder";
import { decodeRecords } from "../records/decode";
import { VarintReader } from "../records/varint";
import type { Header, RecordBatch, RecordSet } from "../types";

/**
 * The two halves of an encoded batch, the first one not smaller; records and headers as they were.
 *
 * @param encoded as `RecordBatch.encode` gave it, of at least two records
 */
export async function halves(encoded: Buffer): Promise<[RecordBatch, RecordBatch]> {
  const set = await read(encoded);
  const middle = Math.ceil(set.count / 2);
  return [part(set, range(0, middle)), part(set, range(middle, set.count))];
}

/** Some records of an encoded batch, in the order of `indexes`. */
export async function only(encoded: Buffer, indexes: readonly number[]): Promise<RecordBatch> {
  return part(await read(encoded), indexes);
}

async function read(encoded: Buffer): Promise<RecordSet> {
  const { set, damaged } = await decodeRecords(encoded, { topic: "", partition: 0, position: 0n, abortedTransactions: [] });
  if (!set || damaged) throw new TicklakeError("INTERNAL", `A batch that is to be split cannot be read${damaged ? `: ${damaged.error.message}` : "."}`);
  return set;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, k) => from + k);

function part(set: RecordSet, indexes: readonly number[]): RecordBatch {
  const builder = new RecordBatchBuilder();
  for (const k of indexes) {
    const headers = headersOf(set, k);
    builder.add({ key: set.key(k), value: set.value(k), timestamp: set.timestamps[k] as number, ...(headers.length === 0 ? {} : { headers }) });
  }
  return builder;
}

/** In their order, with repetitions: what a map of them cannot keep. */
function headersOf(set: RecordSet, index: number): Header[] {
  const reader = new VarintReader(set.data, set.headersStart[index]);
  const bytes = (length: number): Buffer => set.data.subarray(reader.at, reader.at += length);
  const headers: Header[] = [];
  for (let count = reader.int(); count > 0; count--) {
    const name = bytes(reader.int()).toString("utf8");
    const length = reader.int();
    headers.push({ name, value: length < 0 ? null : bytes(length) });
  }
  return headers;
}
