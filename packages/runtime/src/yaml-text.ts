import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { KeyPath } from './problems.ts';

/** A place in a text, both from 1. */
export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

/** YAML or JSON that was read; syntax errors are data here. */
export interface ParsedText {
  readonly data: unknown;
  readonly errors: ReadonlyArray<TextPosition & { readonly message: string }>;
  /** Place of the value at that path; of its nearest ancestor when it is not there. */
  readonly positionOf: (path: KeyPath) => TextPosition;
}

/** Reads YAML 1.2, of which JSON is a part. */
export function parseText(text: string): ParsedText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const position = (offset: number): TextPosition => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const errors = [...document.errors, ...document.warnings].map(({ pos, message }) => {
    const { line, column } = position(pos[0]);
    return { line, column, message };
  });
  return {
    data: errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 100 }),
    errors,
    positionOf: (path) =>
      position(offsetOf(document.contents, path, (node) => (isAlias(node) ? node.resolve(document) : node))),
  };
}

type Resolve = (node: Node | undefined) => Node | undefined;

function offsetOf(root: Node | null, path: KeyPath, resolve: Resolve): number {
  let node = resolve(root ?? undefined);
  let offset = node?.range?.[0] ?? 0;
  for (const key of path) {
    const step = child(node, key);
    if (step === undefined) return offset;
    offset = step.offset ?? offset;
    node = resolve(step.node);
  }
  return offset;
}

/** The offset is that of the key in a map: it exists even when the value does not. */
function child(node: Node | undefined, key: string | number): { offset?: number | undefined; node?: Node } | undefined {
  if (isSeq(node) && typeof key === 'number') {
    const item = node.items[key];
    return isNode(item) ? { offset: item.range?.[0], node: item } : undefined;
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
  if (pair === undefined) return undefined;
  return {
    offset: isNode(pair.key) ? pair.key.range?.[0] : undefined,
    ...(isNode(pair.value) ? { node: pair.value } : {}),
  };
}
