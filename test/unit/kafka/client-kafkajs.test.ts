import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { kafkajs } from "../../../lib/kafka/kafkajs";
import { kafkajsLogger, quietLog } from "../../../lib/kafka/log";
import { KAFKA_ERRORS } from "../../../lib/kafka/error-codes";

const required = createRequire(__filename);

/**
 * What we use of kafkajs is not its public interface. If one of these fails after an update of kafkajs: read what changed in its src/network,
 * src/broker and src/protocol, and adapt lib/kafka/link.ts and lib/kafka/kafkajs.ts before the version moves.
 */
describe("kafkajs' internals are what we build on", () => {
  it("is the version that was read, pinned exactly", () => {
    assert.equal((required("kafkajs/package.json") as { version: string }).version, "2.2.4");
    assert.equal((required("../../../package.json") as { dependencies: Record<string, string> }).dependencies["kafkajs"], "2.2.4");
  });

  const options = {
    host: "127.0.0.1", port: 1, ssl: null, sasl: null, clientId: "me", logger: kafkajsLogger(quietLog(undefined)), connectionTimeout: 100, requestTimeout: 100,
    enforceRequestTimeout: true, maxInFlightRequests: null, socketFactory: () => { throw new Error("no socket here"); },
  };

  it("a pool has the methods that we override, and connections in `pool`", () => {
    const { ConnectionPool } = kafkajs();
    const pool = new ConnectionPool(options as never);
    for (const name of ["getConnection", "getConnectionByRequest", "send", "destroy", "isConnected", "isAuthenticated", "setVersions", "setSupportAuthenticationProtocol"] as const) {
      assert.equal(typeof Object.getPrototypeOf(pool)[name], "function", name);
    }
    assert.equal(pool.pool.length, 2);
    assert.deepEqual([pool.host, pool.port, pool.sasl, pool.connectionTimeout], ["127.0.0.1", 1, null, 100]);
    // Our overrides are what `send` goes through.
    assert.match(String(ConnectionPool.prototype.send), /this\.getConnectionByRequest\(/);
  });

  it("a connection has its socket and its request queue where we look for them", () => {
    const { Connection } = kafkajs();
    const connection = new Connection(options as never);
    for (const name of ["connect", "disconnect", "send", "isConnected", "isAuthenticated", "setVersions", "setSupportAuthenticationProtocol"] as const) assert.equal(typeof connection[name], "function", name);
    assert.equal(connection.socket, undefined);
    const queue = connection.requestQueue;
    for (const name of ["rejectAll", "destroy", "checkPendingRequests", "scheduleCheckPendingRequests"] as const) assert.equal(typeof queue[name], "function", name);
    assert.ok(queue.inflight instanceof Map && Array.isArray(queue.pending));
    assert.deepEqual([queue.throttledUntil, queue.throttleCheckTimeoutId], [-1, null]);
    // The timer that we replace is started through the method, after every answer.
    assert.match(String(Object.getPrototypeOf(queue).checkPendingRequests), /this\.scheduleCheckPendingRequests\(\)/);
  });

  it("a broker looks up requests, connects under a lock, and knows its address", () => {
    const { Broker, ConnectionPool } = kafkajs();
    const broker = new Broker({ connectionPool: new ConnectionPool(options as never), logger: options.logger });
    for (const name of ["connect", "isConnected", "lookupRequest", "findGroupCoordinator", "joinGroup", "syncGroup", "heartbeat", "leaveGroup", "offsetCommit", "describeConfigs", "listGroups"] as const) assert.equal(typeof broker[name], "function", name);
    assert.equal(broker.brokerAddress, "127.0.0.1:1");
    assert.equal(broker.versions, null);
  });

  it("encoder and decoder have the primitives that our requests are written with", () => {
    const { Encoder, Decoder } = kafkajs();
    const encoder = new Encoder().writeInt8(1).writeInt16(-2).writeInt32(3).writeInt64(-(2n ** 62n)).writeBoolean(true).writeString("ä").writeString(null).writeUVarInt(300).writeUVarIntString("x").writeUVarIntString(null).writeBytes(Buffer.from("yz")).writeInt64(5);
    const decoder = new Decoder(encoder.buffer);
    assert.deepEqual(
      [decoder.readInt8(), decoder.readInt16(), decoder.readInt32(), decoder.readInt64(), decoder.readBoolean(), decoder.readString(), decoder.readString(), decoder.readUVarInt(), decoder.readUVarIntString(), decoder.readUVarIntString(), decoder.readBytes()?.toString(), decoder.readInt64(), decoder.offset],
      [1, -2, 3, -(2n ** 62n), true, "ä", null, 300, "x", null, "yz", 5n, encoder.size()]);
    assert.ok(Buffer.isBuffer(encoder.buf));
  });

  it("knows the requests that we leave to it", () => {
    const { requests, apiKeys } = kafkajs();
    for (const [name, key, version] of [["ApiVersions", 18, "2"], ["GroupCoordinator", 10, "2"], ["JoinGroup", 11, "5"], ["SyncGroup", 14, "3"], ["Heartbeat", 12, "3"], ["LeaveGroup", 13, "3"], ["OffsetCommit", 8, "5"], ["SaslHandshake", 17, "1"], ["SaslAuthenticate", 36, "1"], ["DescribeConfigs", 32, "2"]] as const) {
      assert.equal(apiKeys[name], key, name);
      assert.ok(requests[name]!.versions.includes(version), name);
    }
  });

  it("names errors as we do", () => {
    for (const { code, type } of kafkajs().errorCodes) {
      const ours = KAFKA_ERRORS.get(code);
      // kafkajs keeps some names of before Kafka 2.
      const renamed = new Set([-1, 6, 14, 15, 16]);
      if (ours && !renamed.has(code)) assert.equal(ours.name, type.replace(/_EXCEPTION_EXCEPTION$/, "_EXCEPTION"));
    }
    for (const code of [1, 3, 6, 10, 22, 25, 27, 45, 46, 47, 58, 59, 79, 88]) assert.ok(KAFKA_ERRORS.has(code), String(code));
  });
});
