/**
 * From the settings of a REST catalog to the catalog.
 */
import { TicklakeError } from "../../../errors";
import { tokenSource } from "../../../oauth-token";
import type { OpenFileIOOptions } from "../../io/open";
import { S3_PROPERTY, type S3Credentials } from "../../io/s3-settings";
import { type CatalogCredentials, catalogName, catalogProperties, type CatalogSettings, processVariable, text, type Variable } from "../settings";
import { type Authorizer, bearer, NO_AUTH, oauth2, sigv4 } from "./auth";
import { RestClient, type RestClientOptions } from "./client";
import { RestCatalog } from "./rest-catalog";
import { RestSession } from "./session";
import { awsService } from "./sigv4";

/** Properties of a REST catalog in Iceberg's names, as Java and PyIceberg have them. The dialog's fields come before them. */
const PROPERTY = {
  token: "token",
  credential: "credential",
  oauthServer: "oauth2-server-uri",
  scope: "scope",
  audience: "audience",
  resource: "resource",
  sigv4: "rest.sigv4-enabled",
  signingName: "rest.signing-name",
  signingRegion: "rest.signing-region",
  signingKey: "rest.access-key-id",
  signingSecret: "rest.secret-access-key",
  signingSession: "rest.session-token",
  timeout: "rest.client.socket-timeout-ms",
} as const;

/** Properties whose names begin so are headers of every request. */
const HEADER = "header.";
const DELEGATION = "x-iceberg-access-delegation";

const invalid = (message: string): TicklakeError => new TicklakeError("CATALOG_INVALID", message);

export interface OpenRestOptions {
  readonly credentials?: CatalogCredentials;
  readonly variable?: Variable;
  readonly io?: Omit<OpenFileIOOptions, "credentials">;
  /** Somebody waits in front of a dialog. */
  readonly impatient?: boolean;
  /** For tests. */
  readonly client?: Pick<RestClientOptions, "fetch" | "pause" | "timeoutMs">;
}

/**
 * Opens a REST catalog. Connects to nothing.
 *
 * @throws TicklakeError CATALOG_INVALID, CONFIG_INVALID saying what to change
 */
export function openRestCatalog(settings: CatalogSettings, { credentials = {}, variable = processVariable, io, impatient = false, client: more = {} }: OpenRestOptions = {}): RestCatalog {
  const properties = catalogProperties(settings, credentials, variable);
  const uri = restUri(text(settings.uri));
  const auth = authorizer(settings, credentials, properties, uri);
  const { delegation, headers } = headersOf(properties);
  const timeoutMs = Number(properties[PROPERTY.timeout] ?? 0);
  const client = new RestClient({
    uri: uri.href.replace(/\/+$/, ""), auth, headers, ...(timeoutMs > 0 ? { timeoutMs } : {}), ...(impatient ? { attempts: 1, timeoutMs: 10_000 } : {}), ...more,
  });
  const session = new RestSession({ client, warehouse: warehouseName(text(settings.warehouse)), properties: forStorage(properties) });
  return new RestCatalog({ name: catalogName(settings), session, delegation, ...(io ? { io } : {}) });
}

/** The dialog begins with a folder, which no server knows. */
function warehouseName(warehouse: string): string {
  if (/\$\{[^}]*\}/.test(warehouse)) throw invalid(`The warehouse ${warehouse} holds an environment variable that was not filled in. Set it for Node-RED, and let it be the whole value, such as \${WAREHOUSE}.`);
  return warehouse === "./warehouse" ? "" : warehouse;
}

/** The address before `/v1`. */
function restUri(given: string): URL {
  if (given === "") throw invalid("The catalog's address is missing. Enter that of its REST server, such as http://localhost:8181.");
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) throw invalid(`The catalog's address "${given.replace(/\/\/[^/@]*@/, "//")}" is no URL. Write it with http:// or https://, such as http://localhost:8181.`);
  if (url.username !== "" || url.password !== "") throw invalid("The catalog's address holds a user name or password. Take them out, and enter a token, or a client id and secret.");
  if (url.search !== "" || url.hash !== "") throw invalid(`The catalog's address ${url.origin}${url.pathname} ends with a query. Enter only what stands before it.`);
  url.pathname = url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
  return url;
}

