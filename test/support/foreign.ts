import type { SharedS3 } from "./s3";

type Store = Pick<SharedS3, "endpoint" | "accessKey" | "secretKey">;

/** PyIceberg's properties of a store. */
export function pyicebergProperties({ endpoint, accessKey, secretKey }: Store): Record<string, string> {
  return { "s3.endpoint": endpoint, "s3.access-key-id": accessKey, "s3.secret-access-key": secretKey, "s3.region": "us-east-1" };
}

/** DuckDB's statement that makes a store known. */
export function duckdbSecret({ endpoint, accessKey, secretKey }: Store): string {
  return `CREATE SECRET (TYPE s3, KEY_ID '${accessKey}', SECRET '${secretKey}', ENDPOINT '${endpoint.replace(/^https?:\/\//, "")}', URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')`;
}
