/** Properties of Kafka's Java client, which Spark and Flink read and write with. Pure. */
import type { ClusterSettings, TlsSettings } from "./types";

/** How an engine names what differs between them. */
export interface ClientEnvironment {
  /** Where the classes of Kafka's client are. */
  readonly packages: string;
  /** A secret of the environment, as the text of a property. */
  secret(name: string): string;
}

/** Properties without prefix, in a good order to read. Secrets are references to the environment. */
export function clientProperties(cluster: ClusterSettings, { packages, secret }: ClientEnvironment): readonly (readonly [string, string])[] {
  const sasl = cluster.saslMechanism !== "none";
  const properties: [string, string][] = [["bootstrap.servers", cluster.brokers]];
  if (sasl || cluster.tls) properties.push(["security.protocol", `${sasl ? "SASL_" : ""}${cluster.tls ? "SSL" : "PLAINTEXT"}`]);
  if (cluster.tls) properties.push(...tlsProperties(cluster.tls));
  if (!sasl) return properties;
  const module = (name: string, options: string): [string, string] => ["sasl.jaas.config", `${packages}org.apache.kafka.common.security.${name} required ${options};`];
  const [user, password] = [`"${secret("KAFKA_SASL_USERNAME")}"`, `"${secret("KAFKA_SASL_PASSWORD")}"`];
  properties.push(["sasl.mechanism", cluster.saslMechanism.toUpperCase()]);
  if (cluster.saslMechanism !== "oauthbearer") {
    properties.push(module(cluster.saslMechanism === "plain" ? "plain.PlainLoginModule" : "scram.ScramLoginModule", `username=${user} password=${password}`));
    return properties;
  }
  const scope = cluster.oauthScope === "" ? "" : ` scope="${cluster.oauthScope}"`;
  properties.push(
    module("oauthbearer.OAuthBearerLoginModule", `clientId=${user} clientSecret=${password}${scope}`),
    ["sasl.oauthbearer.token.endpoint.url", cluster.oauthTokenEndpoint || "https://TOKEN-ENDPOINT"],
    ["sasl.login.callback.handler.class", `${packages}org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler`],
  );
  return properties;
}

function tlsProperties({ ca, cert, key, verify }: TlsSettings): [string, string][] {
  return [
    ...(ca === "" ? [] : [["ssl.truststore.type", "PEM"], ["ssl.truststore.location", ca]] as [string, string][]),
    // Java wants key and certificates in one file.
    ...(cert === "" || key === "" ? [] : [["ssl.keystore.type", "PEM"], ["ssl.keystore.location", `${key}+cert.pem`]] as [string, string][]),
    ...(verify ? [] : [["ssl.endpoint.identification.algorithm", ""]] as [string, string][]),
  ];
}

/** What the properties cannot say. */
export function clientNotes(cluster: ClusterSettings): string[] {
  const notes: string[] = [];
  if (cluster.saslMechanism !== "none") notes.push("Name and password of SASL are in the credentials of kafka-broker and never exported: set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD where the job runs.");
  if (cluster.saslMechanism === "oauthbearer" && cluster.oauthTokenEndpoint === "") notes.push("kafka-broker has a token, and no address for tokens: Java's client fetches its tokens from one. Enter it for TOKEN-ENDPOINT.");
  if (cluster.tls && cluster.tls.ca === "") notes.push("The certificates of the TLS configuration: those of Java hold. A CA of your own goes into ssl.truststore.location (PEM).");
  if (cluster.tls?.cert && cluster.tls.key) notes.push(`The client's certificate: put key and certificate into one PEM file, ${cluster.tls.key}+cert.pem.`);
  if (cluster.tls && !cluster.tls.verify) notes.push("The server's certificate is not verified in the flow: Java's client goes on checking who signed it.");
  return notes;
}
