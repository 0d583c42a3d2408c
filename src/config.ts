/**
 * What an operator sets in the configuration file.
 *
 * @module
 */

import { parseCidr } from "cidr-tools";
import * as v from "valibot";
import { canonicalAddress, LOCAL_ADDRESS } from "./net/addresses.ts";
import { certificateExpiry } from "./net/certificate.ts";
import { Network, Networks } from "./net/networks.ts";
import { parseAgentName } from "./spool/names.ts";
import { parseYaml } from "./std/yaml.ts";

/** Thrown when a configuration cannot be used. Its message names the file, the key and what would be right. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** A key of the configuration. */
interface Key {
  /** What it takes, in words. */
  readonly expected: string;
  /** What it takes, as a schema. */
  readonly schema: v.GenericSchema;
  /** Its value where the file does not set it. */
  readonly fallback: unknown;
  /** Whether messages must not show its value. */
  readonly secret?: true;
  /**
   * What a value closes: the names of the parts that are closed to some; none where everything is open. Null
   * for a key that closes nothing. A reload must not open what was closed, see {@linkcode Restrictions}.
   */
  readonly closes: null | ((value: never) => readonly string[]);
}

/** The longest time that a key may give, in seconds: a day. */
const MAX_SECONDS = 86_400;

/** A header's name, as RFC 9110 has it (section 5.1). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;

/** Headers that hacheck says itself, and a client must not say for it. */
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

const headerName = v.pipe(
  v.string(),
  v.check((name) => HEADER_NAME.test(name) && !OWN_HEADERS.has(name.toLowerCase())),
);

/** The words that YAML 1.1, and so the Python hachecks, read as booleans. */
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
  expected: "a list of IP addresses and CIDR ranges, with no bits set beyond the prefix " +
    "(10.1.0.0/16, not 10.1.2.3/16)",
  schema: v.array(
    v.pipe(v.string(), v.check((text) => Network.parse(text) !== undefined)),
  ),
};

/** Of an absent list everybody is a member. Nobody would mean an empty one. */
const clients = {
  expected: networks.expected.replace("a list", "a list, not empty,"),
  schema: v.nullable(v.pipe(networks.schema, v.minLength(1))),
  fallback: null,
  closes: (value: readonly string[] | null) => value === null ? [] : versionsClosedBy(value),
};

/** The IP versions of which a list does not name every address. */
function versionsClosedBy(texts: readonly string[]): string[] {
  return [["IPv4", "0.0.0.0/0"], ["IPv6", "::/0"]].filter(([, everything]) =>
    !coversAll(everything!, texts)
  ).map(([version]) => version!);
}

