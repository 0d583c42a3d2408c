import { timingSafeEqual as compare } from "@std/crypto/timing-safe-equal";

/**
 * Compares bytes in a time that does not depend on their values.
 *
 * @returns Whether they are equal.
 */
export const timingSafeEqual: (one: ArrayBuffer, other: ArrayBuffer) => boolean = compare;
