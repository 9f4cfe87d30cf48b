/**
 * What went wrong with a request to an object store: from the SDK's errors to facts, and from facts to words. Pure.
 */
import { type ErrorCode, TicklakeError } from "../../errors";
import { withoutSecrets } from "../../redact";
import type { S3Settings } from "./s3-settings";

/** The facts of a failed request. The SDK's own error is not kept: it holds headers, and with them keys and signatures. */
export class S3Failure extends Error {
  constructor(
    /** S3's code (`AccessDenied`), else the system's (`ECONNREFUSED`), else the error's name. */
    readonly code: string,
    /** What the other side says. */
    message: string,
    /** HTTP status; undefined when no answer came. */
    readonly status: number | undefined,
    readonly facts: { readonly unsent?: boolean; readonly requestId?: string; readonly serverTime?: number; readonly bucketRegion?: string; readonly redirectedTo?: string } = {},
  ) {
    super(message);
    this.name = "S3Failure";
  }

  /** Certainly nothing was changed: the request never left, or the store refused it. */
  get refused(): boolean {
    return this.facts.unsent === true || NOT_CARRIED_OUT.has(this.status ?? 0) || (this.status !== undefined && this.status < 500 && !TIMED_OUT.has(this.code) && this.status !== 408);
  }

  /** Another attempt may do better. */
  get repeatable(): boolean {
    if (this.status === undefined) return !isTls(this.code) && this.code !== CREDENTIALS;
    return (this.status >= 500 && !NOT_CARRIED_OUT.has(this.status)) || this.status === 429 || this.status === 408 || BUSY.has(this.code);
  }

  /** The name is taken (412), or somebody else takes it right now (409). */
  get taken(): boolean {
    return this.status === 412 || this.status === 409;
  }

  /** The store does not know the condition that was set. */
  get unsupported(): boolean {
    return this.status === 501 || this.code === "NotImplemented";
  }

  /** The keys have ended, and new ones may be had. */
  get expired(): boolean {
    return EXPIRED.has(this.code);
  }

  /** There is no such object. Other things that are missing (the bucket, the key's user, an upload) have codes of their own. */
  get absent(): boolean {
    return this.status === 404 && !Object.hasOwn(WORDS, this.code) && this.code !== "NoSuchUpload";
  }

  get skewed(): boolean {
    return this.code === "RequestTimeTooSkewed";
  }
}

/** Not implemented, too many requests, insufficient storage: nothing was done, and for the first and last a repetition at once mends nothing. */
const NOT_CARRIED_OUT: ReadonlySet<number> = new Set([501, 429, 507]);
const TIMED_OUT: ReadonlySet<string> = new Set(["RequestTimeout", "RequestTimeoutException"]);
const BUSY: ReadonlySet<string> = new Set(["SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "InternalError", "ServiceUnavailable", "ConditionalRequestConflict", "OperationAborted", ...TIMED_OUT]);
const EXPIRED: ReadonlySet<string> = new Set(["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"]);
const UNSENT: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "ConnectTimeout"]);
/** Our own code for keys that could not be had. */
const CREDENTIALS = "CredentialsProviderError";

function isTls(code: string): boolean {
  return /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_|^EPROTO$/.test(code);
}

interface SdkError extends Error {
  readonly code?: string;
  readonly Code?: string;
  readonly syscall?: string;
  readonly errors?: readonly { code?: string; syscall?: string }[];
  readonly Endpoint?: string;
  readonly Region?: string;
  readonly $metadata?: { httpStatusCode?: number; requestId?: string };
  readonly $response?: { headers?: Record<string, string | undefined>; statusCode?: number };
}

/**
 * The facts of whatever the SDK threw.
 *
 * @param secrets what the store must not bring into the message: it may repeat what it was sent
 */
