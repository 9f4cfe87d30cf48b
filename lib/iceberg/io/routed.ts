import type { CreateOptions, FileInfo, FileIO, FolderListing, ReplaceOptions } from "./types";

/** Which storage serves a location. */
export type Route = (location: string) => FileIO | Promise<FileIO>;

/** Storage made of several: each location is served by the one that the route names. */
export class RoutedFileIO implements FileIO {
  constructor(private readonly route: Route) {}

  async admit(location: string): Promise<void> {
    await (await this.route(location)).admit?.(location);
  }

  async read(location: string): Promise<Uint8Array> {
    return (await this.route(location)).read(location);
  }

  async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    return (await this.route(location)).readRange(location, offset, length);
  }

  async stat(location: string): Promise<FileInfo | undefined> {
    return (await this.route(location)).stat(location);
  }

  async exists(location: string): Promise<boolean> {
    return (await this.route(location)).exists(location);
  }

  async write(location: string, bytes: Uint8Array): Promise<void> {
    return (await this.route(location)).write(location, bytes);
  }

  async create(location: string, bytes: Uint8Array, options?: CreateOptions): Promise<string> {
    return (await this.route(location)).create(location, bytes, options);
  }

  async replace(location: string, bytes: Uint8Array, options?: ReplaceOptions): Promise<boolean> {
    return (await this.route(location)).replace(location, bytes, options);
  }

  async delete(location: string): Promise<void> {
    return (await this.route(location)).delete(location);
  }

  async listFolder(location: string): Promise<FolderListing> {
    return (await this.route(location)).listFolder(location);
  }

  async *listAll(location: string): AsyncIterable<FileInfo> {
    yield* (await this.route(location)).listAll(location);
  }
}
