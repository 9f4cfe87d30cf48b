/**
 * The only door to kafkajs' internals: its broker, its connections and its encodings of the requests that are rare. kafkajs has no
 * `exports`, so its files can be required; they are not its public interface, so the version is pinned exactly, the parts that we
 * use are typed here, and test/unit/kafka/client-kafkajs.test.ts fails when an update changes one of them.
 * Why not its producer and consumer: docs/adr/kafka-client.md.
 */
/* eslint-disable @typescript-eslint/no-require-imports -- kafkajs declares no types for its internal files */
import type { Socket } from "node:net";

/** Bytes being written, big-endian; kafkajs copies `buffer` behind the request header. */
export interface Encoder {
  readonly buf: Buffer;
  readonly buffer: Buffer;
  size(): number;
  writeInt8(value: number): this;
  writeInt16(value: number): this;
  writeInt32(value: number): this;
  writeInt64(value: bigint | number | string): this;
  writeBoolean(value: boolean): this;
  writeString(value: string | null | undefined): this;
  writeUVarInt(value: number): this;
  writeUVarIntString(value: string | null | undefined): this;
  writeBytes(value: Buffer | null): this;
  writeBuffer(value: Buffer): this;
}

export interface Decoder {
  offset: number;
  readonly buffer: Buffer;
  readInt8(): number;
  readInt16(): number;
  readInt32(): number;
  readInt64(): bigint;
  readBoolean(): boolean;
  readString(): string | null;
  readUVarInt(): number;
  readUVarIntString(): string | null;
  readBytes(length?: number): Buffer | null;
  readArray<T>(reader: (decoder: Decoder) => T): T[];
  readAll(): Buffer;
}

/** The body of a request; header and correlation id are the connection's. */
export interface ProtocolRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  encode(): Promise<EncodedRequest>;
  expectResponse?(): boolean;
}

/** What `encode` answers: an Encoder, or anything that has its bytes. */
export interface EncodedRequest { readonly buf: Buffer; readonly buffer: Buffer; size(): number }

/** `decode` gets the response without its length and correlation id; `parse` throws for error codes. */
export interface ProtocolResponse<T> {
  decode(payload: Buffer): Promise<unknown>;
  parse(decoded: never): Promise<T>;
}

export interface ProtocolCall<T> {
  readonly request: ProtocolRequest;
  readonly response: ProtocolResponse<T>;
  /** Deadline of the answer where it is longer than the connection's (ms). */
  readonly requestTimeout?: number | null;
  readonly logResponseError?: boolean;
}

export interface ProtocolDefinition {
  readonly versions: readonly string[];
  protocol(options: { version: number }): (options: Record<string, unknown>) => ProtocolCall<unknown>;
}

export interface KafkajsLogger {
  info(message: string, extra?: Record<string, unknown>): void;
  warn(message: string, extra?: Record<string, unknown>): void;
  error(message: string, extra?: Record<string, unknown>): void;
  debug(message: string, extra?: Record<string, unknown>): void;
  namespace(name: string): KafkajsLogger;
}

export type ApiVersions = Record<number, { minVersion: number; maxVersion: number }>;

export interface SocketOptions { host: string; port: number; ssl: Record<string, unknown> | null; onConnect: () => void }

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly rack?: string | null;
  readonly ssl: Record<string, unknown> | null;
  readonly sasl: Record<string, unknown> | null;
  readonly clientId: string;
  readonly logger: KafkajsLogger;
  readonly socketFactory: (options: SocketOptions) => Socket;
  readonly connectionTimeout: number;
  readonly requestTimeout: number;
  readonly enforceRequestTimeout: boolean;
  readonly maxInFlightRequests: number | null;
  readonly reauthenticationThreshold?: number;
}

export interface RequestQueue {
  readonly inflight: Map<number, unknown>;
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
  checkPendingRequests(): void;
  rejectAll(error: Error): void;
  destroy(): void;
}

export interface Connection {
  readonly requestQueue: RequestQueue;
  socket?: Socket;
  connect(): Promise<boolean>;
  disconnect(): Promise<boolean>;
  isConnected(): boolean;
  isAuthenticated(): boolean;
  setVersions(versions: ApiVersions | null): void;
  setSupportAuthenticationProtocol(supported: boolean | null): void;
  send<T>(call: ProtocolCall<T>): Promise<T>;
}

