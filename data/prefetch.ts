/**
 * What a run file says of the loader, apart from it: who only reads a run file needs no image decoder.
 *
 * @module
 */

/** What batches made ahead may take. */
export const PREFETCH_BYTES = 1 << 29;
