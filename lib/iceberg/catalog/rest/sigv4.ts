/**
 * Requests signed as AWS wants them (Signature Version 4), for the REST catalogs of AWS Glue and S3 Tables.
 */
import { createHash, createHmac } from "node:crypto";
import { createRequire } from "node:module";
import type * as Signature from "@smithy/signature-v4";
import type { SignatureV4 } from "@smithy/signature-v4";
import { TicklakeError } from "../../../errors";
import type { S3Credentials } from "../../io/s3-settings";

export interface SigningOptions {
  /** `glue`, `s3tables`. */
  readonly service: string;
  readonly region: string;
  readonly credentials: S3Credentials | (() => Promise<S3Credentials>);
  readonly now?: () => number;
  /** Also sends the hash of the body (x-amz-content-sha256), which S3's services want (true). */
  readonly checksum?: boolean;
}

export interface SignableRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

type HashData = string | ArrayBuffer | ArrayBufferView;

/** SHA-256 of Node, plain or keyed, in the form that the signer takes. */
class Sha256 {
  readonly #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>;

  constructor(key?: HashData) {
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", bytes(key));
  }

  update(data: HashData): void {
    this.#hash.update(bytes(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error("A hash is used once.");
  }
}

function bytes(data: HashData): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** An optional dependency: only catalogs of AWS need it. */
function load(): typeof Signature {
  try {
    return createRequire(__filename)("@smithy/signature-v4") as typeof Signature;
  } catch (cause) {
    throw new TicklakeError("CATALOG_INVALID", "Requests to this catalog are signed for AWS, and @smithy/signature-v4 is not installed: run npm install @smithy/signature-v4 in Node-RED's user directory, and restart.", { cause });
  }
}

/** @returns the headers of a signed request: those that it had, and the signature's. `host` is signed too; the client sends it by itself. */
export function signer({ service, region, credentials, now = Date.now, checksum = true }: SigningOptions): (request: SignableRequest) => Promise<Record<string, string>> {
  let signing: SignatureV4 | undefined;
  return async ({ method, url, headers, body }) => {
    // Loaded with the first request: nobody else pays for it at the start.
    signing ??= new (load().SignatureV4)({ service, region, credentials, sha256: Sha256, applyChecksum: checksum });
    const signed = await signing.sign({
      method, protocol: url.protocol, hostname: url.hostname, path: url.pathname, query: queryOf(url),
      headers: { ...headers, host: url.host }, ...(url.port === "" ? {} : { port: Number(url.port) }), ...(body === undefined ? {} : { body }),
    }, { signingDate: new Date(now()) });
    const { host: _host, ...rest } = signed.headers as Record<string, string>;
    return rest;
  };
}

function queryOf(url: URL): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    query[name] = values.length === 1 ? values[0]! : values;
  }
  return query;
}

/** What a host of AWS is called in signatures: `glue.eu-west-1.amazonaws.com` is glue in eu-west-1. Undefined for other hosts. */
export function awsService(host: string): { service: string; region: string } | undefined {
  const match = /^(glue|s3tables)(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)$/i.exec(host);
  return match ? { service: match[1]!.toLowerCase(), region: match[2]!.toLowerCase() } : undefined;
}
