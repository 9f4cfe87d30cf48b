/** How fast rows come and how large they are in files: what a forecast of files needs. Pure. */

export interface CommitSize { readonly rows: number; readonly files: number; readonly bytes: number }

export interface MeasuredRate {
  readonly rowsPerSecond: number;
  /** In data files, compressed. */
  readonly bytesPerRow: number;
  /** Data files of a commit: partitions that its rows fall into. */
  readonly filesPerCommit: number;
}

const WINDOW_MS = 10 * 60_000;
const MOST = 600;

/** Measures over the commits of the last ten minutes. */
export class RateMeter {
  #commits: (CommitSize & { readonly at: number })[] = [];

  constructor(private readonly now: () => number = Date.now) {}

  add(commit: CommitSize): void {
    const at = this.now();
    this.#commits.push({ rows: commit.rows, files: commit.files, bytes: commit.bytes, at });
    if (this.#commits.length > MOST) this.#commits.shift();
    while (this.#commits[0]!.at < at - WINDOW_MS && this.#commits.length > 2) this.#commits.shift();
  }

  /** Undefined as long as there are no two commits: one alone says nothing of the pace. */
  get rate(): MeasuredRate | undefined {
    const [first, ...later] = this.#commits;
    if (!first || later.length === 0) return undefined;
    const sum = (of: (commit: CommitSize) => number): number => later.reduce((total, commit) => total + of(commit), 0);
    const rows = sum((commit) => commit.rows), seconds = (later.at(-1)!.at - first.at) / 1000;
    if (rows === 0 || seconds <= 0) return undefined;
    return { rowsPerSecond: rows / seconds, bytesPerRow: sum((commit) => commit.bytes) / rows, filesPerCommit: sum((commit) => commit.files) / later.length };
  }
}
