import type { Token } from "./types";

/** What a token says: enough to tell, when its delivery is over, whether it was delivered or aborted. */
export interface TokenParts {
  /** Running number of the opened source: a redeployed source with the same node id is another one. */
  readonly instance: number;
  readonly partition: string;
  readonly epoch: number;
  readonly batch: number;
}

/** Every token begins with this; nothing else in `msg.delivery` is taken for one. */
export const TOKEN_MARK = "ticklake|";

/** Whether a value could be a token of some process (cheap: for the hot path). */
export function looksLikeToken(value: unknown): value is Token {
  return typeof value === "string" && value.startsWith(TOKEN_MARK);
}

/**
 * What the deliveries of one epoch of one partition of one opened source have in common, and no others: a source that was deployed anew counts its
 * epochs from the start again.
 */
export function epochOf(token: Token): string { return token.slice(0, token.lastIndexOf("|")); }

/**
 * Writes and reads the tokens of one process. `processId` keeps tokens of an earlier run (kept in a file, a retained MQTT
 * message, a context store) from being taken for ours: they are no tokens.
 */
export class Tokens {
  private readonly prefix: string;
  private ties = 0;

  constructor(processId: string) { this.prefix = `${TOKEN_MARK}${encodeURIComponent(processId)}|`; }

  delivery(source: string, parts: TokenParts): Token {
    return `${this.prefix}${encodeURIComponent(source)}|${parts.instance}|${encodeURIComponent(parts.partition)}|${parts.epoch}|${parts.batch}`;
  }

  /** The token of a message that belongs to several deliveries. */
  tie(): Token { return `${this.prefix}tie|${++this.ties}`; }

  isOurs(token: Token): boolean { return token.startsWith(this.prefix); }

  /** Undefined for tokens of ties and of other processes. */
  parse(token: Token): TokenParts | undefined {
    if (!this.isOurs(token)) return undefined;
    const fields = token.slice(this.prefix.length).split("|");
    if (fields.length !== 5) return undefined;
    const [, instance, partition, epoch, batch] = fields as [string, string, string, string, string];
    return { instance: Number(instance), partition: decodeURIComponent(partition), epoch: Number(epoch), batch: Number(batch) };
  }
}