/** Whether ranges cover another one, together: two halves are as good as the whole. */
function coversAll(whole: string, parts: readonly string[]): boolean {
  const all = parseCidr(whole);
  let next = all.start;
  const ranges = parts.map((part) => parseCidr(part))
    .filter(({ version }) => version === all.version)
    .sort((one, other) => one.start < other.start ? -1 : 1);
  for (const { start, end } of ranges) {
    if (start > next) return false;
    if (end >= next) next = end + 1n;
  }
  return next > all.end;
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** `8000-8999` */
const portRange = v.pipe(
  v.string(),
  v.check((text) => {
    const [, first, last] = /^([1-9]\d{0,4})-([1-9]\d{0,4})$/.exec(text) ?? [];
    return Number(first) <= Number(last) && Number(last) <= 65_535;
  }),
);

/** Whether a list of ports leaves one out. */
function leavesPortsOut(ports: readonly (number | string)[]): boolean {
  const ranges = ports.map((one) => String(one).split("-").map(Number))
    .map(([first, last = first]) => ({ first: first!, last: last! }))
    .sort((one, other) => one.first - other.first);
  let next = 1;
  for (const { first, last } of ranges) {
    if (first > next) return true;
    next = Math.max(next, last + 1);
  }
  return next <= 65_535;
}

/** A bearer token, as RFC 6750 has it (section 2.1), and long enough that nobody guesses it. */
const TOKEN = /^[\w.~+/-]{16,1024}=*$/;

const token = {
  expected: 'at least 16 letters, digits, "-", ".", "_", "~", "+" and "/"',
  schema: v.nullable(v.pipe(v.string(), v.regex(TOKEN))),
};

const text = { expected: "a string", schema: v.pipe(v.string(), v.minLength(1)) };

/** What a path or a token closes by being there. */
function closesIfSet(value: unknown): readonly string[] {
  return value === null ? [] : ["set"];
}

/** Every key. */
const KEYS = {
  cache_time: { ...seconds(0), fallback: 10, closes: null },
  cache_failures: {
    expected: "once or always",
    schema: v.picklist(["once", "always"]),
    fallback: "once",
    closes: null,
  },
  healthcheck_timeout: { ...seconds(0.001), fallback: 10, closes: null },
  max_clients: {
    expected: "a whole number from 1 to 10000",
    schema: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000)),
    fallback: 256,
    closes: null,
  },
  http_headers_to_copy: {
    expected: "a list of header names, none of them hacheck's own (Connection, User-Agent, …)",
    schema: v.array(headerName),
    fallback: ["Host"],
    closes: null,
  },
  service_name_header: {
    expected: "a header name, and none of hacheck's own (Connection, User-Agent, …)",
    schema: v.nullable(headerName),
    fallback: null,
    closes: null,
  },
  log_format: {
    expected: "text or json",
    schema: v.picklist(["text", "json"]),
    fallback: "text",
    closes: null,
  },
  log_path: {
    expected: "stdout, stderr or the path of a file",
    schema: text.schema,
    fallback: "stderr",
    closes: null,
  },
  mysql_username: { ...text, schema: v.nullable(text.schema), fallback: null, closes: null },
  mysql_password: {
    ...text,
    schema: v.nullable(v.string()),
    fallback: null,
    secret: true,
    closes: null,
  },
  postgres_username: { ...text, schema: v.nullable(text.schema), fallback: null, closes: null },
  postgres_password: {
    ...text,
    schema: v.nullable(v.string()),
    fallback: null,
    secret: true,
    closes: null,
  },
  postgres_database: { ...text, schema: v.nullable(text.schema), fallback: null, closes: null },
  redis_username: { ...text, schema: v.nullable(text.schema), fallback: null, closes: null },
  redis_password: {
    ...text,
    schema: v.nullable(v.string()),
    fallback: null,
    secret: true,
    closes: null,
  },
  sentinel_username: { ...text, schema: v.nullable(text.schema), fallback: null, closes: null },
  sentinel_password: {
    ...text,
    schema: v.nullable(v.string()),
    fallback: null,
    secret: true,
    closes: null,
  },
  https_verify: { ...boolean, fallback: false, closes: (value: boolean) => value ? ["true"] : [] },
  https_ca: {
    expected: "the path of a PEM file",
    schema: v.nullable(text.schema),
    fallback: null,
    closes: null,
  },
  rlimit_nofile: {
    expected: "max or a whole number from 64 on",
    schema: v.nullable(
      v.union([v.literal("max"), v.pipe(v.number(), v.integer(), v.minValue(64))]),
    ),
    fallback: null,
    closes: null,
  },
  agent_port: {
    expected: "a port, from 1 to 65535",
    schema: v.nullable(port),
    fallback: null,
    closes: null,
  },
  agent_down: {
    expected: "maint or down",
    schema: v.picklist(["maint", "down"]),
    fallback: "maint",
    closes: null,
  },
  agent_silence: {
    expected: "a service as agent checks name it (web or web/8080), or all",
    schema: v.nullable(v.pipe(v.string(), v.check((name) => parseAgentName(name) !== undefined))),
    fallback: null,
    closes: null,
  },
  spool_in_checks: { ...boolean, fallback: true, closes: null },
  allow_remote_spool_changes: { ...boolean, fallback: false, closes: null },
  check_hosts: { ...networks, fallback: [], closes: versionsClosedBy },
  check_ports: {
    expected: "a list, not empty, of ports and ranges of them (8000-8999)",
    schema: v.nullable(v.pipe(v.array(v.union([port, portRange])), v.minLength(1))),
    fallback: null,
    closes: (value: readonly (number | string)[] | null) =>
      value !== null && leavesPortsOut(value) ? ["ports"] : [],
  },
  own_addresses: {
    expected: "a list of IP addresses",
    schema: v.nullable(
      v.array(v.pipe(v.string(), v.check((text) => canonicalAddress(text) !== undefined))),
    ),
    fallback: null,
    closes: null,
  },
  allowed_clients: clients,
  remote_spool_clients: clients,
  remote_spool_token: { ...token, fallback: null, secret: true, closes: closesIfSet },
  remote_spool_token_file: {
    expected: "the path of a file",
    schema: v.nullable(text.schema),
    fallback: null,
    closes: closesIfSet,
  },
  tls_cert: {
    expected: "the path of a PEM file",
    schema: v.nullable(text.schema),
    fallback: null,
    closes: null,
  },
  tls_key: {
    expected: "the path of a PEM file",
    schema: v.nullable(text.schema),
    fallback: null,
    closes: null,
  },
} as const satisfies Readonly<Record<string, Key>>;

