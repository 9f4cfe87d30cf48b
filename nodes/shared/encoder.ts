import { EncoderPool } from "../../lib/iceberg/parquet/pool";

let shared: { pool: EncoderPool; users: number } | undefined;

/**
 * The Parquet encoder of this process: all iceberg-out nodes share its worker thread. The last user closes it.
 */
export function useEncoder(): { readonly pool: EncoderPool; release(): Promise<void> } {
  shared ??= { pool: new EncoderPool(), users: 0 };
  const mine = shared;
  mine.users++;
  let released = false;
  return {
    pool: mine.pool,
    async release() {
      if (released) return;
      released = true;
      if (--mine.users > 0) return;
      if (shared === mine) shared = undefined;
      await mine.pool.close();
    },
  };
}
