import { allMajors, type Major, postgresMajors } from '@keyframe/testkit/postgres';

/** `KEYFRAME_TORTURE=full`: every major and the full numbers. */
export const isFull: boolean = process.env['KEYFRAME_TORTURE'] === 'full';

/** How much is done. The bounded form has both grammars of BASE_BACKUP (14 and later), and the newest major. */
export const EXTENT: { readonly majors: readonly Major[]; readonly targets: number; readonly kills: number } = isFull
  ? { majors: postgresMajors(allMajors), targets: 50, kills: 30 }
  : { majors: postgresMajors([14, 16, 18]), targets: 13, kills: 10 };
