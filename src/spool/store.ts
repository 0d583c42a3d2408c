/**
 * The spool's files: reading and writing records.
 *
 * @module
 */

import { isSpoolName, parseRecordName, parseWeightName } from "./names.ts";
import {
  type DowntimeRecord,
  faultOf,
  formatRecord,
  formatWeight,
  isExpired,
  type Mode,
  parseRecord,
  parseWeight,
  weightFaultOf,
  type WeightRecord,
} from "./entry.ts";

/** Where the spool is unless told otherwise. */
export const DEFAULT_SPOOL_ROOT = "/var/spool/hacheck";

/** How long a record may be, in bytes; what is longer is down and not read. */
export const MAX_RECORD_BYTES = 64 * 1024;

/** How long a writer waits for the others, in milliseconds. */
const LOCK_PATIENCE_MS = 2000;

/** What stands in a record's file, and whether it makes sense. */
export interface StoredRecord {
  /** The record; where the file could not be read, one that is down and says why. */
  readonly record: DowntimeRecord;
  /** Why that is not what was meant; null where nothing is wrong. */
  readonly fault: string | null;
}

/** What stands in a weight's file, and whether it makes sense. */
export interface StoredWeight {
  /** The record; where the file could not be read, one that changes no weight and says why. */
  readonly record: WeightRecord;
  /** Why that is not what was meant; null where nothing is wrong. */
  readonly fault: string | null;
}

/** A file that is there and cannot be read. */
class Unreadable {
  readonly fault: string;

  constructor(why: string) {
    this.fault = `the record cannot be read: ${why}`;
  }

  /** What is told of it in the place of what it says. */
  get marking(): { reason: string; expiration: null; creation: null } {
    return { reason: this.fault, expiration: null, creation: null };
  }
}

/** A lock on the folder, held or not. */
type Lock = Disposable & { readonly held: boolean; readonly folder: Deno.FsFile };

/**
 * Reads and writes the records of one spool.
 *
 * Writers lock the folder itself (`flock`), so that nobody removes as expired what another has just
 * renewed. The lock is never worth a downtime: who does not get it in two seconds writes without it.
 *
 * @example
 * ```ts
 * import { SpoolStore } from "./store.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const store = new SpoolStore(Deno.makeTempDirSync());
 * await store.setDown("web", "maint", null);
 * assertEquals(store.readDowntime("web")?.record.reason, "maint");
 * await store.remove("web");
 * assertEquals(store.readDowntime("web"), undefined);
 * ```
 */
export class SpoolStore {
  /** The folder. */
  readonly root: string;
  #buffer: Uint8Array<ArrayBuffer> | undefined;

  /** @param root The folder. */
  constructor(root: string) {
    this.root = root;
  }

  /** The path of a record's file, or of another in the spool. */
  path(name: string): string {
    return `${this.root}/${name}`;
  }

  /**
   * Creates the spool, if it is missing, as a folder that only its owner and group look into.
   *
   * @throws {Error} What the system says.
   */
  create(): void {
    try {
      Deno.mkdirSync(this.root, { mode: 0o750 });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return;
      throw error;
    }
    // The daemon's user is let in by the group, even if the operator's umask would not let it.
    Deno.chmodSync(this.root, 0o750);
  }

  /**
   * Lists the files that are records of downtimes by their names.
   *
   * @returns Their names, in no order.
   * @throws {Error} What the system says, such as that there is no such folder.
   */
  listDowntimes(): string[] {
    return this.#names((name) => parseRecordName(name) !== undefined);
  }

  /**
   * Lists all files that say something of a service, those of weights included.
   *
   * @returns Their names, in no order.
   * @throws {Error} What the system says, such as that there is no such folder.
   */
  listEntries(): string[] {
    return this.#names(isSpoolName);
  }

  /**
   * Lists all files of the folder.
   *
   * @returns Their names, in no order, whatever they are.
   * @throws {Error} What the system says, such as that there is no such folder.
   */
  listFiles(): string[] {
    return this.#names(() => true);
  }

  /**
   * Lists all files of the folder without keeping others waiting: a folder of 100,000 takes 200 ms to list.
   *
   * @returns Their names, in no order, whatever they are.
   * @throws {Error} What the system says, such as that there is no such folder.
   */
  async listFilesInBackground(): Promise<string[]> {
    const names = [];
    for await (const { name } of Deno.readDir(this.root)) names.push(name);
    return names;
  }

