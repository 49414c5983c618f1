/** One JSON document. A `bigint` becomes decimal text, a `Date` ISO 8601 text, a `Map` an object, a `Set` a list. */
export function toJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, replace, indent);
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  if (value instanceof Set) return [...(value as Set<unknown>)];
  return value;
}
