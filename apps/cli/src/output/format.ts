/** Figures as people read them. @packageDocumentation */
export { formatDuration, formatSize } from '@keyframe/runtime/units';

/** `2026-11-24 05:32:48.123456 UTC`: a time in ISO 8601 text keeps every digit of its fraction that says something. */
export function formatTime(time: Date | string): string {
  const text = typeof time === 'string' && time.endsWith('Z') ? time : new Date(time).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, -1).replace(/\.?0+$/, (zeros) => (text.includes('.') ? '' : zeros))} UTC`;
}
