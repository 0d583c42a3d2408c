import type { Row } from "../report/columns.ts";
import type { CommandContext } from "../command.ts";
import { warn } from "../terminal.ts";
import { drawn, lineOfRow } from "../report/overview.ts";
import { look } from "../daemons/fetch_status.ts";
import { toldUp } from "../report/service_status.ts";

/** How often the spool is looked at though nothing tells that it has changed, in milliseconds. */
const LOOK_EVERY_MS = 1000;

/** How often daemons elsewhere are asked, in milliseconds. */
const ASK_EVERY_MS = 2000;

/** A change may come in several events: how long they are waited for, in milliseconds. */
const SETTLE_MS = 20;

/**
 * Shows what is so, and shows it anew whenever that changes, until it is told to stop.
 *
 * @returns 0.
 */
export async function watch(context: CommandContext): Promise<number> {
  using waker = new Waker(context);
  const screen = Deno.stdout.isTerminal() ? new Screen() : new Lines();
  try {
    while (!waker.isStopped) {
      const rows = [];
      const errors = [];
      for await (const { url, ...outcome } of look(context)) {
        if (outcome.error === null) {
          rows.push(...outcome.answer.services.map((told) => ({ url, told })));
          if (outcome.answer.silence !== null) errors.push(outcome.answer.silence);
        } else errors.push(url === "" ? outcome.error : `${url}: ${outcome.error}`);
      }
      if (!waker.isStopped) screen.show(rows, errors);
      await waker.wait();
    }
  } catch (error) {
    // Who read it has gone.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  } finally {
    screen.close();
  }
  return 0;
}

/** Waits until it is worth looking again, or the user has had enough. */
class Waker implements Disposable {
  readonly #pause: number;
  readonly #stop = () => {
    this.#isStopped = true;
    this.#wake();
  };
  #isStopped = false;
  #watcher: Deno.FsWatcher | undefined;
  #wake: () => void = () => {};

  constructor({ store, daemons }: CommandContext) {
    this.#pause = daemons.length > 0 ? ASK_EVERY_MS : LOOK_EVERY_MS;
    if (daemons.length === 0) this.#watch(store.root);
    for (const signal of SIGNALS) Deno.addSignalListener(signal, this.#stop);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  async wait(): Promise<void> {
    if (this.#isStopped) return;
    let timer;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#pause);
      this.#wake = resolve;
    });
    clearTimeout(timer);
    if (!this.#isStopped) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }

  async #watch(root: string): Promise<void> {
    try {
      this.#watcher = Deno.watchFs(root, { recursive: false });
      // Removing records whose time is over is an event too; opening and reading them is none.
      for await (const { kind } of this.#watcher) if (kind !== "access") this.#wake();
    } catch {
      // There is no spool yet, or no room to watch it: it is looked at all the same.
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, this.#stop);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** The other screen of a terminal, so that what was there before comes back. */
class Screen {
  #shown = "";

  constructor() {
    print("\x1b[?1049h\x1b[?25l");
  }

  show(rows: readonly Row[], errors: readonly string[]): void {
    const text = [drawn(rows), ...errors.map((error) => `\n${error}`)].join("\n");
    if (text === this.#shown) return;
    this.#shown = text;
    print(`\x1b[H\x1b[2J${text}\n`);
  }

  close(): void {
    print("\x1b[?25h\x1b[?1049l");
  }
}

/** A line for each thing, and another one for each that changes. */
class Lines {
  #shown = new Map<string, { row: Row; line: string }>();
  #told: readonly string[] = [];

  show(rows: readonly Row[], errors: readonly string[]): void {
    for (const error of errors) if (!this.#told.includes(error)) warn(error);
    this.#told = errors;
    const now = new Map<string, { row: Row; line: string }>();
    for (const row of rows) {
      const key = `${row.url} ${row.told.name}`;
      const line = lineOfRow(row);
      if (this.#shown.get(key)?.line !== line) print(`${line}\n`);
      now.set(key, { row, line });
    }
    // A daemon that does not answer has not marked anything up.
    if (errors.length > 0) {
      for (const [key, shown] of this.#shown) if (!now.has(key)) now.set(key, shown);
    }
    for (const [key, { row: { url, told } }] of this.#shown) {
      if (now.has(key) || told.state === "up") continue;
      print(`${lineOfRow({ url, told: toldUp(told) })}\n`);
    }
    this.#shown = now;
  }

  close(): void {}
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += Deno.stdout.writeSync(bytes.subarray(written));
  }
}
