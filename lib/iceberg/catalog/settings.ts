/**
 * What a user sets of a catalog, checked and put into Iceberg's own words. Pure.
 */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { TicklakeError } from "../../errors";
import { localLocation, localPath } from "../io/local";
import { isS3Location, s3Location } from "../io/s3-location";
import { S3_PROPERTY } from "../io/s3-settings";

/** Settings of a catalog, as they come from a dialog or a program. */
export interface CatalogSettings {
  /** First part of full table names (`local`). */
  readonly catalogName?: unknown;
  /** `hadoop`: a folder per namespace and table; `rest`: a server. */
  readonly catalogType?: unknown;
  /**
   * hadoop: folder of the tables, absolute or relative to the user directory (`./warehouse`), or an address in an object store
   * (`s3://bucket/prefix`, `s3a://...`). rest: the name that the server knows it by.
   */
  readonly warehouse?: unknown;
  /** rest: the server's address. */
  readonly uri?: unknown;
  /** Of the object store; empty = AWS. */
  readonly s3Endpoint?: unknown;
  readonly s3Region?: unknown;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key` (true). */
  readonly s3PathStyle?: unknown;
  /** rest: requests are signed as AWS wants it. */
  readonly sigv4?: unknown;
  /** More properties in Iceberg's names, an object or its JSON text. They override what the other settings say. */
  readonly properties?: unknown;
}

/** Secrets: never log them. */
export interface CatalogCredentials {
  readonly accessKeyId?: unknown;
  readonly secretAccessKey?: unknown;
  readonly sessionToken?: unknown;
  /** rest: a bearer token, or client id and secret (`id:secret`) for OAuth2 and where tokens are had for them. */
  readonly token?: unknown;
  readonly clientCredential?: unknown;
  readonly oauth2ServerUri?: unknown;
}

/** Reads a variable of the environment. */
export type Variable = (name: string) => string | undefined;

export const processVariable: Variable = (name) => process.env[name];

const invalid = (message: string): TicklakeError => new TicklakeError("CATALOG_INVALID", message);

export function text(value: unknown): string {
  return typeof value === "string" ? value.trim() : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** The name that tables are called by: letters, digits, _ and -. */
export function catalogName(settings: CatalogSettings): string {
  const name = text(settings.catalogName) || "local";
  if (!/^[A-Za-z_][\w-]*$/.test(name)) {
    throw invalid(`The catalog name "${name}" cannot be the first part of a table's name. Use letters, digits, _ and -, beginning with a letter: local.`);
  }
  return name;
}

/**
 * Where the tables of a hadoop catalog lie: a local folder, or an address in an object store, whose scheme (`s3`, `s3a`) is kept, as other
 * engines find the files by it.
 *
 * @param userDir what relative paths are relative to
 * @throws TicklakeError CATALOG_INVALID for variables that were not filled in and for schemes that are not served
 */
export function warehouseLocation(settings: CatalogSettings, userDir: string): string {
  const warehouse = text(settings.warehouse) || "./warehouse";
  // Node-RED leaves a variable that is not set, or is only a part of the value, as it stands: better an error than a folder of that name.
  if (/\$\{[^}]*\}/.test(warehouse)) {
    throw invalid(`The warehouse ${warehouse} holds an environment variable that was not filled in. Set it for Node-RED, and let it be the whole value, such as \${WAREHOUSE}.`);
  }
  if (isS3Location(warehouse)) {
    const { key } = s3Location(warehouse);
    if (/[?#]/.test(key)) throw invalid(`The warehouse ${warehouse} holds a ? or #. Write bucket and folder only: s3://bucket/folder.`);
    return warehouse.replace(/\/+$/, "");
  }
  if (/^file:/i.test(warehouse)) return localLocation(localPath(warehouse));
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(warehouse)) {
    throw invalid(`The warehouse ${warehouse.replace(/\/\/[^/@]*@/, "//")} is neither a folder nor in S3. Enter a folder, absolute or relative to Node-RED's user directory, or s3://bucket/folder.`);
  }
  if (warehouse === "~" || warehouse.startsWith("~/")) return localLocation(join(homedir(), warehouse.slice(1)));
  return localLocation(isAbsolute(warehouse) ? warehouse : resolve(userDir, warehouse));
}

