import { randomUUID } from "node:crypto";
import { TicklakeError } from "../../errors";
import type { S3Requests } from "./s3-client";
import { S3Failure } from "./s3-failure";
import { S3_PROPERTY } from "./s3-settings";

/** What a store does with `If-None-Match: *`: keeps it, writes all the same, or refuses the request. */
export type Conditions = "kept" | "ignored" | "unsupported";

/** Stores that were seen to keep conditions, by endpoint and bucket, for the life of the process. Others are asked anew: they may be brought up to date. */
const kept = new Set<string>();
const asking = new Map<string, Promise<Conditions>>();

/**
 * Whether a bucket's store keeps conditional writes, found by writing one probe object twice. Without them, of two writers that commit at
 * once both would believe to have won, and rows would be lost.
 *
 * @param folder prefix of keys that may be written to
 * @throws S3Failure where the probe could not be written at all
 */
export async function conditionsOf(requests: S3Requests, bucket: string, folder: string): Promise<Conditions> {
  const name = `${requests.settings.endpoint ?? "aws"} ${bucket}`;
  if (kept.has(name)) return "kept";
  let answer = asking.get(name);
  if (!answer) {
    answer = probe(requests, bucket, `${folder}.ticklake-probe-${randomUUID()}`).finally(() => asking.delete(name));
    asking.set(name, answer);
  }
  const found = await answer;
  if (found === "kept") kept.add(name);
  return found;
}

async function probe(requests: S3Requests, bucket: string, key: string): Promise<Conditions> {
  const put = (): Promise<boolean> => requests.run(({ client, sdk }) => client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: Buffer.from("probe"), IfNoneMatch: "*", ...encryptionOf(requests) })))
    .then(() => true, (failure: unknown) => {
      if (failure instanceof S3Failure && failure.taken) return false;
      throw failure;
    });
  try {
    // The first may have been repeated after an answer that was lost: then already that repetition is refused.
    return await put() && await put() ? "ignored" : "kept";
  } catch (failure) {
    if (failure instanceof S3Failure && failure.unsupported) return "unsupported";
    throw failure;
  } finally {
    await requests.run(({ client, sdk }) => client.send(new sdk.DeleteObjectCommand({ Bucket: bucket, Key: key }))).catch(() => undefined);
  }
}

/** What every writing request carries where the settings ask for encryption. */
export function encryptionOf({ settings: { encryption } }: S3Requests): { ServerSideEncryption?: "AES256" | "aws:kms" | "aws:kms:dsse"; SSEKMSKeyId?: string } {
  if (!encryption) return {};
  return { ServerSideEncryption: encryption.algorithm, ...(encryption.key === undefined ? {} : { SSEKMSKeyId: encryption.key }) };
}

/** A store on which commits of several writers cannot be told apart. */
export function notConditional(location: string, store: string): TicklakeError {
  return new TicklakeError("STORAGE_DENIED", `Cannot commit ${location}: ${store} does not keep conditional writes (If-None-Match), so of two writers that commit at once one would overwrite the other's rows. Use a store that has them (AWS S3, MinIO, versitygw), or a REST catalog; or declare that nothing else writes to these tables: "${S3_PROPERTY.singleWriter}": "true" in the catalog's properties.`);
}
