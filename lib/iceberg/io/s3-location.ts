import { TicklakeError } from "../../errors";

/** Where an object lies. `key` is "" for the bucket itself. */
export interface S3Location { readonly bucket: string; readonly key: string }

const ADDRESS = /^(s3[an]?):\/\/([^/]+)(?:\/(.*))?$/is;

/** Whether a location is an object's: `s3://`, and `s3a://` and `s3n://`, as Hadoop's engines write it. */
export function isS3Location(location: string): boolean {
  return /^s3[an]?:\/\//i.test(location);
}

/**
 * Bucket and key of a location. Keys are taken literally: Iceberg does not percent-encode them, so `%20` in a name is three characters.
 *
 * @throws TicklakeError CATALOG_INVALID where no bucket is named, or keys beside it
 */
export function s3Location(location: string): S3Location {
  const match = ADDRESS.exec(location);
  // Hadoop once took keys so. Not shown: they are secrets.
  if (match?.[2]!.includes("@")) throw new TicklakeError("CATALOG_INVALID", "An address in an object store holds no keys (s3://key:secret@bucket). Write s3://bucket/path, and enter the keys as credentials of the catalog.");
  if (!match) throw new TicklakeError("CATALOG_INVALID", `"${location}" names no bucket. An address of an object store has the form s3://bucket/path.`);
  return { bucket: match[2]!, key: match[3] ?? "" };
}

/** The prefix that the keys of a folder have: "" for the bucket itself, else it ends with a slash. */
export function folderPrefix(location: string): string {
  const key = s3Location(location).key.replace(/\/+$/, "");
  return key === "" ? "" : `${key}/`;
}
