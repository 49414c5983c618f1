/** What goes wrong with bodies, on either way. @packageDocumentation */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteStream } from '@keyframe/contracts';
import { type BodyStep, type ProxyFault, untilGone } from './faults.ts';

/** Bodies pass at this speed, each for itself, in both directions. */
export function bandwidth(bytesPerSecond: number): ProxyFault {
  const slowly: BodyStep = async function* (body, gone) {
    for await (const chunk of body) {
      await sleep((chunk.length / bytesPerSecond) * 1_000, undefined, { signal: gone });
      yield chunk;
    }
  };
  return { upload: slowly, download: slowly };
}

/** The connections break once `bytes` bytes of the request's body have passed. A shorter body passes whole. */
export function cutUpload(bytes: number): ProxyFault {
  return { upload: (body) => cutAfter(body, bytes) };
}

/** The answer breaks off once `bytes` bytes of its body have passed. A shorter body passes whole. */
export function cutBody(bytes: number): ProxyFault {
  return { download: (body) => cutAfter(body, bytes) };
}

async function* cutAfter(body: ByteStream, bytes: number): ByteStream {
  let left = bytes;
  for await (const chunk of body) {
    if (chunk.length > left) {
      if (left > 0) yield chunk.subarray(0, left);
      throw new Error(`cut after ${bytes} bytes`);
    }
    left -= chunk.length;
    yield chunk;
  }
}

/** The request is carried out; the client never hears of it. */
export function lostAcknowledgement(): ProxyFault {
  return { loseAnswer: true };
}

/** All bits of one byte of the answer's body arrive turned round. A shorter body is left alone. */
export function flippedByte(offsetBytes: number): ProxyFault {
  return { download: (body) => flipped(body, offsetBytes) };
}

/** All bits of one byte of the request's body arrive turned round. A shorter body is left alone. */
export function flippedUploadByte(offsetBytes: number): ProxyFault {
  return { upload: (body) => flipped(body, offsetBytes) };
}

async function* flipped(body: ByteStream, offsetBytes: number): ByteStream {
  let at = 0;
  for await (const chunk of body) {
    const here = offsetBytes - at;
    at += chunk.length;
    if (here < 0 || here >= chunk.length) {
      yield chunk;
      continue;
    }
    const damaged = Uint8Array.from(chunk);
    damaged[here] = (damaged[here] ?? 0) ^ 0xff;
    yield damaged;
  }
}

/** The answer's body stops after `bytes` bytes, and nothing is closed. */
export function stalledBody(bytes: number): ProxyFault {
  return {
    async *download(body, gone) {
      let left = bytes;
      for await (const chunk of body) {
        if (left > 0) yield chunk.subarray(0, left);
        left -= chunk.length;
        if (left < 0) await untilGone(gone);
      }
    },
  };
}
