import { asTicklakeError, TicklakeError } from "../errors";
import { withoutSecrets } from "../redact";
import type { Account } from "./account";
import { meaningOf, streamError, upgradeError } from "./protocol-errors";
import type { OpenSocket } from "./socket";

const TIMEOUT_MS = 10_000;

/**
 * Logs in and says goodbye.
 *
 * @throws TicklakeError saying what is wrong
 */
export function testStream(account: Account, open: OpenSocket): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const end = (error?: TicklakeError, text = ""): void => {
      clearTimeout(timer);
      socket.close();
      // A server that does not answer the goodbye.
      setTimeout(() => socket.terminate(), 1000).unref();
      if (error) reject(error);
      else resolve(text);
    };
    const timer = setTimeout(() => end(new TicklakeError("ALPACA_UNREACHABLE", `${account.url} did not answer within ${TIMEOUT_MS / 1000} s.`)), TIMEOUT_MS);
    const socket = open(account.url, { headers: {}, compression: false, handshakeTimeoutMs: TIMEOUT_MS }, {
      opened: () => undefined,
      pong: () => undefined,
      closed: (reason, status) => end(status === undefined ? new TicklakeError("ALPACA_UNREACHABLE", `${account.url} cannot be reached: ${withoutSecrets(reason, [account.secret, account.key])}.`) : upgradeError(status, account.url)),
      message: (data) => {
        try {
          for (const { T, msg, code } of JSON.parse(data.toString()) as { T?: unknown; msg?: unknown; code?: unknown }[]) {
            if (T === "success" && msg === "connected") socket.send(JSON.stringify({ action: "auth", key: account.key, secret: account.secret }));
            else if (T === "success" && msg === "authenticated") end(undefined, `Logged in to the feed ${account.label}.`);
            else if (T === "error" && meaningOf(code).action === "reauthenticate") end(undefined, `The feed ${account.label} answers; another connection of the account is open to it at present (a deployed alpaca-in?).`);
            else if (T === "error") end(streamError(code, withoutSecrets(String(msg), [account.secret, account.key]), account.label));
          }
        } catch (error) {
          end(asTicklakeError(new TicklakeError("ALPACA_UNREACHABLE", `${account.url} does not speak Alpaca's protocol.`, { cause: error })));
        }
      },
    });
  });
}
