/**
 * From Iceberg's property names to the settings of an S3 client. Pure.
 */
import { TicklakeError } from "../../errors";

/** A key to a store. `sessionToken` belongs to keys that expire. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When they end; asked for anew some minutes before. Without it, they are asked for anew when the store says that they have expired. */
  readonly expiration?: Date;
}

export interface S3Settings {
  /** Undefined: AWS itself (or AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL). */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  readonly pathStyle: boolean;
  /** Undefined: AWS_* of the environment, else what AWS's own tools find (profiles, roles of the machine). */
  readonly credentials: S3Credentials | undefined;
  readonly profile: string | undefined;
  /** The user vouches that nobody else writes: a store without conditional writes will do. */
  readonly singleWriter: boolean;
  readonly connectTimeoutMs: number;
  /** How long a request may stay without a sign of life. */
  readonly requestTimeoutMs: number;
  /** Bytes of one part of a multipart upload. */
  readonly partBytes: number;
  /** Files above this go up in parts. */
  readonly multipartBytes: number;
  /** Server-side encryption of what is written. */
  readonly encryption: { readonly algorithm: "AES256" | "aws:kms" | "aws:kms:dsse"; readonly key: string | undefined } | undefined;
}

/** Properties that are read here. Iceberg's own names, see openFileIO. */
export const S3_PROPERTY = {
  endpoint: "s3.endpoint",
  region: "s3.region",
  clientRegion: "client.region",
  pathStyle: "s3.path-style-access",
  accessKeyId: "s3.access-key-id",
  secretAccessKey: "s3.secret-access-key",
  sessionToken: "s3.session-token",
  profile: "s3.profile-name",
  clientProfile: "client.profile-name",
  singleWriter: "ticklake.single-writer",
  connectTimeout: "s3.connect-timeout",
  requestTimeout: "s3.request-timeout",
  partBytes: "s3.multipart.part-size-bytes",
  threshold: "s3.multipart.threshold",
  encryption: "s3.sse.type",
  encryptionKey: "s3.sse.key",
} as const;

const MIB = 1024 * 1024;
const ENCRYPTION = { none: undefined, s3: "AES256", kms: "aws:kms", "dsse-kms": "aws:kms:dsse" } as const;

const invalid = (message: string): TicklakeError => new TicklakeError("CATALOG_INVALID", message);

/**
 * @param variable reads an environment variable (the region's fallback)
 * @throws TicklakeError CATALOG_INVALID naming the property and what it takes
 */
export function s3Settings(properties: Readonly<Record<string, string>>, variable: (name: string) => string | undefined = (name) => process.env[name]): S3Settings {
  const get = (...names: string[]): string | undefined => names.map((name) => properties[name]?.trim()).find((value) => value !== undefined && value !== "");
  const partBytes = Math.max(5 * MIB, positive(get(S3_PROPERTY.partBytes), S3_PROPERTY.partBytes) ?? 16 * MIB);
  return {
    endpoint: endpoint(get(S3_PROPERTY.endpoint)),
    region: get(S3_PROPERTY.region, S3_PROPERTY.clientRegion) ?? variable("AWS_REGION") ?? variable("AWS_DEFAULT_REGION") ?? "us-east-1",
    pathStyle: flag(get(S3_PROPERTY.pathStyle), S3_PROPERTY.pathStyle) ?? true,
    credentials: credentials(get),
    profile: get(S3_PROPERTY.profile, S3_PROPERTY.clientProfile),
    singleWriter: flag(get(S3_PROPERTY.singleWriter), S3_PROPERTY.singleWriter) ?? false,
    connectTimeoutMs: seconds(get(S3_PROPERTY.connectTimeout), S3_PROPERTY.connectTimeout) ?? 5_000,
    requestTimeoutMs: seconds(get(S3_PROPERTY.requestTimeout), S3_PROPERTY.requestTimeout) ?? 30_000,
    partBytes,
    // Iceberg's Java engines state the threshold as a multiple of the part size, with the same default.
    multipartBytes: Math.floor(partBytes * Math.max(1, positive(get(S3_PROPERTY.threshold), S3_PROPERTY.threshold) ?? 1.5)),
    encryption: encryption(get(S3_PROPERTY.encryption), get(S3_PROPERTY.encryptionKey)),
  };
}

function endpoint(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw invalid(`The S3 endpoint "${text.replace(/[^/]*@/, "")}" is no address. Write it with http:// or https://, such as http://localhost:9000; leave it empty for AWS.`);
  }
  if (url.username !== "" || url.password !== "") throw invalid("The S3 endpoint holds a user name or password. Take them out, and enter them as access key and secret key.");
  return text.replace(/\/+$/, "");
}

function credentials(get: (...names: string[]) => string | undefined): S3Credentials | undefined {
  const accessKeyId = get(S3_PROPERTY.accessKeyId);
  const secretAccessKey = get(S3_PROPERTY.secretAccessKey);
  const sessionToken = get(S3_PROPERTY.sessionToken);
  if (accessKeyId === undefined && secretAccessKey === undefined && sessionToken === undefined) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw invalid("An S3 access key without its secret key, or the other way round. Enter both, or neither: then AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment hold.");
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function encryption(type: string | undefined, key: string | undefined): S3Settings["encryption"] {
  if (type === undefined) return undefined;
  if (!Object.hasOwn(ENCRYPTION, type)) throw invalid(`${S3_PROPERTY.encryption} takes none, s3, kms or dsse-kms, not "${type}".`);
  const algorithm = ENCRYPTION[type as keyof typeof ENCRYPTION];
  return algorithm && { algorithm, key: algorithm === "AES256" ? undefined : key };
}

function flag(text: string | undefined, name: string): boolean | undefined {
  if (text === undefined) return undefined;
  if (!/^(true|false)$/i.test(text)) throw invalid(`${name} takes true or false, not "${text}".`);
  return text.toLowerCase() === "true";
}

function positive(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw invalid(`${name} takes a number above 0, not "${text}".`);
  return value;
}

/** Seconds, as PyIceberg has them, as ms. */
function seconds(text: string | undefined, name: string): number | undefined {
  const value = positive(text, name);
  return value === undefined ? undefined : Math.ceil(value * 1000);
}
