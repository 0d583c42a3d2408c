import { stringify } from "@std/yaml";

/** Writes a value as YAML. */
export const stringifyYaml: (value: unknown) => string = stringify;
