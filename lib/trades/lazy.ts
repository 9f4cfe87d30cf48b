/**
 * Payloads that become objects only when somebody reads them. Between our own nodes trades travel as columns or bytes; a
 * function node that reads `msg.payload` gets plain objects, and what it changes is what counts from then on.
 */

/** What stands behind a payload that nobody has read yet. Its makers subclass it; our nodes recognise theirs by `instanceof`. */
export interface LazyPayload {
  /** Length that the list will have. */
  readonly length: number;
  /** The plain objects, made anew on every call: several messages may stand on one payload, and none sees what another changes. */
  materialise(): unknown[];
}

type Getter = () => unknown;

const behind = new WeakMap<Getter, LazyPayload>();

/** Makes `payload` of a message a property that is made of `lazy` when it is first read, and is an ordinary one from then on. Returns `msg`. */
export function setLazyPayload<M extends object>(msg: M, lazy: LazyPayload): M {
  const become = (target: object, value: unknown): void => {
    Object.defineProperty(target, "payload", { value, writable: true, enumerable: true, configurable: true });
  };
  // `this` is the message on which it is read: one that was made from ours by Object.create, say, becomes itself.
  const get = function (this: object): unknown {
    const value = lazy.materialise();
    become(this, value);
    return value;
  };
  behind.set(get, lazy);
  Object.defineProperty(msg, "payload", { get, set(this: object, value: unknown) { become(this, value); }, enumerable: true, configurable: true });
  return msg;
}

/** What stands behind the payload of a message, if nobody has read it yet; reading this does not make it objects. */
export function lazyPayload(msg: object): LazyPayload | undefined {
  const get = Object.getOwnPropertyDescriptor(msg, "payload")?.get;
  return get && behind.get(get);
}
