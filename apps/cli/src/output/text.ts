/** Plain text for people, on stdout. @packageDocumentation */

export type TextStyle = 'good' | 'warning' | 'bad' | 'dim' | 'strong';

/** What `renderText` writes to. Colour appears on a terminal only and never with NO_COLOR. */
export interface TextOutput {
  line(text?: string): void;
  /** Aligned columns; a heading row of `header`, left out when there are no rows. Numbers (`right`) are aligned right. */
  table(
    header: readonly string[],
    rows: readonly (readonly string[])[],
    options?: { readonly right?: readonly number[] },
  ): void;
  /** `name: value` lines with the values aligned; an `undefined` value drops its line. */
  fields(pairs: readonly (readonly [name: string, value: string | undefined])[]): void;
  style(style: TextStyle, text: string): string;
}
