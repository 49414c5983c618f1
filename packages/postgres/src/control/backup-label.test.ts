import { hasCode } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { fullBackupLabel, parseBackupLabel } from './backup-label.ts';

const LABEL = `START WAL LOCATION: 16/B3000028 (file 0000000200000016000000B3)
CHECKPOINT LOCATION: 16/B3000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-03 14:05:59 UTC
LABEL: nightly: with a colon
START TIMELINE: 2
`;

describe('parseBackupLabel', () => {
  it('reads every line', () => {
    expect(parseBackupLabel(LABEL)).toEqual({
      startLsn: 0x16_b300_0028n,
      startSegment: '0000000200000016000000B3',
      checkpointLsn: 0x16_b300_0060n,
      timeline: 2,
      label: 'nightly: with a colon',
      startTime: '2026-11-03 14:05:59 UTC',
      method: 'streamed',
      from: 'primary',
      stopLsn: undefined,
      stopTime: undefined,
      incrementalFromLsn: undefined,
    });
  });

  it('reads the stop lines of a backup history file', () => {
    const history = `${LABEL}STOP WAL LOCATION: 16/B3000138 (file 0000000200000016000000B3)\nSTOP TIME: 2026-11-03 14:06:03 UTC\nSTOP TIMELINE: 2\n`;
    expect(parseBackupLabel(history)).toMatchObject({ stopLsn: 0x16_b300_0138n, stopTime: '2026-11-03 14:06:03 UTC' });
  });

  it('tells an incremental backup of a standby', () => {
    const text = `${LABEL.replace('FROM: primary', 'FROM: standby')}INCREMENTAL FROM LSN: 16/A0000028\nINCREMENTAL FROM TLI: 2\n`;
    expect(parseBackupLabel(text)).toMatchObject({ from: 'standby', incrementalFromLsn: 0x16_a000_0028n });
  });

  it.each(['START WAL LOCATION', 'CHECKPOINT LOCATION', 'BACKUP FROM', 'START TIMELINE', 'LABEL'])(
    'refuses a label without %s',
    (line) => {
      const text = LABEL.split('\n')
        .filter((each) => !each.startsWith(`${line}:`))
        .join('\n');
      expect(caught(() => parseBackupLabel(text))).toSatisfy((error) => hasCode(error, 'CORRUPT'));
    },
  );

  it('refuses a damaged LSN as corrupt, not as a bad option', () => {
    const text = LABEL.replace('16/B3000060', '16-B3000060');
    expect(caught(() => parseBackupLabel(text))).toSatisfy((error) => hasCode(error, 'CORRUPT'));
  });
});

function caught(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe('fullBackupLabel', () => {
  it('drops the lines that only an incremental base backup has, and no other byte', () => {
    const odd = Buffer.concat([Buffer.from(LABEL), Buffer.of(0xe9, 0x0a)]);
    const incremental = Buffer.concat([
      odd,
      Buffer.from('INCREMENTAL FROM LSN: 16/B2000028\nINCREMENTAL FROM TLI: 2\n'),
    ]);
    expect(fullBackupLabel(incremental)).toEqual(odd);
    expect(fullBackupLabel(odd)).toEqual(odd);
  });
});
