import type { Part } from "../../delivery/types";
import type { KafkaSinkResult } from "./contract";
import type { Elements } from "./elements";

/** One message in a sink, until it is written, failed or dropped. */
export class Entry {
  /** Records not yet acknowledged. */
  left: number;
  bytes = 0;
  /** Nothing more is to be done for it: completed, failed or dropped. */
  over = false;
  private readonly lastOffsets = new Map<number, bigint>();

  /** @param arrivedAt Unix ms; the time of its records that bring none */
  constructor(readonly part: Part, readonly topic: string, readonly elements: Elements, readonly arrivedAt: number) {
    this.left = elements.count;
  }

  /** Its records are to be written. */
  get wanted(): boolean {
    const { state } = this.part;
    return !this.over && (state === "held" || state === "parked" || state === "taken");
  }

  /** @param lastOffset undefined where the broker took it in pieces and said none */
  acked(partition: number, lastOffset: bigint | undefined, count: number, bytes: number): void {
    this.left -= count;
    this.bytes += bytes;
    if (lastOffset !== undefined) this.lastOffsets.set(partition, lastOffset);
  }

  /** A transaction was aborted: all of it is to be written again. */
  unacked(): void {
    this.left = this.elements.count;
    this.bytes = 0;
    this.lastOffsets.clear();
  }

  result(now: number): KafkaSinkResult {
    const partitions: Record<string, number | string> = {};
    for (const [partition, offset] of [...this.lastOffsets].sort((a, b) => a[0] - b[0])) {
      partitions[partition] = offset <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(offset) : String(offset);
    }
    return { topic: this.topic, count: this.elements.count, bytes: this.bytes, ms: Math.max(0, Math.round(now - this.arrivedAt)), partitions };
  }
}
