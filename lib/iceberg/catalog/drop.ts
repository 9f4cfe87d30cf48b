/** What dropping a table takes on every catalog, besides taking its name away. */
import { TicklakeError } from "../../errors";
import { deleteFiles, ownFiles } from "../table-files";
import type { Table } from "./types";

/** @throws TicklakeError TABLE_REPLACED when the name holds another table than the one that was meant */
export function checkSameTable({ fullName, state }: Table, uuid: string | undefined): void {
  const found = state.metadata["table-uuid"];
  if (uuid === undefined || found === uuid) return;
  throw new TicklakeError("TABLE_REPLACED", `${fullName} is another table now (it was dropped and created anew). Nothing was dropped.`, { details: { expected: uuid, found } });
}

/**
 * Deletes the files of a table that is dropped: those of its folder, never those of others.
 *
 * @throws TicklakeError STORAGE_FAILED saying what is left
 */
export async function purgeDropped({ fullName, location, io }: Table): Promise<void> {
  const { failed } = await deleteFiles(io, ownFiles(io, location));
  if (failed[0]) throw new TicklakeError("STORAGE_FAILED", `${fullName} is dropped, but ${failed.length} of its files could not be deleted (${failed[0].reason}). Delete what is left in ${location}.`);
}
