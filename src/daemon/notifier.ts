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
    this.#socket = Deno.listenDatagram({ transport: "unixpacket", path: OWN_SOCKET });
    // An open socket needs no name.
    Deno.removeSync(OWN_SOCKET);
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