export function s3Failure(caught: unknown, secrets: readonly (string | undefined)[] = []): S3Failure {
  if (caught instanceof S3Failure) return caught;
  const error = (caught instanceof Error ? caught : new Error(String(caught))) as SdkError;
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode;
  const headers = error.$response?.headers ?? {};
  const date = Date.parse(headers["date"] ?? "");
  const region = headers["x-amz-bucket-region"] ?? error.Region;
  const answered = status !== undefined;
  const code = answered ? answerCode(error) : systemCode(error);
  return new S3Failure(code, withoutSecrets(firstLine(error.message), secrets), status, {
    ...(!answered && (UNSENT.has(code) || isTls(code) || code === CREDENTIALS) ? { unsent: true } : {}),
    ...(error.$metadata?.requestId ? { requestId: error.$metadata.requestId } : {}),
    ...(Number.isFinite(date) ? { serverTime: date } : {}),
    ...(region ? { bucketRegion: region } : {}),
    ...(error.Endpoint ? { redirectedTo: error.Endpoint } : {}),
  });
}

/** HEAD has no body, so its errors have no code but the status's name. */
function answerCode(error: SdkError): string {
  return error.Code ?? error.name;
}

function systemCode(error: SdkError): string {
  const connecting = error.syscall === "connect" || (error.errors ?? []).some((one) => one.syscall === "connect");
  if (error.name === "TimeoutError" || error.code === "ETIMEDOUT") return connecting || /establish a connection/i.test(error.message) ? "ConnectTimeout" : "Timeout";
  if (error.name === CREDENTIALS || error.name === "TokenProviderError") return CREDENTIALS;
  return error.code ?? error.errors?.find((one) => one.code)?.code ?? error.name;
}

function firstLine(text: string): string {
  return text.split("\n")[0]!.trim();
}

/** How a user is told. `[code, advice]`; the advice may use the facts. */
type Words = (failure: S3Failure, place: Place) => readonly [ErrorCode, string];
interface Place { readonly bucket: string; readonly settings: S3Settings; readonly now: number }

const store = ({ settings }: Place): string => settings.endpoint ?? "AWS";
const wrongRegion: Words = ({ facts, message }, { bucket, settings }) => {
  const region = facts.bucketRegion ?? /expecting '([^']+)'/.exec(message)?.[1];
  const other = facts.redirectedTo ? ` The store names another address for it: ${facts.redirectedTo}.` : "";
  return ["CATALOG_INVALID", `The bucket ${bucket} is not in the region ${settings.region}.${region ? ` Set the catalog's region to ${region}.` : `${other} Set the catalog's region to that of the bucket.`}`];
};
const expired: Words = () => ["STORAGE_DENIED", "The session of the access key has expired. Enter new keys with their session token; a role or profile renews them by itself."];
const full: Words = (_, place) => ["STORAGE_FULL", `The store at ${store(place)} is full. Free space or raise its quota; writing goes on by itself.`];
const signature: Words = (_, place) => ["STORAGE_DENIED", `${store(place)} says that the secret key does not belong to the access key. Enter the secret key again; if it is right, see that no proxy changes the requests' host name or path.`];
const busy: Words = ({ code, status }, place) => ["STORAGE_FAILED", `${store(place)} is overloaded or in trouble (${code}${status === undefined ? "" : `, status ${status}`}). It is tried again.`];
const denied: Words = (_, { bucket }) => ["STORAGE_DENIED", `Access denied. Let the access key read, write, delete and list in the bucket ${bucket} (s3:GetObject, s3:PutObject, s3:DeleteObject on its objects, s3:ListBucket on the bucket: without the last, S3 answers so for files that are not there, too).`];
const noKeys: Words = ({ message }) => ["STORAGE_DENIED", `There are no credentials for the store. Enter access key and secret key in the catalog, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for Node-RED, or give the machine a profile or role (${message}).`];

const unknownKey: Words = (_, place) => ["STORAGE_DENIED", `${store(place)} does not know the access key. Correct it in the catalog's credentials or in AWS_ACCESS_KEY_ID; temporary keys also need their session token.`];

