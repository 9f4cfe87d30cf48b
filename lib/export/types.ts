/** A flow's job in words that any engine has. Pure types. */
import type { FlowNode } from "../cli/prepare-flow";
import type { StartingOffsets } from "../kafka/source/config";
import type { Schema } from "../iceberg/types";
import type { Codec } from "../iceberg/types";
import type { TradeNames } from "../trades/types";

export type { FlowNode } from "../cli/prepare-flow";

/** What a job can be written as. */
export const EXPORT_FORMATS = ["spark-sql", "pyspark", "flink-sql"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** A node as the editor has it; `credentialsSet` names the credentials that have a value, never the values. */
export type ExportNode = FlowNode & { readonly credentialsSet?: readonly string[] };

/** How a Kafka cluster is reached. Texts may hold `${NAME}`: variables that are not known here. */
export interface ClusterSettings {
  readonly brokers: string;
  readonly saslMechanism: "none" | "plain" | "scram-sha-256" | "scram-sha-512" | "oauthbearer";
  readonly oauthTokenEndpoint: string;
  readonly oauthScope: string;
  readonly tls: TlsSettings | undefined;
}

export interface TlsSettings { readonly ca: string; readonly cert: string; readonly key: string; readonly verify: boolean }

export interface SourceSettings {
  readonly name: string;
  readonly cluster: ClusterSettings;
  readonly topics: readonly string[];
  readonly groupId: string;
  readonly starting: StartingOffsets;
}

/** What becomes of a record: trades are flattened and checked; other records are taken by the columns of the table. */
export type Transform = { readonly kind: "trades"; readonly names: TradeNames } | { readonly kind: "rows"; readonly schema: Schema };

export interface CatalogDescription {
  readonly name: string;
  readonly type: "hadoop" | "rest";
  /** hadoop: an absolute folder or `s3://...`; rest: the name that the server knows, or empty. */
  readonly warehouse: string;
  readonly uri: string;
  readonly s3Endpoint: string;
  readonly s3Region: string;
  readonly s3PathStyle: boolean;
  readonly sigv4: boolean;
  readonly auth: "none" | "token" | "oauth2";
  /** Passed on as they are; without secrets. */
  readonly properties: Readonly<Record<string, string>>;
}

export interface IcebergTarget {
  readonly kind: "iceberg";
  readonly catalog: CatalogDescription;
  /** Without the catalog: `["db", "flattened_stocks"]`. */
  readonly table: readonly string[];
  readonly create: boolean;
  readonly schema: Schema;
  /** Transforms with their columns, as `parsePartitionBy` reads them. */
  readonly partitionBy: string;
  readonly codec: Codec;
}

export interface KafkaTarget {
  readonly kind: "kafka";
  readonly cluster: ClusterSettings;
  readonly topic: string;
  readonly key: string;
  readonly compression: string;
  readonly transactional: boolean;
  readonly transactionalIdPrefix: string;
}

/** One job: from a topic to a table or to another topic. */
export interface Job {
  /** The node that was asked, by type and name. */
  readonly title: string;
  readonly flow: string;
  readonly source: SourceSettings;
  readonly transform: Transform;
  readonly target: IcebergTarget | KafkaTarget;
  /** Milliseconds. */
  readonly intervalMs: number;
  /** Variables of the flow whose defaults stand in the job. */
  readonly variables: ReadonlyMap<string, string>;
  /** What no engine would be told, in sentences. */
  readonly notCarried: readonly string[];
}

/** A job as text, to be shown and saved. */
export interface ExportedJob { readonly text: string; readonly fileName: string }
