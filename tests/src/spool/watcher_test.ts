import { SpoolIndex } from "../../../src/spool/index.ts";
import { SpoolStore } from "../../../src/spool/store.ts";
import {
  type SpoolHealth,
  SpoolWatcher,
  type SpoolWatcherOptions,
} from "../../../src/spool/watcher.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";
import { RecordedLog } from "../../support/log.ts";
import {
  Daemon,
  RESPECTING_FILE_MODES,
  TempFolder,
  WITHOUT_INOTIFY,
} from "../../support/programs.ts";
import { serverTest, until } from "../../servers/mod.ts";

const LOCAL = "127.0.0.1";

/** How often a watched spool is compared with the index, in milliseconds. */
const COMPARE_MS = 500;

/** How long after the last file an entry is forgotten, in milliseconds. */
const DEBOUNCE_MS = 10;

/** What a test gives a {@linkcode WatchedSpool}. */
interface WatchedSpoolOptions {
  /** How the folder is watched; by the system, if not given. */
  readonly watch?: SpoolWatcherOptions["watch"];
  /** The clock; one whose time also goes on by itself, if not given. */
  readonly clock?: TestClock;
  /** The spool's path in a temporary folder. */
  readonly path?: string;
}

/** A spool with its watcher, index, clock and log. */
class WatchedSpool implements Disposable {
  readonly #folder = new TempFolder();
  readonly #log = new RecordedLog();
  readonly root: string;
  readonly clock: TestClock;
  readonly watcher: SpoolWatcher;
  readonly index = new SpoolIndex(undefined, () => this.now);
  /** The time by which records expire, in unix seconds. */
  now = 100;
  /** How many files were read. */
  reads = 0;
  /** How many milliseconds of the clock it takes to look a file up. */
  statMs = 0;
  /** How many files were looked up. */
  stats = 0;

  /**
   * @param files The files that are in the spool at first, with their contents.
   * @param options How it is watched.
   */
  constructor(files: Record<string, string> = {}, options: WatchedSpoolOptions = {}) {
    const { watch, path = "spool", clock = new TestClock("running") } = options;
    this.root = this.#folder.file(path);
    this.clock = clock;
    Deno.mkdirSync(this.root, { recursive: true });
    for (const [name, content] of Object.entries(files)) this.write(name, content);
    const store = new SpoolStore(this.root);
    const read = store.readEntry.bind(store);
    store.readEntry = (name, info) => {
      this.reads++;
      return read(name, info);
    };
    const stat = store.stat.bind(store);
    store.stat = (name) => {
      this.stats++;
      clock.stall(this.statMs);
      return stat(name);
    };
    const { index } = this;
    const { log } = this.#log;
    try {
      this.watcher = new SpoolWatcher({
        ...{ store, index, log, clock },
        ...watch === undefined ? {} : { watch },
      });
    } catch (error) {
      this.#folder[Symbol.dispose]();
      throw error;
    }
  }

  /** The lines of the log. */
  get lines(): readonly string[] {
    return this.#log.lines;
  }

  /** The path of a file in the spool. */
  file(name: string): string {
    return `${this.root}/${name}`;
  }

  /** A path beside the spool. */
  beside(name: string): string {
    return this.#folder.file(name);
  }

  /** Writes a file in the spool, as an operator with an editor does. */
  write(name: string, content: string): void {
    Deno.writeTextFileSync(this.file(name), content);
  }

  /** Removes a file in the spool. */
  remove(name: string): void {
    Deno.removeSync(this.file(name));
  }

  /** Removes the spool with all its files. */
  removeAll(): void {
    Deno.removeSync(this.root, { recursive: true });
  }

  /** The reason for which a service is down; undefined if it is up. */
  reason(service: string, port = 0): string | undefined {
    return this.index.find(service, port, LOCAL)?.record.reason;
  }

  /** The weight of a service. */
  weight(service: string, port = 0): number | null {
    return this.index.weight(service, port, LOCAL);
  }

  /** Waits until a service is down for a reason, or up if that is undefined. */
  async sees(service: string, reason: string | undefined): Promise<void> {
    await until(`${service} is down: ${reason}`, () => this.reason(service) === reason);
  }

  /** Waits until the spool is healthy, or is not. */
  async isHealthy(healthy: boolean): Promise<void> {
    await until(`healthy: ${healthy}`, () => this.watcher.health.healthy === healthy);
  }

