import { pooledMap as pool } from "@std/async/pool";

/**
 * Maps items with a limited number of calls at once.
 *
 * @param limit How many calls may be pending at once.
 * @returns The results, in the order of the items.
 */
export const pooledMap: <T, R>(
  limit: number,
  items: Iterable<T>,
  map: (item: T) => Promise<R>,
) => AsyncIterable<R> = pool;
