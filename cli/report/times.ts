/**
 * Times as people read them.
 *
 * @module
 */

/**
 * Formats a time in this host's zone: `2026-12-01 08:00:00`.
 *
 * @param time The time in unix seconds.
 */
export function localTime(time: number): string {
  const date = new Date(time * 1000);
  // A Date does not cover all valid times.
  if (Number.isNaN(date.getTime())) return String(time);
  const two = (part: number) => String(part).padStart(2, "0");
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(two).join("-");
  const hour = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${day} ${hour}`;
}

/**
 * Formats a duration in its largest unit: `59s`, `3m`, `47h`, `2d`.
 *
 * @param seconds The duration.
 */
export function age(seconds: number): string {
  if (seconds < 60) return `${Math.max(Math.floor(seconds), 0)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
