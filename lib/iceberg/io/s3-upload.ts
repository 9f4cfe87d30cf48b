import type { S3Requests } from "./s3-client";
import { encryptionOf } from "./s3-conditions";
import { S3Failure } from "./s3-failure";

/** Parts that travel at once. The parts are views of the file's bytes: they cost no memory of their own. */
const PARALLEL = 4;
/** What S3 takes at most. */
const MAX_PARTS = 10_000;

/** Where a file goes; `ifNew`: only if nothing has the name. */
export interface Upload { readonly bucket: string; readonly key: string; readonly ifNew: boolean }

/**
 * Uploads a large file in parts (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html). What fails for good leaves nothing
 * behind: the upload is aborted.
 *
 * @throws S3Failure
 */
export async function uploadParts(requests: S3Requests, { bucket, key, ifNew }: Upload, bytes: Uint8Array): Promise<void> {
  const target = { Bucket: bucket, Key: key };
  const { UploadId } = await requests.run(({ client, sdk }) => client.send(new sdk.CreateMultipartUploadCommand({ ...target, ...encryptionOf(requests) })));
  if (UploadId === undefined) throw new S3Failure("NoUploadId", "the store began no upload in parts", 200);
  try {
    const parts = await sendParts(requests, { ...target, UploadId }, bytes);
    await complete(requests, { ...target, UploadId, MultipartUpload: { Parts: parts }, ...(ifNew ? { IfNoneMatch: "*" } : {}) }, bytes.length);
  } catch (failure) {
    await requests.run(({ client, sdk }) => client.send(new sdk.AbortMultipartUploadCommand({ ...target, UploadId }))).catch(() => undefined);
    throw failure;
  }
}

interface Part { readonly ETag: string | undefined; readonly PartNumber: number }

async function sendParts(requests: S3Requests, target: { Bucket: string; Key: string; UploadId: string }, bytes: Uint8Array): Promise<Part[]> {
  const size = Math.max(requests.settings.partBytes, Math.ceil(bytes.length / MAX_PARTS));
  const parts: Part[] = [];
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && next * size < bytes.length) {
      const index = next++;
      try {
        const { ETag } = await requests.run(({ client, sdk }) => client.send(new sdk.UploadPartCommand({ ...target, PartNumber: index + 1, Body: bytes.subarray(index * size, (index + 1) * size) })));
        parts[index] = { ETag, PartNumber: index + 1 };
      } catch (failure) {
        failed = true;
        throw failure;
      }
    }
  };
  // All lanes end before an abort: a part that lands after it would stay, and be paid for.
  const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, lane));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return parts;
}

/** The step that makes the file. If its answer is lost, the upload's id is gone the next time: then the file tells. */
async function complete(requests: S3Requests, input: { Bucket: string; Key: string; UploadId: string; MultipartUpload: { Parts: Part[] }; IfNoneMatch?: "*" }, size: number): Promise<void> {
  let uncertain = false;
  try {
    await requests.run(({ client, sdk }) => client.send(new sdk.CompleteMultipartUploadCommand(input)), { onRepeat: (failure) => { uncertain ||= !failure.refused; } });
  } catch (failure) {
    if (!(failure instanceof S3Failure) || !uncertain || !(failure.taken || failure.code === "NoSuchUpload")) throw failure;
    const found = await requests.run(({ client, sdk }) => client.send(new sdk.HeadObjectCommand({ Bucket: input.Bucket, Key: input.Key }))).catch(() => undefined);
    if (found?.ContentLength !== size) throw failure;
  }
}
