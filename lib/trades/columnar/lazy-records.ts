import type { LazyPayload } from "../lazy";
import type { KafkaRecord } from "../types";
import type { TradeColumns } from "./columns";
import { FORM } from "./scanner";

/** What records are behind a batch of trades. */
export interface RecordSource {
  /** Record k as flows see it, its own from then on. */
  record(k: number): KafkaRecord;
  /** Its offset as decimal text. */
  offset(k: number): string;
}

/**
 * Records of Kafka whose trades were read from their bytes into columns (kafka-in makes them). A record that holds something else
 * was decoded already, so that all of them are known to be good. As long as this is held it pins the bytes of the records.
 */
export class LazyRecords implements LazyPayload {
  /**
   * @param columns the trades of all records that hold nothing else, in order
   * @param starts trades of record k are those from starts[k] up to starts[k + 1]; one more than there are records
   * @param forms FORM bits of each record; 0 = its trades are not in the columns
   */
  constructor(readonly columns: TradeColumns, readonly starts: Int32Array, readonly forms: Uint8Array, private readonly source: RecordSource) {}

  get length(): number { return this.forms.length; }

  /** All records are in the columns. */
  get whole(): boolean { return !this.forms.includes(0); }

  /** All records are in the columns, and none of their trades needs flattening. */
  get flat(): boolean {
    for (const form of this.forms) if (form === 0 || (form & FORM.raw) !== 0) return false;
    return true;
  }

  record(k: number): KafkaRecord { return this.source.record(k); }
  offset(k: number): string { return this.source.offset(k); }

  materialise(): KafkaRecord[] { return Array.from({ length: this.length }, (_, k) => this.source.record(k)); }
}
