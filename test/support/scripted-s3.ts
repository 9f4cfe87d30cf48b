/**
 * An object store of a few lines that answers by a script: for failures that a real server cannot be made to show. It checks no signatures.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface S3Request { readonly method: string; readonly bucket: string; readonly key: string; readonly query: URLSearchParams; readonly headers: IncomingMessage["headers"]; readonly body: Buffer; readonly n: number }

/**
 * What happens to a request instead of the usual.
 * - code, status: an answer with that error; `landed`: after it has been carried out
 * - `cut`: the connection ends without an answer
 * - `silent`: no answer at all
 */
export interface Fault { readonly status?: number; readonly code?: string; readonly message?: string; readonly headers?: Record<string, string>; readonly landed?: boolean; readonly cut?: boolean; readonly silent?: boolean }

interface Stored { bytes: Buffer; etag: string }

/** Conditions: kept as S3 does, ignored, or answered with 501. */
export type Conditional = "kept" | "ignored" | "unsupported";

export class ScriptedS3 {
  readonly objects = new Map<string, Stored>();
  readonly requests: S3Request[] = [];
  readonly uploads = new Map<string, Map<number, Buffer>>();
  conditional: Conditional = "kept";
  pageSize = 1000;
  /** Decides per request. */
  plan: (request: S3Request) => Fault | undefined = () => undefined;
  readonly #server: Server;
  readonly #silent = new Set<ServerResponse>();

