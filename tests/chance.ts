/**
 * Makes bytes that look like chance and are the same in every run (mulberry32).
 *
 * @param seed Where to begin.
 * @returns A function that gives so many more of them, a character a byte.
 */
export function chance(seed: number): (length: number) => string {
  const byte = () => {
    seed = seed + 0x6d2b79f5 | 0;
    let bits = Math.imul(seed ^ seed >>> 15, 1 | seed);
    bits = bits + Math.imul(bits ^ bits >>> 7, 61 | bits) ^ bits;
    return String.fromCharCode((bits ^ bits >>> 14) & 255);
  };
  return (length) => Array.from({ length }, byte).join("");
}
