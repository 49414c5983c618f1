/**
 * Gives the memory of bytes back that nobody will read again. Left to the garbage collector, the content of every few
 * hundred frames would bring on a collection, a sixth of the CPU of a restore. Bytes that share their memory are left alone.
 */
export function letGo({ buffer, length }: Uint8Array): void {
  if (length === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
