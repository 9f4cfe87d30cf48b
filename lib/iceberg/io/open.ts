/**
 * From properties, named as Iceberg's own engines name them, to the storage behind locations.
 */
import type { FileIO } from "./types";
import { LocalFileIO } from "./local";

/**
 * Properties of storage (https://iceberg.apache.org/docs/latest/aws/, https://py.iceberg.apache.org/configuration/):
 * `s3.endpoint`, `s3.region` or `client.region`, `s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`,
 * `s3.path-style-access`. A REST catalog may send them with a table.
 */
export type FileIOProperties = Readonly<Record<string, string>>;

/** The storage for every location that the properties can reach: local paths and `file:` addresses. */
export function openFileIO(_properties: FileIOProperties): FileIO {
  return new LocalFileIO();
}
