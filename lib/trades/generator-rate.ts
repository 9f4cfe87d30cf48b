/** Trades per second over the last few seconds, from a counter that is read now and then. */
export class RateMeter {
  private readonly samples: { at: number; count: number }[] = [];

  constructor(private readonly windowMs = 5000) {}

  /** Tells the counter's value; gives the rate over the window that ends here. (Every call may name a window of its own; a longer one fills as it goes.) */
  sample(at: number, count: number, windowMs = this.windowMs): number {
    const { samples } = this;
    samples.push({ at, count });
    while (samples.length > 2 && at - samples[1]!.at >= windowMs) samples.shift();
    const first = samples[0]!;
    return at > first.at ? ((count - first.count) * 1000) / (at - first.at) : 0;
  }

  clear(): void { this.samples.length = 0; }
}

/** A rate in a few characters: 12, 950, 1.2 k, 340 k, 1.25 M. */
export function formatCount(n: number): string {
  if (n >= 9_995_000) return `${(n / 1e6).toFixed(1)} M`;
  if (n >= 999_500) return `${(n / 1e6).toFixed(2)} M`;
  if (n >= 9_995) return `${Math.round(n / 1000)} k`;
  if (n >= 999.5) return `${(n / 1000).toFixed(1)} k`;
  return n > 0 && n < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
}
