/**
 * What a REST catalog answers, checked. Pure.
 */
import { z } from "zod";
import { TicklakeError } from "../../../errors";
import { parseJson } from "../../json";
import { metadataOf, type ParsedMetadata } from "../../metadata-json";

/** Values of properties are texts; some servers send numbers and booleans. */
const properties = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.bigint()]).transform(String).nullable())
  .transform((record) => Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== null)));

const ConfigAnswer = z.object({ defaults: properties.nullish(), overrides: properties.nullish(), endpoints: z.array(z.string()).nullish() });
const StorageCredential = z.object({ prefix: z.string(), config: properties });
const LoadAnswer = z.object({
  "metadata-location": z.string().nullish(),
  metadata: z.unknown(),
  config: properties.nullish(),
  "storage-credentials": z.array(StorageCredential).nullish(),
});
const CredentialsAnswer = z.object({ "storage-credentials": z.array(StorageCredential) });
const NamespacesAnswer = z.object({ namespaces: z.array(z.array(z.string())), "next-page-token": z.string().nullish() });
const TablesAnswer = z.object({ identifiers: z.array(z.object({ namespace: z.array(z.string()), name: z.string() })), "next-page-token": z.string().nullish() });

/** Keys for all locations that begin with `prefix`. */
export type StorageCredentials = z.infer<typeof StorageCredential>;

export interface LoadedTable extends ParsedMetadata {
  readonly metadataLocation: string;
  /** Properties for this table's storage and requests. */
  readonly config: Readonly<Record<string, string>>;
  readonly credentials: readonly StorageCredentials[];
  readonly etag?: string;
}

/** Reads an answer about a table, as parseTable does. */
export type ReadTable = (text: string, name: string, etag: string | null) => LoadedTable;

export const parseConfig = (text: string): z.infer<typeof ConfigAnswer> => checked(ConfigAnswer, text, "configuration");
export const parseNamespaces = (text: string): z.infer<typeof NamespacesAnswer> => checked(NamespacesAnswer, text, "list of namespaces");
export const parseTables = (text: string): z.infer<typeof TablesAnswer> => checked(TablesAnswer, text, "list of tables");
export const parseCredentials = (text: string): StorageCredentials[] => checked(CredentialsAnswer, text, "storage credentials")["storage-credentials"];

/**
 * A table as it was loaded, created or committed.
 *
 * @param name for errors
 * @throws TicklakeError TABLE_CORRUPT, TABLE_UNSUPPORTED (format version 3)
 */
export function parseTable(text: string, name: string, etag: string | null): LoadedTable {
  return checkTable(jsonOf(text, `table ${name}`), name, etag);
}

/**
 * The same of an answer that is read already.
 *
 * @param read reads its metadata
 */
export function checkTable(json: unknown, name: string, etag: string | null, read: (metadata: unknown, what: string) => ParsedMetadata = metadataOf): LoadedTable {
  const answer = checkedValue(LoadAnswer, json, `table ${name}`);
  const { metadata, formatVersion } = read(answer.metadata, `The metadata of ${name}`);
  return {
    metadata, formatVersion,
    // A server that keeps no files still has to be asked whether anything has changed.
    metadataLocation: answer["metadata-location"] ?? `${metadata["table-uuid"]}/${metadata["last-updated-ms"]}/${metadata["last-sequence-number"]}`,
    config: answer.config ?? {}, credentials: answer["storage-credentials"] ?? [], ...(etag === null ? {} : { etag }),
  };
}

/** Number in the name of a metadata file: 12 of `00012-<uuid>.metadata.json`; 0 where there is none. */
export function versionOf(metadataLocation: string): number {
  return Number(/^v?(\d{1,15})[-.]/.exec(metadataLocation.slice(metadataLocation.lastIndexOf("/") + 1))?.[1] ?? 0);
}

function checked<T>(shape: z.ZodType<T>, text: string, what: string): T {
  return checkedValue(shape, jsonOf(text, what), what);
}

function jsonOf(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new TicklakeError("CATALOG_INVALID", `The catalog's ${what} is no JSON. Is the address that of an Iceberg REST catalog, without a proxy or login page before it?`, { cause });
  }
}

function checkedValue<T>(shape: z.ZodType<T>, json: unknown, what: string): T {
  const result = shape.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new TicklakeError("CATALOG_INVALID", `The catalog's ${what} is not what the Iceberg REST specification says (${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}). Is the address that of an Iceberg REST catalog?`);
}
