import { parse } from "@std/yaml";

/**
 * Parses one YAML document.
 *
 * @returns Its value; null for an empty document.
 * @throws {SyntaxError} If it is malformed.
 */
export const parseYaml: (content: string) => unknown = parse;