  private constructor() {
    this.#server = createServer((incoming, response) => { void this.#serve(incoming, response); });
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(): Promise<ScriptedS3> {
    const store = new ScriptedS3();
    await new Promise<void>((done) => { store.#server.listen(0, "127.0.0.1", done); });
    return store;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** "PUT bucket/key", without probes where asked. */
  get log(): string[] {
    return this.requests.map(({ method, bucket, key, query }) => {
      const kind = query.has("list-type") ? "LIST" : query.has("uploads") ? "BEGIN" : query.has("uploadId") ? (method === "PUT" ? "PART" : method === "POST" ? "COMPLETE" : "ABORT") : query.has("delete") ? "DELETE-MANY" : method;
      return `${kind} ${bucket}/${key}`;
    });
  }

  async stop(): Promise<void> {
    for (const response of this.#silent) response.destroy();
    this.#server.closeAllConnections();
    await new Promise((done) => { this.#server.close(done); });
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const url = new URL(incoming.url!, "http://s3");
    const [, bucket = "", ...rest] = url.pathname.split("/");
    const request: S3Request = { method: incoming.method!, bucket, key: rest.map(decodeURIComponent).join("/"), query: url.searchParams, headers: incoming.headers, body: Buffer.concat(chunks), n: this.requests.length };
    this.requests.push(request);
    const fault = this.plan(request);
    const usual = !fault || fault.landed ? this.#carryOut(request) : undefined;
    if (fault?.silent) { this.#silent.add(response); return; }
    if (fault?.cut) { response.destroy(); return; }
    const { status, headers = {}, body = "" } = fault ? errorAnswer(fault.status ?? 500, fault.code ?? "InternalError", fault.message, fault.headers) : usual!;
    response.writeHead(status, { "content-length": String(Buffer.byteLength(body)), ...headers });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  #carryOut(request: S3Request): Answer {
    const { method, bucket, key, query } = request;
    if (query.has("list-type")) return this.#list(bucket, query);
    if (query.has("delete")) return this.#deleteMany(request);
    if (query.has("uploads")) {
      const id = randomUUID();
      this.uploads.set(id, new Map());
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
    }
    if (query.has("uploadId")) return this.#upload(request, query.get("uploadId")!);
    const name = `${bucket}/${key}`;
    if (method === "PUT") return this.#put(name, request.body, request.headers);
    if (method === "DELETE") { this.objects.delete(name); return { status: 204 }; }
    const found = this.objects.get(name);
    if (!found) return errorAnswer(404, "NoSuchKey");
    return read(found, request.headers.range);
  }

  #put(name: string, bytes: Buffer, headers: IncomingMessage["headers"]): Answer {
    const there = this.objects.get(name);
    const conditional = headers["if-none-match"] !== undefined || headers["if-match"] !== undefined;
    if (conditional && this.conditional === "unsupported") return errorAnswer(501, "NotImplemented");
    if (conditional && this.conditional === "kept") {
      if (headers["if-none-match"] === "*" && there) return errorAnswer(412, "PreconditionFailed");
      if (headers["if-match"] !== undefined && !there) return errorAnswer(404, "NoSuchKey");
      if (headers["if-match"] !== undefined && headers["if-match"] !== there?.etag) return errorAnswer(412, "PreconditionFailed");
    }
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    this.objects.set(name, { bytes, etag });
    return { status: 200, headers: { etag } };
  }

  #upload({ method, bucket, key, query, body, headers }: S3Request, id: string): Answer {
    const parts = this.uploads.get(id);
    if (!parts) return errorAnswer(404, "NoSuchUpload");
    if (method === "DELETE") { this.uploads.delete(id); return { status: 204 }; }
    if (method === "PUT") {
      parts.set(Number(query.get("partNumber")), body);
      return { status: 200, headers: { etag: `"part-${query.get("partNumber")}"` } };
    }
    const answer = this.#put(`${bucket}/${key}`, Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes)), headers);
    if (answer.status !== 200) return answer;
    this.uploads.delete(id);
    return xml(`<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>`);
  }

  #list(bucket: string, query: URLSearchParams): Answer {
    const [prefix, delimiter, after] = [query.get("prefix") ?? "", query.get("delimiter"), query.get("continuation-token") ?? ""];
    const names = [...this.objects.keys()].filter((name) => name.startsWith(`${bucket}/${prefix}`)).map((name) => name.slice(bucket.length + 1)).sort();
    const folders = new Set<string>();
    const rest: string[] = [];
    for (const key of names) {
      const end = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      if (end >= 0) folders.add(key.slice(0, end + 1));
      else rest.push(key);
    }
    const page = rest.filter((key) => key > after).slice(0, this.pageSize);
    const more = rest.filter((key) => key > after).length > page.length;
    const contents = page.map((key) => { const { bytes, etag } = this.objects.get(`${bucket}/${key}`)!; return `<Contents><Key>${escape(key)}</Key><Size>${bytes.length}</Size><ETag>${escape(etag)}</ETag><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>`; });
    const prefixes = after === "" ? [...folders].map((folder) => `<CommonPrefixes><Prefix>${escape(folder)}</Prefix></CommonPrefixes>`) : [];
    return xml(`<ListBucketResult><IsTruncated>${more}</IsTruncated>${more ? `<NextContinuationToken>${escape(page.at(-1)!)}</NextContinuationToken>` : ""}${contents.join("")}${prefixes.join("")}</ListBucketResult>`);
  }

  #deleteMany({ bucket, body }: S3Request): Answer {
    const keys = [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => unescape(key!));
    const refused = keys.filter((key) => key.endsWith("locked"));
    for (const key of keys) if (!refused.includes(key)) this.objects.delete(`${bucket}/${key}`);
    return xml(`<DeleteResult>${refused.map((key) => `<Error><Key>${escape(key)}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>`).join("")}</DeleteResult>`);
  }
}

interface Answer { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string | Buffer }

const xml = (body: string): Answer => ({ status: 200, headers: { "content-type": "application/xml" }, body: `<?xml version="1.0" encoding="UTF-8"?>${body}` });

const errorAnswer = (status: number, code: string, message = "said by the script", headers: Record<string, string> = {}): Answer =>
  ({ status, headers: { "content-type": "application/xml", ...headers }, body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>` });

function read({ bytes, etag }: Stored, range: string | undefined): Answer {
  const headers = { etag, "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT" };
  const asked = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
  if (!asked) return { status: 200, headers, body: bytes };
  const [from, to] = [Number(asked[1]), Math.min(Number(asked[2]), bytes.length - 1)];
  if (from >= bytes.length) return errorAnswer(416, "InvalidRange");
  return { status: 206, headers: { ...headers, "content-range": `bytes ${from}-${to}/${bytes.length}` }, body: bytes.subarray(from, to + 1) };
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const unescape = (text: string): string => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&apos;", "'").replaceAll("&amp;", "&");
