import type { Row } from "../report/columns.ts";
import type { CommandContext } from "../command.ts";
import { sleep } from "../sleep.ts";
import { terminalJson } from "../../src/text/control_characters.ts";
import { ALL } from "../../src/spool/names.ts";
import type { Daemon } from "../daemons/daemon.ts";
import { askAll } from "../daemons/fleet.ts";
import { type Change, fetchHistory } from "../daemons/outcomes.ts";
import { warn } from "../terminal.ts";
import { withUrl } from "../report/lines.ts";
import { renderTable } from "../report/overview.ts";
import { fetchStatus } from "../daemons/fetch_status.ts";
import { statusLine, upFields } from "../report/service_status.ts";

/** How often the spool is read although no event reports a change, in milliseconds. */
const READ_EVERY_MS = 1000;

/** How often other daemons are asked, in milliseconds. */
const ASK_EVERY_MS = 2000;

/** How long further events of the same change are awaited, in milliseconds. */
const DEBOUNCE_MS = 20;

/**
 * Prints the state of services, and again whenever it changes, until a signal ends it.
 *
 * @returns The exit status, 0.
 */
export async function watch(context: CommandContext): Promise<number> {
  if (context.json) return await watchChanges(context);
  using changes = new Changes(context);
  const output = Deno.stdout.isTerminal() ? new Screen() : new Lines();
  try {
    while (!changes.isStopped) {
      const rows = [];
      const errors = [];
      for await (const outcome of fetchStatus(context)) {
        const { url, name } = outcome.daemon;
        if (outcome.error !== null) {
          errors.push(`${name}: ${outcome.error}`);
          continue;
        }
        const { services, error } = outcome.value;
        rows.push(...services.map((status) => ({ url, status })));
        if (error !== null) errors.push(error);
      }
      if (!changes.isStopped) output.show(rows, errors);
      await changes.wait();
    }
  } catch (error) {
    // The reader of the pipe has ended.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  } finally {
    output.close();
  }
  return 0;
}

/**
 * Prints each change as a line of JSON, until a signal ends it. It polls: a change that the daemon keeps is printed
 * once, also after a daemon did not respond for a while or has started anew.
 */
async function watchChanges(context: CommandContext): Promise<number> {
  using changes = new Changes(context);
  const began = Date.now() / 1000;
  const services = new Set(context.subjects.map(({ service }) => service));
  const known = new Map<string, { started: number; id: number }>();
  const problems = new Map<string, string>();
  try {
    while (!changes.isStopped) {
      const outcomes = askAll(
        context,
        (daemon, signal) => newChanges(daemon, known, began, signal),
      );
      for await (const { daemon: { url, name }, ...outcome } of outcomes) {
        if (outcome.error !== null) {
          if (problems.get(url) !== outcome.error) warn(`${name}: ${outcome.error}`);
          problems.set(url, outcome.error);
          continue;
        }
        problems.delete(url);
        const { lost, found } = outcome.value;
        if (lost > 0) warn(`${name}: ${lost} changes are not kept any more`);
        for (const change of found) {
          if (services.size > 0 && !isOf(change, services)) continue;
          print(`${terminalJson(url === "" ? change : { daemon: url, ...change })}\n`);
        }
      }
      await changes.wait();
    }
  } catch (error) {
    // The reader of the pipe has ended.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return 0;
}

/** Returns the changes since the last call for a daemon, or since the watch began, oldest first. */
async function newChanges(
  daemon: Daemon,
  known: Map<string, { started: number; id: number }>,
  began: number,
  signal: AbortSignal,
): Promise<{ readonly lost: number; readonly found: readonly Change[] }> {
  const last = known.get(daemon.url);
  let { started, changes } = await fetchHistory(daemon, null, last?.id ?? 0, signal);
  const isAnew = last !== undefined && last.started !== started;
  // The numbers begin anew with the daemon.
  if (isAnew) ({ started, changes } = await fetchHistory(daemon, null, 0, signal));
  const before = isAnew ? 0 : last?.id ?? 0;
  const newest = changes[0]?.id ?? before;
  known.set(daemon.url, { started, id: newest });
  // All changes of a daemon that has started since are new.
  if (last === undefined && started < began) return { lost: 0, found: [] };
  return { lost: newest - before - changes.length, found: changes.toReversed() };
}

function isOf(change: Change, services: ReadonlySet<string>): boolean {
  return services.has(change.service) || (change.kind === "record" && change.name === ALL);
}

/** Waits for changes of the spool, or for a signal that ends the program. */
class Changes implements Disposable {
  readonly #pause: number;
  readonly #stop = new AbortController();
  readonly #onSignal = () => this.#stop.abort();
  #change = new AbortController();
  #watcher: Deno.FsWatcher | undefined;

  constructor({ store, daemons }: CommandContext) {
    this.#pause = daemons.length > 0 ? ASK_EVERY_MS : READ_EVERY_MS;
    if (daemons.length === 0) this.#watch(store.root);
    for (const signal of SIGNALS) Deno.addSignalListener(signal, this.#onSignal);
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Waits for the next change since the last call, or until it is time to look for one. */
  async wait(): Promise<void> {
    await sleep(this.#pause, AbortSignal.any([this.#stop.signal, this.#change.signal]));
    await sleep(DEBOUNCE_MS, this.#stop.signal);
    this.#change = new AbortController();
  }

  async #watch(root: string): Promise<void> {
    try {
      this.#watcher = Deno.watchFs(root, { recursive: false });
      // hactl itself reads the records, which is an event too.
      for await (const { kind } of this.#watcher) if (kind !== "access") this.#change.abort();
    } catch {
      // There is no spool yet, or too many folders are watched: it is still read every second.
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, this.#onSignal);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** The alternate screen of a terminal: closing it restores what the terminal showed before. */
class Screen {
  #shown = "";

  constructor() {
    print("\x1b[?1049h\x1b[?25l");
  }

  show(rows: readonly Row[], errors: readonly string[]): void {
    const text = [renderTable(rows), ...errors.map((error) => `\n${error}`)].join("\n");
    if (text === this.#shown) return;
    this.#shown = text;
    print(`\x1b[H\x1b[2J${text}\n`);
  }

  close(): void {
    print("\x1b[?25h\x1b[?1049l");
  }
}

/** Prints a line for each service, and another one when its state changes. */
class Lines {
  #shown = new Map<string, { row: Row; line: string }>();
  #errors: readonly string[] = [];

  show(rows: readonly Row[], errors: readonly string[]): void {
    for (const error of errors) if (!this.#errors.includes(error)) warn(error);
    this.#errors = errors;
    const now = new Map<string, { row: Row; line: string }>();
    for (const row of rows) {
      const key = `${row.url} ${row.status.name}`;
      const line = withUrl(row.url, statusLine(row.status));
      if (this.#shown.get(key)?.line !== line) print(`${line}\n`);
      now.set(key, { row, line });
    }
    // A daemon that does not respond keeps its last known state.
    if (errors.length > 0) {
      for (const [key, shown] of this.#shown) if (!now.has(key)) now.set(key, shown);
    }
    for (const [key, { row: { url, status } }] of this.#shown) {
      if (now.has(key) || status.state === "up") continue;
      print(`${withUrl(url, statusLine(upFields(status)))}\n`);
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
