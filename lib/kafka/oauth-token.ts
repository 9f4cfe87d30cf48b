import { type ClientCredentials, tokenSource } from "../oauth-token";

export type { ClientCredentials } from "../oauth-token";

/**
 * Tokens for a broker by the client-credentials grant. Several connections that authenticate at once share one request.
 *
 * @returns asks for a token; rejects with KAFKA_DENIED when the server refuses, KAFKA_UNREACHABLE when it does not answer. No error holds a secret.
 * @throws TicklakeError CONFIG_INVALID when the endpoint is no address to which a secret may be sent
 */
export function clientCredentials(options: ClientCredentials): () => Promise<string> {
  const tokens = tokenSource({ ...options, codes: { denied: "KAFKA_DENIED", unreachable: "KAFKA_UNREACHABLE" } });
  return () => tokens.get();
}
