/** The forms that values of config.yaml have: what is taken, and the text that the variable of the environment becomes. Pure. */
import { z } from "zod";
import { TicklakeError } from "../errors";
import { parseBrokers } from "../kafka/options";
import { parseDuration, parseSymbols } from "../units";

/** A form. */
export interface Form {
  /** Takes what YAML holds, every scalar as it is written; yields text. */
  readonly schema: z.ZodType<string>;
  /** What it takes, in a sentence: "takes a whole number". */
  readonly takes: string;
  /** A wrong value may be shown: it is a word or a number, never an address or text that somebody may have put a secret in. */
  readonly shown?: boolean;
  /** The words that it may be. */
  readonly choices?: readonly string[];
  /** A file or folder of this machine: relative ones are relative to the folder of config.yaml. */
  readonly place?: boolean;
}

/** What somebody writes as one word or number; editors may take numbers, too. */
const scalar = z.union([z.string(), z.number()]);
const VARIABLE = z.string().regex(/\$\{/);

/** A text that `read` turns into what the variable holds; what it throws is what is wrong, put after the key. */
function checked(input: z.ZodType<unknown>, read: (given: unknown) => string): z.ZodType<string> {
  return input.transform((given, context) => {
    try { return read(given); } catch (error) {
      context.issues.push({ code: "custom", message: (error as Error).message, input: given });
      return z.NEVER;
    }
  });
}

const wrong = (message: string): never => { throw new TicklakeError("CONFIG_INVALID", message); };

/** A block (`|`) ends with a line's end that nobody means. */
const withoutEnd = (given: unknown): string => String(given).replace(/[\r\n]+$/, "");

export const text = (): Form => ({ takes: "text", schema: checked(scalar, withoutEnd) });
export const place = (): Form => ({ takes: "the name of a file or folder", place: true, schema: checked(z.string(), withoutEnd) });

export function choice(...choices: string[]): Form {
  // A variable's value is known only when it is read.
  const input = z.union([z.enum(choices), VARIABLE]);
  return { takes: `one of ${choices.join(", ")}`, shown: true, choices, schema: input as z.ZodType<string> };
}

export function whole(least: number): Form {
  return {
    takes: "a whole number", shown: true,
    schema: checked(z.union([z.int().min(least), z.string()]), (given) => {
      const value = String(given).trim();
      if (!/^-?\d+$/.test(value) || !Number.isSafeInteger(Number(value))) wrong("is no whole number.");
      if (Number(value) < least) wrong(`is too small: the least is ${least}.`);
      return value;
    }),
  };
}

export function number(): Form {
  return { takes: "a number above 0", shown: true, schema: checked(z.union([z.number().positive(), z.string()]), (given) => (Number(given) > 0 && Number.isFinite(Number(given)) ? String(given).trim() : wrong("is no number above 0."))) };
}

export function duration(): Form {
  return {
    takes: 'a duration: seconds, or words such as "10 seconds"', shown: true,
    schema: checked(z.union([z.number().min(0), z.string()]), (given) => {
      try { parseDuration(String(given), ""); } catch { wrong('is no duration. Use seconds, or words such as "10 seconds", "500 ms", "1 minute".'); }
      return String(given).trim();
    }),
  };
}

const FLAGS: Readonly<Record<string, string>> = { true: "true", yes: "true", on: "true", false: "false", no: "false", off: "false" };

export function flag(): Form {
  return { takes: "true or false", shown: true, schema: checked(z.union([z.boolean(), z.string()]), (given) => FLAGS[String(given).trim().toLowerCase()] ?? wrong("is neither true nor false.")) };
}

export function url(...protocols: [string, string]): Form {
  const [safe] = protocols;
  return {
    takes: `an address: ${safe}//host/path`,
    schema: checked(z.string(), (given) => {
      const value = String(given).trim();
      // Every variable, and the whole address, is known by now.
      const parsed = URL.canParse(value) ? new URL(value) : wrong(`is no address. Write it as ${safe}//host/path.`);
      if (!protocols.includes(parsed.protocol) || parsed.hostname === "") wrong(`is no address that begins with ${protocols.map((one) => `${one}//`).join(" or ")}.`);
      if (parsed.username !== "" || parsed.password !== "") wrong("holds a user name or a password, which belong into keys of their own.");
      return value;
    }),
  };
}

const list = z.union([z.array(scalar), scalar]);
const joined = (given: unknown, by: string): string => (Array.isArray(given) ? given.map(String).join(by) : String(given));
const LIST = "a list, or text with blanks or commas between";

export function brokers(): Form {
  return {
    takes: LIST,
    schema: checked(list, (given) => {
      const all = joined(given, ",");
      // Not shown: it may be a secret.
      if (all.includes("@")) wrong("holds a user name, which belongs into sasl_username. Write host:port.");
      try { parseBrokers(all); } catch { wrong("has a broker that is no address. Write host:port, such as localhost:9092."); }
      return all.split(/[\s,;]+/).filter((one) => one !== "").join(",");
    }),
  };
}

export function symbols(): Form {
  return {
    takes: `${LIST}, or "*" for all`,
    schema: checked(list, (given) => {
      const all = parseSymbols(joined(given, " "));
      if (all.length === 0) wrong("is an empty list. Name a symbol, or leave the line out.");
      if (all.some((one) => one.length > 64)) wrong("has one with more than 64 characters.");
      return all.join(" ");
    }),
  };
}
