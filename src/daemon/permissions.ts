/**
 * What the programs may do, and why: the one place where their permissions stand.
 *
 * @module
 */

import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import { DEFAULT_SPOOL_ROOT } from "../spool/store.ts";

/** What a permission is for. */
type Place = "spool" | "-c" | "configuration" | "logs" | "code" | "network";

/** The folder of the configuration and of what it names. */
const ETC = "/etc/hacheck";

/**
 * Where those are as hacheck is installed. The single files are where the Python hachecks have them, PaaSTA's
 * among them. Code is where the project is, and the network is all of it.
 */
const INSTALLED: Readonly<Record<Place, readonly string[]>> = {
  spool: [DEFAULT_SPOOL_ROOT],
  "-c": [ETC, "/etc/hacheck.yaml", "/etc/hacheck.conf.yaml"],
  configuration: [ETC],
  logs: ["/var/log/hacheck", "/var/log/hacheck.log"],
  code: ["src", "deno.json"],
  network: [],
};

/** What the command line says of what a daemon needs. */
export interface Use {
  /** The spool. */
  readonly spoolRoot: string;
  /** The configuration's file; null if there is none. */
  readonly configPath: string | null;
  /** The address to listen on. */
  readonly address: string;
  /** The ports to listen on. */
  readonly ports: readonly number[];
  /** The port to answer agent checks on; null where the command line does not say. */
  readonly agentPort: number | null;
  /** The number of workers. */
  readonly workers: number;
}

/** What the configuration says of it. */
export type ConfigUse = Pick<
  Config,
  | "agent_port"
  | "allow_remote_spool_changes"
  | "https_ca"
  | "https_verify"
  | "log_path"
  | "remote_spool_token_file"
  | "tls_cert"
  | "tls_key"
>;

/** A permission that a feature of the daemon needs. */
export interface Need {
  /** The flag or key that switches the feature on; null for what every daemon does. */
  readonly feature: string | null;
  /** The kind of permission. */
  readonly kind: "read" | "write" | "net";
  /** Where it is granted for, as hacheck is installed. */
  readonly place: Place;
  /** What for. */
  readonly why: string;
  /**
   * What a run needs it for: paths, or addresses to listen on; none where the feature is not in use.
   *
   * @param use The command line.
   * @param config The configuration; undefined before it has been read.
   */
  readonly of: (use: Use, config?: ConfigUse) => readonly string[];
}

/** What the daemon needs. The flags, the README's table and what is given up at start come from here. */
export const DAEMON_NEEDS: readonly Need[] = [
  {
    feature: null,
    kind: "read",
    place: "spool",
    why: "read and watch the spool",
    of: ({ spoolRoot }) => [spoolRoot],
  },
  {
    feature: null,
    kind: "net",
    place: "network",
    why: "listen for checks, and connect to services",
    of: ({ address, ports }) => ports.map((port) => scopeOf(address, port)),
  },
  {
    feature: "-A or agent_port",
    kind: "net",
    place: "network",
    why: "listen for agent checks",
    of: ({ address, agentPort }, config) => {
      const port = agentPort ?? config?.agent_port ?? null;
      return port === null ? [] : [scopeOf(address, port)];
    },
  },
  {
    feature: "-c",
    kind: "read",
    place: "-c",
    why: "read the configuration, at the start and at SIGHUP",
    of: ({ configPath }) => configPath === null ? [] : [configPath],
  },
  {
    feature: "https_ca",
    kind: "read",
    place: "configuration",
    why: "read the trusted certificate authorities",
    of: (_, config) => config?.https_verify && config.https_ca !== null ? [config.https_ca] : [],
  },
  {
    feature: "log_path",
    kind: "read",
    place: "logs",
    why: "notice that the log was rotated",
    of: (_, config) => logFiles(config),
  },
  {
    feature: "log_path",
    kind: "write",
    place: "logs",
    why: "write the log",
    of: (_, config) => logFiles(config),
  },
  {
    feature: "allow_remote_spool_changes",
    kind: "write",
    place: "spool",
    why: "write records and weights for clients that POST them",
    of: ({ spoolRoot }, config) => config?.allow_remote_spool_changes ? [spoolRoot] : [],
  },
  {
    feature: "remote_spool_token_file",
    kind: "read",
    place: "configuration",
    why: "read the token of such clients",
    of: (_, config) => listed(config?.remote_spool_token_file),
  },
  {
    feature: "tls_cert",
    kind: "read",
    place: "configuration",
    why: "read the daemon's certificate",
    of: (_, config) => listed(config?.tls_cert),
  },
  {
    feature: "tls_key",
    kind: "read",
    place: "configuration",
    why: "read the key of that certificate",
    of: (_, config) => listed(config?.tls_key),
  },
  {
    feature: "-n above 1",
    kind: "read",
    place: "code",
    why: "load hacheck's own code in each worker; compiled programs contain it",
    of: ({ workers }) => workers > 1 && !Deno.build.standalone ? ownCode() : [],
  },
];

