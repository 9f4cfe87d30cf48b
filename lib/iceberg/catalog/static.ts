import { TicklakeError } from "../../errors";
import type { FileIO } from "../io/types";
import { parseMetadata } from "../metadata-json";
import type { Table, TableState } from "./types";

/**
 * A table by the location of its metadata file, without a catalog (PyIceberg's StaticTable): one version, for reading only.
 *
 * @throws TicklakeError FILE_NOT_FOUND, TABLE_CORRUPT, TABLE_UNSUPPORTED
 */
export async function loadTableFromMetadata(io: FileIO, metadataLocation: string): Promise<Table> {
  const { metadata, formatVersion } = parseMetadata(await io.read(metadataLocation), metadataLocation);
  const file = metadataLocation.slice(metadataLocation.lastIndexOf("/") + 1);
  const state: TableState = { metadata, formatVersion, metadataLocation, version: Number(/^v?(\d+)/.exec(file)?.[1] ?? 0) };
  const name = metadata.location.replace(/\/+$/, "").split("/").at(-1) ?? "table";
  return {
    identifier: { namespace: [], name },
    fullName: name,
    io,
    location: metadata.location,
    state,
    refresh: () => Promise.resolve(state),
    commit: () => Promise.reject(new TicklakeError("TABLE_UNSUPPORTED", `${metadataLocation} was opened without a catalog and can only be read. Open the table through its catalog to write.`)),
  };
}