export interface ConnectionPool {
  readonly host: string;
  readonly port: number;
  readonly sasl: Record<string, unknown> | null;
  readonly connectionTimeout: number;
  pool: Connection[];
  isConnected(): boolean;
  isAuthenticated(): boolean;
  setVersions(versions: ApiVersions): void;
  setSupportAuthenticationProtocol(supported: boolean): void;
  getConnection(index?: number): Promise<Connection>;
  getConnectionByRequest(call: { request: { apiKey: number } }): Promise<Connection>;
  send<T>(call: ProtocolCall<T>): Promise<T>;
  destroy(): Promise<void>;
}

/** A broker as kafkajs knows it: its best version of each request. */
export interface Broker {
  readonly connectionPool: ConnectionPool;
  nodeId: number | string | null;
  readonly brokerAddress: string;
  versions: ApiVersions | null;
  /** The newest version of a request that kafkajs and the broker share. */
  lookupRequest(apiKey: number, definition: ProtocolDefinition): (options: Record<string, unknown>) => ProtocolCall<unknown>;
  connect(): Promise<void>;
  isConnected(): boolean;
  findGroupCoordinator(options: { groupId: string; coordinatorType: number }): Promise<{ coordinator: { nodeId: number; host: string; port: number } }>;
  joinGroup(options: { groupId: string; sessionTimeout: number; rebalanceTimeout: number; memberId?: string; protocolType?: string; groupProtocols: { name: string; metadata: Buffer }[] }):
  Promise<{ generationId: number; groupProtocol: string; leaderId: string; memberId: string; members: { memberId: string; memberMetadata: Buffer }[] }>;
  syncGroup(options: { groupId: string; generationId: number; memberId: string; groupAssignment: { memberId: string; memberAssignment: Buffer }[] }): Promise<{ memberAssignment: Buffer }>;
  heartbeat(options: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>;
  leaveGroup(options: { groupId: string; memberId: string }): Promise<unknown>;
  offsetCommit(options: { groupId: string; groupGenerationId: number; memberId: string; retentionTime?: number; topics: { topic: string; partitions: { partition: number; offset: string; metadata?: string }[] }[] }): Promise<unknown>;
  createTopics(options: { topics: unknown[]; validateOnly?: boolean; timeout?: number }): Promise<unknown>;
  deleteTopics(options: { topics: string[]; timeout?: number }): Promise<unknown>;
  listGroups(): Promise<{ groups: { groupId: string; protocolType: string }[] }>;
  describeConfigs(options: { resources: { type: number; name: string; configNames: string[] | null }[]; includeSynonyms?: boolean }):
  Promise<{ resources: { errorCode: number; errorMessage: string | null; resourceName: string; configEntries: { configName: string; configValue: string | null }[] }[] }>;
}

/** Protocol errors carry `type` (Kafka's name) and `code` (Kafka's number); all carry `retriable`. */
export interface KafkajsError extends Error {
  readonly retriable?: boolean;
  readonly type?: string;
  readonly code?: number | string;
  readonly broker?: string;
}

interface Internals {
  readonly Broker: new (options: { connectionPool: ConnectionPool; logger: KafkajsLogger; nodeId?: number | null; authenticationTimeout?: number; allowAutoTopicCreation?: boolean }) => Broker;
  readonly ConnectionPool: new (options: ConnectionOptions) => ConnectionPool;
  readonly Connection: new (options: ConnectionOptions) => Connection;
  readonly Encoder: new (initialSize?: number) => Encoder;
  readonly Decoder: new (buffer: Buffer) => Decoder;
  readonly requests: Readonly<Record<string, ProtocolDefinition>>;
  readonly apiKeys: Readonly<Record<string, number>>;
  readonly errorCodes: readonly { type: string; code: number; retriable: boolean; message: string }[];
}

/** Loaded on first use: an editor or a flow without Kafka never pays for it. */
let loaded: Internals | undefined;

/** kafkajs' internal classes (2.2.4). */
export function kafkajs(): Internals {
  loaded ??= {
    Broker: require("kafkajs/src/broker") as Internals["Broker"],
    ConnectionPool: require("kafkajs/src/network/connectionPool") as Internals["ConnectionPool"],
    Connection: require("kafkajs/src/network/connection") as Internals["Connection"],
    Encoder: require("kafkajs/src/protocol/encoder") as Internals["Encoder"],
    Decoder: require("kafkajs/src/protocol/decoder") as Internals["Decoder"],
    requests: (require("kafkajs/src/protocol/requests") as { requests: Internals["requests"] }).requests,
    apiKeys: require("kafkajs/src/protocol/requests/apiKeys") as Internals["apiKeys"],
    errorCodes: (require("kafkajs/src/protocol/error") as { errorCodes: Internals["errorCodes"] }).errorCodes,
  };
  return loaded;
}
