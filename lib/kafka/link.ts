import net from "node:net";
import tls from "node:tls";
import { kafkajs, type ApiVersions, type Broker, type Connection, type ConnectionOptions, type ConnectionPool, type KafkajsLogger, type ProtocolCall, type SocketOptions } from "./kafkajs";
import { isConnectionFailure } from "./errors";
import type { Address, ConnectionTimes } from "./options";

const KEEP_ALIVE_MS = 30_000;
/** A SASL session is renewed when it has this much left. */
const REAUTHENTICATE_MS = 1_000;

/**
 * A broker answers the requests of a connection one after the other, so what may take long has a connection of its own, made when first
 * needed: a fetch waits for data, joining waits for the other members, a produce request waits for replicas. Heartbeats, commits and
 * metadata never queue behind those.
 */
const SLOTS: Readonly<Record<number, number>> = { 1: 1, 11: 2, 14: 2, 0: 3 };
const SLOT_COUNT = 4;

export interface LinkOptions extends ConnectionTimes {
  readonly address: Address;
  readonly ssl: Record<string, unknown> | null;
  readonly sasl: Record<string, unknown> | null;
  readonly clientId: string;
  readonly logger: KafkajsLogger;
  /** Called once, when the link has failed and must not be used again. */
  readonly broken: (error: Error) => void;
}

/**
 * The connections to one broker address. A link fails as a whole and once: after the first lost connection or request without an answer its
 * sockets are destroyed, everything under way fails at once and a new link takes its place. kafkajs would go on with the same objects,
 * where late events of an old socket end the requests of the new one, and it closes a connection only when its requests have been answered.
 */
export interface Link {
  readonly broker: Broker;
  /** Connected, versions known, authenticated. */
  readonly ready: Promise<Broker>;
  readonly isUsable: boolean;
  /** Ends it now, whatever is under way. */
  end(error: Error): void;
}

/** A link to one address; connecting begins at once. */
export function openLink(options: LinkOptions): Link {
  const { ConnectionPool, Connection, Broker } = kafkajs();
  const { address: { host, port }, connectionTimeoutMs, requestTimeoutMs, logger } = options;
  const sockets = new Set<net.Socket>();
  let failure: Error | undefined;

  const connectionOptions: ConnectionOptions = {
    host, port, logger, ssl: options.ssl, sasl: options.sasl, clientId: options.clientId,
    connectionTimeout: connectionTimeoutMs, requestTimeout: requestTimeoutMs, enforceRequestTimeout: true, maxInFlightRequests: null,
    // The default of ten seconds would authenticate with every request where sessions are shorter than that.
    reauthenticationThreshold: REAUTHENTICATE_MS,
    socketFactory: (to) => {
      const socket = openSocket(to);
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
  };

  const end = (error: Error) => {
    if (failure) return;
    failure = error;
    for (const connection of pool.pool) {
      connection.requestQueue.rejectAll(error);
      connection.requestQueue.destroy();
    }
    for (const socket of sockets) {
      // kafkajs' handlers must not touch what comes next; an error after this is of no interest to anybody.
      for (const event of ["data", "end", "timeout"]) socket.removeAllListeners(event);
      socket.on("error", () => {});
      socket.destroy(error);
    }
    options.broken(error);
  };

  class LinkPool extends (ConnectionPool as new (given: ConnectionOptions) => ConnectionPool) {
    private versions: ApiVersions | null = null;
    private saslProtocol: boolean | null = null;
    private readonly connecting: (Promise<Connection> | undefined)[] = [];

    constructor() {
      super(connectionOptions);
      this.pool = Array.from({ length: SLOT_COUNT }, () => this.fresh());
    }

    private fresh(): Connection {
      const connection = new Connection(connectionOptions);
      repairTimers(connection);
      connection.setVersions(this.versions);
      connection.setSupportAuthenticationProtocol(this.saslProtocol);
      return connection;
    }

    override setVersions(versions: ApiVersions): void {
      this.versions = versions;
      super.setVersions(versions);
    }

    override setSupportAuthenticationProtocol(supported: boolean): void {
      this.saslProtocol = supported;
      super.setSupportAuthenticationProtocol(supported);
    }

    override getConnectionByRequest({ request }: { request: { apiKey: number } }): Promise<Connection> {
      return this.getConnection(SLOTS[request.apiKey] ?? 0);
    }

    /** One connection per slot, one attempt at a time. A connection that the broker closed while idle is replaced, never used again. */
    override async getConnection(index = 0): Promise<Connection> {
      if (failure) throw failure;
      const current = this.pool[index] as Connection;
      if (current.isConnected()) return current;
      this.connecting[index] ??= (async () => {
        const connection = current.socket ? this.fresh() : current;
        this.pool[index] = connection;
        try {
          await connection.connect();
          return connection;
        } finally {
          this.connecting[index] = undefined;
        }
      })();
      return this.connecting[index] as Promise<Connection>;
    }

    override async send<T>(call: ProtocolCall<T>): Promise<T> {
      try {
        return await super.send(call);
      } catch (error) {
        if (isConnectionFailure(error)) end(error as Error);
        throw error;
      }
    }

    override async destroy(): Promise<void> {
      end(failure ?? Object.assign(new Error("Closed connection"), { name: "KafkaJSConnectionClosedError" }));
    }
  }

  const pool: ConnectionPool = new LinkPool();
  const broker = new Broker({ connectionPool: pool, logger, authenticationTimeout: connectionTimeoutMs, allowAutoTopicCreation: false });
  const ready = broker.connect().then(() => broker, (error: Error) => {
    end(error);
    throw error;
  });
  ready.catch(() => {});
  return { broker, ready, get isUsable() { return failure === undefined; }, end };
}

function openSocket({ host, port, ssl, onConnect }: SocketOptions): net.Socket {
  const socket = ssl
    ? tls.connect({ host, port, ...(net.isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
    : net.connect({ host, port }, onConnect);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
}

/** kafkajs starts a timer with a negative delay after every answer (Node 24 warns of it each time); a timer is needed only while requests wait. */
function repairTimers(connection: Connection): void {
  const queue = connection.requestQueue;
  queue.scheduleCheckPendingRequests = () => {
    if (queue.throttleCheckTimeoutId || queue.pending.length === 0) return;
    const wait = Math.max(queue.throttledUntil - Date.now(), 10);
    queue.throttleCheckTimeoutId = setTimeout(() => {
      queue.throttleCheckTimeoutId = null;
      queue.checkPendingRequests();
    }, wait);
  };
}
