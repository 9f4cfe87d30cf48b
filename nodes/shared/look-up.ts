import type { NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import { adminEndpoint } from "./admin";
import { type Dialog, variableIn } from "./dialog";

/** A value that a dialog offers; `about` says more of it. */
export interface Choice { readonly value: string; readonly about?: string }

/** What a dialog asks for beside the list: `table` for its columns. */
export type Asked = Readonly<Record<string, unknown>>;

export interface LookUps<T> {
  /** What is offered, by the name of the list. */
  readonly lists: Readonly<Record<string, (of: T, asked: Asked) => Promise<readonly Choice[]>>>;
  /** Does the work with what is deployed. @throws TicklakeError where it is not */
  deployed<R>(id: string | undefined, work: (of: T) => Promise<R>): Promise<R>;
  /** Does the work with what a dialog says and nobody has deployed. Sends no saved secret to an address for which it was not saved. */
  undeployed<R>(dialog: Dialog, work: (of: T) => Promise<R>): Promise<R>;
}

/**
 * What dialogs may look up by a config node of this type: `GET ticklake/<type>/<id>/look-up/<list>` of the deployed one, for those who may read;
 * `POST ticklake/<type>/look-up/<list>` with `{dialog, asked}` by settings that are not deployed yet, for those who may write: it connects to where
 * they say. Both answer `{choices: [{value, about}]}`.
 */
export function lookUps<T>(RED: NodeAPI, type: string, { lists, deployed, undeployed }: LookUps<T>): void {
  const work = (name: string | undefined, asked: Asked) => async (of: T): Promise<{ choices: readonly Choice[] }> => {
    const list = Object.hasOwn(lists, name ?? "") ? lists[name!] : undefined;
    if (!list) throw new TicklakeError("CONFIG_INVALID", `${type} lists ${Object.keys(lists).join(", ")}; there is no list ${String(name)}.`);
    return { choices: await list(of, asked) };
  };
  adminEndpoint(RED, "get", `${type}/:id/look-up/:list`, `${type}.read`, ({ params, query }) => deployed(params["id"], work(params["list"], query)));
  adminEndpoint(RED, "post", `${type}/look-up/:list`, `${type}.write`, ({ params, body }) => {
    const { dialog = {}, asked = {} } = (body ?? {}) as { dialog?: Dialog; asked?: Asked };
    const later = variableIn(dialog);
    // Who may look at a dialog must not learn what a variable of this machine holds.
    if (later !== undefined) throw new TicklakeError("CONFIG_INVALID", `${later} is filled in at the deploy: deploy first.`);
    return undeployed(dialog, work(params["list"], asked));
  });
}
