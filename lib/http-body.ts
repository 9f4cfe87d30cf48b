/**
 * Bodies of HTTP answers, of a size that is bounded: a server that is broken, or not what its address says, must not fill the memory.
 */

/** Thrown for a body beyond the bound. The connection is given up. */
export class BodyTooLarge extends Error {
  constructor(origin: string, readonly maxBytes: number) {
    super(`the answer${origin === "" ? "" : ` of ${origin}`} is larger than ${Math.round(maxBytes / 1_048_576)} MB`);
    this.name = "BodyTooLarge";
  }
}

/**
 * The body as text, as `response.text()` has it.
 *
 * @param maxBytes bytes of the body at the most, decompressed
 * @throws BodyTooLarge; what the connection throws
 */
export async function bodyText(response: Response, maxBytes: number): Promise<string> {
  if (!response.body) return "";
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read() as { done: boolean; value?: Uint8Array };
    if (done) break;
    bytes += value!.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => undefined);
      throw new BodyTooLarge(URL.canParse(response.url) ? new URL(response.url).origin : "", maxBytes);
    }
    chunks.push(value!);
  }
  return new TextDecoder().decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
}
