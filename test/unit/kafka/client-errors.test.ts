import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { KAFKA_ERRORS } from "../../../lib/kafka/error-codes";
import { asKafkaError, isConnectionFailure, kafkaCodeOf, kafkaError } from "../../../lib/kafka/errors";
import { saslOptions } from "../../../lib/kafka/auth";
import { quietLog } from "../../../lib/kafka/log";
import { addressText, parseAddress, parseBrokers } from "../../../lib/kafka/options";

const named = (name: string, message: string, more: object = {}): Error => Object.assign(new Error(message), { name, ...more });
const doing = { doing: "Reading the cluster's metadata" };

describe("errors of Kafka", () => {
  it("each say in a sentence what to do", () => {
    for (const [number, { name, text }] of KAFKA_ERRORS) {
      assert.match(text, /^[A-Z].*\.$/, `${number} ${name}`);
      assert.ok(text.length > 20, name);
    }
  });

  it("carry Kafka's name and number for programs", () => {
    const error = kafkaError(29, { doing: "Writing to trades, partition 2", details: { topic: "trades" } });
    assert.deepEqual([error.code, error.details], ["KAFKA_DENIED", { topic: "trades", kafka: "TOPIC_AUTHORIZATION_FAILED", kafkaCode: 29 }]);
    assert.match(error.message, /^Writing to trades, partition 2 failed \(TOPIC_AUTHORIZATION_FAILED\)\. The user may not use this topic\. Grant it/);
    assert.equal(kafkaCodeOf(error), 29);
    assert.equal(kafkaCodeOf(named("KafkaJSProtocolError", "x", { type: "REBALANCE_IN_PROGRESS", code: 27 })), 27);
    assert.equal(kafkaCodeOf(named("Error", "x", { code: 27 })), undefined);
  });

  it("that are not known are told with their number, and tried again", () => {
    const error = kafkaError(999, doing);
    assert.deepEqual([error.code, error.retryable], ["KAFKA_FAILED", true]);
    assert.match(error.message, /error 999/);
  });

  it("tell the broker's own words where it sent some", () => {
    assert.match(kafkaError(44, doing, { brokerMessage: "names must begin with x" }).message, /The broker says: names must begin with x\.$/);
  });

  for (const [what, error, code, text] of [
    ["connection refused", named("KafkaJSConnectionError", "Connection error: connect ECONNREFUSED 10.0.0.1:9092", { code: "ECONNREFUSED" }), "KAFKA_UNREACHABLE", /nothing listens at broker:9092/],
    ["an unknown host", named("KafkaJSConnectionError", "Connection error: getaddrinfo ENOTFOUND kafka", { code: "ENOTFOUND" }), "KAFKA_UNREACHABLE", /cannot be resolved.*advertised\.listeners/],
    ["no route", named("KafkaJSConnectionError", "Connection error: connect EHOSTUNREACH", { code: "EHOSTUNREACH" }), "KAFKA_UNREACHABLE", /no route to broker:9092/],
    ["a connection that times out", named("KafkaJSConnectionError", "Connection timeout"), "KAFKA_UNREACHABLE", /does not answer.*firewall/],
    ["a connection that is closed", named("KafkaJSConnectionClosedError", "Closed connection"), "KAFKA_UNREACHABLE", /closed the connection.*TLS or SASL/],
    ["a request without an answer", named("KafkaJSRequestTimeoutError", "Request Metadata(key: 3, version: 6) timed out"), "KAFKA_UNREACHABLE", /did not answer in time/],
    ["an unknown certificate", named("KafkaJSConnectionError", "Connection error: self-signed certificate", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), "KAFKA_UNREACHABLE", /certificate of broker:9092 is not accepted: self-signed certificate\. Add the broker's CA/],
    ["another name in the certificate", named("KafkaJSConnectionError", "Connection error: Hostname/IP does not match certificate's altnames: IP: 127.0.0.2 is not in the cert's list", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }), "KAFKA_UNREACHABLE", /does not match certificate's altnames.*check the server name/],
    ["TLS spoken to a plain port", named("KafkaJSConnectionError", "Connection error: 40C7:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/x.c:1:", { code: "ERR_SSL_WRONG_VERSION_NUMBER" }), "KAFKA_UNREACHABLE", /does not speak TLS as we do.*wrong version number/],
    ["a request the broker does not know", named("KafkaJSServerDoesNotSupportApiKey", "The Kafka server does not support the requested API version"), "KAFKA_UNSUPPORTED", /Kafka 2\.3 or newer/],
    ["something else", new Error("boom"), "KAFKA_FAILED", /metadata failed: boom/],
  ] as const) {
    it(`${what}: says which broker and what to check`, () => {
      const mapped = asKafkaError(error, doing, {}, "broker:9092");
      assert.equal(mapped.code, code);
      assert.match(mapped.message, text);
      assert.equal(mapped.cause, error);
      assert.equal(isConnectionFailure(mapped), code === "KAFKA_UNREACHABLE");
    });
  }

  it("of authentication name user and mechanism, and never the password", () => {
    const sasl = { mechanism: "scram-sha-256", username: "ada", password: "s3cret" } as const;
    const refused = asKafkaError(named("KafkaJSSASLAuthenticationError", "SASL SCRAM SHA256 authentication failed: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256"), doing, { sasl }, "broker:9092");
    assert.equal(refused.code, "KAFKA_DENIED");
    assert.match(refused.message, /broker:9092 refused user "ada" \(SASL scram-sha-256\)\. Check user name, password and mechanism\. The broker says: Authentication failed/);
    const unknown = asKafkaError(named("KafkaJSSASLAuthenticationError", "SASL SCRAM-SHA-256 mechanism is not supported by the server"), doing, { sasl }, "broker:9092");
    assert.deepEqual([unknown.code, /sasl\.enabled\.mechanisms/.test(unknown.message)], ["CONFIG_INVALID", true]);
    const lost = asKafkaError(named("KafkaJSSASLAuthenticationError", "SASL PLAIN authentication failed: Connection closed by the server"), doing, { sasl }, "broker:9092");
    assert.equal(lost.code, "KAFKA_UNREACHABLE");
    for (const error of [refused, unknown, lost]) assert.doesNotMatch(JSON.stringify([error.message, error.details]), /s3cret/);
  });

  it("of ours pass as they are", () => {
    const error = new TicklakeError("KAFKA_FENCED", "x");
    assert.equal(asKafkaError(error, doing), error);
  });
});

describe("addresses of brokers", () => {
  it("are host and port, the port 9092 where none is given", () => {
    assert.deepEqual(parseAddress(" kafka-1.example.org:19092 "), { host: "kafka-1.example.org", port: 19092 });
    assert.deepEqual(parseAddress("localhost"), { host: "localhost", port: 9092 });
    assert.deepEqual(parseAddress("[::1]:9093"), { host: "::1", port: 9093 });
    assert.deepEqual(parseAddress("SASL_SSL://b:1"), { host: "b", port: 1 });
    assert.equal(addressText({ host: "::1", port: 1 }), "[::1]:1");
  });

  it("come as a list with commas, blanks or lines between them", () => {
    assert.deepEqual(parseBrokers("a:1, b:2\nc  a:1;"), ["a:1", "b:2", "c:9092"]);
  });

  for (const wrong of ["a:0", "a:70000", "a:b", "http:/x", ":9092", "a:1:2"]) {
    it(`are not "${wrong}"`, () => assert.throws(() => parseAddress(wrong), { code: "CONFIG_INVALID" }));
  }

  it("must be given", () => assert.throws(() => parseBrokers(" , "), { code: "CONFIG_INVALID", message: /No broker is given/ }));
});

describe("credentials", () => {
  it("that are missing are an error that says how to give them", () => {
    assert.throws(() => saslOptions({ mechanism: "plain", username: "ada" }), { code: "CONFIG_INVALID", message: /KAFKA_SASL_PASSWORD/ });
    assert.throws(() => saslOptions({ mechanism: "oauthbearer" }), { code: "CONFIG_INVALID", message: /needs a token/ });
    assert.equal(saslOptions(undefined), null);
  });
});

describe("the client's log", () => {
  it("says the same at most once a second, and how often it was left out", () => {
    const lines: string[] = [];
    let now = 0;
    const log = quietLog((level, text) => lines.push(`${level} ${text}`), () => now);
    for (; now < 2_500; now += 100) log("warn", "gone");
    log("warn", "other");
    assert.deepEqual(lines, ["warn gone", "warn gone (10 times)", "warn gone (10 times)", "warn other"]);
  });

  it("does not grow with ever new texts", () => {
    let lines = 0;
    const log = quietLog(() => lines++, () => 0);
    for (let k = 0; k < 10_000; k++) log("info", `text ${k}`);
    assert.equal(lines, 10_000);
  });
});
