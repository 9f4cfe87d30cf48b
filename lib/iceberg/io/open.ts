/**
 * From properties, named as Iceberg's own engines name them, to the storage behind locations.
 */
import { LocalFileIO } from "./local";
import type { Places } from "./places";
import { RoutedFileIO } from "./routed";
import { S3FileIO, type S3FileIOOptions } from "./s3";
import { isS3Location } from "./s3-location";
import { s3Settings } from "./s3-settings";
import type { FileIO } from "./types";

/**
 * Properties of storage (https://iceberg.apache.org/docs/latest/aws/, https://py.iceberg.apache.org/configuration/):
 * `s3.endpoint`, `s3.region` or `client.region`, `s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`,
 * `s3.path-style-access`, `s3.profile-name`, `s3.connect-timeout` and `s3.request-timeout` (seconds), `s3.multipart.part-size-bytes`,
 * `s3.multipart.threshold` (a factor), `s3.sse.type` and `s3.sse.key`; our own: `ticklake.single-writer`. A REST catalog may send
 * them with a table. Without keys, the AWS_* variables, profiles and roles hold.
 */
export type FileIOProperties = Readonly<Record<string, string>>;

/**
 * `credentials`: asked for keys instead of the properties', with the first request and again before they end: keys that a catalog vends.
 * `places`: the only ones that are touched.
 */
export type OpenFileIOOptions = S3FileIOOptions & { readonly places?: Places };

/**
 * The storage for every location that the properties can reach: local paths and `file:` addresses, `s3://`, `s3a://`, `s3n://`. Nothing is
 * connected, and the S3 client is not even loaded, before a location of that kind is used.
 *
 * @throws TicklakeError CATALOG_INVALID naming a property that cannot be
 */
export function openFileIO(properties: FileIOProperties, { places, ...options }: OpenFileIOOptions = {}): FileIO {
  const local = new LocalFileIO(), s3 = new S3FileIO(s3Settings(properties), options);
  const storage = (location: string): FileIO => (isS3Location(location) ? s3 : local);
  return new RoutedFileIO(places ? async (location) => { await places.check(location); return storage(location); } : storage);
}
