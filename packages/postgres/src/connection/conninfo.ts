import { KeyframeError } from '@keyframe/contracts';

/**
 * Reads a `keyword=value` connection string the way libpq does: values may stand in single quotes, a backslash takes
 * the next character as it is. Errors never quote the text, which may hold a password.
 * @throws {KeyframeError} INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
 */
export function parseConnInfo(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  const assignment = /\s*([A-Za-z_]+)\s*=\s*/y;
  let position = 0;
  while (text.slice(position).trim() !== '') {
    assignment.lastIndex = position;
    const match = assignment.exec(text);
    if (match?.[1] === undefined) throw malformed(parameters.size + 1, 'it is not keyword=value');
    const { value, end } = readValue(text, assignment.lastIndex, parameters.size + 1);
    parameters.set(match[1], value);
    position = end;
  }
  return parameters;
}

function readValue(text: string, start: number, ordinal: number): { readonly value: string; readonly end: number } {
  const quoted = text[start] === "'";
  let value = '';
  let position = quoted ? start + 1 : start;
  for (; position < text.length; position += 1) {
    const character = text[position] ?? '';
    if (character === '\\') {
      position += 1;
      value += text[position] ?? '';
    } else if (quoted ? character === "'" : /\s/.test(character)) {
      return { value, end: position + 1 };
    } else value += character;
  }
  if (quoted) throw malformed(ordinal, 'its closing quote is missing');
  return { value, end: position };
}

function malformed(ordinal: number, reason: string): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `malformed parameter ${ordinal} of the connection string: ${reason}`, {
    hint: "Write the source url as postgresql://… or as host=… port=… user=…, values with blanks in '…'.",
  });
}
