/**
 * The configuration file.
 *
 * @module
 */

import { parseCidr } from "cidr-tools";
import * as v from "valibot";
import { closest } from "./text/closest.ts";
import { terminalJson } from "./text/control_characters.ts";
import { errorMessage } from "./text/error_message.ts";
import { canonicalAddress, LOCAL_ADDRESS } from "./net/addresses.ts";
import { certificateExpiry } from "./net/certificate.ts";
import { Network, Networks } from "./net/networks.ts";
import { PROXY_PROTOCOLS } from "./net/proxy_protocol.ts";
import { TLS_CLIENTS, type TlsClient, type TlsSettingsByClient } from "./net/tls_clients.ts";
import type { Identity } from "./net/tls_connection.ts";
import { isServiceName, parseAgentName } from "./spool/names.ts";
import { parseYaml } from "./std/yaml.ts";

/** Thrown for an invalid configuration. Its message names the file, the key and what was expected. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** A key of the configuration. */
interface Key {
  /** The expected values, for messages. */
  readonly expected: string;
  /** The expected elements of a list or a mapping, for messages. */
  readonly element?: string;
  /** The expected values, as a schema. */
  readonly schema: v.GenericSchema;
  /** The default. */
  readonly fallback: unknown;
  /** Whether messages must not show the value. */
  readonly secret?: true;
  /**
   * Returns the parts that a value restricts, such as an IP version. A reload must not lift a restriction, see
   * {@linkcode Restrictions}.
   */
  readonly restricts?: (value: never) => readonly string[];
}

/** The longest duration in seconds: a day. */
const MAX_SECONDS = 86_400;

/** A header name (RFC 9110, section 5.1). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;

/** Headers that hacheck sets itself and clients must not override. */
const OWN_HEADERS = new Set([
  "connection",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "user-agent",
]);

function seconds(least: number) {
  return {
    expected: `a number of seconds from ${least} to ${MAX_SECONDS}`,
    schema: v.pipe(v.number(), v.minValue(least), v.maxValue(MAX_SECONDS)),
  };
}

const header = {
  expected: "a header name, and none of hacheck's own (Connection, User-Agent, …)",
  schema: v.pipe(
    v.string(),
    v.check((name) => HEADER_NAME.test(name) && !OWN_HEADERS.has(name.toLowerCase())),
  ),
};

