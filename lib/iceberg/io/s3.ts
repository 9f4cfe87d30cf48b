import type * as Sdk from "@aws-sdk/client-s3";
import { TicklakeError } from "../../errors";
import { type S3ClientOptions, S3Requests } from "./s3-client";
import { conditionsOf, encryptionOf, notConditional } from "./s3-conditions";
import { s3Error, S3Failure, s3Failure } from "./s3-failure";
import { folderPrefix, s3Location } from "./s3-location";
import type { S3Settings } from "./s3-settings";
import { uploadParts } from "./s3-upload";
import { type CreateOptions, type FileInfo, type FileIO, type FolderListing, type ReplaceOptions } from "./types";

/** How often a replacement looks again because somebody else replaced the file in between. */
const REPLACE_ROUNDS = 10;

export interface S3FileIOOptions extends S3ClientOptions {
  readonly now?: () => number;
}

/** Files in buckets of an object store: `s3://bucket/key`, also `s3a://` and `s3n://`. */
export class S3FileIO implements FileIO {
  readonly #requests: S3Requests;
  readonly #now: () => number;
  /** The store answered that it does not know conditional writes. */
  #plain = false;

  constructor(readonly settings: S3Settings, options: S3FileIOOptions = {}) {
    this.#requests = new S3Requests(settings, options);
    this.#now = options.now ?? Date.now;
  }

  async read(location: string): Promise<Uint8Array> {
    const { bucket, key } = s3Location(location);
    return this.#get({ Bucket: bucket, Key: key }).then(({ bytes }) => bytes, (caught) => { throw this.#error(caught, "read", location); });
  }

