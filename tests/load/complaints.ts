/** What a daemon logs when clients that do not read make it cut connections, those of others among them. */
export const CUTTING = /^\S+ WARNING too many unread responses: /m;

/**
 * What a daemon has logged that is more than news: it had no reason to.
 *
 * @param log Its log.
 * @param expected What it had a reason to log.
 */
export function complaints(log: string, expected = /^$/): string[] {
  return log.split("\n").filter((line) =>
    line !== "" && !/^\S+ INFO /.test(line) && !expected.test(line)
  ).map((line) => `the daemon logged: ${line}`);
}