/** The booleans of YAML 1.1, which the Python hachecks accept. */
const YAML_1_1_BOOLEANS: ReadonlyMap<unknown, boolean> = new Map([
  ...["yes", "Yes", "YES", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["no", "No", "NO", "off", "Off", "OFF"].map((word) => [word, false] as const),
]);

const boolean = {
  expected: "true or false",
  schema: v.pipe(
    v.unknown(),
    v.transform((value) => YAML_1_1_BOOLEANS.get(value) ?? value),
    v.boolean(),
  ),
};

const networks = {
  expected: "a list of IP addresses and CIDR ranges",
  element: "an IP address, or a CIDR range with no bits set beyond the prefix " +
    "(10.1.0.0/16, not 10.1.2.3/16)",
  schema: v.array(
    v.pipe(v.string(), v.check((text) => Network.parse(text) !== undefined)),
  ),
};

/** An absent list allows every client. An empty one is rejected: it can only be a mistake. */
const clients = {
  ...networks,
  expected: networks.expected.replace("a list", "a list, not empty,"),
  schema: v.nullable(v.pipe(networks.schema, v.minLength(1))),
  fallback: null,
  restricts: (value: readonly string[] | null) => value === null ? [] : restrictedVersions(value),
};

interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Whether ranges together leave out a part of another one. */
function leavesOut({ start, end }: Range, parts: readonly Range[]): boolean {
  let next = start;
  for (const part of parts.toSorted((one, other) => one.start < other.start ? -1 : 1)) {
    if (part.start > next) return true;
    if (part.end >= next) next = part.end + 1n;
  }
  return next <= end;
}

/** The IP versions of which a list does not contain every address. */
function restrictedVersions(texts: readonly string[]): string[] {
  const parts = texts.map((text) => parseCidr(text));
  return ["0.0.0.0/0", "::/0"].map((text) => parseCidr(text))
    .filter((all) => leavesOut(all, parts.filter(({ version }) => version === all.version)))
    .map(({ version }) => `IPv${version}`);
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** A range such as `8000-8999`. */
const portRange = v.pipe(
  v.string(),
  v.check((text) => {
    const [, first, last] = /^([1-9]\d{0,4})-([1-9]\d{0,4})$/.exec(text) ?? [];
    return Number(first) <= Number(last) && Number(last) <= 65_535;
  }),
);

/** Whether a list of ports omits one. */
function omitsPorts(ports: readonly (number | string)[]): boolean {
  const parts = ports.map((one) => {
    const [start, end = start] = String(one).split("-").map(BigInt);
    return { start: start!, end: end! };
  });
  return leavesOut({ start: 1n, end: 65_535n }, parts);
}

/** A bearer token (RFC 6750, section 2.1) that is too long to guess. */
const TOKEN = /^[\w.~+/-]{16,1024}=*$/;

const token = {
  expected: 'at least 16 letters, digits, "-", ".", "_", "~", "+" and "/"',
  schema: v.nullable(v.pipe(v.string(), v.regex(TOKEN))),
};

const text = { expected: "a string", schema: v.pipe(v.string(), v.minLength(1)) };

const optionalText = { ...text, schema: v.nullable(text.schema), fallback: null };

const password = { ...text, schema: v.nullable(v.string()), fallback: null, secret: true as const };

const filePath = { ...optionalText, expected: "the path of a file" };

const pemPath = { ...optionalText, expected: "the path of a PEM file" };

/** Whether a key of `send_proxy` is a protocol, or one with a service. */
function isProxyTarget(text: string): boolean {
  const [protocol = "", service, ...rest] = text.split("/");
  return (PROXY_PROTOCOLS as readonly string[]).includes(protocol) && rest.length === 0 &&
    (service === undefined || isServiceName(service));
}

/** For a path or a token, which restricts by being set. */
function restrictsIfSet(value: unknown): readonly string[] {
  return value === null ? [] : ["set"];
}

const verify = {
  ...boolean,
  fallback: false,
  restricts: (value: boolean) => value ? ["true"] : [],
};

const serverName = {
  ...optionalText,
  expected: "the name of a host",
  schema: v.nullable(
    v.pipe(v.string(), v.regex(/^[\w.-]+$/), v.check((text) => !canonicalAddress(text))),
  ),
};

/** Whether a protocol that starts without TLS uses it: not, where the server offers it, or always. */
const tlsMode = {
  expected: "off, prefer or require",
  schema: v.picklist(["off", "prefer", "require"]),
  restricts: (value: string) => value === "require" ? ["require"] : [],
};

/** The keys of TLS connections to one kind of service. */
type TlsKeys<Client extends TlsClient> =
  & { readonly [Name in `${Client}_verify`]: typeof verify }
  & { readonly [Name in `${Client}_${"ca" | "cert" | "key"}`]: typeof pemPath }
  & { readonly [Name in `${Client}_server_name`]: typeof serverName };

function tlsKeys<Client extends TlsClient>(client: Client): TlsKeys<Client> {
  return {
    [`${client}_verify`]: verify,
    [`${client}_ca`]: pemPath,
    [`${client}_cert`]: pemPath,
    [`${client}_key`]: pemPath,
    [`${client}_server_name`]: serverName,
  } as TlsKeys<Client>;
}

/** All keys. */
const KEYS = {
  cache_time: { ...seconds(0), fallback: 10 },
  cache_failures: {
    expected: "once or always",
    schema: v.picklist(["once", "always"]),
    fallback: "once",
  },
  healthcheck_timeout: { ...seconds(0.001), fallback: 10 },
  max_clients: {
    expected: "a whole number from 1 to 10000",
    schema: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000)),
    fallback: 256,
  },
  http_headers_to_copy: {
    expected: "a list of header names",
    element: header.expected,
    schema: v.array(header.schema),
    fallback: ["Host"],
  },
  service_name_header: { ...header, schema: v.nullable(header.schema), fallback: null },
  forward_traceparent: { ...boolean, fallback: false },
  send_proxy: {
    expected: "keys and values such as {http: v1, http/web: v2}",
    element: "a protocol, or a protocol and a service (http/web), with off, v1 or v2",
    schema: v.pipe(
      v.unknown(),
      v.check((value) => !Array.isArray(value)),
      v.record(v.pipe(v.string(), v.check(isProxyTarget)), v.picklist(["off", "v1", "v2"])),
    ),
    fallback: {},
  },
  log_format: {
    expected: "text or json",
    schema: v.picklist(["text", "json"]),
    fallback: "text",
  },
  log_path: {
    expected: "stdout, stderr or the path of a file",
    schema: text.schema,
    fallback: "stderr",
  },
  mysql_username: optionalText,
  mysql_password: password,
  postgres_username: optionalText,
  postgres_password: password,
  postgres_database: optionalText,
  ldap_username: optionalText,
  ldap_password: password,
  redis_username: optionalText,
  redis_password: password,
  sentinel_username: optionalText,
  sentinel_password: password,
  ...tlsKeys("https"),
  ...tlsKeys("grpcs"),
  ...tlsKeys("rediss"),
  ...tlsKeys("sentinels"),
  mysql_tls: { ...tlsMode, fallback: "prefer" },
  ...tlsKeys("mysql"),
  postgres_tls: { ...tlsMode, fallback: "prefer" },
  ...tlsKeys("postgres"),
  smtp_tls: { ...tlsMode, fallback: "off" },
  ...tlsKeys("smtp"),
  page: { ...boolean, fallback: true },
  metrics_services: {
    expected: "a whole number from 0 to 5000",
    schema: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(5000)),
    fallback: 200,
  },
  rlimit_nofile: {
    expected: "max or a whole number from 64 on",
    schema: v.nullable(
      v.union([v.literal("max"), v.pipe(v.number(), v.integer(), v.minValue(64))]),
    ),
    fallback: null,
  },
  agent_port: {
    expected: "a port, from 1 to 65535",
    schema: v.nullable(port),
    fallback: null,
  },
  agent_down: {
    expected: "maint or down",
    schema: v.picklist(["maint", "down"]),
    fallback: "maint",
  },
  agent_silence: {
    expected: "a service as agent checks name it (web or web/8080), or all",
    schema: v.nullable(v.pipe(v.string(), v.check((name) => parseAgentName(name) !== undefined))),
    fallback: null,
  },
  spool_in_checks: { ...boolean, fallback: true },
  allow_remote_spool_changes: { ...boolean, fallback: false },
  check_hosts: { ...networks, fallback: [], restricts: restrictedVersions },
  check_ports: {
    expected: "a list, not empty, of ports and ranges of them (8000-8999)",
    element: "a port, from 1 to 65535, or a range of them (8000-8999)",
    schema: v.nullable(v.pipe(v.array(v.union([port, portRange])), v.minLength(1))),
    fallback: null,
    restricts: (value: readonly (number | string)[] | null) =>
      value !== null && omitsPorts(value) ? ["ports"] : [],
  },
  own_addresses: {
    expected: "a list of IP addresses",
    element: "an IP address",
    schema: v.nullable(
      v.array(v.pipe(v.string(), v.check((text) => canonicalAddress(text) !== undefined))),
    ),
    fallback: null,
  },
  allowed_clients: clients,
  remote_spool_clients: clients,
  remote_spool_token: { ...token, fallback: null, secret: true, restricts: restrictsIfSet },
  remote_spool_token_file: { ...filePath, restricts: restrictsIfSet },
  tls_cert: pemPath,
  tls_key: pemPath,
} as const satisfies Readonly<Record<string, Key>>;

