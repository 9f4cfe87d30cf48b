/**
 * What the "test connection" button of a catalog tells.
 */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { asTicklakeError } from "../../errors";
import { localPath } from "../io/local";
import { isS3Location } from "../io/s3-location";
import { RestCatalog } from "./rest/rest-catalog";
import { listAllTables, type OpenedCatalog } from "./open";

/** `message` is for people. */
export interface ConnectionTest { ok: boolean; message: string }

/** Opens the catalog and looks whether its tables can be reached. Changes nothing. */
export async function testCatalog(open: () => OpenedCatalog): Promise<ConnectionTest> {
  try {
    const catalog = open();
    if (catalog instanceof RestCatalog) return await testServer(catalog);
    return await (isS3Location(catalog.root) ? testBucket(catalog) : testFolder(catalog));
  } catch (caught) {
    return { ok: false, message: asTicklakeError(caught, "CATALOG_INVALID").message };
  }
}

async function testServer(catalog: OpenedCatalog & RestCatalog): Promise<ConnectionTest> {
  return { ok: true, message: `${catalog.uri}: ${await tablesIn(catalog)}. Whether tables may be written shows with the first commit.` };
}

async function testBucket(catalog: OpenedCatalog): Promise<ConnectionTest> {
  return { ok: true, message: `${catalog.root}: ${await tablesIn(catalog)}. Whether it may be written to shows with the first commit.` };
}

/** "no table yet", "2 tables (db.a, db.b)". */
async function tablesIn(catalog: OpenedCatalog): Promise<string> {
  const tables = await listAllTables(catalog, 100);
  const some = tables.slice(0, 3).join(", ") + (tables.length > 3 ? ", …" : "");
  return tables.length === 0 ? "no table yet" : `${tables.length === 100 ? "100 or more" : tables.length} table${tables.length === 1 ? "" : "s"} (${some})`;
}

async function testFolder(catalog: OpenedCatalog): Promise<ConnectionTest> {
  const folder = localPath(catalog.root);
  try {
    const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (!found) {
      const parent = await existingParent(folder);
      await access(parent, constants.W_OK);
      return { ok: true, message: `${folder} is not there yet. It is made with the first table.` };
    }
    if (!found.isDirectory()) return { ok: false, message: `${folder} is a file. Choose a folder.` };
    await access(folder, constants.R_OK | constants.X_OK);
    const tables = await tablesIn(catalog);
    const writable = await access(folder, constants.W_OK).then(() => true, () => false);
    return { ok: true, message: `${folder}: ${tables}${writable ? "" : "; it can be read, but iceberg-out may not write there"}.` };
  } catch (caught) {
    const code = (caught as NodeJS.ErrnoException).code;
    if (code === "EACCES" || code === "EPERM") return { ok: false, message: `Node-RED may not use that folder (${code}). Give its user access, or choose another.` };
    if (code === "EROFS") return { ok: false, message: "The file system is read-only. Mount it writable, or choose another folder." };
    throw caught;
  }
}

async function existingParent(folder: string): Promise<string> {
  const parent = dirname(folder);
  if (parent === folder) return folder;
  return stat(parent).then(() => parent, () => existingParent(parent));
}
