/**
 * The spool's files: reading and writing records and weights.
 *
 * @module
 */

import { type Clock, systemClock } from "../runtime/clock.ts";
import { errorMessage } from "../text/error_message.ts";
import {
  type DowntimeRecord,
  type Entry,
  formatEntry,
  isExpired,
  type Mode,
  type ParsedEntry,
  parseDowntime,
  parseWeight,
  type WeightRecord,
} from "./entry.ts";
import { isSpoolName, parseRecordName, parseWeightName, WEIGHT_PREFIX } from "./names.ts";

/** The default folder. */
export const DEFAULT_SPOOL_ROOT = "/var/spool/hacheck";

/** Size limit of a record, in bytes. A longer one is down and is not parsed. */
export const MAX_RECORD_BYTES = 64 * 1024;

/** Thrown for an entry that would be too long to be read back. */
export class EntryTooLongError extends Error {
  override readonly name = "EntryTooLongError";

  /** @param length The length of its file, in bytes. */
  constructor(length: number) {
    super(`Record too long: expected at most ${MAX_RECORD_BYTES} bytes as JSON: found ${length}`);
  }
}

/** A record or a weight to write. */
export type NewEntry<E extends Entry> = Omit<E, "creation" | "by"> & {
  /** When it was created, in unix seconds. */
  readonly creation?: number | undefined;
  /** The login name of its author. */
  readonly by?: string | undefined;
};

/** A record or a weight, with its subject. A weight has the name of the subject's record. */
export type StoredEntry<E extends Entry> = {
  readonly name: string;
  readonly service: string;
  readonly port: number;
  readonly host: string;
} & E;

/** How long a writer waits for the lock, in milliseconds. */
const LOCK_TIMEOUT_MS = 2000;

/** How often it tries, in milliseconds. */
const LOCK_RETRY_MS = 5;

/** A lock on the folder, held or not. */
type Lock = Disposable & { readonly held: boolean; readonly folder: Deno.FsFile };

/**
 * Reads and writes the records and weights of one spool.
 *
 * Writers lock the folder itself (`flock`), so that none removes an entry as expired that another has just
 * renewed. A writer that does not get the lock within two seconds writes without it, so that no downtime is lost.
 *
 * @example
 * ```ts
 * import { SpoolStore } from "./store.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const store = new SpoolStore(Deno.makeTempDirSync());
 * await store.set("web", { mode: "down", reason: "maint", expiration: null });
 * assertEquals(store.readDowntime("web")?.record.reason, "maint");
 * await store.remove("web");
 * assertEquals(store.readDowntime("web"), undefined);
 * ```
 */
export class SpoolStore {
  /** The folder. */
  readonly root: string;
  readonly #clock: Clock;
  #buffer: Uint8Array<ArrayBuffer> | undefined;

  constructor(root: string, clock: Clock = systemClock) {
    this.root = root;
    this.#clock = clock;
  }

  /** Returns the path of a file in the spool. */
  path(name: string): string {
    return `${this.root}/${name}`;
  }

  /** Creates the folder, if it is missing, readable for its owner and group. */
  create(): void {
    try {
      Deno.mkdirSync(this.root, { mode: 0o750 });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return;
      throw error;
    }
    // The daemon's user reads it by its group, whatever the operator's umask is.
    Deno.chmodSync(this.root, 0o750);
  }

  /** Returns the names of the records, in no order. It throws NotFound without the folder. */
  listDowntimes(): string[] {
    return this.listFiles().filter((name) => parseRecordName(name) !== undefined);
  }

  /** Returns the names of the records and weights, as {@linkcode listDowntimes}. */
  listEntries(): string[] {
    return this.listFiles().filter(isSpoolName);
  }

  /** Returns the names of all files of the folder, as {@linkcode listDowntimes}. */
  listFiles(): string[] {
    return Array.from(Deno.readDirSync(this.root), ({ name }) => name);
  }

  /** Does the same without blocking the worker: listing 100,000 files takes 200 ms. */
  async listFilesInBackground(): Promise<string[]> {
    return await Array.fromAsync(Deno.readDir(this.root), ({ name }) => name);
  }

