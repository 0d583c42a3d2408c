/**
 * The permissions of the programs, and the reason for each. No other module defines any.
 *
 * @module
 */

import type { Config } from "../config.ts";
import type { Log } from "../log/log.ts";
import type { PermissionsInForce } from "../metrics/runtime.ts";
import { TLS_CLIENTS, type TlsClient } from "../net/tls_clients.ts";
import { DEFAULT_SPOOL_ROOT } from "../spool/store.ts";
import { NOTIFY_VARIABLES, OWN_SOCKET } from "./notify_options.ts";

/** What a permission is granted for. */
type Place = "spool" | "-c" | "configuration" | "logs" | "code" | "network" | "systemd";

/** The places of files that the command line or the configuration names. */
const NAMED_FILES: ReadonlySet<Place> = new Set(["-c", "configuration", "logs"]);

/** The folder of the configuration and of the files that it names. */
const ETC = "/etc/hacheck";

/**
 * The scopes of each place in an installation. The single files are those of the Python hachecks. Code is relative to
 * the project; the network has no scope.
 */
const INSTALLED: Readonly<Record<Place, readonly string[]>> = {
  spool: [DEFAULT_SPOOL_ROOT],
  "-c": [ETC, "/etc/hacheck.yaml", "/etc/hacheck.conf.yaml"],
  configuration: [ETC],
  logs: ["/var/log/hacheck", "/var/log/hacheck.log"],
  code: ["src", "deno.json", ".deno-version"],
  network: [],
  systemd: ["/run/systemd/notify"],
};

/** The part of the command line that decides on permissions. */
export interface Use {
  /** The spool folder. */
  readonly spoolRoot: string;
  /** The configuration file; null for none. */
  readonly configPath: string | null;
  /** The address to listen on. */
  readonly address: string;
  /** The ports to listen on. */
  readonly ports: readonly number[];
  /** The port for agent checks; null if the command line names none. */
  readonly agentPort: number | null;
  /** The path of systemd's socket for notifications; null without systemd. */
  readonly notifySocket: string | null;
  /** The number of workers. */
  readonly workers: number;
  /** Whether the code is bundled: large packages are then loaded when they are first used. */
  readonly isBundled: boolean;
}

/** The part of the configuration that decides on permissions. */
export type ConfigUse = Pick<
  Config,
  | "agent_port"
  | "allow_remote_spool_changes"
  | "log_path"
  | "mysql_username"
  | "postgres_username"
  | "remote_spool_token_file"
  | "tls_cert"
  | "tls_key"
  | `${TlsClient}_${"verify" | "ca" | "cert" | "key"}`
>;

/** A permission that a feature of the daemon needs. */
export interface Need {
  /** The flag or key that enables the feature; null for what every daemon does. */
  readonly feature: string | null;
  /** The kind of permission. */
  readonly kind: "read" | "write" | "net";
  /** What it is granted for in an installation. */
  readonly place: Place;
  /** The reason. */
  readonly why: string;
  /** Whether a run starts without it, but keeps it: a later configuration may need it. */
  readonly isOptional?: (config?: ConfigUse) => boolean;
  /**
   * Returns the paths, or the addresses to listen on, that a run needs; none if the feature is not enabled.
   *
   * @param config The configuration; undefined before it has been read.
   */
  readonly of: (use: Use, config?: ConfigUse) => readonly string[];
}

/** The needs of the daemon. Its flags, docs/security.md and what it gives up at the start come from here. */
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
    feature: "NOTIFY_SOCKET",
    kind: "write",
    place: "systemd",
    why: "notify systemd of start, reload, stop and being alive",
    of: ({ notifySocket }) => notifySocket === null ? [] : [notifySocket],
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
  ...TLS_CLIENTS.map((client): Need => ({
    feature: `${client}_ca`,
    kind: "read",
    place: "configuration",
    why: "read the trusted certificate authorities",
    of: (_, config) => {
      const path = config?.[`${client}_verify`] ? config[`${client}_ca`] : null;
      return path === null ? [] : [path];
    },
  })),
  ...TLS_CLIENTS.map((client) =>
    configurationFile(`${client}_cert`, "read the certificate for such services")
  ),
  ...TLS_CLIENTS.map((client) => configurationFile(`${client}_key`, "read its key")),
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
  configurationFile("remote_spool_token_file", "read the token of such clients"),
  configurationFile("tls_cert", "read the daemon's certificate"),
  configurationFile("tls_key", "read the key of that certificate"),
  {
    feature: "mysql_username or postgres_username",
    kind: "read",
    place: "code",
    why: "load the client of the database at the first check; compiled programs contain it",
    isOptional: (config) => config?.mysql_username == null && config?.postgres_username == null,
    of: ({ isBundled }) => isBundled ? ownCode().slice(0, 1) : [],
  },
  {
    feature: "-n above 1",
    kind: "read",
    place: "code",
    why: "load hacheck's own code in each worker; compiled programs contain it",
    of: ({ workers }) => workers > 1 && !Deno.build.standalone ? ownCode() : [],
  },
];

