/**
 * The engine's folder for temporary files: what a sort spills, and copies of parts of data files. Removed at the end;
 * what a crashed process left behind is removed by the next one.
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { errno } from "../../iceberg/io/errors";

/** Containers that share a folder have process ids of their own: the host's name keeps them apart. */
function prefix(): string {
  return `ticklake-sql-${createHash("sha256").update(hostname()).digest("hex").slice(0, 8)}-`;
}

/** Makes the folder, and removes those of processes of this host that are no more. */
export async function makeWorkspace(parent = tmpdir()): Promise<string> {
  await sweep(parent);
  return mkdtemp(join(parent, `${prefix()}${process.pid}-`));
}

export async function removeWorkspace(folder: string): Promise<void> {
  // A reader may still hold a file for a moment on some systems.
  await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
}

async function sweep(parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => [] as string[]);
  for (const name of names) {
    if (!name.startsWith(prefix())) continue;
    const pid = Number(/^\d+(?=-)/.exec(name.slice(prefix().length))?.[0]);
    // Another user's folder cannot be removed, and need not.
    if (pid && !lives(pid)) await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== "ESRCH";
  }
}