  /**
   * Reads a record. Reading is synchronous, so that two readings never overtake each other.
   *
   * @returns The record; undefined if there is no such file. A file that cannot be read is down.
   * @throws {Error} If the system cannot tell whether the file exists.
   */
  readDowntime(name: string): ParsedEntry<DowntimeRecord> | undefined {
    return this.#read(name, this.stat(name)?.isFile, parseDowntime);
  }

  /**
   * Reads all records, in two thirds of the time of reading each by its name.
   *
   * @returns The records, expired ones included, sorted by name.
   * @throws {Deno.errors.NotFound} Without the folder.
   */
  readDowntimes(): StoredEntry<DowntimeRecord>[] {
    return this.#readAll("", parseDowntime);
  }

  /** Reads all weights, as {@linkcode readDowntimes}. */
  readWeights(): StoredEntry<WeightRecord>[] {
    return this.#readAll(WEIGHT_PREFIX, parseWeight);
  }

  /** Reads a weight, as {@linkcode readDowntime}. A file that cannot be read changes no weight. */
  readWeight(name: string): ParsedEntry<WeightRecord> | undefined {
    return this.#read(name, this.stat(name)?.isFile, parseWeight);
  }

  /**
   * Reads a record or a weight, depending on the file's name.
   *
   * @param info What {@linkcode stat} has just returned for it.
   */
  readEntry(
    name: string,
    info: Deno.FileInfo | undefined = this.stat(name),
  ): ParsedEntry | undefined {
    const isWeight = parseWeightName(name) !== undefined;
    return this.#read<Entry>(name, info?.isFile, isWeight ? parseWeight : parseDowntime);
  }

  /**
   * Returns the attributes of a file, not following links.
   *
   * @returns The attributes; undefined if there is no such file.
   * @throws {Error} If the system cannot tell whether the file exists.
   */
  stat(name: string): Deno.FileInfo | undefined {
    try {
      return Deno.lstatSync(this.path(name));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /**
   * Writes a record or a weight. One without a creation time keeps that of the present one with the same
   * effect and reason, else it is created now.
   *
   * @returns The record or weight as written.
   * @throws {EntryTooLongError} If it is longer than MAX_RECORD_BYTES. The spool is then unchanged.
   * @throws {Error} The system's error. The spool is then unchanged.
   */
  set(name: string, entry: NewEntry<DowntimeRecord>): Promise<DowntimeRecord>;
  set(name: string, entry: NewEntry<WeightRecord>): Promise<WeightRecord>;
  set(name: string, entry: NewEntry<DowntimeRecord> | NewEntry<WeightRecord>): Promise<Entry>;
  async set(
    name: string,
    { by = "", creation: given, ...rest }: NewEntry<DowntimeRecord> | NewEntry<WeightRecord>,
  ): Promise<Entry> {
    using lock = await this.#lock();
    const now = Date.now() / 1000;
    const present = this.readEntry(name)?.record;
    const keepsCreation = present !== undefined && present.reason === rest.reason &&
      effectOf(present) === effectOf(rest) && !isExpired(present, now);
    const creation = given ?? (keepsCreation ? present.creation : null) ?? now;
    const entry = { ...rest, creation, ...by === "" ? {} : { by } };
    const content = formatEntry(entry);
    // It is ASCII, so that its length is its size.
    if (content.length > MAX_RECORD_BYTES) throw new EntryTooLongError(content.length);
    await this.#write(lock, name, content);
    return entry;
  }

  /** Removes a record or a weight, if there is one. */
  async remove(name: string): Promise<void> {
    if (!await remove(this.path(name))) return;
    using folder = await Deno.open(this.root);
    await folder.sync();
  }

  /** Removes a record or a weight if it has expired, and has not been renewed meanwhile. */
  async removeExpired(name: string): Promise<void> {
    using lock = await this.#lock();
    if (!lock.held) return;
    const present = this.readEntry(name);
    if (present !== undefined && isExpired(present.record, Date.now() / 1000)) {
      await Deno.remove(this.path(name));
    }
  }

  #readAll<E extends Entry>(
    prefix: string,
    parse: (content: string) => ParsedEntry<E>,
  ): StoredEntry<E>[] {
    const isFile = new Map<string, boolean>();
    for (const file of Deno.readDirSync(this.root)) isFile.set(file.name, file.isFile);
    const entries: StoredEntry<E>[] = [];
    // The default order of strings needs no comparison in JavaScript.
    for (const file of [...isFile.keys()].sort()) {
      const name = file.startsWith(prefix) ? file.slice(prefix.length) : "";
      const subject = parseRecordName(name);
      if (subject === undefined) continue;
      const stored = this.#read(file, isFile.get(file), parse);
      if (stored === undefined) continue;
      const { service, port, host } = subject;
      entries.push({ name, service, port, host, ...stored.record });
    }
    return entries;
  }

  /** Reads and parses a file. One that exists and cannot be read has the cause as its reason. */
  #read<E extends Entry>(
    name: string,
    isFile: boolean | undefined,
    parse: (content: string) => ParsedEntry<E>,
  ): ParsedEntry<E> | undefined {
    if (isFile === undefined) return undefined;
    const unreadable = (why: string): ParsedEntry<E> => {
      const problem = `the record cannot be read: ${why}`;
      return { record: { ...parse("").record, reason: problem }, problem };
    };
    // Opening a pipe would block for ever, and a link may lead anywhere.
    if (!isFile) return unreadable("it is not a regular file");
    try {
      const bytes = this.#readStart(this.path(name));
      if (bytes.length > MAX_RECORD_BYTES) {
        return unreadable(`it is longer than ${MAX_RECORD_BYTES} bytes`);
      }
      return parse(decoder.decode(bytes));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      return unreadable(errorMessage(error));
    }
  }