type Keys = typeof KEYS;

const ENTRIES = Object.entries(KEYS) as readonly (readonly [name: keyof Keys, key: Key])[];

/** The configuration in force, by the names of the file's keys. Times are in seconds; null is "not set". */
export type Config = { readonly [Key in keyof Keys]: v.InferOutput<Keys[Key]["schema"]> };

/** A configuration, and what is odd about its file. */
export interface LoadedConfig {
  /** The configuration. */
  readonly config: Config;
  /** Keys that mean nothing. */
  readonly unknownKeys: readonly string[];
}

/**
 * Reads a configuration.
 *
 * @param content The content of its file; empty for the defaults.
 * @param path The path of the file, for messages.
 * @returns The configuration, with defaults where the file says nothing.
 * @throws {ConfigError} If it is not YAML, or has a key with a wrong type or value.
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
  const faults: string[] = [];
  for (const [key, { expected, schema, fallback, secret, closes }] of ENTRIES) {
    // A template without a value, or a file cut off behind the colon, must not open what the key closes.
    const isEmpty = closes !== null && Object.hasOwn(given, key) && given[key] === null;
    const value = given[key] ?? fallback;
    const read = v.safeParse(schema, value);
    if (read.success && !isEmpty) {
      config[key] = read.output;
    } else {
      const found = isEmpty ? "no value" : secret ? kindOf(value) : shown(value);
      faults.push(`${key}: expected ${expected}: found ${found}`);
    }
  }
  if (faults.length > 0) {
    throw new ConfigError(`Cannot use configuration ${path}: ${faults.join("; ")}`);
  }
  return {
    config: config as Config,
    unknownKeys: Object.keys(given).filter((key) => !Object.hasOwn(KEYS, key)),
  };
}

/**
 * The configuration where there is no file. It is what {@linkcode parseConfig} makes of an empty one,
 * without the 2 ms that it takes.
 */
export function defaults(): Config {
  const config: Record<string, unknown> = {};
  for (const [key, { fallback }] of Object.entries(KEYS)) config[key] = fallback;
  return config as Config;
}