/** An address to listen on, in the form of `--allow-net`. */
function scopeOf(address: string, port: number): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** The need for a file that a key of the configuration names. */
function configurationFile(
  feature: "remote_spool_token_file" | `${"tls" | TlsClient}_${"cert" | "key"}`,
  why: string,
): Need {
  return {
    ...{ feature, kind: "read", place: "configuration", why },
    of: (_, config) => {
      const path = config?.[feature] ?? null;
      return path === null ? [] : [path];
    },
  };
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
  /** The folder of the project, with a slash at its end; null for compiled programs. */
  readonly project: string | null;
  /** The addresses to listen on and connect to, in the form of `--allow-net`; all by default. */
  readonly addresses?: readonly string[];
}

/** The addresses of the task `start:locked`: loopback, and the one that it listens on. */
export const LOCKED_ADDRESSES: readonly string[] = ["127.0.0.0/8", "[::1]", "0.0.0.0:3333"];

/** Deno denies what is not granted, without a prompt. */
const NO_PROMPT = "--no-prompt";

/**
 * Returns the flags that the daemon is installed with, which permit every feature. At the start the daemon gives up
 * what its configuration does not need.
 *
 * @example
 * ```ts
 * import { daemonFlags } from "./permissions.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(daemonFlags({ project: null, addresses: ["127.0.0.0/8"] }), [
 *   "--no-prompt",
 *   "--allow-read=/var/spool/hacheck,/etc/hacheck,/etc/hacheck.yaml,/etc/hacheck.conf.yaml," +
 *   "/var/log/hacheck,/var/log/hacheck.log,/tmp/hacheck-notify.sock",
 *   "--allow-write=/run/systemd/notify,/var/log/hacheck,/var/log/hacheck.log,/var/spool/hacheck," +
 *   "/tmp/hacheck-notify.sock",
 *   "--allow-net=127.0.0.0/8",
 *   "--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC",
 * ]);
 * ```
 */
export function daemonFlags({ project, addresses = INSTALLED.network }: Installation): string[] {
  const code = project === null ? [] : INSTALLED.code.map((path) => project + path);
  // Scripts permit to notify systemd only where there is one.
  const own = project === null ? [OWN_SOCKET] : [];
  const paths = (wanted: "read" | "write") => [
    ...DAEMON_NEEDS.filter(({ kind }) => kind === wanted)
      .filter(({ place }) => place !== "systemd" || project === null)
      .flatMap(({ place }) => place === "code" ? code : INSTALLED[place]),
    ...own,
  ];
  return [
    NO_PROMPT,
    flagOf("read", paths("read")),
    flagOf("write", paths("write")),
    flagOf("net", addresses),
    ...project === null ? [`--allow-env=${NOTIFY_VARIABLES}`] : [],
  ];
}

/** Returns the flags of a daemon that uses no feature which needs more. */
export function minimalDaemonFlags(spoolRoot: string): string[] {
  const always = DAEMON_NEEDS.filter(({ feature }) => feature === null);
  return [
    NO_PROMPT,
    ...always.map(({ kind, place }) =>
      flagOf(kind, place === "spool" ? [spoolRoot] : INSTALLED[place])
    ),
  ];
}

/** A permission in the form of Deno's command line. */
export interface Grant {
  /** The flag. */
  readonly flag: string;
  /** The reason. */
  readonly why: string;
}

/** Returns the permissions of hactl. */
export function hactlGrants(spoolRoot: string = DEFAULT_SPOOL_ROOT): Grant[] {
  return [
    { flag: NO_PROMPT, why: "deny what is not granted, without asking" },
    {
      flag: `--allow-read=${spoolRoot},/etc/nonhumans,${ETC}`,
      why: "read the spool, /etc/nonhumans and the files in /etc/hacheck",
    },
    { flag: `--allow-write=${spoolRoot}`, why: "write the spool" },
    {
      flag: "--allow-net",
      why: "send requests to this host's daemon, and to those that `--daemon` names",
    },
    {
      flag: "--allow-env=SUDO_USER,SSH_USER",
      why: "read the user's login name, the default reason",
    },
    { flag: "--allow-sys=uid,gid,userInfo", why: "the same, where neither variable is set" },
  ];
}

/** Returns the flags that hactl is installed with. */
export function hactlFlags(spoolRoot: string = DEFAULT_SPOOL_ROOT): string[] {
  return hactlGrants(spoolRoot).map(({ flag }) => flag);
}

