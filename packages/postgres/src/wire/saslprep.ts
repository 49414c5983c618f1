/**
 * Normalises passwords for SCRAM as PostgreSQL does: a text that SASLprep forbids is used as it is.
 * @see https://www.rfc-editor.org/rfc/rfc4013
 * @see src/common/saslprep.c in PostgreSQL
 * @packageDocumentation
 */

// RFC 3454 tables: C.1.2 other spaces; B.1 commonly mapped to nothing.
const OTHER_SPACE = /[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/gu;
const NOTHING = /[\u00AD\u1806\u200C\u2060\uFEFF]|\u034F|[\u180B-\u180D]|\u200D|[\uFE00-\uFE0F]/gu;
// C.2 control, C.3 private use, C.4 non-characters, C.5 surrogates, C.6 and C.7 inappropriate, C.8 display, C.9 tags.
const PROHIBITED: readonly RegExp[] = [
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]/u,
  /[\u06DD\u070F\u180E\u2028\u2029\u2061-\u2063\u206A-\u206F\uFFF9-\uFFFD\u2FF0-\u2FFB\u200E\u200F\u202A-\u202E]/u,
  /[\u{1D173}-\u{1D17A}\u{E0001}\u{E0020}-\u{E007F}]/u,
  /[\u0340\u0341]/u,
];
// RandALCat and LCat, by script: the tables of Unicode 3.2 list their characters one by one.
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}]/u;
const LEFT_TO_RIGHT = /(?![\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}])\p{L}/u;

/** The password to hash. */
export function saslprep(password: string): string {
  if (/^[\x20-\x7E]*$/.test(password)) return password;
  const prepared = password.replaceAll(OTHER_SPACE, ' ').replaceAll(NOTHING, '').normalize('NFKC');
  return isAllowed(prepared) ? prepared : password;
}

function isAllowed(text: string): boolean {
  if (text === '' || PROHIBITED.some((characters) => characters.test(text))) return false;
  if (!RIGHT_TO_LEFT.test(text)) return true;
  const ends = new RegExp(`^${RIGHT_TO_LEFT.source}(?:.*${RIGHT_TO_LEFT.source})?$`, 'su');
  return !LEFT_TO_RIGHT.test(text) && ends.test(text);
}
