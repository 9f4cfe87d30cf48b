import { readFileSync } from "node:fs";

/** What a process has used so far. Linux only (/proc). */
export interface Usage { readonly cpuSeconds: number; readonly peakRssMb: number }

/** CPU seconds (user and system, all threads) and peak resident memory of a living process. */
export function usage(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
  // utime and stime are fields 14 and 15 of stat(5), in ticks of 1/100 s on every Linux that Node runs on.
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / 100;
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return { cpuSeconds, peakRssMb: Number(peak?.[1] ?? NaN) / 1024 };
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Waits until `look` returns something; looks every 50 ms. */
export async function eventually<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, timeoutMs = 180_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(50);
  }
}