/** The flags of hactl that name a file to read, each with the reason. A run is granted the files that it names. */
export const HACTL_FILE_FLAGS: Readonly<Record<"token-file" | "daemon-file" | "ca-file", string>> =
  {
    "token-file": "read the token for daemons that require one",
    "daemon-file": "read the URLs of daemons",
    "ca-file": "read the certificate authorities to trust",
  };

/** Returns the flag that grants a need in an installation. */
export function installedFlag({ kind, place }: Need): string {
  return flagOf(kind, INSTALLED[place]);
}

function flagOf(kind: Need["kind"], scopes: readonly string[]): string {
  return scopes.length === 0 ? `--allow-${kind}` : `--allow-${kind}=${[...new Set(scopes)].join()}`;
}

/** Thrown if a permission is missing. The message names the feature and the flag. */
export class PermissionError extends Error {
  override name = "PermissionError";
}

/** The kinds of permission that no feature needs. */
const OTHERS = ["env", "sys", "run", "ffi", "import"] as const;

/** The permissions of one run of the daemon: those that its features need. */
export class Permissions {
  readonly #use: Use;
  #gaveUp = false;

  /** @param use The command line. */
  constructor(use: Use) {
    this.#use = use;
  }

  /**
   * Checks that the needs of the enabled features are granted.
   *
   * @param config The configuration; undefined before it has been read.
   * @param isServing Whether this run serves; otherwise it only needs the files that flags and keys name.
   * @throws {PermissionError} If one is not.
   */
  demand(config?: ConfigUse, isServing: boolean = true): void {
    const missing = new Map<string, string[]>();
    for (const { feature, kind, place, of, isOptional } of DAEMON_NEEDS) {
      if (isOptional?.(config) || !(isServing || NAMED_FILES.has(place))) continue;
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
   * Gives up for good what the enabled features do not need.
   *
   * @param log Warns of permissions that cannot be given up.
   * @returns The permissions in force from now on.
   */
  giveUp(config: ConfigUse, log: Log): PermissionsInForce {
    this.#gaveUp = true;
    return {
      read: this.#giveUpPaths("read", config, log),
      write: this.#giveUpPaths("write", config, log),
      net: isGranted("net") ? "everything" : "listed",
      others: OTHERS.filter((name) => Deno.permissions.revokeSync({ name }).state === "granted"),
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
      log.warning("hacheck may {kind} every file, which cannot be narrowed: {flag} is enough", {
        kind,
        flag: flagOf(kind, needed),
      });
      return "everything";
    }
    const paths = needed.map((path) => `${absolute(path)}/`);
    for (const place of this.#places()) {
      if (paths.some((path) => path.startsWith(`${place}/`))) continue;
      // Deno revokes every grant that covers the path, so a grant that covers more is kept.
      if (isGranted(kind, place) && !isGranted(kind, parentOf(place))) {
        Deno.permissions.revokeSync({ name: kind, path: place });
      }
    }
    const granted = needed.filter((path) => isGranted(kind, path));
    return [...new Set(granted.map((path) => widestGrant(kind, absolute(path))))];
  }

  /** The paths of possible grants without a need: of features that are not enabled, or by mistake. */
  #places(): Set<string> {
    const paths = DAEMON_NEEDS.flatMap(({ place }) => {
      if (place === "code") return ownCode();
      return place === "spool" ? [...INSTALLED.spool, this.#use.spoolRoot] : INSTALLED[place];
    });
    // Parents first: to revoke the grant for a folder keeps the grants for its parts.
    return new Set(
      [...paths, OWN_SOCKET, ...COMMON_FOLDERS, ...workingFolder()].map(absolute)
        .sort((one, other) => one.length - other.length),
    );
  }
}

/** Folders that may be granted without a need. Deno does not list its grants. */
const COMMON_FOLDERS: readonly string[] = (
  "/bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /usr/lib " +
  "/usr/local /var /var/lib /var/log /var/spool /var/tmp"
).split(" ");

/** The working directory, if it exists. */
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

/** Whether a permission is granted: for a path or an address, or for all. */
function isGranted(kind: Need["kind"], scope?: string): boolean {
  const all = { name: kind };
  const one = kind === "net" ? { name: kind, host: scope } : { name: kind, path: scope };
  return Deno.permissions.querySync(scope === undefined ? all : one).state === "granted";
}

/**
 * Resolves a path. `node:path` would load Deno's Node layer, which takes 12 ms.
 *
 * @returns The path from the root on, without `.`, `..` and surplus slashes.
 */
export function absolute(path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${Deno.cwd()}/${path}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
