import type * as Sdk from "@aws-sdk/client-s3";
import { backoffMs, pause } from "../../retry";
import { S3Failure, s3Failure } from "./s3-failure";
import type { S3Credentials, S3Settings } from "./s3-settings";

/** What the SDK offers, loaded with the first request: a flow without S3 does not pay for it. */
type SdkModule = typeof Sdk;

/** One client and the SDK's commands for it. */
export interface S3Api { readonly client: Sdk.S3Client; readonly sdk: SdkModule }

export interface S3ClientOptions {
  /** Asked for credentials instead of those of the settings, whenever those it gave are about to end. */
  readonly credentials?: () => Promise<S3Credentials>;
  /** How often a request is tried at most (6). */
  readonly attempts?: number;
  readonly pause?: (ms: number) => Promise<void>;
}

export interface RunOptions {
  /** Only one attempt whose outcome can be unknown: a second one could meet the first one's work. */
  readonly once?: boolean;
  /** Told of every attempt that is followed by another. */
  readonly onRepeat?: (failure: S3Failure) => void;
}

/** With the pauses in between about six seconds. */
const ATTEMPTS = 6;

/** Requests to one store, repeated as far as that can mend them. The SDK itself makes one attempt. */
export class S3Requests {
  #api: Promise<S3Api> | undefined;
  readonly #pause: (ms: number) => Promise<void>;

  constructor(readonly settings: S3Settings, private readonly options: S3ClientOptions = {}) {
    this.#pause = options.pause ?? pause;
  }

  /**
   * Runs `work`, again with growing, jittered pauses while the store is busy, out of order or away. A refusal because of keys that ended or a
   * clock that is off changes nothing at the store, so it is repeated once with new keys (where they can be had) or the store's time.
   *
   * @throws S3Failure
   */
  async run<T>(work: (api: S3Api) => Promise<T>, { once = false, onRepeat }: RunOptions = {}): Promise<T> {
    const mended = new Set<string>();
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(await (this.#api ??= this.#open()));
      } catch (caught) {
        const failure = s3Failure(caught, await this.#secrets());
        if (failure.expired && this.settings.credentials === undefined && !mended.has("keys")) {
          mended.add("keys");
          this.#api = undefined;
        } else if (failure.skewed && !mended.has("clock")) {
          // The SDK has taken the store's time from the answer.
          mended.add("clock");
        } else {
          if (!failure.repeatable || once || attempt >= (this.options.attempts ?? ATTEMPTS)) throw failure;
          onRepeat?.(failure);
          await this.#pause(backoffMs(attempt, { firstMs: 200, maxMs: 5_000 }));
        }
      }
    }
  }

  /** The keys that were used last. The session's token travels with every request. */
  async #secrets(): Promise<readonly (string | undefined)[]> {
    try {
      const { secretAccessKey, sessionToken } = await (await this.#api)!.client.config.credentials();
      return [secretAccessKey, sessionToken];
    } catch {
      // None could be had, so that none were sent.
      return [];
    }
  }

  async #open(): Promise<S3Api> {
    const sdk = await import("@aws-sdk/client-s3");
    const { endpoint, region, pathStyle, profile, credentials, connectTimeoutMs, requestTimeoutMs } = this.settings;
    const keys = this.options.credentials ? provider(this.options.credentials) : credentials;
    const client = quietly(() => new sdk.S3Client({
      region,
      forcePathStyle: pathStyle,
      maxAttempts: 1,
      // Stores older than 2025 do not know the checksums that the SDK would add by itself; the signature covers the bytes anyway.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: { connectionTimeout: connectTimeoutMs, socketTimeout: requestTimeoutMs, httpAgent: { keepAlive: true, maxSockets: 32 }, httpsAgent: { keepAlive: true, maxSockets: 32 } },
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(profile === undefined ? {} : { profile }),
      ...(keys === undefined ? {} : { credentials: keys }),
    }));
    return { client, sdk };
  }
}

/** What a provider throws passes for keys that could not be had: nothing was sent. */
function provider(ask: () => Promise<S3Credentials>): () => Promise<S3Credentials> {
  return () => ask().catch((error: unknown) => {
    throw Object.assign(new Error(error instanceof Error ? error.message : String(error), { cause: error }), { name: "CredentialsProviderError" });
  });
}

const WARNING = "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED";

/** Without the SDK's note on what later versions of it will require: which Node this version runs on, package.json says. */
function quietly<T>(work: () => T): T {
  const before = process.env[WARNING];
  process.env[WARNING] = "true";
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env[WARNING];
    else process.env[WARNING] = before;
  }
}