function authorizer(settings: CatalogSettings, credentials: CatalogCredentials, properties: Readonly<Record<string, string>>, uri: URL): Authorizer {
  if (settings.sigv4 === true || text(settings.sigv4) === "true" || properties[PROPERTY.sigv4] === "true") return awsAuth(properties, uri);
  const credential = text(credentials.clientCredential) || (properties[PROPERTY.credential] ?? "");
  if (credential !== "") return oauth(credential, text(credentials.oauth2ServerUri) || (properties[PROPERTY.oauthServer] ?? ""), properties, uri);
  const token = text(credentials.token) || (properties[PROPERTY.token] ?? "");
  if (token === "") return NO_AUTH;
  if (/[^\x21-\x7e]/.test(token)) throw invalid("The catalog's token holds blanks or other characters that no token has. Enter it again, without \"Bearer\" before it.");
  return bearer(token);
}

/** `id:secret`, or the secret alone. Without an address of its own the catalog gives the tokens. */
function oauth(credential: string, server: string, properties: Readonly<Record<string, string>>, uri: URL): Authorizer {
  const colon = credential.indexOf(":");
  const clientSecret = credential.slice(colon + 1);
  const parameters = Object.fromEntries([PROPERTY.audience, PROPERTY.resource].flatMap((name) => (properties[name] === undefined ? [] : [[name, properties[name]]])));
  const tokens = tokenSource({
    endpoint: server || `${uri.href.replace(/\/+$/, "")}/v1/oauth/tokens`, clientId: colon < 0 ? "" : credential.slice(0, colon), clientSecret, scope: properties[PROPERTY.scope] ?? "catalog",
    parameters, inBody: true, plain: uri.protocol === "http:", codes: { denied: "STORAGE_DENIED", unreachable: "STORAGE_FAILED" },
  });
  return oauth2(tokens, [credential, clientSecret]);
}

function awsAuth(properties: Readonly<Record<string, string>>, uri: URL): Authorizer {
  const known = awsService(uri.hostname);
  const service = properties[PROPERTY.signingName] ?? known?.service ?? "glue";
  const region = properties[PROPERTY.signingRegion] ?? known?.region ?? properties[S3_PROPERTY.region] ?? "us-east-1";
  const keys = keysOf(properties, PROPERTY.signingKey, PROPERTY.signingSecret, PROPERTY.signingSession) ?? keysOf(properties, S3_PROPERTY.accessKeyId, S3_PROPERTY.secretAccessKey, S3_PROPERTY.sessionToken);
  return sigv4({ service, region, credentials: keys ?? defaultChain(region, properties[S3_PROPERTY.profile]) }, keys ? [keys.secretAccessKey, ...(keys.sessionToken === undefined ? [] : [keys.sessionToken])] : []);
}

function keysOf(properties: Readonly<Record<string, string>>, id: string, secret: string, session: string): S3Credentials | undefined {
  const accessKeyId = properties[id], secretAccessKey = properties[secret], sessionToken = properties[session];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** The keys that AWS's own tools would use: AWS_*, profiles, roles of the machine. Loaded with the first request. */
function defaultChain(region: string, profile: string | undefined): () => Promise<S3Credentials> {
  let provider: Promise<() => Promise<S3Credentials>> | undefined;
  return async () => {
    provider ??= import("@aws-sdk/client-s3").then(({ S3Client }) => new S3Client({ region, ...(profile === undefined ? {} : { profile }) }).config.credentials);
    return (await provider)();
  };
}

/** Keys are asked for unless the user has entered some: then the catalog need not give any. */
function headersOf(properties: Readonly<Record<string, string>>): { headers: Record<string, string>; delegation: Record<string, string> } {
  const own = Object.entries(properties).filter(([name]) => name.startsWith(HEADER)).map(([name, value]): [string, string] => [name.slice(HEADER.length).toLowerCase(), value]);
  const asked = own.find(([name]) => name === DELEGATION)?.[1];
  const wanted = asked ?? (properties[S3_PROPERTY.accessKeyId] === undefined ? "vended-credentials" : "");
  return { headers: Object.fromEntries(own.filter(([name]) => name !== DELEGATION)), delegation: wanted === "" ? {} : { [DELEGATION]: wanted } };
}

/** What the dialog begins with. Left as it is, it says nothing, and what the server says of its storage holds. */
const UNTOUCHED: Readonly<Record<string, string>> = { [S3_PROPERTY.region]: "us-east-1", [S3_PROPERTY.pathStyle]: "true" };

/** For the storage, which has no use for the catalog's own secrets. */
function forStorage(properties: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).filter(([name, value]) => name !== PROPERTY.token && name !== PROPERTY.credential && !name.startsWith("rest.") && !name.startsWith(HEADER) && UNTOUCHED[name] !== value));
}