type Keys = typeof KEYS;

const ENTRIES = Object.entries(KEYS) as readonly (readonly [name: keyof Keys, key: Key])[];

/** The configuration, by key. Durations are in seconds; null stands for a key that is not set. */
export type Config = { readonly [Key in keyof Keys]: v.InferOutput<Keys[Key]["schema"]> };

/** A configuration, and the unknown keys of its file. */
export interface LoadedConfig {
  /** The configuration. */
  readonly config: Config;
  /** Keys that hacheck does not know. */
  readonly unknownKeys: readonly string[];
}

/**
 * Parses a configuration.
 *
 * @param content The content of the file; empty for the defaults.
 * @param path The path of the file, for messages.
 * @returns The configuration, with the defaults of absent keys.
 * @throws {ConfigError} If it is not YAML, or a key has a wrong type or value.
 *
 * @example
 * ```ts
 * import { parseConfig } from "./config.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { config, unknownKeys } = parseConfig("cache_time: 3\ncashe_time: 4\n", "hacheck.yaml");
 * assertEquals(config.cache_time, 3);
 * assertEquals(config.max_clients, 256);
 * assertEquals(unknownKeys, ["cashe_time"]);
 * ```
 */
export function parseConfig(content: string, path: string): LoadedConfig {
  const given = mappingOf(content, path);
  const config: Record<string, unknown> = {};
  const errors: string[] = [];
  for (const [name, key] of ENTRIES) {
    // A template without a value, or a truncated file, must not lift the key's restriction.
    if (key.restricts !== undefined && Object.hasOwn(given, name) && given[name] === null) {
      errors.push(`${name}: expected ${key.expected}: found no value`);
      continue;
    }
    const value = given[name] ?? key.fallback;
    const read = v.safeParse(key.schema, value);
    if (read.success) config[name] = read.output;
    else errors.push(...valueErrors(name, key, value, read.issues));
  }
  if (errors.length > 0) {
    throw new ConfigError(`Cannot use configuration ${path}: ${errors.join("; ")}`);
  }
  return {
    config: config as Config,
    unknownKeys: Object.keys(given).filter((key) => !Object.hasOwn(KEYS, key)),
  };
}

