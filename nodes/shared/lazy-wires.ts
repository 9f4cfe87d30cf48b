import { lazyPayload, setLazyPayload } from "../../lib/trades/lazy";

/** What the runtime is about to route, before it clones the message for a second wire. */
export interface RouteEvent { msg: object; cloneMessage: boolean }

/**
 * Clones a message whose payload nobody has read, in the place of the runtime, whose clone would read it: both messages stand on the same payload then, and each
 * makes objects of its own if somebody reads it. Two sinks behind one node cost no objects that way.
 */
export function shareUnread(event: RouteEvent, clone: (msg: object) => object): void {
  if (!event.cloneMessage) return;
  const { msg } = event;
  const lazy = lazyPayload(msg);
  if (!lazy) return;
  // Not deleted, so that the properties keep their order.
  Object.defineProperty(msg, "payload", { value: undefined, writable: true, enumerable: true, configurable: true });
  try {
    event.msg = setLazyPayload(clone(msg), lazy);
    event.cloneMessage = false;
  } finally {
    setLazyPayload(msg, lazy);
  }
}
