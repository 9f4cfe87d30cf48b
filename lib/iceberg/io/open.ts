/**
 * From properties, named as Iceberg's own engines name them, to the storage behind locations.
 */
import { LocalFileIO } from "./local";
import { S3FileIO, type S3FileIOOptions } from "./s3";
import { isS3Location } from "./s3-location";
import { s3Settings } from "./s3-settings";
import type { CreateOptions, FileInfo, FileIO, FolderListing, ReplaceOptions } from "./types";

/**
 * Properties of storage (https://iceberg.apache.org/docs/latest/aws/, https://py.iceberg.apache.org/configuration/):
 * `s3.endpoint`, `s3.region` or `client.region`, `s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`,
 * `s3.path-style-access`, `s3.profile-name`, `s3.connect-timeout` and `s3.request-timeout` (seconds), `s3.multipart.part-size-bytes`,
 * `s3.multipart.threshold` (a factor), `s3.sse.type` and `s3.sse.key`; our own: `ticklake.single-writer`. A REST catalog may send
 * them with a table. Without keys, the AWS_* variables, profiles and roles hold.
 */
export type FileIOProperties = Readonly<Record<string, string>>;

/** `credentials`: asked for keys instead of the properties', with the first request and again before they end: keys that a catalog vends. */
export type OpenFileIOOptions = S3FileIOOptions;

/**
 * The storage for every location that the properties can reach: local paths and `file:` addresses, `s3://`, `s3a://`, `s3n://`. Nothing is
 * connected, and the S3 client is not even loaded, before a location of that kind is used.
 *
 * @throws TicklakeError CATALOG_INVALID naming a property that cannot be
 */
export function openFileIO(properties: FileIOProperties, options: OpenFileIOOptions = {}): FileIO {
  return new SchemeFileIO(new LocalFileIO(), new S3FileIO(s3Settings(properties), options));
}

/** The storage that a location's scheme names. */
class SchemeFileIO implements FileIO {
  constructor(private readonly local: FileIO, private readonly s3: FileIO) {}

  #of(location: string): FileIO {
    return isS3Location(location) ? this.s3 : this.local;
  }

  read(location: string): Promise<Uint8Array> {
    return this.#of(location).read(location);
  }

  readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#of(location).readRange(location, offset, length);
  }

  stat(location: string): Promise<FileInfo | undefined> {
    return this.#of(location).stat(location);
  }

  exists(location: string): Promise<boolean> {
    return this.#of(location).exists(location);
  }

  write(location: string, bytes: Uint8Array): Promise<void> {
    return this.#of(location).write(location, bytes);
  }

  create(location: string, bytes: Uint8Array, options?: CreateOptions): Promise<string> {
    return this.#of(location).create(location, bytes, options);
  }

  replace(location: string, bytes: Uint8Array, options?: ReplaceOptions): Promise<boolean> {
    return this.#of(location).replace(location, bytes, options);
  }

  delete(location: string): Promise<void> {
    return this.#of(location).delete(location);
  }

  listFolder(location: string): Promise<FolderListing> {
    return this.#of(location).listFolder(location);
  }

  listAll(location: string): AsyncIterable<FileInfo> {
    return this.#of(location).listAll(location);
  }
}
