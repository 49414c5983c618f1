/** The printed policies on a server that enforces them: each role does its own, and no more. @packageDocumentation */
import type { Store, StoreRole } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { needs } from '@keyframe/testkit/postgres';
import { createBucket, s3Request, type S3Server, startVersitygw } from '@keyframe/testkit/servers';
import { expect, test } from 'vitest';
import { openStore, ownerOf } from './support.ts';

const ROLES: readonly StoreRole[] = ['writer', 'restorer', 'pruner'];

interface Policy {
  readonly Statement: readonly {
    readonly Sid: string;
    readonly Action: readonly string[];
    readonly Resource: unknown;
  }[];
}

/** versitygw has users and bucket policies, where AWS would have a policy per user; it knows no conditions. */
async function grant(server: S3Server, bucket: string, owner: Store): Promise<void> {
  const statements = [];
  for (const role of ROLES) {
    const body = `<Account><Access>${role}</Access><Secret>${role}-secret</Secret><Role>user</Role></Account>`;
    const made = await s3Request(server, { method: 'PATCH', path: '/create-user', body });
    expect(made).toMatchObject({ status: 201 });
    const { Statement } = JSON.parse(owner.access?.policy(role).document ?? '') as Policy;
    for (const { Action, Resource } of Statement)
      statements.push({ Effect: 'Allow', Principal: { AWS: [role] }, Action, Resource });
  }
  const body = JSON.stringify({ Version: '2012-10-17', Statement: statements });
  const answer = await s3Request(server, { method: 'PUT', path: `/${bucket}?policy=`, body });
  expect(answer).toMatchObject({ status: expect.toBeOneOf([200, 204]), body: '' });
}

test('a writer writes, a restorer reads, a pruner removes', async (context) => {
  await needs(context, 'versitygw');
  await using server = await startVersitygw();
  await createBucket(server, 'shared');
  const place = { ...ownerOf(server, 'shared'), prefix: 'db', conditionalWrites: 'trust' };
  const owner = openStore(place);
  await grant(server, 'shared', owner);
  await openStore({ ...place, prefix: '' }).put('elsewhere', textOf('x'));
  const as = (role: StoreRole, other: object = {}): Store =>
    openStore({ ...place, accessKeyId: role, secretAccessKey: `${role}-secret`, ...other });
  const denied = { code: 'ACCESS_DENIED' };

  const writer = as('writer');
  await writer.put('clusters/main/1/backups/x/pack', textOf('bytes'), { ifAbsent: true });
  await writer.put('leases/main/0000000001', textOf('lease'), { ifAbsent: true });
  await writer.delete(['leases/main/0000000001']);
  await expect(writer.delete(['clusters/main/1/backups/x/pack'])).rejects.toMatchObject(denied);
  await expect(as('writer', { prefix: '' }).get('elsewhere')).rejects.toMatchObject(denied);

  const restorer = as('restorer');
  expect((await drain(await restorer.get('clusters/main/1/backups/x/pack'))).toString()).toBe('bytes');
  expect(await Array.fromAsync(restorer.list(''), ({ key }) => key)).toEqual(['clusters/main/1/backups/x/pack']);
  await expect(restorer.put('a', textOf('x'))).rejects.toMatchObject({
    ...denied,
    message: expect.stringContaining('s3:PutObject on shared/db/a is denied'),
    hint: expect.stringContaining('keyframe setup --store'),
  });
  await expect(restorer.delete(['clusters/main/1/backups/x/pack'])).rejects.toMatchObject(denied);

  const pruner = as('pruner');
  await pruner.delete(['clusters/main/1/backups/x/pack']);
  expect(await owner.stat('clusters/main/1/backups/x/pack')).toBeUndefined();
});
