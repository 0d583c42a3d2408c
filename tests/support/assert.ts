/**
 * The assertions of @std/assert that the tests use, with their types.
 *
 * @module
 */

import * as untyped from "@std/assert";

/** Fails unless a value is truthy. */
export const assert: (value: unknown, message?: string) => asserts value = untyped.assert;

/** Fails unless two values are deeply equal. */
export const assertEquals: <T>(actual: T, expected: T, message?: string) => void =
  untyped.assertEquals;

/** Fails unless a text matches a pattern. */
export const assertMatch: (actual: string, expected: RegExp, message?: string) => void =
  untyped.assertMatch;

/** Fails unless a text includes another. */
export const assertStringIncludes: (actual: string, expected: string, message?: string) => void =
  untyped.assertStringIncludes;

/** Fails unless a promise is rejected with an error of a class, and returns the error. */
export const assertRejects: <E extends Error>(
  call: () => PromiseLike<unknown>,
  // deno-lint-ignore no-explicit-any
  errorClass: new (...args: any[]) => E,
  messageIncludes?: string,
) => Promise<E> = untyped.assertRejects;

/** Fails unless a function throws an error of a class, and returns the error. */
export const assertThrows: <E extends Error>(
  call: () => unknown,
  // deno-lint-ignore no-explicit-any
  errorClass: new (...args: any[]) => E,
  messageIncludes?: string,
) => E = untyped.assertThrows;
