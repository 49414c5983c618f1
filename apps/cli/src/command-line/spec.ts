/** How a command declares its options and positionals, and the types that follow from it. @packageDocumentation */

interface OptionBase {
  /** The long form, e.g. `--max-rate`. */
  readonly flag: `--${string}`;
  /** The one-letter form, e.g. `-D`. */
  readonly short?: `-${string}`;
  /** One line, lower case, no full stop. */
  readonly description: string;
}

interface ValueOption extends OptionBase {
  /** Name of the value in help: `--to <dir>`. */
  readonly value: string;
  /** In the text form a user would type; help shows it. */
  readonly default?: string;
  /** Missing is an error. */
  readonly required?: boolean;
}

/** `--force`: false unless given. */
export interface FlagOption extends OptionBase {
  readonly kind: 'boolean';
}

/** `--to <dir>`: text, or one of `choices`. */
export interface StringOption extends ValueOption {
  readonly kind: 'string';
  readonly choices?: readonly string[];
}

/** A whole number (`integer`), bytes from text like `64MiB` (`size`), or milliseconds from text like `5min` (`duration`). */
export interface NumberOption extends ValueOption {
  readonly kind: 'integer' | 'size' | 'duration';
  /** Smallest legal value, in the unit of the kind. Default 0. */
  readonly minimum?: number;
  readonly maximum?: number;
}

/** `--tablespace <from=to>`, any number of times: a list, empty when not given. */
export interface RepeatableOption extends OptionBase {
  readonly kind: 'repeatable';
  readonly value: string;
}

/** An option of any kind. */
export type OptionSpec = FlagOption | StringOption | NumberOption | RepeatableOption;

/** Keyed by the name under which `run` gets the value. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** An argument without a flag, in order. Optional ones come last, and one that takes all the rest is the last. */
export interface PositionalSpec {
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
  /** Any number of them: a list. */
  readonly variadic?: boolean;
}

type Absent<Spec> = Spec extends { default: string } | { required: true } ? never : undefined;

type OptionValue<Spec> = Spec extends { kind: 'boolean' }
  ? boolean
  : Spec extends { kind: 'repeatable' }
    ? readonly string[]
    : Spec extends { kind: 'string'; choices: readonly (infer Choice)[] }
      ? Choice | Absent<Spec>
      : Spec extends { kind: 'string' }
        ? string | Absent<Spec>
        : number | Absent<Spec>;

/** What `run` gets for those options. */
export type OptionValues<Specs> = { readonly [Name in keyof Specs]: OptionValue<Specs[Name]> };

/** What `run` gets for those positionals. */
export type PositionalValues<Specs extends readonly PositionalSpec[]> = {
  readonly [Spec in Specs[number] as Spec['name']]: Spec extends { variadic: true }
    ? readonly string[]
    : Spec extends { optional: true }
      ? string | undefined
      : string;
};
