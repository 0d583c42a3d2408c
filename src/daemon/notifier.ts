import { errorMessage } from "../text/error_message.ts";
import { oneLine } from "../text/control_characters.ts";
import type { Log } from "../log/log.ts";
import { type NotifyOptions, OWN_SOCKET } from "./notify_options.ts";

/** Notifies systemd (sd_notify): that the daemon is ready, reloads or stops, and that it is alive. */
export class Notifier implements Disposable {
  readonly #options: NotifyOptions;
  readonly #log: Log;
  readonly #socket: Deno.DatagramConn;
  #timer: ReturnType<typeof setInterval> | undefined;
  #sending: Promise<unknown> = Promise.resolve();

  /**
   * Opens a socket.
   *
   * @param options What systemd wants.
   * @param log Where failures are logged.
   * @throws {Error} If the socket cannot be opened.
   */
  constructor(options: NotifyOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#socket = openOwnSocket();
    try {
      // An open socket needs no name.
      Deno.removeSync(OWN_SOCKET);
    } catch (error) {
      // Another daemon that starts may have removed it.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /**
   * Reports that the daemon serves, also after a reload. The watchdog begins with the first call.
   *
   * @param status A line for `systemctl status`.
   */
  ready(status: string): void {
    this.#send("READY=1", `STATUS=${oneLine(status)}`);
    const { watchdogUsec } = this.#options;
    if (watchdogUsec === null) return;
    this.#timer ??= setInterval(() => this.#send("WATCHDOG=1"), watchdogUsec / 1000 / 2);
  }

  /** Reports that the daemon reads its configuration again. */
  reloading(): void {
    this.#send("RELOADING=1");
  }

  /** Reports that the daemon stops. Resolves when that was sent. */
  async stopping(): Promise<void> {
    this.#send("STOPPING=1", "STATUS=finishing the requests in flight");
    await this.#sending;
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #send(...lines: readonly string[]): void {
    const bytes = new TextEncoder().encode(lines.join("\n"));
    const to = { transport: "unixpacket", path: this.#options.socket } as const;
    this.#sending = this.#socket.send(bytes, to).catch((error) => {
      const { socket } = this.#options;
      this.#log.warning("cannot notify systemd at {socket}: {why}", {
        socket,
        why: errorMessage(error),
      });
    });
  }
}

/**
 * Opens the socket that messages are sent from.
 *
 * @throws {Error} If its path is taken by something that the daemon cannot remove.
 */
function openOwnSocket(): Deno.DatagramConn {
  const open = () => Deno.listenDatagram({ transport: "unixpacket", path: OWN_SOCKET });
  try {
    return open();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    // Left behind by a daemon that was killed at its start, or put there by another user.
    try {
      Deno.removeSync(OWN_SOCKET);
    } catch (cause) {
      throw new Error(`cannot remove ${OWN_SOCKET}: ${errorMessage(cause)}`, { cause });
    }
    return open();
  }
}
