import { describeContract, storeCases } from '@keyframe/testkit';
import { describe, it } from 'vitest';
import { testMirror } from './mirrored-store.fixture.ts';

describeContract({ describe, it }, 'a store of three with a quorum', storeCases, async () =>
  (await testMirror()).open(),
);
describeContract({ describe, it }, 'a store of two that must both have it', storeCases, async () =>
  (await testMirror('ab')).open(),
);
describeContract({ describe, it }, 'a store of three with a lead', storeCases, async () =>
  (await testMirror()).open({ rule: { quorum: 1, lead: 'b' } }),
);
describeContract({ describe, it }, 'a store of three of which each must answer', storeCases, async () =>
  (await testMirror()).open({ strict: true }),
);
