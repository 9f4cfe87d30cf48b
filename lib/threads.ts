/** Worker threads of this package, and errors that cross over to the main thread. */
import { Worker } from "node:worker_threads";
import { asTicklakeError, ERROR_KINDS, TicklakeError, type ErrorCode } from "./errors";

/**
 * Starts a module as a thread.
 *
 * @param file the module's path without its ending: `.js` where this package is built; where it runs as TypeScript (tests), the `.ts` through the same loader
 */
export function startThread(file: string, name: string): Worker {
  if (__filename.endsWith(".js")) return new Worker(require.resolve(file), { name });
  const [loader, module] = [require.resolve("tsx/cjs"), require.resolve(file)];
  return new Worker(`require(${JSON.stringify(loader)}); require(${JSON.stringify(module)});`, { name, eval: true });
}

/** An error on its way between threads: class and code do not survive the copying. */
export interface SentError { readonly code: string; readonly message: string; readonly stack: string | undefined }

export function sentError(caught: unknown): SentError {
  const { code, message, stack } = asTicklakeError(caught);
  return { code, message, stack };
}

export function receivedError({ code, message, stack }: SentError): TicklakeError {
  const error = new TicklakeError(code in ERROR_KINDS ? (code as ErrorCode) : "INTERNAL", message);
  if (stack) error.stack = stack;
  return error;
}
