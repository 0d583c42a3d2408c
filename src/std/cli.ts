import { parseArgs as parse } from "@std/cli/parse-args";

/** Flags by their names, and the operands as `_`. */
export type ParsedArgs = Record<string, unknown> & { _: (string | number)[] };

/**
 * Parses command-line arguments.
 *
 * @returns The flags and the operands.
 */
export const parseArgs: (args: string[], options: Record<string, unknown>) => ParsedArgs = parse;
