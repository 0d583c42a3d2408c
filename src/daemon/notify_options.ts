/** How systemd wants to be notified, as it says in the environment. */
export interface NotifyOptions {
  /** The path of its socket (`NOTIFY_SOCKET`). */
  readonly socket: string;
  /** After how many microseconds without a sign of life it restarts the daemon (`WATCHDOG_USEC`); null for never. */
  readonly watchdogUsec: number | null;
}

/**
 * Returns how systemd wants to be notified; null without systemd, and without the permission to read that.
 */
export function notifyOptions(): NotifyOptions | null {
  const socket = variable("NOTIFY_SOCKET");
  if (socket === undefined || !socket.startsWith("/")) return null;
  const usec = Number(variable("WATCHDOG_USEC") ?? NaN);
  return { socket, watchdogUsec: usec > 0 ? usec : null };
}

function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** The path that the notifier's own socket has for a moment: a datagram needs a sender with a name. */
export const OWN_SOCKET = "/tmp/hacheck-notify.sock";

/** The variables that it reads. */
export const NOTIFY_VARIABLES: readonly string[] = ["NOTIFY_SOCKET", "WATCHDOG_USEC"];