function mappingOf(content: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    refuseTabs(content);
    value = parseYaml(content);
  } catch (error) {
    // Nothing that is quoted from the file: it may be the password.
    const why = (error as Error).message.split("\n")[0]!
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

/** The library would take a line for one that is not indented, and a key in it for one of the file's own. */
function refuseTabs(content: string): void {
  const index = content.split("\n").findIndex((line) => /^\t+[^\s#]/.test(line));
  if (index >= 0) throw new Error(`a tab cannot indent at line ${index + 1}`);
}

/** A value as a message may show it: of what is nested, a part may be the password. */
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

/** All that a configuration file decides. */
export interface Settings {
  /** What it says. */
  readonly config: Config;
  /** The certificates of the authorities that are trusted, in PEM; null where none are verified. */
  readonly trusted: string | null;
  /** The token of who may change the spool by POST; null where none is asked for. */
  readonly token: string | null;
  /** What the daemon proves by who it is; null where it does not speak TLS. */
  readonly identity: Identity | null;
}

/** A certificate and its key, in PEM. */
export interface Identity {
  /** The certificate and, behind it, those that its issuer needs to be known by. */
  readonly cert: string;
  /** The key. */
  readonly key: string;
}

/** Settings, and what is odd about their file. */
export interface LoadedSettings extends Settings {
  /** Keys that mean nothing. */
  readonly unknownKeys: readonly string[];
}

/**
 * Loads a configuration from its file, and what it names.
 *
 * @param path The path of the file; null for the defaults.
 * @param accept Is shown what the file says before what it names is read, and may throw.
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
    trusted: readTrusted(config),
    token: readToken(config),
    identity: readIdentity(config),
  };
}

/** Reads a configuration that is all there: one that was cut off may open what it is to close. */
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

function readTrusted({ https_verify, https_ca }: Config): string | null {
  if (!https_verify) return null;
  if (https_ca === null) {
    throw new ConfigError("https_verify needs https_ca: the PEM file of who is trusted");
  }
  const pem = readText(https_ca, "https_ca");
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw new ConfigError(
    `Cannot use https_ca ${https_ca}: expected certificates in PEM: found none`,
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

function readIdentity({ tls_cert, tls_key }: Config): Identity | null {
  if (tls_cert === null && tls_key === null) return null;
  if (tls_cert === null) throw new ConfigError("tls_key needs tls_cert: the PEM file it is for");
  if (tls_key === null) throw new ConfigError("tls_cert needs tls_key: the PEM file of its key");
  const identity = { cert: readText(tls_cert, "tls_cert"), key: readText(tls_key, "tls_key") };
  try {
    Deno.listenTls({ hostname: LOCAL_ADDRESS, port: 0, ...identity }).close();
  } catch (error) {
    // Where nothing may listen there, nobody can tell; whoever then listens elsewhere will.
    if (error instanceof Deno.errors.NotCapable) return identity;
    throw new ConfigError(
      `Cannot use tls_cert ${tls_cert} with tls_key ${tls_key}: ${(error as Error).message}`,
    );
  }
  return identity;
}

function readText(path: string, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (error) {
    throw new ConfigError(`Cannot read ${what} ${path}: ${whyUnreadable(error)}`);
  }
}

function whyUnreadable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof TypeError) return "it is not UTF-8";
  return (error as Error).message;
}

/**
 * What the configurations since the start have closed. A reload must not open it: the file may have been cut
 * off between two lines.
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
  readonly #closed = new Map<keyof Config, Set<string>>();

  /** @param config The configuration that the daemon starts with. */
  constructor(config: Config) {
    this.add(config);
  }

  /**
   * Refuses a configuration that opens what an earlier one closed.
   *
   * @param config The new configuration.
   * @throws {ConfigError} If it opens something. The message names the keys.
   */
  demand(config: Config): void {
    const opened = ENTRIES.map(([name]) => name).filter((name) => this.#opens(name, config));
    if (opened.length > 0) {
      const verb = opened.length === 1 ? "is" : "are";
      throw new ConfigError(
        `${opened.join(", ")} ${verb} missing or no longer restricts anything: ` +
          "a reload does not lift restrictions, a restart does",
      );
    }
  }

  /**
   * Remembers what a configuration closes, once it is in force.
   *
   * @param config The configuration.
   */
  add(config: Config): void {
    for (const [name] of ENTRIES) {
      const closed = closedBy(name, config);
      if (closed.length === 0) continue;
      this.#closed.set(name, new Set([...this.#closed.get(name) ?? [], ...closed]));
    }
  }

  #opens(name: keyof Config, config: Config): boolean {
    if (REMOTE_SPOOL_KEYS.has(name) && !config.allow_remote_spool_changes) return false;
    // The token may move from one key to the other.
    const names = TOKEN_KEYS.has(name) ? [...TOKEN_KEYS] : [name];
    const closed = new Set(names.flatMap((name) => closedBy(name, config)));
    return this.#closed.get(name)?.isSubsetOf(closed) === false;
  }
}

const TOKEN_KEYS: ReadonlySet<keyof Config> = new Set([
  "remote_spool_token",
  "remote_spool_token_file",
]);

/** The keys that restrict changes by POST, and matter only while those are allowed. */
const REMOTE_SPOOL_KEYS: ReadonlySet<keyof Config> = new Set([
  ...TOKEN_KEYS,
  "remote_spool_clients",
]);

function closedBy(name: keyof Config, config: Config): readonly string[] {
  const closes = KEYS[name].closes as Key["closes"];
  return closes?.(config[name] as never) ?? [];
}

/**
 * Tells what an operator may not have meant.
 *
 * @param settings What the configuration decides.
 * @param now The time in milliseconds since 1970.
 * @returns A line for each, with what would help.
 */
export function adviceOn({ config, token, identity }: Settings, now = Date.now()): string[] {
  const advice = expiryAdvice(identity, now);
  if (config.allow_remote_spool_changes && token === null && config.remote_spool_clients === null) {
    advice.push(
      "allow_remote_spool_changes lets whoever reaches the port mark services: " +
        "set remote_spool_token_file or remote_spool_clients",
    );
  }
  const { allowed_clients: clients } = config;
  if (clients !== null && !new Networks(clients).has(LOCAL_ADDRESS)) {
    advice.push(`hactl cannot ask the daemon: allowed_clients does not list ${LOCAL_ADDRESS}`);
  }
  return advice;
}

/** How long before it expires a certificate is warned of: later than tools such as certbot renew it. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

/**
 * Warns of a certificate that has expired or soon will.
 *
 * @param identity What the daemon shows its clients; null for nothing.
 * @param now The time in milliseconds since 1970.
 * @returns A line, or none.
 */
export function expiryAdvice(identity: Identity | null, now: number): string[] {
  const expiry = identity === null ? null : certificateExpiry(identity.cert);
  if (expiry === null || expiry > now + EXPIRES_SOON_MS) return [];
  const date = new Date(expiry).toISOString().replace(".000", "");
  const what = expiry <= now ? "expired" : "expires";
  return [`the certificate in tls_cert ${what} on ${date}: renew it, and restart hacheck`];
}