/**
 * The properties of a catalog's storage in Iceberg's names (see openFileIO), and all others that the user passes on. Keys that are not set are
 * left to the environment (AWS_ACCESS_KEY_ID ...), to profiles and roles; a store on this very machine is asked with the keys that MinIO's
 * documentation begins with.
 *
 * @throws TicklakeError CATALOG_INVALID saying what to change; never with a secret
 */
export function catalogProperties(settings: CatalogSettings, credentials: CatalogCredentials = {}, variable: Variable = processVariable): Record<string, string> {
  const passed = passedOn(settings.properties);
  const properties: Record<string, string> = {};
  const set = (name: string, value: string): void => { if (value !== "") properties[name] = value; };
  set(S3_PROPERTY.endpoint, filledIn("S3 endpoint", text(settings.s3Endpoint)));
  set(S3_PROPERTY.region, filledIn("S3 region", text(settings.s3Region)));
  set(S3_PROPERTY.pathStyle, text(settings.s3PathStyle));
  const [key, secret] = [text(credentials.accessKeyId), text(credentials.secretAccessKey)];
  if (key !== "" || secret !== "") {
    set(S3_PROPERTY.accessKeyId, key || (variable("AWS_ACCESS_KEY_ID") ?? ""));
    set(S3_PROPERTY.secretAccessKey, secret || (variable("AWS_SECRET_ACCESS_KEY") ?? ""));
    set(S3_PROPERTY.sessionToken, text(credentials.sessionToken) || (key === "" ? variable("AWS_SESSION_TOKEN") ?? "" : ""));
  }
  const merged = { ...properties, ...passed };
  return { ...localDefaults(merged, variable), ...merged };
}

/** Properties that are secrets: they belong into the credentials, which are stored apart from the flow. Sorted. */
export function secretProperties(properties: unknown): string[] {
  return Object.keys(passedOn(properties)).filter((name) => /secret|session-token|(^|\.)(token|credential|password)$/i.test(name)).sort();
}

/** What the flows of this package and MinIO's documentation begin with, for a store on this machine when no keys are set anywhere. */
const LOCAL_KEY = "minioadmin";

function localDefaults(properties: Readonly<Record<string, string>>, variable: Variable): Record<string, string> {
  const endpoint = properties[S3_PROPERTY.endpoint];
  const host = endpoint !== undefined && URL.canParse(endpoint) ? new URL(endpoint).hostname : "";
  if (!/^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)) return {};
  const known = [S3_PROPERTY.accessKeyId, S3_PROPERTY.secretAccessKey, S3_PROPERTY.profile, S3_PROPERTY.clientProfile].some((name) => properties[name] !== undefined);
  if (known || ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"].some((name) => variable(name))) return {};
  return { [S3_PROPERTY.accessKeyId]: LOCAL_KEY, [S3_PROPERTY.secretAccessKey]: LOCAL_KEY };
}

function filledIn(what: string, value: string): string {
  if (/\$\{[^}]*\}/.test(value)) throw invalid(`The ${what} ${value} holds an environment variable that was not filled in. Set it for Node-RED, and let it be the whole value.`);
  return value;
}

function passedOn(value: unknown): Record<string, string> {
  let parsed = value;
  if (typeof value === "string") {
    if (value.trim() === "") return {};
    try {
      parsed = JSON.parse(value) as unknown;
    } catch {
      // Without the parser's words: they quote the text, and a secret may stand in it.
      throw invalid('The catalog\'s properties are no JSON. Write {"name": "value"}.');
    }
  }
  if (parsed === undefined || parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) throw invalid('The catalog\'s properties are no JSON object. Write {"name": "value"}.');
  return Object.fromEntries(Object.entries(parsed).filter(([, one]) => one !== null).map(([name, one]) => {
    if (typeof one === "object") throw invalid(`The catalog's property "${name}" is no text, number or boolean.`);
    return [name, String(one)];
  }));
}