/** Describes what is wrong with a value: each wrong element of a list or a mapping, or the value as a whole. */
function valueErrors(
  name: string,
  { expected, element, secret }: Key,
  value: unknown,
  issues: readonly v.BaseIssue<unknown>[],
): string[] {
  const indexes = issues.map(({ path }) => path?.[0].key);
  if (element === undefined || indexes.includes(undefined)) {
    return [`${name}: expected ${expected}: found ${secret ? kindOf(value) : shown(value)}`];
  }
  const part = (index: unknown) => Array.isArray(value) ? `[${index}]` : `.${index}`;
  const elements = value as Readonly<Record<string, unknown>>;
  return indexes.map((index) =>
    `${name}${part(index)}: expected ${element}: found ${shown(elements[index as string])}`
  );
}

/**
 * Finds the key that was probably meant by an unknown one.
 *
 * @returns The key; undefined if none is close.
 */
export function closestKey(unknown: string): string | undefined {
  return closest(unknown, Object.keys(KEYS));
}

/** Stands for a secret that is set. */
const MASK = '"********"';

/**
 * Formats a configuration as YAML, with the defaults, and with a mask in place of each secret. With the secrets put
 * back, {@linkcode parseConfig} returns the same configuration.
 *
 * @returns A line for each key.
 */
export function formatConfig(config: Config): string {
  return ENTRIES.map(([name, { secret, restricts }]) => {
    const value = config[name];
    // A file must not name a key that restricts without a value.
    const comment = value === null && restricts !== undefined ? "#" : "";
    return `${comment}${name}: ${secret && value !== null ? MASK : yamlOf(value)}\n`;
  }).join("");
}

/** Formats a value as JSON, which is YAML but for two characters. */
function yamlOf(value: unknown): string {
  return terminalJson(value).replaceAll("\ufffe", "\\ufffe").replaceAll("\uffff", "\\uffff");
}