  /** How many lines of the log match a pattern. */
  logged(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  [Symbol.dispose](): void {
    this.watcher[Symbol.dispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** A watcher whose events the test makes. */
class FakeFsWatcher implements Deno.FsWatcher {
  readonly #stream: ReadableStream<Deno.FsEvent>;
  #controller!: ReadableStreamDefaultController<Deno.FsEvent>;

  constructor() {
    this.#stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
    });
  }

  /** Reports an event. */
  send(event: Deno.FsEvent): void {
    this.#controller.enqueue(event);
  }

  /** Reports an event, and waits until it is handled. */
  async report(event: Deno.FsEvent): Promise<void> {
    this.send(event);
    // No timer fires meanwhile.
    for (let turns = 0; turns < 1000; turns++) await Promise.resolve();
  }

  fail(error: Error): void {
    this.#controller.error(error);
  }

  close(): void {
    this.#controller.close();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Deno.FsEvent> {
    return this.#stream.values();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Watchers that replace each other. */
class FakeFsWatchers {
  readonly all: FakeFsWatcher[] = [];
  readonly watch = (): FakeFsWatcher => {
    this.all.push(new FakeFsWatcher());
    return this.all.at(-1)!;
  };
}

/** The health of a spool without problems, but for some fields. */
function healthy(fields: Partial<SpoolHealth>): SpoolHealth {
  return {
    healthy: true,
    fault: null,
    watched: true,
    records: 0,
    faulty: 0,
    faulty_names: [],
    misnamed: 0,
    misnamed_names: [],
    ...fields,
  };
}

/** The ways in which the watcher learns of changes. Both must lead to the same. */
const WAYS: readonly [way: string, options: WatchedSpoolOptions][] = [
  ["watched", {}],
  ["polled", {
    watch: () => {
      throw new Error("no watches left");
    },
  }],
];

Deno.test("SpoolWatcher indexes the files that exist at the start", () => {
  using spool = new WatchedSpool({
    "web": '{"reason": "maint", "expiration": null, "creation": null}',
    "api:8080": "text",
    "old": '{"reason": "over", "expiration": 99}',
    ".hacheck.tmp": "no",
  });
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.reason("api", 8080), "text");
  assertEquals(spool.reason("api"), undefined);
  assertEquals(spool.reason("old"), undefined);
  assertEquals(spool.watcher.health, healthy({ records: 3 }));
  assertEquals(spool.lines, []);
});

Deno.test("SpoolWatcher throws if the spool is missing or not a folder", () => {
  using folder = new TempFolder();
  const { log } = new RecordedLog();
  const watch = (root: string) => () =>
    new SpoolWatcher({ store: new SpoolStore(root), index: new SpoolIndex(), log });
  assertThrows(watch(folder.file("none")), Deno.errors.NotFound);
  assertThrows(watch(folder.write("file", "")), Error);
});

for (const [way, options] of WAYS) {
  const spoolTest = (behaviour: string, fn: () => Promise<void>) =>
    Deno.test(`SpoolWatcher, ${way}, ${behaviour}`, fn);

  spoolTest("indexes files that are created, changed, renamed and removed", async () => {
    using spool = new WatchedSpool({}, options);
    assertEquals(spool.watcher.health.watched, way === "watched");
    spool.write("web", "created");
    await spool.sees("web", "created");
    spool.write("web", "changed");
    await spool.sees("web", "changed");
    spool.write(".new", "put in its place");
    Deno.renameSync(spool.file(".new"), spool.file("web"));
    await spool.sees("web", "put in its place");
    Deno.renameSync(spool.file("web"), spool.file("api"));
    await spool.sees("api", "put in its place");
    await spool.sees("web", undefined);
    spool.write("all", "everything");
    await spool.sees("web", "everything");
    spool.remove("all");
    await spool.sees("web", undefined);
    Deno.renameSync(spool.file("api"), spool.beside("api"));
    await spool.sees("api", undefined);
    Deno.renameSync(spool.beside("api"), spool.file("api:8080"));
    await until("it is found by its port", () => spool.reason("api", 8080) === "put in its place");
    Deno.renameSync(spool.file("api:8080"), spool.file(".hidden"));
    await until("there is no record", () => spool.watcher.health.records === 0);
    assertEquals(spool.watcher.health.healthy, true);
  });

  spoolTest("needs no event for a record that expires", async () => {
    using spool = new WatchedSpool({}, options);
    spool.write("web", '{"reason": "soon over", "expiration": 200}');
    await spool.sees("web", "soon over");
    spool.now = 200;
    assertEquals(spool.reason("web"), "soon over");
    spool.now = 200.001;
    assertEquals(spool.reason("web"), undefined);
    assertEquals(spool.watcher.health.records, 1);
    spool.write("web", '{"reason": "renewed", "expiration": 300}');
    await spool.sees("web", "renewed");
  });

  spoolTest("takes a record that cannot be read as down, and logs it once", async () => {
    using spool = new WatchedSpool({}, options);
    const why = "the record cannot be read: it is not a regular file";
    Deno.mkdirSync(spool.file("web"));
    await spool.sees("web", why);
    assertEquals(
      spool.lines.at(-1),
      `WARNING invalid record ${spool.file("web")} counts as down: ${why}`,
    );
    assertEquals(spool.watcher.health.healthy, true);
    Deno.utimeSync(spool.file("web"), 1, 1);
    spool.write("api", "seen");
    await spool.sees("api", "seen");
    assertEquals(spool.logged(/^WARNING invalid record \S+\/web /), 1);
    spool.remove("web");
    await spool.sees("web", undefined);
    spool.write("web", "maint");
    await spool.sees("web", "maint");
  });

  spoolTest("indexes weights, and records that drain", async () => {
    const canary = (weight: number, rest = "") =>
      `{"reason": "canary", "weight": ${weight}${rest}}`;
    using spool = new WatchedSpool(
      { ".weight:all": canary(90), web: '{"mode": "drain"}' },
      options,
    );
    const weight = () => spool.weight("web", 8080);
    const code = () => spool.index.find("web", 8080, LOCAL)?.verdict.code;
    assertEquals([weight(), code(), spool.watcher.health], [
      90,
      404,
      healthy({ records: 1, watched: way === "watched" }),
    ]);
    spool.write("web", '{"mode": "down"}');
    await until("it is down", () => code() === 503);
    spool.write(".new", canary(50, ', "expiration": 200'));
    Deno.renameSync(spool.file(".new"), spool.file(".weight:web"));
    await until("its weight is 50", () => weight() === 50);
    assertEquals(spool.index.activeEntries.weights.map(({ name }) => name), ["all", "web"]);
    spool.now = 201;
    assertEquals(weight(), 90);
    Deno.mkdirSync(spool.file(".weight:web:8080"));
    await until("its weight is unknown", () => weight() === null);
    const why = "the record cannot be read: it is not a regular file";
    assert(
      spool.lines.includes(`WARNING invalid weight ${spool.file(".weight:web:8080")}: ${why}`),
      spool.lines.join("\n"),
    );
    assertEquals(spool.watcher.health.faulty_names, [".weight:web:8080"]);
    spool.remove(".weight:web:8080");
    await until("it is 90 again", () => weight() === 90);
    assertEquals(spool.watcher.health.faulty, 0);
    assertEquals(spool.watcher.refresh(".weight:all"), true);
    spool.remove(".weight:all");
    assertEquals(spool.watcher.refresh(".weight:all"), true);
    assertEquals(weight(), 100);
  });

  spoolTest("keeps weights if an empty folder replaces the spool", async () => {
    using spool = new WatchedSpool({ ".weight:web": '{"weight": 50}' }, options);
    spool.removeAll();
    Deno.mkdirSync(spool.root);
    await spool.clock.advance(COMPARE_MS);
    await until(
      "it is reported",
      () => /folder without records in force$/.test(spool.watcher.health.fault ?? ""),
    );
    assertEquals(spool.weight("web"), 50);
    // The first file makes it the spool.
    spool.write(".weight:api", '{"weight": 5}');
    await until("it is the spool", () => spool.weight("web") === 100);
    await spool.isHealthy(true);
    assertEquals(spool.weight("api"), 5);
  });

  spoolTest("keeps all records if the spool is removed with them", async () => {
    const names = Array.from({ length: 50 }, (_, i) => `service-${i}`);
    using spool = new WatchedSpool(
      Object.fromEntries(names.map((name) => [name, "maint"])),
      options,
    );
    // At once for this process: it handles no event between the records.
    spool.removeAll();
    await spool.isHealthy(false);
    // Several comparisons do not change that.
    await spool.clock.advance(1200);
    for (const name of names) assertEquals(spool.reason(name), "maint");
    const { healthy, fault, records } = spool.watcher.health;
    assertEquals([healthy, records], [false, 50]);
    assert(fault !== null && fault.includes("No such file or directory"), fault ?? "null");
    assertEquals(
      spool.logged(
        /^ERROR \S+\/spool cannot be read, the last known state stays in force: No such/,
      ),
      1,
    );

    Deno.mkdirSync(spool.root);
    spool.write("api", "anew");
    await spool.sees("api", "anew");
    await spool.isHealthy(true);
    for (const name of names) assertEquals(spool.reason(name), undefined);
    assertEquals(spool.logged(/can be read again/), 1);
    spool.write("web", "seen");
    await spool.sees("web", "seen");
    assertEquals(spool.watcher.health.watched, way === "watched");
  });

  spoolTest("keeps all records while the spool is moved away, and follows it back", async () => {
    using spool = new WatchedSpool({ web: "maint", api: "maint" }, options);
    const away = spool.beside("away");
    Deno.renameSync(spool.root, away);
    await spool.isHealthy(false);
    Deno.removeSync(`${away}/web`);
    Deno.writeTextFileSync(`${away}/db`, "while away");
    await spool.clock.advance(700);
    assertEquals([spool.reason("web"), spool.reason("db")], ["maint", undefined]);
    Deno.renameSync(away, spool.root);
    await spool.sees("db", "while away");
    await spool.isHealthy(true);
    await spool.sees("web", undefined);
    spool.remove("api");
    await spool.sees("api", undefined);
  });

  spoolTest("follows a spool that is moved away and back at once", async () => {
    using spool = new WatchedSpool({ web: "maint" }, options);
    for (let i = 0; i < 5; i++) {
      Deno.renameSync(spool.root, spool.beside("away"));
      Deno.removeSync(`${spool.beside("away")}/web`);
      Deno.writeTextFileSync(`${spool.beside("away")}/api`, `turn ${i}`);
      Deno.renameSync(spool.beside("away"), spool.root);
      await spool.sees("api", `turn ${i}`);
      await spool.sees("web", undefined);
      spool.write("web", "maint");
      await spool.sees("web", "maint");
    }
  });

  spoolTest("switches to another folder with records that replaces the spool", async () => {
    using spool = new WatchedSpool({ web: "maint", both: "old" }, options);
    const next = spool.beside("next");
    Deno.mkdirSync(next);
    Deno.writeTextFileSync(`${next}/both`, "new");
    Deno.writeTextFileSync(`${next}/api`, "new");
    Deno.renameSync(spool.root, spool.beside("old"));
    Deno.renameSync(next, spool.root);
    await spool.sees("api", "new");
    await spool.isHealthy(true);
    await spool.sees("web", undefined);
    assertEquals(spool.reason("both"), "new");
    spool.write("web", "followed");
    await spool.sees("web", "followed");
    // The old one has no effect any more.
    Deno.removeSync(`${spool.beside("old")}/both`);
    Deno.writeTextFileSync(`${spool.beside("old")}/db`, "old");
    spool.write("last", "seen");
    await spool.sees("last", "seen");
    assertEquals([spool.reason("both"), spool.reason("db")], ["new", undefined]);
  });

  spoolTest("does not accept an empty folder before it has a record", async () => {
    const files = { web: "maint", old: '{"reason": "over", "expiration": 99}' };
    using spool = new WatchedSpool(files, options);
    spool.removeAll();
    Deno.mkdirSync(spool.root);
    spool.write(".web", "ignored");
    const why = `${spool.root} was replaced by a folder without records in force`;
    await until("it is reported", () => spool.watcher.health.fault === why);
    // Several comparisons do not change that, and it is logged once.
    await spool.clock.advance(1200);
    assertEquals([spool.reason("web"), spool.watcher.health.healthy], ["maint", false]);
    assertEquals(spool.logged(/^ERROR .* folder without records in force$/), 1);
    assertEquals(spool.watcher.refresh("web"), false);
    assertEquals(spool.watcher.refresh("api"), true);
    assertEquals(spool.reason("web"), "maint");
    spool.write("api", "the first");
    await spool.sees("api", "the first");
    await spool.sees("web", undefined);
    await spool.isHealthy(true);
    spool.remove("api");
    await spool.sees("api", undefined);
  });

  spoolTest("does not accept a folder with weights and expired records only", async () => {
    using spool = new WatchedSpool({ web: "maint" }, options);
    spool.removeAll();
    Deno.mkdirSync(spool.root);
    spool.write(".weight:api", '{"weight": 50}');
    spool.write("old", '{"reason": "over", "expiration": 99}');
    const why = `${spool.root} was replaced by a folder without records in force`;
    await until("it is reported", () => spool.watcher.health.fault === why);
    await spool.clock.advance(1200);
    assertEquals([spool.reason("web"), spool.watcher.health.fault], ["maint", why]);
    spool.write("api", "the first");
    await spool.sees("api", "the first");
    await spool.sees("web", undefined);
    await spool.isHealthy(true);
  });

  spoolTest("accepts an empty folder if nothing is down", async () => {
    using spool = new WatchedSpool({ old: '{"reason": "over", "expiration": 99}' }, options);
    spool.removeAll();
    Deno.mkdirSync(spool.root);
    await until("it is read", () => spool.watcher.health.records === 0);
    await spool.isHealthy(true);
    spool.write("web", "followed");
    await spool.sees("web", "followed");
  });

  spoolTest("keeps all records while an empty folder is mounted over the spool", async () => {
    using spool = new WatchedSpool({ web: "maint" }, options);
    const [away, empty] = [spool.beside("away"), spool.beside("empty")];
    Deno.mkdirSync(empty);
    Deno.renameSync(spool.root, away);
    Deno.renameSync(empty, spool.root);
    await spool.isHealthy(false);
    Deno.renameSync(spool.root, empty);
    Deno.renameSync(away, spool.root);
    await spool.isHealthy(true);
    assertEquals(spool.reason("web"), "maint");
    assertEquals(spool.logged(/^WARNING .* another folder/), 0);
    spool.write("web", "followed");
    await spool.sees("web", "followed");
  });

  spoolTest("restores records that were forgotten just before the spool vanished", async () => {
    const names = Array.from({ length: 4 }, (_, i) => `service-${i}`);
    using spool = new WatchedSpool(
      Object.fromEntries(names.map((name) => [name, "maint"])),
      options,
    );
    const active = () => names.filter((name) => spool.reason(name) === "maint");
    for (const [i, name] of names.entries()) {
      spool.remove(name);
      // A slow removal: nothing shows yet that the folder is to vanish too.
      await until("some are forgotten", () => active().length <= names.length - i);
    }
    Deno.removeSync(spool.root);
    await spool.isHealthy(false);
    await until("all are active", () => active().length === names.length);
  });

  spoolTest("does not restore a record that was removed long before the spool", async () => {
    using spool = new WatchedSpool({ web: "maint", api: "maint" }, options);
    spool.remove("web");
    await spool.sees("web", undefined);
    await spool.clock.advance(2200);
    spool.removeAll();
    await spool.isHealthy(false);
    assertEquals([spool.reason("web"), spool.reason("api")], [undefined, "maint"]);
  });

  spoolTest("reports invalid records, the first ten by name", async () => {
    using spool = new WatchedSpool({ good: "maint" }, options);
    const names = Array.from({ length: 15 }, (_, i) => `service-${i}`);
    for (const name of names) spool.write(name, '{"reason": "x", "expiration": -5}');
    await until("all are seen", () => spool.watcher.health.faulty === 15);
    const { healthy, records, faulty_names } = spool.watcher.health;
    assertEquals([healthy, records, faulty_names.length], [true, 16, 10]);
    assert(faulty_names.every((name) => names.includes(name)));
    assertEquals(
      spool.logged(/counts as down: expiration: expected unix seconds or null: found -5$/),
      15,
    );
    for (const name of names.slice(1)) spool.remove(name);
    spool.write(names[0]!, '{"reason": "x", "expiration": 500}');
    await until("none is left", () => spool.watcher.health.faulty === 0);
  });

  spoolTest("keeps all records while a file is in the place of the spool", async () => {
    using spool = new WatchedSpool({ web: "maint" }, options);
    Deno.renameSync(spool.root, spool.beside("away"));
    Deno.writeTextFileSync(spool.root, "");
    await spool.isHealthy(false);
    await spool.clock.advance(700);
    assertEquals(spool.reason("web"), "maint");
    assertEquals(spool.watcher.health.healthy, false);
    Deno.removeSync(spool.root);
    Deno.renameSync(spool.beside("away"), spool.root);
    await spool.isHealthy(true);
    assertEquals(spool.reason("web"), "maint");
  });

  spoolTest("follows a link that is the spool when it is changed", async () => {
    using spool = new WatchedSpool({ web: "maint" }, options);
    using other = new TempFolder();
    Deno.renameSync(spool.root, spool.beside("first"));
    Deno.symlinkSync("first", spool.root);
    await until("the first is followed through the link", () => {
      Deno.writeTextFileSync(`${spool.beside("first")}/api`, "first");
      return spool.reason("api") === "first";
    });
    other.write("web", "second");
    Deno.symlinkSync(other.path, spool.beside("link"));
    Deno.renameSync(spool.beside("link"), spool.root);
    await spool.sees("web", "second");
    await spool.sees("api", undefined);
    await spool.isHealthy(true);
  });

  spoolTest("counts, names and logs files with invalid names", async () => {
    using spool = new WatchedSpool({ "web:x": "maint", web: "maint" }, options);
    const health = () => {
      const { records, faulty, faulty_names, misnamed, misnamed_names } = spool.watcher.health;
      return [records, faulty, faulty_names, misnamed, misnamed_names];
    };
    assertEquals(health(), [1, 1, [], 1, ["web:x"]]);
    assertEquals(spool.watcher.states(0).faulty, 1);
    assertEquals(spool.logged(/\/spool\/web:x has no effect/), 1);
    Deno.renameSync(spool.file("web:x"), spool.file(".weight:web:y"));
    await spool.clock.advance(COMPARE_MS);
    await until("it is named", () => spool.watcher.health.misnamed_names[0] === ".weight:web:y");
    spool.remove(".weight:web:y");
    spool.write(".hacheck.0.tmp", "");
    await spool.clock.advance(COMPARE_MS);
    await until("it is gone", () => spool.watcher.health.misnamed === 0);
    assertEquals(health(), [1, 0, [], 0, []]);
  });
}

Deno.test("SpoolWatcher watches a spool in a folder of the same name", async () => {
  using spool = new WatchedSpool({}, { path: "spool/spool" });
  spool.write("spool", "a service of that name");
  await spool.sees("spool", "a service of that name");
  spool.remove("spool");
  await spool.sees("spool", undefined);
  Deno.removeSync(spool.root);
  await spool.isHealthy(false);
});

Deno.test("SpoolWatcher keeps records that vanish just before the spool, as rm -rf removes them", async () => {
  const clock = new TestClock();
  const events = new FakeFsWatcher();
  const names = ["web", "api", "db"];
  using spool = new WatchedSpool(
    Object.fromEntries(names.map((name) => [name, "maint"])),
    { watch: () => events, clock },
  );
  await until("comparisons have begun", () => clock.isTicking);
  for (const name of names) {
    spool.remove(name);
    await events.report({ kind: "remove", paths: [spool.file(name)] });
  }
  const active = () => names.filter((name) => spool.reason(name) === "maint");
  assertEquals(active(), names);
  Deno.removeSync(spool.root);
  await events.report({ kind: "remove", paths: [spool.root] });
  assertEquals(spool.watcher.health.healthy, false);
  await clock.advance(700);
  assertEquals(active(), names);
});

Deno.test("SpoolWatcher keeps an invalid record that vanishes just before the spool", async () => {
  const clock = new TestClock();
  using spool = new WatchedSpool(
    { web: '{"expiration": -5, "reason": "maint"}' },
    { watch: () => new FakeFsWatcher(), clock },
  );
  await until("comparisons have begun", () => clock.isTicking);
  spool.remove("web");
  clock.tick();
  Deno.removeSync(spool.root);
  await clock.advance(700);
  assertEquals([spool.watcher.health.healthy, spool.reason("web")], [false, "maint"]);
});

Deno.test("SpoolWatcher does not restore a record that refresh() found to be gone", async () => {
  const clock = new TestClock();
  const events = new FakeFsWatcher();
  const options = { watch: () => events, clock };
  using spool = new WatchedSpool({ web: "maint", api: "maint" }, options);
  for (const name of ["web", "api"]) {
    spool.remove(name);
    await events.report({ kind: "remove", paths: [spool.file(name)] });
  }
  await clock.advance(DEBOUNCE_MS);
  // As after a change by POST.
  assertEquals(spool.watcher.refresh("web"), true);
  Deno.removeSync(spool.root);
  await events.report({ kind: "remove", paths: [spool.root] });
  assertEquals([spool.reason("web"), spool.reason("api")], [undefined, "maint"]);
});

Deno.test("SpoolWatcher does not accept an empty folder after an event that the spool was removed", async () => {
  const events = new FakeFsWatcher();
  using spool = new WatchedSpool({ web: "maint" }, { watch: () => events });
  // A new folder can have the inode of the last, and the same time of birth.
  spool.remove("web");
  await events.report({ kind: "remove", paths: [spool.root] });
  assert(spool.watcher.health.fault?.endsWith("folder without records in force"));
  assertEquals(spool.reason("web"), "maint");
});

Deno.test("SpoolWatcher soon forgets a record although others keep vanishing", async () => {
  const clock = new TestClock();
  const events = new FakeFsWatcher();
  using spool = new WatchedSpool({ web: "maint" }, { watch: () => events, clock });
  spool.remove("web");
  await events.report({ kind: "remove", paths: [spool.file("web")] });
  const known: boolean[] = [];
  for (let milliseconds = 0; milliseconds < 250; milliseconds += 5) {
    // Each of the others puts off that web is forgotten.
    spool.write("other", "");
    spool.watcher.refresh("other");
    spool.remove("other");
    await events.report({ kind: "remove", paths: [spool.file("other")] });
    await clock.advance(5);
    known.push(spool.reason("web") !== undefined);
  }
  assertEquals([known[20], known.at(-1)], [true, false]);
});

for (const kind of ["modify", "rename", "remove"] as const) {
  Deno.test(`SpoolWatcher watches and reads the spool anew after a ${kind} event of the folder`, async () => {
    const { all, watch } = new FakeFsWatchers();
    using spool = new WatchedSpool({ web: "maint" }, { watch });
    spool.write("web", "changed");
    await all[0]!.report({ kind, paths: [spool.root] });
    await spool.sees("web", "changed");
    await until("it is watched anew", () => all.length === 2 && spool.watcher.health.watched);
    spool.write("web", "changed again");
    await all[1]!.report({ kind: "modify", paths: [spool.file("web")] });
    await spool.sees("web", "changed again");
    assertEquals(spool.lines, []);
  });
}

/** When an event no longer counts as late, and a comparison has noticed that, in milliseconds. */
const LATE_MS = 5600;

/** What happens to a record that is added or removed, in order, and whether its event then counts as missed. */
const MISSES: readonly [steps: string, isMissed: boolean][] = [
  ["change event tick tick tick", false],
  ["change event settle tick tick tick", false],
  ["change tick event tick tick", false],
  ["change tick settle event tick tick", false],
  ["change tick", false],
  ["change tick settle", false],
  ["change tick tick tick", false],
  ["change tick settle tick", false],
  ["change tick tick event late tick", false],
  ["change tick late", true],
  ["change tick settle late", true],
];

for (const [steps, isMissed] of MISSES) {
  for (const change of ["added", "removed"]) {
    const then = isMissed ? "gives up" : "does not give up";
    Deno.test(`SpoolWatcher ${then} a watch after a record was ${change}: ${steps}`, async () => {
      const clock = new TestClock();
      const events = new FakeFsWatcher();
      const before: Record<string, string> = change === "added" ? {} : { web: "maint" };
      using spool = new WatchedSpool(
        { api: "maint", ...before },
        { watch: () => events, clock },
      );
      const expected = change === "added" ? "maint" : undefined;
      await until("comparisons have begun", () => clock.isTicking);
      for (const step of ["tick", "tick", ...steps.split(" ")]) {
        if (step === "tick") {
          clock.tick();
        } else if (step === "change") {
          if (change === "added") spool.write("web", "maint");
          else spool.remove("web");
          // However little time has passed, the folder's own time shows the change.
          Deno.utimeSync(spool.root, 1, 1);
        } else if (step === "event") {
          const kind = change === "added" ? "create" : "remove";
          await events.report({ kind, paths: [spool.file("web")] });
        } else if (step === "late") {
          await clock.advance(LATE_MS);
        } else {
          await clock.advance(DEBOUNCE_MS);
          assertEquals(spool.reason("web"), expected);
        }
      }
      assertEquals(
        spool.lines,
        isMissed
          ? [
            `WARNING no longer watching ${spool.root}, reading it 20 times a second: ` +
            "no event reported the change of web",
          ]
          : [],
      );
      assertEquals(spool.watcher.health.watched, !isMissed);
      await clock.advance(DEBOUNCE_MS);
      assertEquals(spool.reason("web"), expected);
    });
  }
}

Deno.test("SpoolWatcher reads the whole spool after events were lost", async () => {
  const clock = new TestClock();
  const { all, watch } = new FakeFsWatchers();
  using spool = new WatchedSpool({ web: "maint", api: "maint" }, { watch, clock });
  await until("comparisons have begun", () => clock.isTicking);
  spool.remove("web");
  spool.write("api", "changed");
  spool.write("db", "created");
  await all[0]!.report({ kind: "other", paths: [], flag: "rescan" });
  await spool.sees("api", "changed");
  await spool.sees("db", "created");
  await spool.sees("web", undefined);
  await until("it is watched anew", () => all.length === 2 && spool.watcher.health.watched);
  assertEquals(spool.watcher.health, healthy({ records: 2 }));
  assertEquals(spool.lines, []);
});

Deno.test("SpoolWatcher compares the attributes of 100 files at a time, and reads only what changed", async () => {
  const clock = new TestClock();
  const names = Array.from({ length: 250 }, (_, i) => `service-${i}`);
  using spool = new WatchedSpool(
    Object.fromEntries(names.map((name) => [name, "maint"])),
    { watch: () => new FakeFsWatcher(), clock },
  );
  await until("comparisons have begun", () => clock.isTicking);
  const changed = () => names.filter((name) => spool.reason(name) === "changed").length;
  for (const name of names) spool.write(name, "changed");
  const seen = Array.from({ length: 8 }, () => {
    clock.tick();
    return changed();
  });
  assertEquals(seen, [0, 100, 200, 250, 250, 250, 250, 250]);
  const reads = spool.reads;
  for (let i = 0; i < 8; i++) clock.tick();
  assertEquals(spool.reads, reads);
  // New files are compared as well, and removed ones no more.
  spool.remove(names[0]!);
  spool.watcher.refresh(names[0]!);
  spool.write("web", "maint");
  spool.watcher.refresh("web");
  spool.write("web", "changed");
  for (let i = 0; i < 4; i++) clock.tick();
  assertEquals([spool.reason("web"), spool.reason(names[0]!)], ["changed", undefined]);
});

/** How the watcher learns of many changes. */
const FLOODS: Readonly<
  Record<string, (spool: WatchedSpool, events: FakeFsWatcher, names: readonly string[]) => void>
> = {
  "reported by events": (spool, events, names) => {
    for (const name of names) events.send({ kind: "any", paths: [spool.file(name)] });
  },
  "found after events were lost": (_spool, events) =>
    events.send({ kind: "other", paths: [], flag: "rescan" }),
  "found by a comparison": (spool) => spool.clock.tick(),
};

for (const [how, begin] of Object.entries(FLOODS)) {
  Deno.test(`SpoolWatcher reads and forgets many files ${how} in slices, between which other work runs`, async () => {
    const clock = new TestClock();
    const { all, watch } = new FakeFsWatchers();
    const names = Array.from({ length: 800 }, (_, i) => `service-${i}`);
    using spool = new WatchedSpool({ other: "maint" }, { watch, clock });
    await until("comparisons have begun", () => clock.isTicking);
    const flood = async (change: (name: string) => void, expected: number, limit: number) => {
      // The next comparison by the clock is far away.
      await clock.advance(COMPARE_MS - clock.now() % COMPARE_MS);
      for (const name of names) change(name);
      // However little time has passed, the folder's own time shows the change.
      Deno.utimeSync(spool.root, expected, expected);
      // 40 files take as long as a slice, 5 ms.
      spool.statMs = 1 / 8;
      // A tick also compares the attributes of 100 files.
      let known = spool.stats + (begin === FLOODS["found by a comparison"] ? 101 : 0);
      begin(spool, all.at(-1)!, names);
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        assert(spool.stats - known <= limit, `${spool.stats - known} files in one turn`);
        if (spool.watcher.health.records === expected) break;
        known = spool.stats;
        void clock.advance(1);
      }
      spool.statMs = 0;
    };
    // Two slices at most. 50 files are forgotten at once, and then the folder is looked up.
    await flood((name) => spool.write(name, "maint"), names.length + 1, 2 * 40);
    await flood((name) => spool.remove(name), 1, 2 * 51);
    assertEquals(spool.reason("other"), "maint");
  });
}

Deno.test("SpoolWatcher reads the files of a service before a lookup while the index is behind", async () => {
  const clock = new TestClock();
  const events = new FakeFsWatcher();
  using spool = new WatchedSpool({}, { watch: () => events, clock });
  const names = ["all", "web", "web:0", "web:8080"];
  const find = (name: string) => spool.reason("web", name === "web:8080" ? 8080 : 0);
  const found = () =>
    names.map((name) => {
      spool.write(name, name);
      const reason = find(name);
      spool.remove(name);
      spool.watcher.refresh(name);
      return reason;
    });
  assertEquals(found(), [undefined, undefined, undefined, undefined]);
  // So many events at once that requests are answered between them.
  for (let i = 0; i < 100; i++) await events.report({ kind: "access", paths: [spool.file("db")] });
  assertEquals(found(), names);
  await clock.advance(200);
  assertEquals(found(), [undefined, undefined, undefined, undefined]);
});

const ENDS: readonly [how: string, why: string, end: (events: FakeFsWatcher) => void][] = [
  ["ends", "the watch ended", (events) => events.close()],
  ["fails", "out of watches", (events) => events.fail(new Error("out of watches"))],
];

for (const [how, why, end] of ENDS) {
  Deno.test(`SpoolWatcher logs that a watch ${how}, and polls`, async () => {
    const events = new FakeFsWatcher();
    using spool = new WatchedSpool({ web: "maint" }, { watch: () => events });
    end(events);
    spool.write("api", "unwatched");
    spool.remove("web");
    await spool.sees("api", "unwatched");
    await spool.sees("web", undefined);
    assertEquals(spool.lines, [
      `WARNING no longer watching ${spool.root}, reading it 20 times a second: ${why}`,
    ]);
    assertEquals(spool.watcher.health, healthy({ watched: false, records: 1 }));
  });
}

Deno.test("SpoolWatcher logs that a spool cannot be watched", () => {
  const [, polled] = WAYS[1]!;
  using spool = new WatchedSpool({ web: "maint" }, polled);
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.lines, [
    `WARNING cannot watch ${spool.root}, reading it 20 times a second: no watches left`,
  ]);
  assertEquals(spool.watcher.health, healthy({ watched: false, records: 1 }));
});

Deno.test("SpoolWatcher.refresh() reads one file at once", () => {
  using spool = new WatchedSpool({ web: "maint" }, { watch: () => new FakeFsWatcher() });
  spool.write("web", "changed");
  spool.write("api", "created");
  spool.watcher.refresh("web");
  assertEquals([spool.reason("web"), spool.reason("api")], ["changed", undefined]);
  spool.remove("web");
  spool.watcher.refresh("web");
  assertEquals(spool.reason("web"), undefined);
  // Without its folder, a missing file means nothing.
  spool.watcher.refresh("api");
  spool.removeAll();
  spool.watcher.refresh("api");
  assertEquals(spool.reason("api"), "created");
});

Deno.test("SpoolWatcher leaves the index as it is once disposed", async () => {
  using spool = new WatchedSpool({ web: "maint" });
  spool.watcher[Symbol.dispose]();
  using events = Deno.watchFs(spool.root);
  spool.remove("web");
  for await (const { kind } of events) if (kind === "remove") break;
  await spool.clock.advance(700);
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.lines, []);
});

