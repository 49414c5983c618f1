// What open transactions did: a table by xid, and a list of effects for each.
import { EFFECT_BYTES, EFFECT_CAPACITY, EFFECTS, FOUND, NONE, XID_BYTES, XID_CAPACITY, XID_MASK, XIDS } from './layout';

/** Transactions and subtransactions that did something and have not ended. */
export let transactions: u32 = 0;
/** Effects that found no room. */
export let lost: u32 = 0;
let effectsUsed: u32 = 0;
let freeEffect: u32 = 0;
let cachedXid: u32 = 0;
let cachedRelation: u32 = NONE;
let cachedEffect: u32 = 0;
let cachedSlot: u32 = 0;

/** Where a transaction stands in the table; 0 for one that did nothing. */
export function findSlot(xid: u32): u32 {
  let slot = xid & XID_MASK;
  while (true) {
    const place = XIDS + slot * XID_BYTES;
    const found = load<u32>(place);
    if (found == xid) return place;
    if (found == 0) return 0;
    slot = (slot + 1) & XID_MASK;
  }
}

function makeSlot(xid: u32, low: u32, high: u32): u32 {
  if (transactions >= (XID_CAPACITY / 4) * 3) {
    lost++;
    return 0;
  }
  let slot = xid & XID_MASK;
  while (load<u32>(XIDS + slot * XID_BYTES) != 0) slot = (slot + 1) & XID_MASK;
  const place = XIDS + slot * XID_BYTES;
  store<u32>(place, xid);
  store<u32>(place, 0, 4);
  store<u32>(place, low, 8);
  store<u32>(place, high, 12);
  store<u32>(place, 0, 16);
  store<u32>(place, 0, 20);
  transactions++;
  return place;
}

/** Notes whose subtransaction `xid` is. */
export function noteTop(xid: u32, top: u32, low: u32, high: u32): void {
  if (xid == 0) return;
  let slot = findSlot(xid);
  if (slot == 0) slot = makeSlot(xid, low, high);
  if (slot != 0) store<u32>(slot, top, 16);
}

/** What `xid` did to a relation; 0 when there is no room for it. */
export function findEffect(xid: u32, relation: u32, low: u32, high: u32): u32 {
  if (cachedXid == xid) {
    if (cachedRelation == relation) return cachedEffect;
  } else {
    let slot = findSlot(xid);
    if (slot == 0) slot = makeSlot(xid, low, high);
    if (slot == 0) return 0;
    cachedXid = xid;
    cachedSlot = slot;
  }
  let before: u32 = 0;
  let effect = load<u32>(cachedSlot, 4);
  while (effect != 0 && load<u32>(effect) != relation) {
    before = effect;
    effect = load<u32>(effect, 24);
  }
  if (effect == 0) {
    effect = makeEffect(relation);
    if (effect == 0) {
      cachedXid = 0;
      return 0;
    }
    store<u32>(cachedSlot, load<u32>(cachedSlot, 20) + 1, 20);
    store<u32>(effect, load<u32>(cachedSlot, 4), 24);
    store<u32>(cachedSlot, effect as u32, 4);
  } else if (before != 0) {
    // To the front, so that a transaction of many relations finds those it works on.
    store<u32>(before, load<u32>(effect, 24), 24);
    store<u32>(effect, load<u32>(cachedSlot, 4), 24);
    store<u32>(cachedSlot, effect as u32, 4);
  }
  cachedRelation = relation;
  cachedEffect = effect;
  return effect;
}

function makeEffect(relation: u32): u32 {
  let effect = freeEffect;
  if (effect != 0) freeEffect = load<u32>(effect, 24);
  else {
    if (effectsUsed >= EFFECT_CAPACITY) {
      lost++;
      return 0;
    }
    effect = EFFECTS + effectsUsed++ * EFFECT_BYTES;
  }
  store<u32>(effect, relation);
  store<u64>(effect, 0, 4);
  store<u64>(effect, 0, 12);
  store<u32>(effect, NONE, 20);
  store<u32>(effect, 0, 24);
  return effect;
}

/** Takes a transaction out. Returns its first effect, 0 for none: to be given back by release(). Fills FOUND. */
export function finish(xid: u32): u32 {
  const slot = findSlot(xid);
  if (slot == 0) {
    memory.fill(FOUND, 0, 16);
    return 0;
  }
  const effect = load<u32>(slot, 4);
  store<u32>(FOUND, load<u32>(slot, 20));
  store<u32>(FOUND, load<u32>(slot, 16), 4);
  store<u64>(FOUND, load<u64>(slot, 8), 8);
  removeSlot(slot);
  return effect;
}

/** Takes a transaction out of the table by shifting back what came after, so that no probe meets a hole. */
export function removeSlot(place: u32): void {
  cachedXid = 0;
  cachedRelation = NONE;
  transactions--;
  let hole = ((place - XIDS) / XID_BYTES) as u32;
  let next = hole;
  while (true) {
    next = (next + 1) & XID_MASK;
    const from = XIDS + next * XID_BYTES;
    const xid = load<u32>(from);
    if (xid == 0) break;
    const distance = (next - (xid & XID_MASK)) & XID_MASK;
    if (distance < ((next - hole) & XID_MASK)) continue;
    memory.copy(XIDS + hole * XID_BYTES, from, XID_BYTES);
    hole = next;
  }
  store<u32>(XIDS + hole * XID_BYTES, 0);
}

/** Gives back the effects of a transaction. */
export function release(first: u32): void {
  if (first == 0) return;
  let last = first;
  for (let next = load<u32>(last, 24); next != 0; next = load<u32>(last, 24)) last = next;
  store<u32>(last, freeEffect as u32, 24);
  freeEffect = first;
}

/** Forgets transactions that began before all that still run: a crash took them. */
export function purge(oldest: u32): void {
  for (let slot: u32 = 0; slot < XID_CAPACITY; ) {
    const place = XIDS + slot * XID_BYTES;
    const xid = load<u32>(place);
    if (xid != 0 && ((xid - oldest) as i32) < 0) release(finish(xid));
    else slot++;
  }
}
