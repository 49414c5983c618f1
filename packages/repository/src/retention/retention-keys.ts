/** Prefix of the objects that say what of a cluster is expired. */
export function tombstonePrefix(cluster: string): string {
  return `clusters/${cluster}/tombstones/`;
}

/** Prefix of the objects that say what of a cluster must be kept. */
export function holdPrefix(cluster: string): string {
  return `clusters/${cluster}/holds/`;
}