async function healthOf(daemon: Daemon): Promise<SpoolHealth> {
  return JSON.parse((await daemon.get("/status")).body).spool;
}

async function responds(daemon: Daemon, service: string, reason: string | null): Promise<void> {
  const expected = reason === null
    ? { status: 200, body: "" }
    : { status: 503, body: `Service ${service} in down state: ${reason}` };
  await until(`${service} is down: ${reason}`, async () => {
    const { status, body } = await daemon.get(`/spool/${service}/0`);
    return status === expected.status && body === expected.body;
  });
}

const SETPRIV = RESPECTING_FILE_MODES.slice(0, 1);

serverTest(
  "A daemon whose spool becomes unreadable keeps its last state, and logs it",
  SETPRIV,
  async () => {
    await using daemon = await Daemon.start({ wrapper: RESPECTING_FILE_MODES });
    const { spool } = daemon;
    try {
      const known: string[] = [];
      // No file can be opened; nor can the folder be listed; it cannot be listed.
      for (const mode of [0o444, 0o000, 0o111]) {
        Deno.chmodSync(spool, mode);
        await until("unhealthy", async () => !(await healthOf(daemon)).healthy);
        const { fault, records } = await healthOf(daemon);
        assert(fault?.includes("Permission denied"), `${fault}`);
        assertEquals(records, known.length);
        for (const name of known) await responds(daemon, name, "maint");
        Deno.chmodSync(spool, 0o700);
        known.push(`web-${known.length}`);
        Deno.writeTextFileSync(`${spool}/${known.at(-1)}`, "maint");
        for (const name of known) await responds(daemon, name, "maint");
        await until("healthy", async () => (await healthOf(daemon)).healthy);
        await until("watched", async () => (await healthOf(daemon)).watched);
      }
      await daemon.logged(
        /ERROR \S+ cannot be read, the last known state stays in force: Permission denied/,
      );
      await daemon.logged(/WARNING \S+ can be read again/);
    } finally {
      Deno.chmodSync(spool, 0o700);
    }
  },
);