  async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    if (length <= 0) return new Uint8Array(0);
    const { bucket, key } = s3Location(location);
    try {
      const { bytes, ranged } = await this.#get({ Bucket: bucket, Key: key, Range: `bytes=${offset}-${offset + length - 1}` });
      return ranged ? bytes : bytes.subarray(offset, offset + length);
    } catch (caught) {
      // Behind the end of the file.
      if (s3Failure(caught).status === 416) return new Uint8Array(0);
      throw this.#error(caught, "read", location);
    }
  }

  async stat(location: string): Promise<FileInfo | undefined> {
    const { bucket, key } = s3Location(location);
    if (key === "" || key.endsWith("/")) return undefined;
    try {
      return fileInfo(location, await this.#head(bucket, key));
    } catch (caught) {
      if (s3Failure(caught).absent) return undefined;
      throw this.#error(caught, "look at", location);
    }
  }

  async exists(location: string): Promise<boolean> {
    return (await this.stat(location)) !== undefined;
  }

  async write(location: string, bytes: Uint8Array): Promise<void> {
    const { bucket, key } = s3Location(location);
    let uncertain = false;
    try {
      if (bytes.length > this.settings.multipartBytes) await uploadParts(this.#requests, { bucket, key, ifNew: !this.#plain }, bytes);
      else await this.#put({ Bucket: bucket, Key: key, Body: bytes, ...(this.#plain ? {} : { IfNoneMatch: "*" }) }, { onRepeat: (failure) => { uncertain ||= !failure.refused; } });
    } catch (caught) {
      const failure = s3Failure(caught);
      if (failure.unsupported && !this.#plain) {
        // The name is nobody else's, so the condition only guards against a mistake.
        this.#plain = true;
        return this.write(location, bytes);
      }
      if (!failure.taken) throw this.#error(caught, "write", location);
      // Refused by what an attempt whose answer was lost had written.
      if (uncertain && (await this.stat(location))?.size === bytes.length) return;
      throw taken("write", location, failure);
    }
  }

  async create(location: string, bytes: Uint8Array, options: CreateOptions = {}): Promise<string> {
    const { bucket, key } = s3Location(location);
    const conditional = await this.#conditional(location, bucket, key);
    await options.staged?.();
    if (!conditional) return alone(location, () => this.#createAlone(location, bytes));
    try {
      const { ETag } = await this.#put({ Bucket: bucket, Key: key, Body: bytes, IfNoneMatch: "*" }, { once: true });
      return version(ETag);
    } catch (caught) {
      throw this.#commitError(caught, location);
    }
  }

  async replace(location: string, bytes: Uint8Array, options: ReplaceOptions = {}): Promise<boolean> {
    const { bucket, key } = s3Location(location);
    for (let round = 1; ; round++) {
      try {
        const current = await this.#get({ Bucket: bucket, Key: key }).catch((caught: unknown) => {
          if (s3Failure(caught).absent) return undefined;
          throw caught;
        });
        if (options.unless?.(current?.bytes)) return false;
        const condition = this.#plain ? {} : current ? { IfMatch: current.etag } : { IfNoneMatch: "*" as const };
        await this.#put({ Bucket: bucket, Key: key, Body: bytes, ...condition });
        return true;
      } catch (caught) {
        const failure = s3Failure(caught);
        if (failure.unsupported && !this.#plain) this.#plain = true;
        // 404: the file to be matched has just been deleted.
        else if (!(failure.taken || failure.absent) || round >= REPLACE_ROUNDS) throw this.#error(caught, "replace", location);
      }
    }
  }

  async delete(location: string): Promise<void> {
    const { bucket, key } = s3Location(location);
    try {
      await this.#requests.run(({ client, sdk }) => client.send(new sdk.DeleteObjectCommand({ Bucket: bucket, Key: key })));
    } catch (caught) {
      if (!s3Failure(caught).absent) throw this.#error(caught, "delete", location);
    }
  }

  async listFolder(location: string): Promise<FolderListing> {
    const prefix = folderPrefix(location);
    const files: FileInfo[] = [];
    const folders: string[] = [];
    for await (const page of this.#pages(location, prefix, "/")) {
      files.push(...listed(location, prefix, page));
      for (const { Prefix } of page.CommonPrefixes ?? []) {
        const name = (Prefix ?? "").slice(prefix.length).replace(/\/$/, "");
        if (name !== "") folders.push(name);
      }
    }
    return { files, folders };
  }

  async *listAll(location: string): AsyncIterable<FileInfo> {
    const prefix = folderPrefix(location);
    for await (const page of this.#pages(location, prefix)) yield* listed(location, prefix, page);
  }

  async *#pages(location: string, prefix: string, delimiter?: string): AsyncIterable<Sdk.ListObjectsV2CommandOutput> {
    const { bucket } = s3Location(location);
    for (let token: string | undefined; ;) {
      const input = { Bucket: bucket, Prefix: prefix, ...(delimiter ? { Delimiter: delimiter } : {}), ...(token ? { ContinuationToken: token } : {}) };
      const page = await this.#requests.run(({ client, sdk }) => client.send(new sdk.ListObjectsV2Command(input))).catch((caught) => { throw this.#error(caught, "list", location); });
      yield page;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (token === undefined) return;
    }
  }

  /** A whole object or a range of it. The body is read within the attempt: a connection that breaks in the middle is repeated. */
  #get(input: Sdk.GetObjectCommandInput): Promise<{ bytes: Uint8Array; etag: string; ranged: boolean; output: Sdk.GetObjectCommandOutput }> {
    return this.#requests.run(async ({ client, sdk }) => {
      const output = await client.send(new sdk.GetObjectCommand(input));
      const bytes = output.Body ? await output.Body.transformToByteArray() : new Uint8Array(0);
      if (output.ContentLength !== undefined && bytes.length !== output.ContentLength) {
        throw new S3Failure("IncompleteBody", `${bytes.length} of ${output.ContentLength} bytes came`, undefined);
      }
      return { bytes, etag: output.ETag ?? "", ranged: output.ContentRange !== undefined, output };
    });
  }

  /** HEAD's refusals have no body and so no reason: then the first byte is asked for, whose refusal has one. */
  async #head(bucket: string, key: string): Promise<Attributes> {
    try {
      return await this.#requests.run(({ client, sdk }) => client.send(new sdk.HeadObjectCommand({ Bucket: bucket, Key: key })));
    } catch (caught) {
      const { status } = s3Failure(caught);
      if (status !== 400 && status !== 403 && status !== 301) throw caught;
      const { output } = await this.#get({ Bucket: bucket, Key: key, Range: "bytes=0-0" });
      const whole = Number(/\/(\d+)$/.exec(output.ContentRange ?? "")?.[1]);
      return { ...output, ContentLength: Number.isFinite(whole) ? whole : output.ContentLength };
    }
  }

  #put(input: Sdk.PutObjectCommandInput, options: Parameters<S3Requests["run"]>[1] = {}): Promise<Sdk.PutObjectCommandOutput> {
    return this.#requests.run(({ client, sdk }) => client.send(new sdk.PutObjectCommand({ ...input, ...encryptionOf(this.#requests) })), options);
  }

  /** True where the store tells several writers apart; false where it does not but the user vouches for a single one. */
  async #conditional(location: string, bucket: string, key: string): Promise<boolean> {
    const conditions = await conditionsOf(this.#requests, bucket, key.slice(0, key.lastIndexOf("/") + 1)).catch((caught) => { throw this.#error(caught, "write", location); });
    if (conditions === "kept") return true;
    if (conditions === "unsupported") this.#plain = true;
    if (!this.settings.singleWriter) throw notConditional(location, this.settings.endpoint ?? "the store");
    return false;
  }

  async #createAlone(location: string, bytes: Uint8Array): Promise<string> {
    if (await this.exists(location)) throw taken("write", location);
    const { bucket, key } = s3Location(location);
    try {
      const { ETag } = await this.#put({ Bucket: bucket, Key: key, Body: bytes }, { once: true });
      return version(ETag);
    } catch (caught) {
      throw this.#commitError(caught, location);
    }
  }

  /** Refused = nothing was written; anything else leaves open whether it was. */
  #commitError(caught: unknown, location: string): TicklakeError {
    const failure = s3Failure(caught);
    if (failure.taken) return taken("write", location, failure);
    if (failure.refused) return this.#error(failure, "write", location);
    const reason = failure.status === undefined ? failure.code : `${failure.code}, status ${failure.status}`;
    return new TicklakeError("COMMIT_UNKNOWN", `Whether ${location} was written is not known (${reason}). The table is read again to find out.`, { cause: failure });
  }

  #error(caught: unknown, what: string, location: string): TicklakeError {
    if (caught instanceof TicklakeError) return caught;
    const failure = s3Failure(caught);
    if (failure.absent) return new TicklakeError("FILE_NOT_FOUND", `Cannot ${what} ${location}: There is no such file.`, { cause: failure, details: { location } });
    return s3Error(failure, what, location, { bucket: s3Location(location).bucket, settings: this.settings, now: this.#now() });
  }
}

