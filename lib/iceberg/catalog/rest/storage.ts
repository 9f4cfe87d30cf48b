/**
 * The storage of a REST catalog's table: who may read and write its files is often the catalog's to say, for some minutes at a time.
 */
import { TicklakeError } from "../../../errors";
import { openFileIO, type OpenFileIOOptions } from "../../io/open";
import { RoutedFileIO } from "../../io/routed";
import { S3_PROPERTY, type S3Credentials } from "../../io/s3-settings";
import type { FileIO } from "../../io/types";
import type { StorageCredentials } from "./answers";

/** What the catalog said of a table's storage. */
export interface StorageGrant {
  /** The table's own properties. */
  readonly config: Readonly<Record<string, string>>;
  /** Keys by the beginning of locations. */
  readonly credentials: readonly StorageCredentials[];
}

export interface TableStorageOptions {
  /** Catalog's settings and configuration. */
  readonly properties: Readonly<Record<string, string>>;
  readonly grant: StorageGrant;
  /** Asks the catalog for keys that hold for some time again. */
  readonly renew: () => Promise<StorageGrant>;
  /** Passed on to openFileIO. */
  readonly io?: Omit<OpenFileIOOptions, "credentials">;
  readonly open?: typeof openFileIO;
}

const KEYS: readonly string[] = [S3_PROPERTY.accessKeyId, S3_PROPERTY.secretAccessKey, S3_PROPERTY.sessionToken];
const EXPIRES = "s3.session-token-expires-at-ms";
const REMOTE_SIGNING = "s3.remote-signing-enabled";

/**
 * Storage for all locations of one table. Of the catalog's properties, the table's and those that its keys bring the later ones hold; of several keys
 * that of the longest prefix. Keys are asked for again before they end, once for all that wait.
 */
export class TableStorage {
  readonly io: FileIO;
  readonly #options: TableStorageOptions;
  readonly #opened = new Map<string, FileIO>();
  #grant: StorageGrant;
  /** Grants whose keys a client has been given: it comes again only for others. */
  readonly #given = new Map<string, StorageGrant>();
  #renewing: Promise<void> | undefined;

  constructor(options: TableStorageOptions) {
    this.#options = options;
    this.#grant = options.grant;
    this.io = new RoutedFileIO((location) => this.#of(location));
  }

  /** The catalog was asked for the table again, and may have sent newer keys along. */
  granted(grant: StorageGrant): void {
    // An answer to a commit holds none.
    if (vends(grant)) this.#grant = grant;
  }

  #of(location: string): FileIO {
    const { prefix } = credentialsFor(this.#grant, location);
    let io = this.#opened.get(prefix);
    if (!io) this.#opened.set(prefix, io = this.#open(location, prefix));
    return io;
  }

  #open(location: string, prefix: string): FileIO {
    const merged = this.#properties(location);
    const { open = openFileIO, io } = this.#options;
    const vended = vends(this.#grant);
    if (!vended) {
      if (merged[REMOTE_SIGNING] === "true" && merged[S3_PROPERTY.accessKeyId] === undefined) {
        throw new TicklakeError("CATALOG_INVALID", "The catalog wants to sign every request to the storage itself, which is not supported. Let it vend credentials, or enter keys of your own.");
      }
      return open(merged, { ...io });
    }
    const settings = Object.fromEntries(Object.entries(merged).filter(([name]) => !KEYS.includes(name)));
    return open(settings, { ...io, credentials: () => this.#keys(location, prefix) });
  }

  #properties(location: string): Record<string, string> {
    return layered([this.#options.properties, this.#grant.config, credentialsFor(this.#grant, location).config]);
  }

  async #keys(location: string, prefix: string): Promise<S3Credentials> {
    // Asked a second time, the first keys are about to end or were refused.
    if (this.#given.get(prefix) === this.#grant || isOver(keysIn(this.#properties(location)))) {
      this.#renewing ??= this.#renew().finally(() => { this.#renewing = undefined; });
      await this.#renewing;
    }
    this.#given.set(prefix, this.#grant);
    const keys = keysIn(this.#properties(location));
    if (!keys) throw new TicklakeError("STORAGE_DENIED", `The catalog gave no keys for ${location}. Have it vend credentials for this table, or enter keys of your own.`);
    return keys;
  }

  async #renew(): Promise<void> {
    const { config, credentials } = await this.#options.renew();
    // Where only keys were asked for, what else the table said holds on.
    this.#grant = { config: { ...this.#grant.config, ...config }, credentials };
  }
}

/** Properties, the later over the earlier. Of two names for one thing the later holds, too: a table's `client.region` comes before the catalog's `s3.region`. */
export function layered(layers: readonly Readonly<Record<string, string>>[]): Record<string, string> {
  const merged: Record<string, string> = {};
  for (const layer of layers) {
    for (const [name, other] of SYNONYMS) if (layer[name] !== undefined || layer[other] !== undefined) { delete merged[name]; delete merged[other]; }
    Object.assign(merged, layer);
  }
  return merged;
}

const SYNONYMS = [[S3_PROPERTY.region, S3_PROPERTY.clientRegion], [S3_PROPERTY.profile, S3_PROPERTY.clientProfile]] as const;

function vends({ config, credentials }: StorageGrant): boolean {
  return credentials.length > 0 || config[S3_PROPERTY.accessKeyId] !== undefined;
}

/** `s3://` and `s3a://` name the same object. */
const plain = (location: string): string => location.replace(/^s3[an]:/i, "s3:");

function credentialsFor({ credentials }: StorageGrant, location: string): StorageCredentials {
  let best: StorageCredentials = { prefix: "", config: {} };
  for (const one of credentials) if (plain(location).startsWith(plain(one.prefix)) && one.prefix.length >= best.prefix.length) best = one;
  return best;
}

function keysIn(properties: Readonly<Record<string, string>>): S3Credentials | undefined {
  const accessKeyId = properties[S3_PROPERTY.accessKeyId], secretAccessKey = properties[S3_PROPERTY.secretAccessKey];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const sessionToken = properties[S3_PROPERTY.sessionToken];
  const ends = Number(properties[EXPIRES]);
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }), ...(ends > 0 ? { expiration: new Date(ends) } : {}) };
}

function isOver(keys: S3Credentials | undefined): boolean {
  return keys?.expiration !== undefined && keys.expiration.getTime() <= Date.now();
}