serverTest(
  "A daemon learns what changed in its spool while that was unreadable",
  SETPRIV,
  async () => {
    await using daemon = await Daemon.start({ wrapper: RESPECTING_FILE_MODES });
    const { spool } = daemon;
    const beside = `${spool}-files`;
    Deno.mkdirSync(beside);
    for (let i = 0; i < 10; i++) {
      Deno.writeTextFileSync(`${beside}/web-${i}`, "maint");
      Deno.chmodSync(spool, 0o300);
      Deno.renameSync(`${beside}/web-${i}`, `${spool}/web-${i}`);
      Deno.chmodSync(spool, 0o700);
      await responds(daemon, `web-${i}`, "maint");
    }
    await until("healthy", async () => (await healthOf(daemon)).healthy);
  },
);

serverTest("A record is down while the daemon has no permission to read it", SETPRIV, async () => {
  await using daemon = await Daemon.start({ wrapper: RESPECTING_FILE_MODES });
  const path = `${daemon.spool}/web`;
  Deno.writeTextFileSync(path, "maint");
  await responds(daemon, "web", "maint");
  Deno.chmodSync(path, 0o000);
  await until("it cannot be read", async () => {
    const { status, body } = await daemon.get("/spool/web/0");
    return status === 503 &&
      body.startsWith("Service web in down state: the record cannot be read: Permission denied");
  });
  await daemon.logged(
    /WARNING invalid record \S+\/web counts as down: the record cannot be read: Permission denied/,
  );
  assertEquals((await healthOf(daemon)).healthy, true);
  Deno.chmodSync(path, 0o600);
  await responds(daemon, "web", "maint");
  Deno.removeSync(path);
  await responds(daemon, "web", null);
});

