/** What makes two replays one and the same: the content of the file and everything that decides which rows come, and in which order. */
import { createHash } from "node:crypto";
import { openFile, type CsvFile } from "./csv";
import type { ReplayConfig } from "./replay-config";

const CHUNK_BYTES = 1 << 20;

/**
 * A text of 24 digits (hexadecimal). The name of the file and how fast it is replayed have no part in it.
 *
 * @throws TicklakeError FILE_UNREADABLE; what the signal was aborted with
 */
export async function replayIdentity(file: CsvFile, config: ReplayConfig, signal: AbortSignal, progress: (share: number) => void = () => undefined): Promise<string> {
  const { dialect, mapping, symbols, from, to, order, timeZone, day, fractionalSizes } = config;
  const hash = createHash("sha256").update(JSON.stringify([dialect, mapping, symbols && [...symbols].sort(), from, to, order, timeZone, day, fractionalSizes]));
  const handle = await openFile(file);
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let at = 0; ;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, at);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      progress((at += bytesRead) / file.size);
    }
  } finally {
    await handle.close();
  }
  return hash.digest("hex").slice(0, 24);
}
