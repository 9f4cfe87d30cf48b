/**
 * What servers say goes into messages, statuses and logs. A server that repeats what it was sent (a proxy that explains itself, one that
 * somebody put behind the address) must not bring a secret there.
 */

/** Shorter ones would tear words apart, and are no secrets. */
const SHORTEST = 4;
const HIDDEN = "***";

/** The text without these secrets, plain, in the form of a URL or of a form, and in JSON. */
export function withoutSecrets(text: string, secrets: readonly (string | undefined)[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret === undefined || secret.length < SHORTEST) continue;
    for (const form of new Set([secret, encodeURIComponent(secret), new URLSearchParams({ v: secret }).toString().slice(2), JSON.stringify(secret).slice(1, -1)])) clean = clean.replaceAll(form, HIDDEN);
  }
  return clean;
}

/** As `withoutSecrets`, for the headers that proved who sends a request: their values, and what stands behind `Bearer` or `Basic`. */
export function withoutProof(text: string, headers: Readonly<Record<string, string>>): string {
  return withoutSecrets(text, Object.values(headers).flatMap((value) => [value, /^(?:Bearer|Basic)\s+(\S+)$/i.exec(value)?.[1]]));
}
