/**
 * The core as a plain library: nothing here knows of Node-RED.
 *
 * @example Append rows to an Iceberg table in a folder, and ask it.
 * ```js
 * const { openCatalog, parseIdentifier, TRADES_SCHEMA, parsePartitionBy, ColumnAccumulator, encodeBatch, writeDataFiles, append, SqlEngine, CatalogTables } = require("@ticklake/node-red-ticklake");
 * const catalog = openCatalog({ catalogName: "local", warehouse: "./warehouse" }, process.cwd());
 * const spec = parsePartitionBy("truncate[86400000](timestamp)", TRADES_SCHEMA);
 * const table = await catalog.createTable(parseIdentifier("db.trades", "local"), { schema: TRADES_SCHEMA, spec });
 * const columns = new ColumnAccumulator(TRADES_SCHEMA);
 * const { from, to } = columns.append(trades, (row, index, reason) => console.warn(index, reason));
 * const files = encodeBatch({ batch: columns.take([[from, to]]), schema: TRADES_SCHEMA, spec, codec: "snappy" });
 * await append(table, { files: await writeDataFiles(table, files, spec["spec-id"]) });
 * ```
 */
export * from "./errors";
export { parseDuration, parseSymbols } from "./units";

// Trades
export type { KafkaRecord, RawTrade, ReadableTrade, Trade, TradeId, TradeNames } from "./trades/types";
export { SyntheticTrades, type PriceModel, type SyntheticOptions, type Window } from "./trades/synthetic";
export { explode, type Exploded, type ExplodeContext, type ExplodeOptions, type Reject } from "./trades/explode";
export { EXCHANGES, TAPES, conditionName } from "./trades/codes";

// Kafka
export type {
  Compression, ConsumerEvents, ConsumerOptions, KafkaAdmin, KafkaClient, KafkaConsumer, KafkaOptions, KafkaProducer, OutgoingRecord, PartitionOffset, Produced, ProducerOptions,
  RecordBatch, RecordSet, TopicDescription, TopicPartition, TransactionalOptions, TransactionalProducer,
} from "./kafka/types";
export { openKafka } from "./kafka/client";
export { RecordBatchBuilder } from "./kafka/records/builder";
export { decodeRecords } from "./kafka/records/decode";

// Alpaca
export { parseAccount, type Account, type AccountSettings } from "./alpaca/account";
export { MarketClock, tradingDay, type TradingDay } from "./alpaca/calendar";
export { History, RateLimit, type HistoryPage, type HistoryRequest } from "./alpaca/history";
export { Session, TIMINGS, type SessionDeps, type SessionEvents, type SessionOptions, type Timings } from "./alpaca/session";
export { openWebSocket } from "./alpaca/socket";
export { FrameReader, type FrameSink } from "./alpaca/frames";

// Iceberg
export type { Codec, DataFile, PartitionSpec, Schema, Snapshot, TableIdentifier, TableMetadata } from "./iceberg/types";
export { inferSchema, parseSchema, TRADES_PARTITION_BY, TRADES_READABLE_SCHEMA, TRADES_SCHEMA } from "./iceberg/schema";
export { parsePartitionBy } from "./iceberg/transforms";
export type { Catalog, CreateTable, Table, TableState } from "./iceberg/catalog/types";
export { openCatalog, type CatalogCredentials, type CatalogSettings, type OpenCatalogOptions } from "./iceberg/catalog/open";
export { parseIdentifier } from "./iceberg/catalog/identifier";
export { loadTableFromMetadata } from "./iceberg/catalog/static";
export type { FileIO } from "./iceberg/io/types";
export { openFileIO, type FileIOProperties } from "./iceberg/io/open";
export { LocalFileIO } from "./iceberg/io/local";
export { ColumnAccumulator } from "./iceberg/columns";
export { encodeBatch, EncoderPool } from "./iceberg/parquet";
export { writeDataFiles } from "./iceberg/data-files";
export { append, type AppendRequest, type CommittedAppend } from "./iceberg/commit";
export { planScan, type ScanPlan, type ScanRequest } from "./iceberg/scan/plan";

// SQL
export { SqlEngine, type QueryRequest, type QueryResult } from "./sql/engine";
export { CatalogTables } from "./sql/catalog-tables";
export { isCall, type ParsedCall } from "./sql/call-parser";
export { type CallRequest, type CallResult, runCall } from "./sql/call";

// Delivery
export type * from "./delivery/types";
export { Ledger, type LedgerOptions } from "./delivery/ledger";

// Jobs for other engines
export { EXPORT_FORMATS, exportJob, type ExportedJob, type ExportFormat, type ExportNode } from "./export";
