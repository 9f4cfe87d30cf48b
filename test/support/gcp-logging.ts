import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";

/** An entry as Google's API receives it. */
export interface ReceivedEntry {
  insertId: string; severity: string; message: string; stack?: string; labels: Record<string, string>; trace: string; spanId: string; traceSampled: boolean;
  /** RFC 3339. */
  time: string;
}
export interface ReceivedRequest { logName: string; resource: { type: string; labels: Record<string, string> }; partialSuccess: boolean; entries: ReceivedEntry[] }
/** How a request is answered: well, by a status of gRPC, or never. */
export type Answer = "ok" | "never" | { code: number; details: string };

export interface GcpLogging {
  readonly endpoint: string;
  readonly requests: ReceivedRequest[];
  /** Those of requests that were answered well, in their order; one per insertId, as Google keeps them. */
  entries(): ReceivedEntry[];
  answer: Answer;
  stop(): void;
}

/* eslint-disable @typescript-eslint/no-explicit-any -- the library's message classes, found where it has them itself */
const library = createRequire(createRequire(__filename).resolve("@google-cloud/logging"));
const api = createRequire(library.resolve("@google-cloud/logging-api"));
const grpc = (): any => createRequire(api.resolve("google-gax"))("@grpc/grpc-js");

/** A server that speaks google.logging.v2.LoggingServiceV2/WriteLogEntries with the messages of Google's own library. */
export async function startGcpLogging(port = 0): Promise<GcpLogging> {
  const { Server, ServerCredentials } = grpc(), { google } = library("@google-cloud/logging-api").protos;
  const { WriteLogEntriesRequest, WriteLogEntriesResponse } = google.logging.v2;
  const requests: ReceivedRequest[] = [], written = new Map<string, ReceivedEntry>();
  const made = { requests, entries: () => [...written.values()], answer: "ok" as Answer };
  const server = new Server({ "grpc.max_receive_message_length": 10 * 1024 * 1024 });
  server.addService({
    WriteLogEntries: {
      path: "/google.logging.v2.LoggingServiceV2/WriteLogEntries", requestStream: false, responseStream: false,
      requestSerialize: () => Buffer.alloc(0), requestDeserialize: (bytes: Buffer) => read(WriteLogEntriesRequest, bytes),
      responseSerialize: () => Buffer.from(WriteLogEntriesResponse.encode({}).finish()), responseDeserialize: () => ({}),
    },
  }, {
    WriteLogEntries: (call: { request: ReceivedRequest }, done: (error: object | null, answer?: object) => void) => {
      requests.push(call.request);
      if (made.answer === "never") return;
      if (made.answer !== "ok") { done(made.answer); return; }
      for (const entry of call.request.entries) if (!written.has(entry.insertId)) written.set(entry.insertId, entry);
      done(null, {});
    },
  });
  const bound = await new Promise<number>((resolve, reject) => server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error: Error | null, at: number) => (error ? reject(error) : resolve(at))));
  return Object.assign(made, { endpoint: `127.0.0.1:${bound satisfies AddressInfo["port"]}`, stop: () => { server.forceShutdown(); } });
}

function read(type: any, bytes: Buffer): ReceivedRequest {
  const plain = type.toObject(type.decode(bytes), { longs: Number, enums: String, defaults: true });
  return {
    logName: plain.logName, partialSuccess: plain.partialSuccess, resource: plain.resource,
    entries: plain.entries.map((entry: any) => {
      const { message, stack_trace: stack } = entry.jsonPayload.fields;
      return {
        insertId: entry.insertId, severity: entry.severity, labels: entry.labels, trace: entry.trace, spanId: entry.spanId, traceSampled: entry.traceSampled,
        message: message.stringValue, ...(stack ? { stack: stack.stringValue } : {}), time: new Date(entry.timestamp.seconds * 1000 + entry.timestamp.nanos / 1e6).toISOString(),
      };
    }),
  };
}
