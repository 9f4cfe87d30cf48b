/**
 * The only places where tables may lie, where whoever runs Node-RED has said so: whatever catalogs, table properties, manifests or messages name,
 * nothing outside of them is read, written or deleted.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { TicklakeError } from "../../errors";
import { localPath } from "./local";
import { isS3Location, s3Location } from "./s3-location";

/** Folders of this machine and prefixes of object stores. */
export class Places {
  readonly #folders: readonly string[];
  readonly #prefixes: readonly { readonly bucket: string; readonly key: string }[];

  /**
   * @param allowed folders (absolute, or relative to `baseDir`) and `s3://bucket/prefix`
   * @throws TicklakeError CATALOG_INVALID for an address without a bucket
   */
  constructor(allowed: readonly string[], baseDir: string) {
    this.#prefixes = allowed.filter(isS3Location).map(s3Location).map(({ bucket, key }) => ({ bucket, key: key.replace(/\/+$/, "") }));
    this.#folders = allowed.filter((one) => !isS3Location(one)).map((one) => (/^file:/i.test(one) ? localPath(one) : resolve(baseDir, one)));
  }

  /**
   * Looks at the name alone.
   *
   * @throws TicklakeError FILE_NOT_ALLOWED
   */
  checkName(location: string): void {
    if (isS3Location(location) ? !this.#hasObject(location) : !within(this.#folders, resolve(localPath(location)))) throw outside(location);
  }

  /**
   * Looks at where the location really lies, symbolic links resolved.
   *
   * @throws TicklakeError FILE_NOT_ALLOWED
   */
  async check(location: string): Promise<void> {
    if (isS3Location(location)) { this.checkName(location); return; }
    const folders = await Promise.all(this.#folders.map(realPath));
    if (!within(folders, await realPath(resolve(localPath(location))))) throw outside(location);
  }

  #hasObject(location: string): boolean {
    const { bucket, key } = s3Location(location);
    return this.#prefixes.some((prefix) => prefix.bucket === bucket && (prefix.key === "" || key === prefix.key || key.startsWith(`${prefix.key}/`)));
  }
}

function outside(location: string): TicklakeError {
  return new TicklakeError("FILE_NOT_ALLOWED", `${location} lies outside the places where this Node-RED may keep tables (ticklake.warehouseDirs in settings.js). Choose a warehouse there, or add the place.`);
}

function within(folders: readonly string[], path: string): boolean {
  return folders.some((folder) => {
    const rel = relative(folder, path);
    return rel === "" || (rel !== ".." && !rel.startsWith(`..${sep}`) && !isAbsolute(rel));
  });
}

/** The path with all symbolic links resolved that exist; what does not exist yet stands as it is. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await realPath(parent), basename(path));
  }
}