/** An address to listen on, as `--allow-net` takes it. */
function scopeOf(address: string, port: number): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

function listed(path: string | null | undefined): string[] {
  return path === null || path === undefined ? [] : [path];
}

function logFiles(config: ConfigUse | undefined): string[] {
  const path = config?.log_path ?? "stderr";
  return path === "stdout" || path === "stderr" ? [] : [path];
}

function ownCode(): string[] {
  // This module is in `src/daemon`; bundled, it is part of a module in `src`.
  const folder = import.meta.dirname!;
  const project = folder.slice(0, folder.lastIndexOf("/src") + 1);
  return INSTALLED.code.map((path) => project + path);
}

/** How hacheck is installed. */
export interface Installation {
  /** The folder that holds the project, with a slash at its end; null where it is compiled. */
  readonly project: string | null;
  /** The addresses it may listen on and connect to, as `--allow-net` takes them; all, if not given. */
  readonly addresses?: readonly string[];
}

/** The addresses of `start:locked`: loopback, and what it listens on. */
export const LOCKED_ADDRESSES: readonly string[] = ["127.0.0.0/8", "[::1]", "0.0.0.0:3333"];

/**
 * The flags that the daemon is installed with, which let every feature work. What its configuration
 * does not use the daemon gives up at start.
 *
 * @param installation How it is installed.
 * @returns Arguments for Deno.
 *
 * @example
 * ```ts
 * import { daemonFlags } from "./permissions.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(daemonFlags({ project: null, addresses: ["127.0.0.0/8"] }), [
 *   "--no-prompt",
 *   "--allow-read=/var/spool/hacheck,/etc/hacheck,/etc/hacheck.yaml,/etc/hacheck.conf.yaml," +
 *   "/var/log/hacheck,/var/log/hacheck.log",
 *   "--allow-write=/var/log/hacheck,/var/log/hacheck.log,/var/spool/hacheck",
 *   "--allow-net=127.0.0.0/8",
 * ]);
 * ```
 */
export function daemonFlags({ project, addresses = INSTALLED.network }: Installation): string[] {
  const code = project === null ? [] : INSTALLED.code.map((path) => project + path);
  const paths = (wanted: "read" | "write") =>
    DAEMON_NEEDS.filter(({ kind }) => kind === wanted)
      .flatMap(({ place }) => place === "code" ? code : INSTALLED[place]);
  return [
    NO_PROMPT.flag,
    flagOf("read", paths("read")),
    flagOf("write", paths("write")),
    flagOf("net", addresses),
  ];
}

/** A permission, as Deno's command line gives it. */
export interface Grant {
  /** The flag. */
  readonly flag: string;
  /** What it is for. */
  readonly why: string;
}

const NO_PROMPT: Grant = {
  flag: "--no-prompt",
  why: "deny what is not granted, without asking",
};

/**
 * What a daemon needs that has no feature in use which needs more.
 *
 * @param spoolRoot Where downtimes are kept.
 */
