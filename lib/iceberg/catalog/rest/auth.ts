/**
 * How a REST catalog's requests prove who sends them.
 */
import { type TokenSource } from "../../../oauth-token";
import { type SignableRequest, signer, type SigningOptions } from "./sigv4";

/** Adds its proof to every attempt of a request. */
export interface Authorizer {
  headers(request: SignableRequest): Promise<Record<string, string>>;
  /** The server refused a request with these headers (401, 419). True: another attempt has a new proof. */
  refused(headers: Readonly<Record<string, string>>): boolean;
  /** Texts that must not show up anywhere. */
  readonly secrets: readonly string[];
}

export const NO_AUTH: Authorizer = { headers: () => Promise.resolve({}), refused: () => false, secrets: [] };

/** One token for all requests. */
export function bearer(token: string): Authorizer {
  return { headers: () => Promise.resolve({ authorization: `Bearer ${token}` }), refused: () => false, secrets: [token] };
}

/** Tokens that are renewed. */
export function oauth2(tokens: TokenSource, secrets: readonly string[]): Authorizer {
  return {
    secrets,
    headers: async () => ({ authorization: `Bearer ${await tokens.get()}` }),
    refused(headers) {
      tokens.refused((headers["authorization"] ?? "").slice("Bearer ".length));
      return true;
    },
  };
}

/** AWS's signatures. */
export function sigv4(options: SigningOptions, secrets: readonly string[]): Authorizer {
  const sign = signer(options);
  return { secrets, headers: sign, refused: () => false };
}
