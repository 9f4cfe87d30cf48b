import { mkdir, open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { TicklakeError } from "../../errors";

/**
 * A temporary file that vanishes with the process, even with a killed one: it loses its name as soon as it is open
 * (where the platform does not allow that, it is deleted on dispose). Only this user can read it.
 */
export class SpillFile {
  size = 0;

  private constructor(private readonly handle: FileHandle, private readonly path: string | undefined, private readonly dir: string) {}

  static async create(dir: string): Promise<SpillFile> {
    const path = join(dir, `ticklake-${process.pid}-${randomUUID()}.tmp`);
    try {
      await mkdir(dir, { recursive: true });
      const handle = await open(path, "wx+", 0o600);
      const unlinked = await rm(path).then(() => true, () => false);
      return new SpillFile(handle, unlinked ? undefined : path, dir);
    } catch (error) {
      throw spillError(error, dir);
    }
  }

  /** Appends; `bytes` may be reused afterwards. */
  async append(bytes: Buffer): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.size);
        done += bytesWritten;
        this.size += bytesWritten;
      }
    } catch (error) {
      throw spillError(error, this.dir);
    }
  }

  /** Reads up to `length` bytes into `target` at `at`; returns how many. */
  async read(target: Buffer, at: number, length: number, position: number): Promise<number> {
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle.read(target, at + done, length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async dispose(): Promise<void> {
    await this.handle.close();
    if (this.path !== undefined) await rm(this.path, { force: true });
  }
}

function spillError(error: unknown, dir: string): TicklakeError {
  const { code, message } = error as NodeJS.ErrnoException;
  const advice = "Free space there, or name another folder as ticklake.sortDir in settings.js; files that are in time order need none.";
  if (code === "ENOSPC" || code === "EDQUOT") return new TicklakeError("STORAGE_FULL", `The folder for temporary files ${dir} is full; the file is not in time order and is sorted there. ${advice}`, { cause: error });
  return new TicklakeError("STORAGE_FAILED", `No temporary file in ${dir}: ${message}. ${advice}`, { cause: error });
}