export function daemonGrants(spoolRoot: string = DEFAULT_SPOOL_ROOT): Grant[] {
  const always = DAEMON_NEEDS.filter(({ feature }) => feature === null);
  return [
    NO_PROMPT,
    ...always.map(({ kind, place, why }) => ({
      flag: flagOf(kind, place === "spool" ? [spoolRoot] : INSTALLED[place]),
      why,
    })),
  ];
}

/**
 * What hactl needs.
 *
 * @param spoolRoot Where downtimes are kept.
 */
export function hactlGrants(spoolRoot: string = DEFAULT_SPOOL_ROOT): Grant[] {
  return [
    NO_PROMPT,
    {
      flag: `--allow-read=${spoolRoot},/etc/nonhumans,${ETC}`,
      why: "read the spool, /etc/nonhumans and the files in /etc/hacheck",
    },
    { flag: `--allow-write=${spoolRoot}`, why: "write the spool" },
    {
      flag: "--allow-net",
      why: "ask this host's daemon, and those that `--daemon` names",
    },
    {
      flag: "--allow-env=SUDO_USER,SSH_USER",
      why: "read the user's login name, the default reason",
    },
    { flag: "--allow-sys=uid,gid,userInfo", why: "the same, where neither variable is set" },
  ];
}

/**
 * The flags of some grants, as arguments for Deno.
 *
 * @param grants The grants.
 */
export function flagsOf(grants: readonly Grant[]): string[] {
  return grants.map(({ flag }) => flag);
}

/**
 * The flag that grants what a need says, as hacheck is installed.
 *
 * @param need The need.
 */
export function installedFlag({ kind, place }: Need): string {
  return flagOf(kind, INSTALLED[place]);
}

function flagOf(kind: Need["kind"], scopes: readonly string[]): string {
  return scopes.length === 0 ? `--allow-${kind}` : `--allow-${kind}=${[...new Set(scopes)].join()}`;
}

/** Thrown when a permission is missing. Its message names what needs it, and the flag that grants it. */
export class PermissionError extends Error {
  override name = "PermissionError";
}

/** The kinds of permission that no feature needs. */
const OTHERS = ["env", "sys", "run", "ffi", "import"] as const;

/** What one run of the daemon may do: what the features in use need, and nothing that was granted beside. */
export class Permissions {
  readonly #use: Use;
  #gaveUp = false;

  /** @param use The command line. */
  constructor(use: Use) {
    this.#use = use;
  }

