import { TicklakeError, asTicklakeError } from "../errors";
import { withoutSecrets } from "../redact";
import { KAFKA_ERRORS } from "./error-codes";
import type { KafkaOptions } from "./types";
import type { KafkajsError } from "./kafkajs";

/** Kafka's error numbers that code decides on (the others are only told to the user). */
export const KafkaCode = {
  none: 0,
  unknownServerError: -1,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  requestTimedOut: 7,
  messageTooLarge: 10,
  coordinatorLoadInProgress: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  illegalGeneration: 22,
  unknownMemberId: 25,
  rebalanceInProgress: 27,
  topicAuthorizationFailed: 29,
  invalidTimestamp: 32,
  unsupportedVersion: 35,
  topicAlreadyExists: 36,
  notController: 41,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  invalidProducerEpoch: 47,
  invalidTxnState: 48,
  invalidProducerIdMapping: 49,
  concurrentTransactions: 51,
  operationNotAttempted: 55,
  unknownProducerId: 59,
  memberIdRequired: 79,
  fencedInstanceId: 82,
  invalidRecord: 87,
  unstableOffsetCommit: 88,
  producerFenced: 90,
  transactionAbortable: 120,
} as const;

/** What was being done, for the message. */
export interface ErrorContext {
  /** "Writing to trades, partition 2": begins the message. */
  readonly doing: string;
  /** More facts for programs (topic, partition, group ...). */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The error for a Kafka error number. `details.kafka` is Kafka's name of it, `details.kafkaCode` the number. */
export function kafkaError(number: number, context: ErrorContext, cause?: unknown): TicklakeError {
  const fact = KAFKA_ERRORS.get(number);
  const name = fact?.name ?? `error ${number}`;
  const said = brokersWords(cause);
  const text = fact?.text ?? "The broker answered with an error that this version does not know; the broker's log says more.";
  return new TicklakeError(fact?.code ?? "KAFKA_FAILED", `${context.doing} failed (${name}). ${text}${said ? ` The broker says: ${said}` : ""}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { ...context.details, kafka: name, kafkaCode: number },
  });
}

/** Kafka's error number behind an error of ours or of kafkajs; undefined when no broker said one. */
export function kafkaCodeOf(error: unknown): number | undefined {
  if (error instanceof TicklakeError) {
    const code = error.details?.kafkaCode;
    return typeof code === "number" ? code : undefined;
  }
  const code = (error as KafkajsError | undefined)?.code;
  return isProtocolError(error) && typeof code === "number" ? code : undefined;
}

/** True where the connection, not an answer, is what failed: the request may or may not have been carried out. */
export function isConnectionFailure(error: unknown): boolean {
  if (error instanceof TicklakeError) return error.details?.connection === true;
  const name = (error as Error | undefined)?.name;
  return name === "KafkaJSConnectionError" || name === "KafkaJSConnectionClosedError" || name === "KafkaJSRequestTimeoutError" || name === "KafkaJSLockTimeout";
}

/**
 * Anything that kafkajs or a socket threw, as an error of ours: which broker, what to do about it, never a password.
 *
 * @param address host:port that was talked to
 */
export function asKafkaError(error: unknown, context: ErrorContext, options?: Pick<KafkaOptions, "sasl">, address?: string): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const name = (error as Error | undefined)?.name ?? "";
  const text = error instanceof Error ? error.message : String(error);
  const at = address ?? (error as KafkajsError | undefined)?.broker ?? "the broker";
  const details = { ...context.details, broker: at };
  if (name === "KafkaJSSASLAuthenticationError" || isSaslFailure(error)) return saslError(text, at, details, options, error);
  if (isProtocolError(error)) return kafkaError((error as KafkajsError).code as number, { doing: context.doing, details: { ...details } }, error);
  if (name === "KafkaJSServerDoesNotSupportApiKey") {
    return new TicklakeError("KAFKA_UNSUPPORTED", `${context.doing} failed: ${at} does not know this request. Kafka 2.3 or newer is needed.`, { cause: error, details });
  }
  if (isConnectionFailure(error) || isSocketError(error)) {
    return new TicklakeError("KAFKA_UNREACHABLE", `${context.doing} failed: ${connectionText(error, text, at)}`, { cause: error, details: { ...details, connection: true } });
  }
  return asTicklakeError(error, "KAFKA_FAILED", `${context.doing} failed: `);
}

/** True for an error that says that who we are, or how we encrypt, is wrong: no other broker will see it differently. */
export function isAccessFailure(error: unknown): boolean {
  return error instanceof TicklakeError && (error.code === "KAFKA_DENIED" || error.code === "CONFIG_INVALID") && error.details?.access === true;
}

function isProtocolError(error: unknown): boolean {
  const candidate = error as KafkajsError | undefined;
  return candidate instanceof Error && typeof candidate.type === "string" && typeof candidate.code === "number" && candidate.name.startsWith("KafkaJS");
}

function isSaslFailure(error: unknown): boolean {
  const code = (error as KafkajsError | undefined)?.code;
  return isProtocolError(error) && (code === 58 || code === 33);
}

function isSocketError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" && /^E[A-Z]+$|^ERR_(SSL|TLS|STREAM)/.test(code);
}

function saslError(text: string, at: string, details: Record<string, unknown>, options: Pick<KafkaOptions, "sasl"> | undefined, cause: unknown): TicklakeError {
  const mechanism = options?.sasl?.mechanism ?? "none";
  const user = options?.sasl?.username;
  const who = mechanism === "oauthbearer" ? "the token" : user ? `user "${user}"` : "no user";
  if (/not supported by the server/.test(text) || (cause as KafkajsError).code === 33) {
    return new TicklakeError("CONFIG_INVALID", `${at} does not offer the SASL mechanism ${mechanism}. Choose one of the broker's sasl.enabled.mechanisms.`, { cause, details: { ...details, access: true } });
  }
  // A connection that was lost while authenticating says nothing about the password.
  if (/connection (closed|error|timeout)|closed connection|not connected|timed out/i.test(text)) {
    return new TicklakeError("KAFKA_UNREACHABLE",
      `The connection to ${at} was lost while authenticating (${mechanism}). If this lasts, the broker may expect TLS or another mechanism on this port.`, { cause, details: { ...details, connection: true } });
  }
  const said = withoutSecrets(text, [options?.sasl?.password]);
  // A cause is shown with the error; one that repeats the password is not kept.
  return new TicklakeError("KAFKA_DENIED", `${at} refused ${who} (SASL ${mechanism}). Check user name, password and mechanism. ${sentence(said)}`, { ...(said === text ? { cause } : {}), details: { ...details, access: true } });
}

function sentence(text: string): string {
  const clean = text.replace(/^SASL .*? failed: /i, "").trim();
  return clean ? `The broker says: ${clean}${/[.!?]$/.test(clean) ? "" : "."}` : "";
}

/** The broker's own explanation where it sent one beside the code (topic creation, policies, SASL). */
function brokersWords(cause: unknown): string | undefined {
  const text = (cause as { brokerMessage?: unknown } | undefined)?.brokerMessage;
  return typeof text === "string" && text ? `${text}${/[.!?]$/.test(text) ? "" : "."}` : undefined;
}

/** Socket errors in words: what it means, and the setting that is usually wrong. */
function connectionText(error: unknown, text: string, at: string): string {
  const code = String((error as NodeJS.ErrnoException | undefined)?.code ?? "");
  if (code === "ECONNREFUSED" || /ECONNREFUSED/.test(text)) return `nothing listens at ${at}. Check that the broker runs and that address and port are right.`;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN" || /ENOTFOUND|EAI_AGAIN/.test(text)) return `the host name of ${at} cannot be resolved. Check the name; it is what the broker advertises (advertised.listeners) if you did not enter it.`;
  if (/EHOSTUNREACH|ENETUNREACH/.test(code + text)) return `there is no route to ${at}. Check network and firewall.`;
  // An alert is what the broker says of us, not we of the broker.
  if (/alert (bad certificate|certificate (required|unknown|expired|revoked)|unsupported certificate|unknown ca|handshake failure|access denied)/i.test(text)) {
    return `${at} does not accept our certificate, or wants one and gets none (${tlsReason(text)}). Check the client certificate and key in the TLS configuration: the broker's ssl.truststore has to know who signed it.`;
  }
  if (/CERT|SELF_SIGNED|ALTNAME|ISSUER|UNABLE_TO_VERIFY|certificate/i.test(code + text)) {
    return `the certificate of ${at} is not accepted: ${tlsReason(text)}. Add the broker's CA to the TLS configuration, or check the server name.`;
  }
  if (/ERR_SSL|EPROTO|SSL routines|wrong version number|packet length too long/i.test(code + text)) {
    return `${at} does not speak TLS as we do (${tlsReason(text)}). Check that TLS is meant for this port, and the client certificate if the broker asks for one.`;
  }
  if ((error as Error | undefined)?.name === "KafkaJSRequestTimeoutError") return `${at} did not answer in time; the connection is made anew.`;
  if (/timeout|ETIMEDOUT/i.test(code + text)) return `${at} does not answer. Check address, network and firewall.`;
  if (/closed|ECONNRESET|EPIPE|not connected|disconnected/i.test(code + text)) {
    return `${at} closed the connection. If this lasts, the broker may expect TLS or SASL on this port, or another client may be refused by its limits.`;
  }
  return `the connection to ${at} failed: ${text}`;
}

function tlsReason(text: string): string {
  return text.replace(/^Connection error: /, "").replace(/^[0-9A-F]{8,}:error:[^:]*:[^:]*:[^:]*:/, "").split("\n")[0]?.split(":../")[0]?.trim() ?? text;
}
