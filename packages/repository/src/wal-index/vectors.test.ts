import { expect, test } from 'vitest';
import vectors from '../../../../docs/format/vectors.json' with { type: 'json' };
import { decodeBlocks, decodeDetails, decodeSummary } from './index-codec.ts';

interface RelationName {
  readonly tablespace: number;
  readonly database: number;
  readonly relfilenode: number;
}

const flat = ({ tablespace, database, relfilenode }: RelationName) => [tablespace, database, relfilenode];

test.each(vectors.walIndex)(
  'the vector of version $version of the WAL index tells what it must',
  ({ frames, tells }) => {
    const [summaryBytes = '', ...others] = frames;
    const at = (number: number) => Buffer.from(others[number] ?? '', 'hex');
    const { segments, relations, detailFrames, outline } = decodeSummary(Buffer.from(summaryBytes, 'hex'), 'x');
    expect(parsed(outline)).toEqual(Object(tells.summary)['outline']);
    expect([detailFrames, relations.map(flat)]).toEqual([tells.summary.detailFrames, tells.summary.relations]);
    let offset = 0;
    for (const [number, { summary, detailBytes }] of segments.entries()) {
      const known = tells.summary.segments[number];
      const { records, commits, aborts, times, xids, fault } = summary;
      expect({ detailBytes, records, commits, aborts }).toEqual({
        detailBytes: known?.detailBytes,
        records: known?.records,
        commits: known?.commits,
        aborts: known?.aborts,
      });
      expect(times && [times.first, times.last].map(Number)).toEqual(known?.times);
      expect(xids && [xids.lowest, xids.highest]).toEqual(known?.xids);
      expect(fault && [Number(fault.at), fault.reason, fault.message]).toEqual(known?.fault);
      expect(summary.relations.map(rows)).toEqual(known?.tables);
      const bytes = at(0).subarray(offset, offset + detailBytes);
      expectDetails(decodeDetails(bytes, summary, relations, 'x'), tells.details[number]);
      offset += detailBytes;
    }
    const blocks = decodeBlocks(at(detailFrames), relations, 'x');
    expect(blocks.map(({ relation, fork, blocks: numbers }) => [flat(relation), fork, [...numbers]])).toEqual(
      tells.blocks,
    );
  },
);

const parsed = (bytes: Uint8Array | undefined): unknown =>
  bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString());

type Details = ReturnType<typeof decodeDetails>;

const rows = ({ relation, inserted, updated, deleted, pages }: Details['relations'][number]) => [
  flat(relation),
  inserted,
  updated,
  deleted,
  pages,
];

function expectDetails({ transactions, folded, facts, notes }: Details, known: unknown): void {
  const some = <Item>(name: string, items: readonly Item[]) => (items.length === 0 ? {} : { [name]: items });
  expect({
    transactions: transactions.map((each) => ({
      xid: each.xid,
      lsn: Number(each.lsn),
      end: Number(each.endLsn),
      first: Number(each.firstLsn),
      time: Number(each.timeMicros),
      flags: (each.outcome === 'abort' ? 1 : 0) + (each.prepared ? 2 : 0) + (each.partial ? 4 : 0),
      database: each.database,
      tables: each.tables.map(rows),
      ...(each.topXid === 0 ? {} : { top: each.topXid }),
      ...some('subtransactions', each.subtransactions),
      ...some('made', each.created.map(flat)),
      ...some('removed', each.dropped.map(flat)),
      ...some('truncated', each.truncated),
      ...some(
        'messages',
        each.messages.map(({ lsn, prefix, sizeBytes }) => [Number(lsn), prefix, sizeBytes]),
      ),
    })),
    folded: folded.map((each) => ({
      flags: (each.outcome === 'abort' ? 1 : 0) + (each.partial ? 4 : 0),
      count: each.count,
      lsn: Number(each.firstLsn),
      lastLsn: Number(each.lastLsn),
      time: Number(each.firstTimeMicros),
      lastTime: Number(each.lastTimeMicros),
      xids: [each.lowestXid, each.highestXid],
      tables: each.tables.map(rows),
    })),
    facts: JSON.parse(
      JSON.stringify(facts, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ),
    notes: notes === undefined ? null : JSON.parse(Buffer.from(notes).toString()),
  }).toEqual(known);
}