type Attributes = Pick<Sdk.HeadObjectCommandOutput, "ContentLength" | "LastModified" | "ETag">;

function version(etag: string | undefined): string {
  return etag ?? "";
}

function fileInfo(location: string, { ContentLength, LastModified, ETag }: Attributes): FileInfo {
  return { location, size: ContentLength ?? 0, modifiedMs: LastModified?.getTime() ?? 0, version: version(ETag) };
}

/** The files of a page. Objects whose name ends with a slash are folders that other tools drew. */
function listed(folder: string, prefix: string, { Contents }: Sdk.ListObjectsV2CommandOutput): FileInfo[] {
  const base = folder.replace(/\/+$/, "");
  return (Contents ?? []).filter(({ Key }) => Key && !Key.endsWith("/")).map(({ Key, Size, LastModified, ETag }) => fileInfo(`${base}/${Key!.slice(prefix.length)}`, { ContentLength: Size, LastModified, ETag }));
}

function taken(what: string, location: string, cause?: S3Failure): TicklakeError {
  return new TicklakeError("FILE_EXISTS", `Cannot ${what} ${location}: It exists already.`, { cause, details: { location } });
}

/** Creations under one name, one after the other within this process: two sinks of one flow are not two writers. */
const queues = new Map<string, Promise<unknown>>();

async function alone<T>(name: string, work: () => Promise<T>): Promise<T> {
  const turn = (queues.get(name) ?? Promise.resolve()).then(work, work);
  const end = turn.then(() => undefined, () => undefined);
  queues.set(name, end);
  try {
    return await turn;
  } finally {
    if (queues.get(name) === end) queues.delete(name);
  }
}
