import { TicklakeError } from "../errors";
import { withoutSecrets } from "../redact";
import type { KafkaOptions } from "./types";
import { kafkajs } from "./kafkajs";

/**
 * SASL options as kafkajs takes them; null without SASL. Each connection's cluster gets its own object: kafkajs keeps the authenticator in it.
 *
 * @throws TicklakeError CONFIG_INVALID when user, password or token is missing
 */
export function saslOptions(sasl: KafkaOptions["sasl"]): Record<string, unknown> | null {
  if (!sasl) return null;
  if (sasl.mechanism === "oauthbearer") {
    const { token } = sasl;
    if (!token) throw new TicklakeError("CONFIG_INVALID", "SASL oauthbearer needs a token. Give one, or choose another mechanism.");
    return { mechanism: "oauthbearer", authenticationProvider: oauthBearer(token) };
  }
  const { username, password } = sasl;
  if (!username || password === undefined || password === "") {
    throw new TicklakeError("CONFIG_INVALID",
      `SASL ${sasl.mechanism} needs a user name and a password. Enter them, or set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.`);
  }
  return { mechanism: sasl.mechanism, username, password };
}

/** What kafkajs asks of an authenticator. */
interface Authenticating {
  readonly host: string;
  readonly port: number;
  saslAuthenticate<T>(step: { request: { encode(): Promise<Buffer> }; response?: { decode(bytes: Buffer): Promise<T>; parse(decoded: T): Promise<T> } }): Promise<T>;
}

/**
 * OAUTHBEARER (RFC 7628, section 3). A broker refuses a token with a JSON challenge and error code 0; the client has to answer it with
 * a single ^A before the broker says that the authentication failed. kafkajs' own provider does not look at the challenge.
 */
function oauthBearer(token: () => Promise<string>) {
  return ({ saslAuthenticate }: Authenticating) => ({
    authenticate: async () => {
      const value = (await token()).trim();
      if (!value) throw new TicklakeError("KAFKA_DENIED", "The token for SASL oauthbearer is empty. Check where it comes from.", { details: { access: true } });
      const response = { decode: async (bytes: Buffer) => bytes.subarray(4).toString("utf8"), parse: async (text: string) => text };
      const challenge = await saslAuthenticate({ request: bytes(`n,,\u0001auth=Bearer ${value}\u0001\u0001`), response });
      if (!challenge) return;
      await saslAuthenticate({ request: bytes("\u0001") }).catch(() => {});
      throw new TicklakeError("KAFKA_DENIED", `The broker refused the token (SASL oauthbearer): ${reason(withoutSecrets(challenge, [value]))}. Check that it has not expired and is meant for this cluster.`, { details: { access: true } });
    },
  });
}

function bytes(text: string) {
  return { encode: async () => new (kafkajs().Encoder)().writeBytes(Buffer.from(text)).buffer };
}

/** `{"status":"invalid_token"}` and its like. */
function reason(challenge: string): string {
  try {
    const { status } = JSON.parse(challenge) as { status?: unknown };
    if (typeof status === "string") return status;
  } catch { /* not JSON: told as it is */ }
  return challenge.slice(0, 200);
}
