/** Upper bounds of the buckets of batch durations, seconds: from an acknowledgement of a broker near by to a commit that takes minutes. */
export const DURATION_BOUNDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Counts observations per bucket; adding one costs a few comparisons. */
export class Histogram {
  /** One more than there are bounds: the last one is for all above. */
  private readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(readonly bounds: readonly number[] = DURATION_BOUNDS) { this.counts = new Array<number>(bounds.length + 1).fill(0); }

  observe(value: number): void {
    let k = 0;
    while (k < this.bounds.length && value > this.bounds[k]!) k++;
    this.counts[k]!++;
    this.sum += value;
    this.count++;
  }

  /** Takes over what another one with the same bounds has counted. */
  add(other: Histogram): void {
    other.counts.forEach((n, k) => { this.counts[k]! += n; });
    this.sum += other.sum;
    this.count += other.count;
  }

  /** As Prometheus has them: how many are at or below each bound, the last one without bound. */
  cumulative(): { readonly le: number; readonly count: number }[] {
    let count = 0;
    return this.counts.map((n, k) => ({ le: this.bounds[k] ?? Infinity, count: count += n }));
  }
}