  /**
   * Reads a record. It is read at once, not awaited: two readings never overtake each other.
   *
   * @param name The name of its file.
   * @returns What it says, or undefined where there is none. A file that is there and cannot be read is down.
   * @throws {Error} If the system does not tell whether there is such a file.
   */
  readDowntime(name: string): StoredRecord | undefined {
    const content = this.#content(name);
    return content === undefined ? undefined : recordOf(content);
  }

  /**
   * Reads all records. To read 10,000 of them takes two thirds of the time of asking for each by its name.
   *
   * @returns Each with the name of its file, in no order.
   * @throws {Error} What the system says, such as that there is no such folder.
   */
  *readDowntimes(): Generator<readonly [name: string, stored: StoredRecord]> {
    for (const { name, isFile } of Deno.readDirSync(this.root)) {
      if (parseRecordName(name) === undefined) continue;
      const content = this.#contentOf(this.path(name), isFile);
      if (content !== undefined) yield [name, recordOf(content)];
    }
  }

  /**
   * Reads a weight, as {@linkcode readDowntime} reads a record.
   *
   * @param name The name of its file.
   * @returns What it says, or undefined where there is none. A file that cannot be read changes no weight.
   * @throws {Error} If the system does not tell whether there is such a file.
   */
  readWeight(name: string): StoredWeight | undefined {
    const content = this.#content(name);
    if (content === undefined) return undefined;
    if (content instanceof Unreadable) {
      return { record: { weight: null, ...content.marking }, fault: content.fault };
    }
    return { record: parseWeight(content), fault: weightFaultOf(content) };
  }

  /**
   * Reads a file of either kind, whichever its name tells.
   *
   * @param name The name of the file.
   * @throws {Error} If the system does not tell whether there is such a file.
   */
  readEntry(name: string): StoredRecord | StoredWeight | undefined {
    return parseWeightName(name) === undefined ? this.readDowntime(name) : this.readWeight(name);
  }

  /**
   * Marks something down. If it is down already for the same reason, it stays down since when it was.
   *
   * @param name The name of the record's file.
   * @param reason Why.
   * @param expiration When that ends, in unix seconds; null if not by itself.
   * @param creation When it began, in unix seconds; now, if not given.
   * @param by The login name of who writes it; not recorded, if not given.
   * @returns The record that is in force.
   * @throws {Error} What the system says. The spool is then as it was.
   */
  async setDown(
    name: string,
    reason: string,
    expiration: number | null,
    creation?: number,
    by?: string,
  ): Promise<DowntimeRecord> {
    return await this.#mark(name, "down", reason, expiration, creation, by);
  }

  /**
   * Marks something as draining, as {@linkcode setDown} marks it down. If it was down, it is not any more.
   *
   * @param name The name of the record's file.
   * @param reason Why.
   * @param expiration When that ends, in unix seconds; null if not by itself.
   * @param creation When it began, in unix seconds; now, if not given.
   * @param by The login name of who writes it; not recorded, if not given.
   * @returns The record that is in force.
   * @throws {Error} What the system says. The spool is then as it was.
   */
  async setDraining(
    name: string,
    reason: string,
    expiration: number | null,
    creation?: number,
    by?: string,
  ): Promise<DowntimeRecord> {
    return await this.#mark(name, "drain", reason, expiration, creation, by);
  }

  /**
   * Marks something up. What is up already stays so.
   *
   * @param name The name of the record's file.
   * @throws {Error} What the system says.
   */
  async remove(name: string): Promise<void> {
    await this.#remove(name);
  }

  /**
   * Gives something a weight. If it has that weight already, and for the same reason, it has it since then.
   *
   * @param name The name of the weight's file.
   * @param weight The weight, from 0 to 100.
   * @param reason Why.
   * @param expiration When that ends, in unix seconds; null if not by itself.
   * @param creation When it began, in unix seconds; now, if not given.
   * @param by The login name of who writes it; not recorded, if not given.
   * @returns The record that is in force.
   * @throws {Error} What the system says. The spool is then as it was.
   */
  async setWeight(
    name: string,
    weight: number,
    reason: string,
    expiration: number | null,
    creation?: number,
    by?: string,
  ): Promise<WeightRecord> {
    using lock = await this.#lock();
    const now = Date.now() / 1000;
    const present = this.readWeight(name)?.record;
    const isSame = present?.weight === weight && present.reason === reason &&
      !isExpired(present, now);
    const since = isSame ? present.creation : null;
    const record = {
      weight,
      reason,
      expiration,
      creation: creation ?? since ?? now,
      ...author(by),
    };
    await this.#write(lock, name, formatWeight(record));
    return record;
  }

