/**
 * From the settings of a cluster to what a client is opened with. Pure.
 */
import { TicklakeError } from "../errors";
import { parseBrokers } from "./options";
import { clientCredentials } from "./oauth-token";
import type { KafkaOptions, SaslMechanism } from "./types";

/** What a user sets of a cluster. */
export interface BrokerSettings {
  /** host:port, separated by commas, spaces or lines; the port is 9092 where none is given. */
  readonly brokers?: unknown;
  readonly clientId?: unknown;
  readonly saslMechanism?: unknown;
  /** Where oauthbearer gets its tokens (OAuth 2.0 client credentials); empty: the password is the token. */
  readonly oauthTokenEndpoint?: unknown;
  readonly oauthScope?: unknown;
}

/** Secrets: never log them. */
export interface BrokerCredentials { readonly username?: unknown; readonly password?: unknown }

export interface BrokerEnvironment {
  /** A variable of the environment. */
  readonly variable: (name: string) => string | undefined;
  readonly log?: KafkaOptions["log"];
  /** For tokens; the default is Node's own. */
  readonly fetch?: typeof fetch;
}

const MECHANISMS: readonly SaslMechanism[] = ["none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"];

const invalid = (message: string): TicklakeError => new TicklakeError("CONFIG_INVALID", message);
const text = (value: unknown): string => (typeof value === "string" ? value.trim() : value === undefined || value === null ? "" : String(value as string | number).trim());

/**
 * What a client is opened with. Where a name or password is empty, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD of the environment serve
 * (for a token KAFKA_OAUTH_TOKEN).
 *
 * @param tls what node:tls takes; undefined: no TLS
 * @throws TicklakeError CONFIG_INVALID saying what is missing or wrong; never with a secret
 */
export function kafkaOptions(settings: BrokerSettings, credentials: BrokerCredentials, tls: Record<string, unknown> | undefined, environment: BrokerEnvironment): KafkaOptions {
  const named = text(settings.brokers);
  // The variable of the shipped flows: they run without it too.
  const given = named === "" || named === "${KAFKA_BROKERS}" ? environment.variable("KAFKA_BROKERS") || "localhost:9092" : named;
  const missing = /\$\{[^}]*\}/.exec(given)?.[0];
  if (missing !== undefined) throw invalid(`The brokers hold the environment variable ${missing}, which is not set. Set it for Node-RED, or enter an address such as localhost:9092.`);
  // Not shown: it may be a secret.
  if (given.includes("@")) throw invalid("A broker's address holds no user name. Write host:port, and enter name and password as SASL credentials.");
  const brokers = parseBrokers(given);
  const mechanism = (text(settings.saslMechanism) || "none").toLowerCase() as SaslMechanism;
  if (!MECHANISMS.includes(mechanism)) throw invalid(`SASL mechanism "${mechanism}" is not known. Choose one of ${MECHANISMS.join(", ")}.`);
  return {
    brokers, clientId: text(settings.clientId) || "ticklake",
    ...(tls ? { tls } : {}),
    ...(mechanism === "none" ? {} : { sasl: sasl(mechanism, settings, credentials, environment) }),
    ...(environment.log ? { log: environment.log } : {}),
  };
}

function sasl(mechanism: Exclude<SaslMechanism, "none">, settings: BrokerSettings, credentials: BrokerCredentials, { variable, fetch }: BrokerEnvironment): NonNullable<KafkaOptions["sasl"]> {
  const username = filled(credentials.username, "user name") || variable("KAFKA_SASL_USERNAME") || "";
  const password = filled(credentials.password, "password") || variable("KAFKA_SASL_PASSWORD") || "";
  if (mechanism !== "oauthbearer") {
    if (username === "") throw invalid(`SASL ${mechanism} needs a user name. Enter it, or set KAFKA_SASL_USERNAME.`);
    if (password === "") throw invalid(`SASL ${mechanism} needs a password. Enter it, or set KAFKA_SASL_PASSWORD.`);
    return { mechanism, username, password };
  }
  const endpoint = text(settings.oauthTokenEndpoint);
  if (endpoint !== "") {
    if (username === "" || password === "") throw invalid("SASL oauthbearer with a token address needs the client's id and secret as user name and password. Enter them, or set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.");
    return { mechanism, token: clientCredentials({ endpoint, clientId: username, clientSecret: password, scope: text(settings.oauthScope), ...(fetch ? { fetch } : {}) }) };
  }
  const given = filled(credentials.password, "token");
  // Read whenever a connection authenticates: whoever renews the variable need not deploy.
  const token = (): string => given || variable("KAFKA_OAUTH_TOKEN") || "";
  if (token() === "") throw invalid("SASL oauthbearer needs a token address with the client's id and secret, or a token as password. Enter one, or set KAFKA_OAUTH_TOKEN.");
  return { mechanism, token: () => Promise.resolve(token()) };
}

/** A credential, where it is not a variable that Node-RED could not fill in. */
function filled(value: unknown, what: string): string {
  const given = typeof value === "string" ? value : "";
  if (/^\$\{[^}]+\}$/.test(given)) throw invalid(`The ${what} ${given} is an environment variable that is not set. Set it for Node-RED.`);
  return given;
}
