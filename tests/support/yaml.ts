import { stringify } from "@std/yaml";

/** Formats a value as YAML. */
export const stringifyYaml: (value: unknown) => string = stringify;