  /**
   * Removes a record or a weight if its time is over, and nobody has renewed it meanwhile.
   *
   * @param name The name of its file.
   * @throws {Error} What the system says.
   */
  async removeExpired(name: string): Promise<void> {
    using lock = await this.#lock();
    if (!lock.held) return;
    const present = this.readEntry(name);
    if (present !== undefined && isExpired(present.record, Date.now() / 1000)) {
      await Deno.remove(this.path(name));
    }
  }

  #names(isMeant: (name: string) => boolean): string[] {
    const names = [];
    for (const { name } of Deno.readDirSync(this.root)) {
      if (isMeant(name)) names.push(name);
    }
    return names;
  }

  /** What a file says, if it is there. */
  #content(name: string): string | Unreadable | undefined {
    const path = this.path(name);
    const info = lstat(path);
    return info === undefined ? undefined : this.#contentOf(path, info.isFile);
  }

  #contentOf(path: string, isFile: boolean): string | Unreadable | undefined {
    // Opening a pipe would wait for ever, and a link may lead anywhere.
    if (!isFile) return new Unreadable("it is not a regular file");
    try {
      const bytes = this.#readStart(path);
      if (bytes.length > MAX_RECORD_BYTES) {
        return new Unreadable(`it is longer than ${MAX_RECORD_BYTES} bytes`);
      }
      return decoder.decode(bytes);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      return new Unreadable(error instanceof Error ? error.message : String(error));
    }
  }

  async #mark(
    name: string,
    mode: Mode,
    reason: string,
    expiration: number | null,
    creation: number | undefined,
    by: string | undefined,
  ): Promise<DowntimeRecord> {
    using lock = await this.#lock();
    const now = Date.now() / 1000;
    const present = this.readDowntime(name)?.record;
    const isSame = present?.mode === mode && present.reason === reason && !isExpired(present, now);
    const since = isSame ? present.creation : null;
    const record = { mode, reason, expiration, creation: creation ?? since ?? now, ...author(by) };
    await this.#write(lock, name, formatRecord(record));
    return record;
  }

  /** Writes a file whole or not at all. */
  async #write(lock: Lock, name: string, content: string): Promise<void> {
    // One name for all serves who holds the lock, and bounds what a killed writer leaves behind.
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

  async #remove(name: string): Promise<void> {
    if (!await remove(this.path(name))) return;
    using folder = await Deno.open(this.root);
    await folder.sync();
  }

  /** What a file begins with: one byte more than a record may have, if there is so much. */
  #readStart(path: string): Uint8Array<ArrayBuffer> {
    using file = Deno.openSync(path);
    // Read at once, so that one buffer serves all: to make one takes as long as to read.
    const buffer = this.#buffer ??= new Uint8Array(MAX_RECORD_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const read = file.readSync(buffer.subarray(length)) ?? 0;
      length += read;
      // A record ends with the first reading that is not full, all but always: a second tells nothing new.
      if (read === 0 || length < buffer.length) break;
    }
    return buffer.subarray(0, length);
  }

  async #lock(): Promise<Lock> {
    const folder = await Deno.open(this.root);
    try {
      const start = performance.now();
      let held = await folder.tryLock(true);
      while (!held && performance.now() - start < LOCK_PATIENCE_MS) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        held = await folder.tryLock(true);
      }
      return { held, folder, [Symbol.dispose]: () => folder.close() };
    } catch (error) {
      folder.close();
      throw error;
    }
  }
}

function author(by: string | undefined): { by?: string } {
  return by === undefined || by === "" ? {} : { by };
}

const decoder = new TextDecoder();

function recordOf(content: string | Unreadable): StoredRecord {
  if (content instanceof Unreadable) {
    return { record: { mode: "down", ...content.marking }, fault: content.fault };
  }
  return { record: parseRecord(content), fault: faultOf(content) };
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Removes a file, and tells whether it was there. */
async function remove(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Writes a new file: one that is there may be another user's, or a link to elsewhere. */
async function writeDurably(path: string, content: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const bytes = new TextEncoder().encode(content);
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  // The daemon may be another user than the operator, whose umask may be strict.
  await Deno.chmod(path, 0o644);
  await file.sync();
}