const WORDS: Record<string, Words> = {
  NoSuchBucket: (_, place) => ["CATALOG_INVALID", `There is no bucket ${place.bucket} at ${store(place)}. Create it, or correct the warehouse.`],
  AccessDenied: denied,
  Forbidden: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  InvalidAccessKeyId: unknownKey,
  XAdminUserNotFound: unknownKey,
  SignatureDoesNotMatch: signature,
  InvalidToken: () => ["STORAGE_DENIED", "The session token is not valid for the access key. Enter the token that belongs to the key, or leave it empty for a key that does not expire."],
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  RequestTimeTooSkewed: ({ facts }, place) => ["STORAGE_DENIED", `The clock of this machine ${skew(facts.serverTime, place)}, so the store refuses the requests. Set the clock (switch on time synchronisation).`],
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: wrongRegion,
  Redirect: wrongRegion,
  MovedPermanently: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  [CREDENTIALS]: noKeys,
  XMinioStorageFull: full,
  QuotaExceeded: full,
  XMinioAdminBucketQuotaExceeded: full,
  InsufficientStorage: full,
  EntityTooLarge: () => ["STORAGE_FAILED", "The file is larger than the store takes. Lower the number of rows or bytes per commit."],
  KeyTooLongError: () => ["STORAGE_DENIED", "The name is too long for the store. Use a shorter warehouse path, table name or partition value."],
  InvalidBucketName: (_, { bucket }) => ["CATALOG_INVALID", `"${bucket}" is no name of a bucket. Correct the warehouse.`],
  ECONNREFUSED: (_, place) => ["STORAGE_FAILED", `Nothing listens at ${store(place)}. Start the store or correct the endpoint; it is tried again.`],
  ENOTFOUND: ({ message }, place) => ["STORAGE_FAILED", `The host name of ${store(place)} is not known (${message}). Correct the endpoint${place.settings.pathStyle ? "" : ", or switch on path style if the store has no host name per bucket"}; it is tried again.`],
  EAI_AGAIN: (_, place) => ["STORAGE_FAILED", `The host name of ${store(place)} could not be looked up just now. It is tried again.`],
  ConnectTimeout: (_, place) => ["STORAGE_FAILED", `${store(place)} did not answer within ${place.settings.connectTimeoutMs / 1000} s. Check endpoint, network and firewall; it is tried again.`],
  Timeout: (_, place) => ["STORAGE_FAILED", `${store(place)} gave no answer for ${place.settings.requestTimeoutMs / 1000} s. It is tried again.`],
};

/** How far a clock is off, in words. */
function skew(serverTime: number | undefined, { now }: Place): string {
  if (serverTime === undefined) return "is wrong";
  const seconds = Math.round((now - serverTime) / 1000);
  const size = Math.abs(seconds) < 120 ? `${Math.abs(seconds)} seconds` : `${Math.round(Math.abs(seconds) / 60)} minutes`;
  return seconds < 0 ? `is ${size} behind the store's` : `is ${size} ahead of the store's`;
}

/**
 * A failure as a TicklakeError that says what to do.
 *
 * @param what a verb: "read", "write"
 */
export function s3Error(failure: S3Failure, what: string, location: string, place: Place): TicklakeError {
  const [code, advice] = (wordsFor(failure) ?? otherwise)(failure, place);
  return new TicklakeError(code, `Cannot ${what} ${location}: ${advice}`, {
    cause: failure,
    details: { location, s3Code: failure.code, ...(failure.status === undefined ? {} : { status: failure.status }), ...(failure.facts.requestId ? { requestId: failure.facts.requestId } : {}) },
  });
}

function wordsFor(failure: S3Failure): Words | undefined {
  if (Object.hasOwn(WORDS, failure.code)) return WORDS[failure.code];
  if (failure.status === undefined && isTls(failure.code)) return tls;
  if (failure.status === 403 || failure.status === 401) return denied;
  if (failure.status === 301 || failure.status === 307) return wrongRegion;
  if (failure.status === 507) return full;
  if (failure.repeatable && failure.status !== undefined) return busy;
  return undefined;
}

const tls: Words = ({ code, message }, place) => {
  if (code === "EPROTO" || code.startsWith("ERR_SSL")) return ["CATALOG_INVALID", `${store(place)} does not speak TLS. Write the endpoint with http:// instead of https://, or correct its port.`];
  return ["STORAGE_DENIED", `The certificate of ${store(place)} is not trusted (${code}: ${message}). Correct the endpoint's host name, or name the issuer's certificate to Node-RED in NODE_EXTRA_CA_CERTS.`];
};

const otherwise: Words = ({ code, message, status }, place) => (status === undefined
  ? ["STORAGE_FAILED", `The connection to ${store(place)} failed (${code}: ${message}). It is tried again.`]
  : ["STORAGE_FAILED", `${store(place)} answered ${code} (status ${status}): ${message}. Check the catalog's settings; it is tried again.`]);
