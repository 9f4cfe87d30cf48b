/**
 * From the settings of a cluster to what its controller and broker are asked with. Pure.
 */
import { TicklakeError } from "../errors";

/** What a user sets of a cluster. */
export interface PinotSettings { readonly controllerUrl?: unknown; readonly brokerUrl?: unknown }
/** Secrets: never log them. A user's name and password (basic), or a token. */
export interface PinotCredentials { readonly username?: unknown; readonly password?: unknown; readonly token?: unknown }

/** A cluster, checked. Holds secrets: never log it whole. */
export interface PinotOptions {
  /** Without a slash at their ends. */
  readonly controllerUrl: string;
  readonly brokerUrl: string;
  /** The header that proves who asks; undefined where the cluster wants none. */
  readonly authorization?: string;
  /** What must not stand in any text. */
  readonly secrets: readonly string[];
}

/** Reads a variable of the environment. */
export type Variable = (name: string) => string | undefined;

export const CONTROLLER_URL = "http://localhost:9000";
export const BROKER_URL = "http://localhost:8099";

const invalid = (message: string): TicklakeError => new TicklakeError("CONFIG_INVALID", message);

/**
 * Reads a cluster's settings. What is empty comes from the environment: PINOT_CONTROLLER_URL and PINOT_BROKER_URL, then the usual ports of this
 * machine; PINOT_USERNAME with PINOT_PASSWORD, or PINOT_TOKEN.
 *
 * @throws TicklakeError CONFIG_INVALID saying what is wrong; never with a secret
 */
export function parsePinot(settings: PinotSettings, credentials: PinotCredentials, variable: Variable): PinotOptions {
  const controllerUrl = address(settings.controllerUrl, "controller", variable("PINOT_CONTROLLER_URL") || CONTROLLER_URL);
  const brokerUrl = address(settings.brokerUrl, "broker", variable("PINOT_BROKER_URL") || BROKER_URL);
  const own = { token: given(credentials.token), username: given(credentials.username), password: given(credentials.password) };
  // The environment's proof counts as a whole: a password of one user does not belong to another.
  const none = own.token === "" && own.username === "" && own.password === "";
  const { token, username, password } = none ? { token: variable("PINOT_TOKEN") ?? "", username: variable("PINOT_USERNAME") ?? "", password: variable("PINOT_PASSWORD") ?? "" } : own;
  if (token !== "") return { controllerUrl, brokerUrl, ...byToken(token) };
  if (username === "" && password === "") return { controllerUrl, brokerUrl, secrets: [] };
  if (username === "") throw invalid("The password of the Pinot cluster has no user name. Enter it, or set PINOT_USERNAME with PINOT_PASSWORD.");
  if (username.includes(":")) throw invalid("The user name of the Pinot cluster holds a colon, which no name may have in HTTP's basic login.");
  const pair = Buffer.from(`${username}:${password}`).toString("base64");
  return { controllerUrl, brokerUrl, authorization: `Basic ${pair}`, secrets: [password, pair] };
}

/** `Basic ...` and `Bearer ...` as Pinot's documents have tokens; a bare one is a bearer's. */
function byToken(token: string): Pick<PinotOptions, "authorization" | "secrets"> {
  if (!/^[\x20-\x7e]+$/.test(token)) throw invalid("The token of the Pinot cluster holds a character that no HTTP header can carry. Copy it again.");
  const [, scheme, rest] = /^(Basic|Bearer)\s+(\S.*)$/i.exec(token) ?? [];
  return { authorization: scheme === undefined ? `Bearer ${token}` : token, secrets: [token, rest ?? token] };
}

/** A variable of a shipped flow that is not set counts as empty. */
function given(value: unknown): string {
  const found = typeof value === "string" ? value.trim() : "";
  return /^\$\{[^}]+\}$/.test(found) ? "" : found;
}

function address(value: unknown, what: string, otherwise: string): string {
  const text = given(value) || otherwise;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid(`The address of Pinot's ${what} is no URL. Enter it in the form http://host:port.`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw invalid(`The address of Pinot's ${what} must begin with http:// or https://.`);
  if (url.username !== "" || url.password !== "") throw invalid(`The address of Pinot's ${what} must not hold a user name or password: enter them in their fields.`);
  if (url.search !== "" || url.hash !== "") throw invalid(`The address of Pinot's ${what} ends with a query or a fragment (the console's address bar shows one). Enter only what stands before it.`);
  return (url.origin + url.pathname).replace(/\/+$/, "");
}