/** Returns the default configuration, without the 2 ms that {@linkcode parseConfig} takes for an empty file. */
export function defaults(): Config {
  const config: Record<string, unknown> = {};
  for (const [key, { fallback }] of Object.entries(KEYS)) config[key] = fallback;
  return config as Config;
}

function mappingOf(content: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    rejectTabs(content);
    value = parseYaml(content);
  } catch (error) {
    // The library quotes the file, which may contain a password.
    const why = errorMessage(error).split("\n")[0]!
      .replace(/"[^"]*"|!<.*>/g, "…").replace(/:$/, "");
    throw new ConfigError(`Cannot use configuration ${path}: it is not YAML: ${why}`);
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new ConfigError(
      `Cannot use configuration ${path}: expected keys and values: found ${kindOf(value)}`,
    );
  }
  return value as Record<string, unknown>;
}

/** Rejects tabs as indentation: the library would read such a line as not indented. */
function rejectTabs(content: string): void {
  const index = content.split("\n").findIndex((line) => /^\t+[^\s#]/.test(line));
  if (index >= 0) throw new Error(`a tab cannot indent at line ${index + 1}`);
}

/** Formats a value for a message, without nested values: one may be a password. */
function shown(value: unknown): string {
  const isPlain = (item: unknown) => typeof item !== "object" || item === null;
  if (typeof value === "number") return String(value);
  return isPlain(value) || (Array.isArray(value) && value.every(isPlain))
    ? JSON.stringify(value)
    : kindOf(value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  return typeof value === "object" ? "keys and values" : `a ${typeof value}`;
}

/** The configuration and the files that it names. */
export interface Settings {
  /** The configuration. */
  readonly config: Config;
  /** How services are connected to with TLS. */
  readonly tls: TlsSettingsByClient;
  /** The token that spool changes by POST require; null for none. */
  readonly token: string | null;
  /** The daemon's own certificate and key; null without TLS. */
  readonly identity: Identity | null;
}

/** Settings, and the unknown keys of their file. */
export type LoadedSettings = Settings & LoadedConfig;

/**
 * Loads a configuration file and the files that it names.
 *
 * @param path The path of the configuration file; null for the defaults.
 * @param accept Called with the configuration before the files that it names are read. It may throw.
 * @returns The settings.
 * @throws {ConfigError} If a file cannot be read or used.
 */
export function loadSettings(
  path: string | null,
  accept: (config: Config) => void = () => {},
): LoadedSettings {
  const loaded = path === null
    ? { config: defaults(), unknownKeys: [] }
    : parseConfig(readWhole(path), path);
  const { config } = loaded;
  accept(config);
  return {
    ...loaded,
    tls: readTlsSettings(config),
    token: readToken(config),
    identity: readIdentity(config, "tls"),
  };
}

/** Reads a configuration file and rejects a truncated one, which may lack a restriction. */
function readWhole(path: string): string {
  const content = readText(path, "configuration");
  if (content.trim() === "") {
    throw new ConfigError(
      `Cannot use configuration ${path}: it is empty: expected at least a comment`,
    );
  }
  if (content.endsWith("\n")) return content;
  throw new ConfigError(
    `Cannot use configuration ${path}: its last line has no line feed: ` +
      "it was cut off, or needs a line feed at its end",
  );
}

function readTlsSettings(config: Config): TlsSettingsByClient {
  return Object.fromEntries(TLS_CLIENTS.map((client) => [client, {
    serverName: config[`${client}_server_name`],
    trusted: readTrusted(config, client),
    identity: readIdentity(config, client),
  }])) as TlsSettingsByClient;
}

function readTrusted(config: Config, client: TlsClient): string | null {
  if (!config[`${client}_verify`]) return null;
  const name = `${client}_ca` as const;
  const path = config[name];
  if (path === null) {
    throw new ConfigError(
      `${client}_verify needs ${name}: a PEM file with the trusted authorities`,
    );
  }
  const mode = `${client}_tls`;
  if (Object.hasOwn(config, mode) && config[mode as keyof Config] !== "require") {
    throw new ConfigError(`${client}_verify needs ${mode}: require`);
  }
  const pem = readText(path, name);
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw new ConfigError(
    `Cannot use ${name} ${path}: expected certificates in PEM: found none`,
  );
}

function readToken({ remote_spool_token, remote_spool_token_file: path }: Config): string | null {
  if (path === null) return remote_spool_token;
  if (remote_spool_token !== null) {
    throw new ConfigError("remote_spool_token and remote_spool_token_file: expected one of them");
  }
  const given = readText(path, "remote_spool_token_file").trim();
  if (TOKEN.test(given)) return given;
  throw new ConfigError(
    `Cannot use remote_spool_token_file ${path}: expected ${token.expected}: found something else`,
  );
}

/** Reads a certificate and its key: those of the daemon, or of its connections to a kind of service. */
function readIdentity(config: Config, owner: "tls" | TlsClient): Identity | null {
  const [certName, keyName] = [`${owner}_cert`, `${owner}_key`] as const;
  const { [certName]: certPath, [keyName]: keyPath } = config;
  if (certPath === null && keyPath === null) return null;
  if (certPath === null) {
    throw new ConfigError(`${keyName} needs ${certName}: the PEM file it is for`);
  }
  if (keyPath === null) {
    throw new ConfigError(`${certName} needs ${keyName}: the PEM file of its key`);
  }
  const identity = { cert: readText(certPath, certName), key: readText(keyPath, keyName) };
  try {
    // A client checks the pair as a listener does, but needs no port and no permission.
    Deno.createHttpClient(identity).close();
  } catch (error) {
    throw new ConfigError(
      `Cannot use ${certName} ${certPath} with ${keyName} ${keyPath}: ${errorMessage(error)}`,
    );
  }
  return identity;
}

function readText(path: string, what: string): string {
  try {
    // Reading a pipe would wait for its writer.
    if (!Deno.statSync(path).isFile) throw new Error("it is not a regular file");
    return new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (error) {
    throw new ConfigError(`Cannot read ${what} ${path}: ${whyUnreadable(error)}`);
  }
}

function whyUnreadable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof TypeError) return "it is not UTF-8";
  return errorMessage(error);
}

/**
 * The restrictions of all configurations since the start. A reload must not lift them, since the file may have
 * been truncated between two lines.
 *
 * @example
 * ```ts
 * import { ConfigError, parseConfig, Restrictions } from "./config.ts";
 * import { assertThrows } from "@std/assert";
 *
 * const { config } = parseConfig("cache_time: 3\ncheck_ports: [80]\n", "hacheck.yaml");
 * const cut = parseConfig("cache_time: 3\n", "hacheck.yaml");
 * assertThrows(() => new Restrictions(config).demand(cut.config), ConfigError, "check_ports");
 * ```
 */
export class Restrictions {
  readonly #restricted = new Map<keyof Config, Set<string>>();

  /** @param config The configuration that the daemon starts with. */
  constructor(config: Config) {
    this.add(config);
  }

  /**
   * Rejects a configuration that lifts a restriction of an earlier one.
   *
   * @throws {ConfigError} If it does. The message names the keys.
   */
  demand(config: Config): void {
    const lifted = ENTRIES.map(([name]) => name).filter((name) => this.#lifts(name, config));
    if (lifted.length > 0) {
      const verb = lifted.length === 1 ? "is" : "are";
      throw new ConfigError(
        `${lifted.join(", ")} ${verb} missing or no longer restricts anything: ` +
          "a reload does not lift restrictions, a restart does",
      );
    }
  }

  /** Adds the restrictions of a configuration that is now in use. */
  add(config: Config): void {
    for (const [name] of ENTRIES) {
      const parts = restrictedBy(name, config);
      if (parts.length === 0) continue;
      this.#restricted.set(name, new Set([...this.#restricted.get(name) ?? [], ...parts]));
    }
  }

  #lifts(name: keyof Config, config: Config): boolean {
    if (REMOTE_SPOOL_KEYS.has(name) && !config.allow_remote_spool_changes) return false;
    // The token may move from one of its keys to the other.
    const names = TOKEN_KEYS.has(name) ? [...TOKEN_KEYS] : [name];
    const parts = new Set(names.flatMap((name) => restrictedBy(name, config)));
    return this.#restricted.get(name)?.isSubsetOf(parts) === false;
  }
}

const TOKEN_KEYS: ReadonlySet<keyof Config> = new Set([
  "remote_spool_token",
  "remote_spool_token_file",
]);

/** The keys that restrict spool changes by POST, and matter only while those are allowed. */
const REMOTE_SPOOL_KEYS: ReadonlySet<keyof Config> = new Set([
  ...TOKEN_KEYS,
  "remote_spool_clients",
]);

function restrictedBy(name: keyof Config, config: Config): readonly string[] {
  return (KEYS[name] as Key).restricts?.(config[name] as never) ?? [];
}

/** Keys that have no effect unless another one is set too. */
const DEPENDENT_KEYS: readonly (readonly [key: keyof Config, needed: keyof Config])[] = [
  ["mysql_username", "mysql_password"],
  ["mysql_password", "mysql_username"],
  ["postgres_password", "postgres_username"],
  ["postgres_database", "postgres_username"],
  ["ldap_username", "ldap_password"],
  ["ldap_password", "ldap_username"],
  ["redis_username", "redis_password"],
  ["sentinel_username", "sentinel_password"],
  ...TLS_CLIENTS.map((client) => [`${client}_ca`, `${client}_verify`] as const),
  ["agent_down", "agent_port"],
  ["agent_silence", "agent_port"],
  ["remote_spool_clients", "allow_remote_spool_changes"],
  ["remote_spool_token", "allow_remote_spool_changes"],
  ["remote_spool_token_file", "allow_remote_spool_changes"],
];

/**
 * Finds likely mistakes in a configuration.
 *
 * @param agentPort The port of agent checks, which the command line may override.
 * @returns A warning for each, with a remedy.
 */
export function configWarnings(
  { config, token, identity }: Settings,
  agentPort: number | null = config.agent_port,
  now: number = Date.now(),
): string[] {
  const warnings = expiryWarnings(identity, now);
  const inForce: Config = { ...config, agent_port: agentPort };
  for (const [name, needed] of DEPENDENT_KEYS) {
    if (inForce[name] === KEYS[name].fallback) continue;
    const value = inForce[needed];
    if (value === null || value === false) {
      const remedy = value === false
        ? `${needed}: true`
        : needed.replace(/^agent_port$/, "$& or -A");
      warnings.push(`${name} has no effect without ${remedy}`);
    }
  }
  if (config.allow_remote_spool_changes && token === null && config.remote_spool_clients === null) {
    warnings.push(
      "allow_remote_spool_changes lets every client change the state of services: " +
        "set remote_spool_token_file or remote_spool_clients",
    );
  }
  const { allowed_clients: clients } = config;
  if (clients !== null && !new Networks(clients).has(LOCAL_ADDRESS)) {
    warnings.push(
      `hactl cannot connect to the daemon: allowed_clients does not list ${LOCAL_ADDRESS}`,
    );
  }
  return warnings;
}

/** How long before its expiry a certificate is reported: certbot and the like renew it earlier. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

/**
 * Warns of a certificate that has expired or expires soon.
 *
 * @param identity The daemon's certificate; null for none.
 */
export function expiryWarnings(identity: Identity | null, now: number): string[] {
  const expiry = identity === null ? null : certificateExpiry(identity.cert);
  if (expiry === null || expiry > now + EXPIRES_SOON_MS) return [];
  const date = new Date(expiry).toISOString().replace(".000", "");
  const what = expiry <= now ? "expired" : "expires";
  return [`the certificate in tls_cert ${what} on ${date}: renew it, and reload hacheck (SIGHUP)`];
}
