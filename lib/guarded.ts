/**
 * Events whose exceptions cost the teller nothing: what is durable stays durable, and no message is left half handled, whatever a listener throws. It is
 * told as a warning.
 *
 * @param names all events of `E`
 */
export function guarded<E extends { warn(text: string): void }>(events: E, names: readonly (keyof E)[]): E {
  const guard = (name: keyof E) => (...args: unknown[]): void => {
    try {
      (events[name] as (...args: unknown[]) => void)(...args);
    } catch (error) {
      try { events.warn(`Telling of it failed: ${error instanceof Error ? error.message : String(error)}`); } catch { /* nobody is left to tell */ }
    }
  };
  return Object.fromEntries(names.map((name) => [name, guard(name)])) as E;
}