  /** Reads a file up to one byte more than a record may have. */
  #readStart(path: string): Uint8Array<ArrayBuffer> {
    using file = Deno.openSync(path);
    // Reading is synchronous, so one buffer serves all. Allocating one takes as long as reading.
    this.#buffer ??= new Uint8Array(MAX_RECORD_BYTES + 1);
    // One read returns all of a regular file that fits.
    return this.#buffer.subarray(0, file.readSync(this.#buffer) ?? 0);
  }

  /** Writes a file whole or not at all. */
  async #write(lock: Lock, name: string, content: string): Promise<void> {
    // One name serves every holder of the lock, so that a killed writer leaves at most one file behind.
    const temporary = this.path(lock.held ? ".hacheck.tmp" : `.hacheck.${crypto.randomUUID()}.tmp`);
    try {
      await remove(temporary);
      await writeDurably(temporary, content);
      await Deno.rename(temporary, this.path(name));
    } catch (error) {
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
    await lock.folder.sync();
  }

  async #lock(): Promise<Lock> {
    const folder = await Deno.open(this.root);
    try {
      const start = this.#clock.now();
      let held = await folder.tryLock(true);
      while (!held && this.#clock.now() - start < LOCK_TIMEOUT_MS) {
        await new Promise<void>((resolve) => this.#clock.after(LOCK_RETRY_MS, resolve));
        held = await folder.tryLock(true);
      }
      const release = () => {
        // An operation that has just ended may keep the file open for a moment after it is closed.
        if (held) folder.unlockSync();
        folder.close();
      };
      return { held, folder, [Symbol.dispose]: release };
    } catch (error) {
      folder.close();
      throw error;
    }
  }
}

const decoder = new TextDecoder();

/** What an entry does, besides its reason and times. */
function effectOf(
  entry: Pick<DowntimeRecord, "mode"> | Pick<WeightRecord, "weight">,
): Mode | number | null {
  return "weight" in entry ? entry.weight : entry.mode;
}

/** Removes a file and returns whether it existed. */
async function remove(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Writes a new file. An existing one might be another user's, or a link to elsewhere. */
async function writeDurably(path: string, content: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const bytes = new TextEncoder().encode(content);
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  // The daemon may run as another user than the operator, whose umask may be strict.
  await Deno.chmod(path, 0o644);
  await file.sync();
}
