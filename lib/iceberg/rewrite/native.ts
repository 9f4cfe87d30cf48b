/**
 * DuckDB's column vectors as memory. The package's own vector classes make a JavaScript value of every cell (measured: five times the time of the whole rewriting);
 * its native functions give the arrays behind them.
 */
import { createRequire } from "node:module";

/** A vector of a data chunk that is alive. */
export type Vector = object;

interface Bindings {
  data_chunk_get_vector(chunk: object, column: number): Vector;
  /** The first `bytes` of the vector's array, in place. */
  vector_get_data(vector: Vector, bytes: number): Uint8Array;
  /** One bit per value, 1 = there is one; null or undefined where all are there. */
  vector_get_validity(vector: Vector, bytes: number): Uint8Array | null | undefined;
  /** Of a list its elements, of a map its entries (a struct of key and value). */
  list_vector_get_child(vector: Vector): Vector;
  list_vector_get_size(vector: Vector): number;
  struct_vector_get_child(vector: Vector, index: number): Vector;
  /** Bytes behind a pointer that stands in memory. */
  get_data_from_pointer(memory: ArrayBufferLike, offset: number, bytes: number): Uint8Array;
}

let loaded: Bindings | undefined;

/** Loaded when first needed: it is native code. Looked up from the package that depends on it, wherever that was installed. */
export function bindings(): Bindings {
  return loaded ??= createRequire(require.resolve("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;
}

/** One bit per value; undefined where all of `count` are there. */
export function validityOf(vector: Vector, count: number): Uint8Array | undefined {
  const bits = bindings().vector_get_validity(vector, Math.ceil(count / 64) * 8) ?? undefined;
  if (!bits) return undefined;
  const whole = count >>> 3;
  for (let i = 0; i < whole; i++) if (bits[i] !== 255) return bits;
  const rest = (1 << (count & 7)) - 1;
  return rest === 0 || (bits[whole]! & rest) === rest ? undefined : bits;
}