  /**
   * Makes sure that what the features in use need is granted.
   *
   * @param config The configuration; undefined before it has been read.
   * @throws {PermissionError} If something is not.
   */
  demand(config?: ConfigUse): void {
    const missing = new Map<string, string[]>();
    for (const { feature, kind, of } of DAEMON_NEEDS) {
      const scopes = of(this.#use, config).filter((scope) => !isGranted(kind, scope));
      if (scopes.length === 0) continue;
      const name = feature ?? "hacheck";
      missing.set(name, [...missing.get(name) ?? [], flagOf(kind, scopes)]);
    }
    if (missing.size === 0) return;
    const needs = [...missing].map(([name, flags]) => `${name} needs ${flags.join(" ")}`);
    const hint = this.#gaveUp ? " (if that was granted at start, a restart is enough)" : "";
    throw new PermissionError(needs.join("; ") + hint);
  }

  /**
   * Gives up for good what the features in use do not need, and warns of what cannot be given up.
   *
   * @param config The configuration.
   * @param log Where to warn.
   * @returns What is in force from now on.
   */
  giveUp(config: ConfigUse, log: Log): PermissionsInForce {
    this.#gaveUp = true;
    const others = OTHERS.filter((name) => {
      return Deno.permissions.revokeSync({ name }).state === "granted";
    });
    return {
      read: this.#giveUpPaths("read", config, log),
      write: this.#giveUpPaths("write", config, log),
      net: isGranted("net") ? "everything" : "listed",
      others,
    };
  }

  #giveUpPaths(
    kind: "read" | "write",
    config: ConfigUse,
    log: Log,
  ): PermissionsInForce["read" | "write"] {
    const needs = DAEMON_NEEDS.filter((need) => need.kind === kind);
    const needed = [...new Set(needs.flatMap(({ of }) => of(this.#use, config)))];
    if (needed.length === 0) {
      Deno.permissions.revokeSync({ name: kind });
      return [];
    }
    if (isGranted(kind) || isGranted(kind, "/")) {
      const flag = flagOf(kind, needed);
      log.warning("hacheck may {kind} every file, and cannot give up a part: grant {flag}", {
        kind,
        flag,
      });
      return "everything";
    }
    const paths = needed.map((path) => `${absolute(path)}/`);
    for (const place of this.#places()) {
      if (paths.some((path) => path.startsWith(`${place}/`))) continue;
      // What Deno takes back is every grant that covers the path: one that covers more is left alone.
      const isGrant = isGranted(kind, place) && !isGranted(kind, parentOf(place));
      if (isGrant) Deno.permissions.revokeSync({ name: kind, path: place });
    }
    return [...new Set(needed.map((path) => widestGrant(kind, absolute(path))))];
  }

  /** What may have been granted without a need: for features that are not in use, or by mistake. */
  #places(): Set<string> {
    const paths = DAEMON_NEEDS.flatMap(({ place }) => {
      if (place === "code") return ownCode();
      return place === "spool" ? [...INSTALLED.spool, this.#use.spoolRoot] : INSTALLED[place];
    });
    // The widest first: to give up one grant leaves those within it.
    return new Set(
      [...paths, ...COMMON_FOLDERS, ...workingFolder()].map(absolute)
        .sort((one, other) => one.length - other.length),
    );
  }
}

/** Folders for which somebody may have granted more than is needed: Deno does not list its grants. */
const COMMON_FOLDERS: readonly string[] = [
  ...[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
  ],
  ...["/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/lib", "/usr/local", "/var"],
  ...["/var/lib", "/var/log", "/var/spool", "/var/tmp"],
];

/** The working directory, if it is still there. */
function workingFolder(): string[] {
  try {
    return [Deno.cwd()];
  } catch {
    return [];
  }
}

/** The folder whose grant covers a path, or the path itself. */
function widestGrant(kind: "read" | "write", path: string): string {
  const parent = parentOf(path);
  return path !== parent && isGranted(kind, parent) ? widestGrant(kind, parent) : path;
}

/** Tells whether something is granted: for a path or an address, or for all. */
function isGranted(kind: Need["kind"], scope?: string): boolean {
  const all = { name: kind };
  const one = kind === "net" ? { name: kind, host: scope } : { name: kind, path: scope };
  return Deno.permissions.querySync(scope === undefined ? all : one).state === "granted";
}

/** A path from the root on, without `.` and `..`. To load node:path for that would take 10 ms of the start. */
function absolute(path: string): string {
  const whole = path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  if (!whole.includes("/.")) return whole;
  const escaped = encodeURI(whole).replace(/[?#]/g, encodeURIComponent);
  return decodeURIComponent(new URL(`file://${escaped}`).pathname);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** The flags of hactl that name a file for it to read, each with the reason. */
export const HACTL_FILE_FLAGS: Readonly<Record<"token-file" | "daemon-file" | "ca-file", string>> =
  {
    "token-file": "read the token for daemons that require one",
    "daemon-file": "read the URLs of daemons",
    "ca-file": "read the certificate authorities to trust",
  };

/** What hactl needs beyond that, by the flag of its own that needs it. Capitals stand for a path. */
export const HACTL_FEATURE_GRANTS: readonly (Grant & { readonly feature: string })[] = Object
  .entries(HACTL_FILE_FLAGS)
  .map(([name, why]) => ({ feature: `\`--${name} FILE\``, flag: "--allow-read=FILE", why }));