serverTest("A daemon that cannot watch its spool polls it", ["unshare"], async () => {
  await using daemon = await Daemon.start({ wrapper: WITHOUT_INOTIFY });
  await daemon.logged(
    /WARNING cannot watch \S+, reading it 20 times a second: Too many open files/,
  );
  const path = `${daemon.spool}/web`;
  for (let i = 0; i < 5; i++) {
    Deno.writeTextFileSync(path, `turn ${i}`);
    await responds(daemon, "web", `turn ${i}`);
  }
  assertEquals(await healthOf(daemon), healthy({ watched: false, records: 1 }));
  Deno.removeSync(path);
  await responds(daemon, "web", null);
});

serverTest("--spool-root takes any path of the spool", ["env"], async () => {
  using folder = new TempFolder();
  Deno.mkdirSync(folder.file("spool/spool/within"), { recursive: true });
  Deno.symlinkSync("spool", folder.file("link"));
  const roots = [
    ".",
    "spool",
    "spool/",
    "./spool",
    "spool/spool/..",
    "link",
    "link/.",
    "spool/spool",
  ];
  for (const spool of roots) {
    await using daemon = await Daemon.start({ spool, wrapper: ["env", "-C", folder.path] });
    const path = `${folder.path}/${spool}/web`;
    Deno.writeTextFileSync(path, `in ${spool}`);
    await responds(daemon, "web", `in ${spool}`);
    assertEquals((await healthOf(daemon)).watched, true);
    Deno.removeSync(path);
    await responds(daemon, "web", null);
  }
});
