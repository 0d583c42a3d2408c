import type { Log } from "../../../src/log.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { SpoolStore } from "../../../src/spool/store.ts";
import {
  type SpoolHealth,
  SpoolWatcher,
  type SpoolWatcherOptions,
} from "../../../src/spool/watcher.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import {
  Daemon,
  RESPECTING_FILE_MODES,
  TempFolder,
  WITHOUT_INOTIFY,
} from "../../support/programs.ts";
import { serverTest, until } from "../../servers/mod.ts";

/** A view of a spool, and what it says. */
class Viewed implements Disposable {
  readonly #folder: TempFolder;
  /** What it has logged, a line each. */
  readonly lines: string[] = [];
  /** The time that records expire by, in unix seconds. */
  now = 100;
  /** How often a record was read. */
  reads = 0;
  readonly root: string;
  readonly index = new SpoolIndex(undefined, () => this.now);
  readonly view: SpoolWatcher;

  /**
   * @param records What stands in the spool before it is viewed.
   * @param watch How the folder is watched; really, if not given.
   * @param root Which folder in a temporary one the spool is.
   */
  constructor(
    records: Record<string, string> = {},
    watch?: SpoolWatcherOptions["watch"],
    root = "spool",
  ) {
    this.#folder = new TempFolder();
    this.root = this.#folder.file(root);
    Deno.mkdirSync(this.root, { recursive: true });
    for (const [name, content] of Object.entries(records)) this.write(name, content);
    const store = new SpoolStore(this.root);
    const read = store.readEntry.bind(store);
    store.readEntry = (name, info) => {
      this.reads++;
      return read(name, info);
    };
    try {
      this.view = new SpoolWatcher({
        store,
        index: this.index,
        log: this.#log(),
        ...watch === undefined ? {} : { watch },
      });
    } catch (error) {
      this.#folder[Symbol.dispose]();
      throw error;
    }
  }

  /** The path of a file in the spool. */
  file(name: string): string {
    return `${this.root}/${name}`;
  }

  /** Writes a file in the spool, as an operator with an editor would. */
  write(name: string, content: string): void {
    Deno.writeTextFileSync(this.file(name), content);
  }

  /** A path beside the spool. */
  beside(name: string): string {
    return this.#folder.file(name);
  }

  /** Why a service is down, undefined if it is up. */
  reason(service: string, port = 0): string | undefined {
    return this.index.find(service, port, "127.0.0.1")?.record.reason;
  }

  /** Waits until a service is down for a reason, or up where that is undefined. */
  async sees(service: string, reason: string | undefined): Promise<void> {
    await until(`${service} is down: ${reason}`, () => this.reason(service) === reason);
  }

  /** Waits until the view is healthy, or is not. */
  async isHealthy(healthy: boolean): Promise<void> {
    await until(`healthy: ${healthy}`, () => this.view.health.healthy === healthy);
  }

  /** How often it has logged what matches a pattern. */
  logged(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  [Symbol.dispose](): void {
    this.view[Symbol.dispose]();
    this.#folder[Symbol.dispose]();
  }

  #log(): Log {
    const at = (level: string) => (message: string, properties: Record<string, unknown> = {}) => {
      const text = message.replace(/\{(\w+)\}/g, (_, name) => String(properties[name]));
      this.lines.push(`${level} ${text}`);
    };
    return {
      debug: at("debug"),
      info: at("info"),
      warning: at("warning"),
      error: at("error"),
    } as Log;
  }
}

/** A watcher that tells what the test has it tell. */
class HandDrivenWatcher implements Deno.FsWatcher {
  readonly #stream: ReadableStream<Deno.FsEvent>;
  #controller!: ReadableStreamDefaultController<Deno.FsEvent>;

  constructor() {
    this.#stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
    });
  }

  tell(event: Deno.FsEvent): void {
    this.#controller.enqueue(event);
  }

  die(error: Error): void {
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

/** How a spool is known in which nothing is wrong, but for what is named. */
function well(but: Partial<SpoolHealth>): SpoolHealth {
  return {
    healthy: true,
    fault: null,
    watched: true,
    records: 0,
    faulty: 0,
    faulty_names: [],
    misnamed: 0,
    misnamed_names: [],
    ...but,
  };
}

/** A way to change the spool, under which the view must come to know the same. */
const WAYS: readonly [how: string, watch: SpoolWatcherOptions["watch"] | undefined][] = [
  ["watched", undefined],
  ["polled", () => {
    throw new Error("no watches left");
  }],
];

Deno.test("SpoolWatcher knows from the start what stands in the spool", () => {
  using spool = new Viewed({
    "web": '{"reason": "maint", "expiration": null, "creation": null}',
    "api:8080": "text",
    "old": '{"reason": "over", "expiration": 99}',
    ".hacheck.tmp": "no",
  });
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.reason("api", 8080), "text");
  assertEquals(spool.reason("api"), undefined);
  assertEquals(spool.reason("old"), undefined);
  assertEquals(spool.view.health, well({ records: 3 }));
  assertEquals(spool.lines, []);
});

Deno.test("SpoolWatcher is not made of a spool that is missing or is no folder", () => {
  using folder = new TempFolder();
  const of = (root: string) => () =>
    new SpoolWatcher({ store: new SpoolStore(root), index: new SpoolIndex(), log: {} as Log });
  assertThrows(of(folder.file("none")), Deno.errors.NotFound);
  assertThrows(of(folder.write("file", "")), Error);
});

for (const [how, watch] of WAYS) {
  Deno.test(`A ${how} spool: what is created, changed, renamed and removed is known`, async () => {
    using spool = new Viewed({}, watch);
    assertEquals(spool.view.health.watched, how === "watched");
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
    Deno.removeSync(spool.file("all"));
    await spool.sees("web", undefined);
    Deno.renameSync(spool.file("api"), spool.beside("api"));
    await spool.sees("api", undefined);
    Deno.renameSync(spool.beside("api"), spool.file("api:8080"));
    await until("known by its port", () => spool.reason("api", 8080) === "put in its place");
    Deno.renameSync(spool.file("api:8080"), spool.file(".hidden"));
    await until("nothing is known", () => spool.view.health.records === 0);
    assertEquals(spool.view.health.healthy, true);
  });

  Deno.test(`A ${how} spool: what expires is up without a word of its file`, async () => {
    using spool = new Viewed({}, watch);
    spool.write("web", '{"reason": "soon over", "expiration": 200}');
    await spool.sees("web", "soon over");
    spool.now = 200;
    assertEquals(spool.reason("web"), "soon over");
    spool.now = 200.001;
    assertEquals(spool.reason("web"), undefined);
    assertEquals(spool.view.health.records, 1);
    spool.write("web", '{"reason": "renewed", "expiration": 300}');
    await spool.sees("web", "renewed");
  });

  Deno.test(`A ${how} spool: a record that cannot be read is down, and told of once`, async () => {
    using spool = new Viewed({}, watch);
    const why = "the record cannot be read: it is not a regular file";
    Deno.mkdirSync(spool.file("web"));
    await spool.sees("web", why);
    assertEquals(spool.lines.at(-1), `warning web counts as down: ${why}`);
    assertEquals(spool.view.health.healthy, true);
    Deno.utimeSync(spool.file("web"), 1, 1);
    spool.write("api", "seen");
    await spool.sees("api", "seen");
    assertEquals(spool.logged(/^warning web/), 1);
    Deno.removeSync(spool.file("web"));
    await spool.sees("web", undefined);
    spool.write("web", "maint");
    await spool.sees("web", "maint");
  });

  Deno.test(`A ${how} spool: what drains, and a weight, are known like what is down`, async () => {
    const named = (weight: number, rest = "") => `{"reason": "canary", "weight": ${weight}${rest}}`;
    using spool = new Viewed({ ".weight:all": named(90), web: '{"mode": "drain"}' }, watch);
    const weight = () => spool.index.weight("web", 8080, "127.0.0.1");
    const code = () => spool.index.find("web", 8080, "127.0.0.1")?.verdict.code;
    assertEquals([weight(), code(), spool.view.health], [
      90,
      404,
      well({ records: 1, watched: how === "watched" }),
    ]);
    spool.write("web", '{"mode": "down"}');
    await until("it is down", () => code() === 503);
    spool.write(".new", named(50, ', "expiration": 200'));
    Deno.renameSync(spool.file(".new"), spool.file(".weight:web"));
    await until("its weight is 50", () => weight() === 50);
    assertEquals(spool.index.activeEntries.weights.map(({ name }) => name), ["all", "web"]);
    spool.now = 201;
    assertEquals(weight(), 90);
    Deno.mkdirSync(spool.file(".weight:web:8080"));
    await until("nobody knows it", () => weight() === null);
    const fault = "the record cannot be read: it is not a regular file";
    assert(
      spool.lines.includes(`warning .weight:web:8080 may not be what was meant: ${fault}`),
      spool.lines.join("\n"),
    );
    assertEquals(spool.view.health.faulty_names, [".weight:web:8080"]);
    Deno.removeSync(spool.file(".weight:web:8080"));
    await until("it is 90 again", () => weight() === 90);
    assertEquals(spool.view.health.faulty, 0);
    assertEquals(spool.view.refresh(".weight:all"), true);
    Deno.removeSync(spool.file(".weight:all"));
    assertEquals(spool.view.refresh(".weight:all"), true);
    assertEquals(weight(), 100);
  });

  Deno.test(`A ${how} spool: made anew and empty, it leaves weights in force, too`, async () => {
    using spool = new Viewed({ ".weight:web": '{"weight": 50}' }, watch);
    const weight = () => spool.index.weight("web", 0, "127.0.0.1");
    Deno.removeSync(spool.root, { recursive: true });
    Deno.mkdirSync(spool.root);
    await until("it is told of", () => /has no record$/.test(spool.view.health.fault ?? ""));
    assertEquals(weight(), 50);
    // What is written to it makes it the spool.
    spool.write(".weight:api", '{"weight": 5}');
    await until("it is the spool", () => weight() === 100);
    await spool.isHealthy(true);
    assertEquals(spool.index.weight("api", 0, "127.0.0.1"), 5);
  });

  Deno.test(`A ${how} spool: gone with all its records, it leaves them in force`, async () => {
    const names = Array.from({ length: 50 }, (_, i) => `service-${i}`);
    using spool = new Viewed(Object.fromEntries(names.map((name) => [name, "maint"])), watch);
    // At once for this process, so that no turn of its own comes between the records.
    Deno.removeSync(spool.root, { recursive: true });
    await spool.isHealthy(false);
    // It is looked at again and again meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    for (const name of names) assertEquals(spool.reason(name), "maint");
    const { healthy, fault, records } = spool.view.health;
    assertEquals([healthy, records], [false, 50]);
    assert(fault !== null && fault.includes("No such file or directory"), fault ?? "null");
    assertEquals(
      spool.logged(
        /^error \S+\/spool cannot be read, what was known of it stays in force: No such/,
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
    assertEquals(spool.view.health.watched, how === "watched");
  });

  Deno.test(`A ${how} spool: moved away it stays in force, moved back it is followed`, async () => {
    using spool = new Viewed({ web: "maint", api: "maint" }, watch);
    const away = spool.beside("away");
    Deno.renameSync(spool.root, away);
    await spool.isHealthy(false);
    Deno.removeSync(`${away}/web`);
    Deno.writeTextFileSync(`${away}/db`, "while away");
    await new Promise((resolve) => setTimeout(resolve, 700));
    assertEquals([spool.reason("web"), spool.reason("db")], ["maint", undefined]);
    Deno.renameSync(away, spool.root);
    await spool.sees("db", "while away");
    await spool.isHealthy(true);
    await spool.sees("web", undefined);
    Deno.removeSync(spool.file("api"));
    await spool.sees("api", undefined);
  });

  Deno.test(`A ${how} spool: moved away and back at once it is followed all the same`, async () => {
    using spool = new Viewed({ web: "maint" }, watch);
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

  Deno.test(`A ${how} spool: another folder in its place is read anew`, async () => {
    using spool = new Viewed({ web: "maint", both: "old" }, watch);
    const next = spool.beside("next");
    Deno.mkdirSync(next);
    Deno.writeTextFileSync(`${next}/both`, "new");
    Deno.writeTextFileSync(`${next}/api`, "new");
    Deno.renameSync(spool.root, spool.beside("old"));
    Deno.renameSync(next, spool.root);
    await spool.sees("api", "new");
    await spool.isHealthy(true);
    assertEquals([spool.reason("web"), spool.reason("both")], [undefined, "new"]);
    spool.write("web", "followed");
    await spool.sees("web", "followed");
    // The old one speaks of nothing any more.
    Deno.removeSync(`${spool.beside("old")}/both`);
    Deno.writeTextFileSync(`${spool.beside("old")}/db`, "old");
    spool.write("last", "seen");
    await spool.sees("last", "seen");
    assertEquals([spool.reason("both"), spool.reason("db")], ["new", undefined]);
  });

  Deno.test(`A ${how} spool: made anew and empty, it stays in force until it has a record`, async () => {
    using spool = new Viewed({ web: "maint", old: '{"reason": "over", "expiration": 99}' }, watch);
    Deno.removeSync(spool.root, { recursive: true });
    Deno.mkdirSync(spool.root);
    spool.write(".web", "nobody's");
    const why = `${spool.root} is another folder than before, and has no record`;
    await until("it is told of", () => spool.view.health.fault === why);
    // It is looked at again and again meanwhile, and told of once.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    assertEquals([spool.reason("web"), spool.view.health.healthy], ["maint", false]);
    assertEquals(spool.logged(/^error .* has no record$/), 1);
    assertEquals(spool.view.refresh("web"), false);
    assertEquals(spool.view.refresh("api"), true);
    assertEquals(spool.reason("web"), "maint");
    spool.write("api", "the first");
    await spool.sees("api", "the first");
    await spool.sees("web", undefined);
    await spool.isHealthy(true);
    Deno.removeSync(spool.file("api"));
    await spool.sees("api", undefined);
  });

  Deno.test(`A ${how} spool: where nothing is down, an empty one in its place is believed`, async () => {
    using spool = new Viewed({ old: '{"reason": "over", "expiration": 99}' }, watch);
    Deno.removeSync(spool.root, { recursive: true });
    Deno.mkdirSync(spool.root);
    await until("it is read", () => spool.view.health.records === 0);
    await spool.isHealthy(true);
    spool.write("web", "followed");
    await spool.sees("web", "followed");
  });

  Deno.test(`A ${how} spool: an empty one mounted over it and away again leaves it in force`, async () => {
    using spool = new Viewed({ web: "maint" }, watch);
    const [away, empty] = [spool.beside("away"), spool.beside("empty")];
    Deno.mkdirSync(empty);
    Deno.renameSync(spool.root, away);
    Deno.renameSync(empty, spool.root);
    await spool.isHealthy(false);
    Deno.renameSync(spool.root, empty);
    Deno.renameSync(away, spool.root);
    await spool.isHealthy(true);
    assertEquals(spool.reason("web"), "maint");
    assertEquals(spool.logged(/^warning .* another folder/), 0);
    spool.write("web", "followed");
    await spool.sees("web", "followed");
  });

  Deno.test(`A ${how} spool: a slow removal takes no record out of force`, async () => {
    const names = Array.from({ length: 4 }, (_, i) => `service-${i}`);
    using spool = new Viewed(Object.fromEntries(names.map((name) => [name, "maint"])), watch);
    const activeEntries = () => names.filter((name) => spool.reason(name) === "maint");
    for (const name of names) {
      Deno.removeSync(spool.file(name));
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    // Nobody can know yet that the spool itself is to go.
    await until("some are believed to be gone", () => activeEntries().length < names.length);
    Deno.removeSync(spool.root);
    await spool.isHealthy(false);
    await until("all are in force", () => activeEntries().length === names.length);
  });

  Deno.test(`A ${how} spool: what was marked up long before it went stays up`, async () => {
    using spool = new Viewed({ web: "maint", api: "maint" }, watch);
    Deno.removeSync(spool.file("web"));
    await spool.sees("web", undefined);
    await new Promise((resolve) => setTimeout(resolve, 2200));
    Deno.removeSync(spool.root, { recursive: true });
    await spool.isHealthy(false);
    assertEquals([spool.reason("web"), spool.reason("api")], [undefined, "maint"]);
  });

  Deno.test(`A ${how} spool: records that make no sense are told of, the first ten by name`, async () => {
    using spool = new Viewed({ good: "maint" }, watch);
    const names = Array.from({ length: 15 }, (_, i) => `service-${i}`);
    for (const name of names) spool.write(name, '{"reason": "x", "expiration": -5}');
    await until("all are seen", () => spool.view.health.faulty === 15);
    const { healthy, records, faulty_names } = spool.view.health;
    assertEquals([healthy, records, faulty_names.length], [true, 16, 10]);
    assert(faulty_names.every((name) => names.includes(name)));
    assertEquals(spool.logged(/counts as down: its expiration makes no sense: -5$/), 15);
    for (const name of names.slice(1)) Deno.removeSync(spool.file(name));
    spool.write(names[0]!, '{"reason": "x", "expiration": 500}');
    await until("none is left", () => spool.view.health.faulty === 0);
  });

  Deno.test(`A ${how} spool: a file in its place leaves it in force`, async () => {
    using spool = new Viewed({ web: "maint" }, watch);
    Deno.renameSync(spool.root, spool.beside("away"));
    Deno.writeTextFileSync(spool.root, "");
    await spool.isHealthy(false);
    await new Promise((resolve) => setTimeout(resolve, 700));
    assertEquals(spool.reason("web"), "maint");
    assertEquals(spool.view.health.healthy, false);
    Deno.removeSync(spool.root);
    Deno.renameSync(spool.beside("away"), spool.root);
    await spool.isHealthy(true);
    assertEquals(spool.reason("web"), "maint");
  });

  Deno.test(`A ${how} spool: as a link it is read anew when it leads elsewhere`, async () => {
    using spool = new Viewed({ web: "maint" }, watch);
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
}

Deno.test("SpoolWatcher follows a spool in a folder of the same name", async () => {
  using spool = new Viewed({}, undefined, "spool/spool");
  spool.write("spool", "a service of that name");
  await spool.sees("spool", "a service of that name");
  Deno.removeSync(spool.file("spool"));
  await spool.sees("spool", undefined);
  Deno.removeSync(spool.root);
  await spool.isHealthy(false);
});

Deno.test("Records that go before the spool itself does, as rm -rf removes them, stay in force", async () => {
  const watcher = new HandDrivenWatcher();
  const names = ["web", "api", "db"];
  using spool = new Viewed(
    Object.fromEntries(names.map((name) => [name, "maint"])),
    () => watcher,
  );
  for (const name of names) {
    Deno.removeSync(spool.file(name));
    watcher.tell({ kind: "remove", paths: [spool.file(name)] });
  }
  await heeded();
  const activeEntries = () => names.filter((name) => spool.reason(name) === "maint");
  assertEquals(activeEntries(), names);
  Deno.removeSync(spool.root);
  watcher.tell({ kind: "remove", paths: [spool.root] });
  await spool.isHealthy(false);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assertEquals(activeEntries(), names);
});

Deno.test("A folder that was seen to go is not believed if it is back and empty, whatever it looks like", async () => {
  const watcher = new HandDrivenWatcher();
  using spool = new Viewed({ web: "maint" }, () => watcher);
  // A folder made anew at once can have the inode of the last, and be born in the same tick.
  Deno.removeSync(spool.file("web"));
  watcher.tell({ kind: "remove", paths: [spool.root] });
  await until("it is told of", () => spool.view.health.fault?.endsWith("has no record") ?? false);
  assertEquals(spool.reason("web"), "maint");
});

/** Has a test say how time goes on. */
class HandDrivenClock implements Disposable {
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  readonly #timers = new Map<number, { readonly due: number; readonly act: () => void }>();
  #timer = 0;
  #now = 0;

  constructor() {
    performance.now = () => this.#now;
    globalThis.setTimeout = ((act: () => void, delay: number) => {
      this.#timers.set(++this.#timer, { due: this.#now + delay, act });
      return this.#timer;
    }) as unknown as typeof setTimeout;
    globalThis.clearTimeout = (timer) => void this.#timers.delete(timer as unknown as number);
  }

  /** Lets some milliseconds go by. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
    for (const [timer, { due, act }] of [...this.#timers]) {
      if (due <= this.#now && this.#timers.delete(timer)) act();
    }
  }

  [Symbol.dispose](): void {
    delete (performance as Partial<Performance>).now;
    Object.assign(globalThis, this.#real);
  }
}

/** Time enough to heed events, but for no timer to fire. */
async function heeded(): Promise<void> {
  for (let turns = 0; turns < 1000; turns++) await Promise.resolve();
}

Deno.test("A record that goes while others come and go is gone before long", async () => {
  using clock = new HandDrivenClock();
  const watcher = new HandDrivenWatcher();
  using spool = new Viewed({ web: "maint" }, () => watcher);
  Deno.removeSync(spool.file("web"));
  watcher.tell({ kind: "remove", paths: [spool.file("web")] });
  await heeded();
  const known: boolean[] = [];
  for (let milliseconds = 0; milliseconds < 250; milliseconds += 5) {
    // Each of the others puts off the belief that web is gone.
    spool.write("other", "");
    spool.view.refresh("other");
    Deno.removeSync(spool.file("other"));
    watcher.tell({ kind: "remove", paths: [spool.file("other")] });
    await heeded();
    clock.pass(5);
    known.push(spool.reason("web") !== undefined);
  }
  assertEquals([known[20], known.at(-1)], [true, false]);
});

for (const kind of ["modify", "rename", "remove"] as const) {
  Deno.test(`A ${kind} event of the folder itself has it watched and read anew`, async () => {
    const watchers: HandDrivenWatcher[] = [];
    using spool = new Viewed({ web: "maint" }, () => {
      watchers.push(new HandDrivenWatcher());
      return watchers.at(-1)!;
    });
    spool.write("web", "changed");
    watchers[0]!.tell({ kind, paths: [spool.root] });
    await spool.sees("web", "changed");
    await until("it is watched anew", () => watchers.length === 2 && spool.view.health.watched);
    spool.write("web", "changed again");
    watchers[1]!.tell({ kind: "modify", paths: [spool.file("web")] });
    await spool.sees("web", "changed again");
    assertEquals(spool.lines, []);
  });
}

/** Has a test say when a spool is looked after, instead of the clock. */
class HandDrivenTicks implements Disposable {
  readonly #setInterval = globalThis.setInterval;
  #tick: (() => void) | undefined;

  constructor() {
    globalThis.setInterval = ((tick: () => void) => {
      this.#tick = tick;
    }) as typeof setInterval;
  }

  /** Waits until there is somebody to look after it. */
  async begun(): Promise<void> {
    await until("it is looked after", () => this.#tick !== undefined);
  }

  tick(): void {
    this.#tick!();
  }

  [Symbol.dispose](): void {
    globalThis.setInterval = this.#setInterval;
  }
}

/** What happens to a record that comes or goes, in order, and whether its event then counts as missed. */
const MISSES: readonly [steps: string, isMissed: boolean][] = [
  ["change event tick tick tick", false],
  ["change event settle tick tick tick", false],
  ["change tick event tick tick", false],
  ["change tick settle event tick tick", false],
  ["change tick", false],
  ["change tick settle", false],
  ["change tick tick", true],
  ["change tick settle tick", true],
];

for (const [steps, isMissed] of MISSES) {
  for (const what of ["comes", "goes"]) {
    const then = isMissed ? "is given up" : "is not given up";
    Deno.test(`A watch ${then} for a record that ${what}: ${steps}`, async () => {
      using ticks = new HandDrivenTicks();
      const watcher = new HandDrivenWatcher();
      const before: Record<string, string> = what === "comes" ? {} : { web: "maint" };
      using spool = new Viewed({ api: "maint", ...before }, () => watcher);
      await ticks.begun();
      for (const step of ["tick", "tick", ...steps.split(" ")]) {
        if (step === "tick") {
          ticks.tick();
        } else if (step === "change") {
          if (what === "comes") spool.write("web", "maint");
          else Deno.removeSync(spool.file("web"));
          // It has changed since it was looked at last, however little time that is by the clock.
          Deno.utimeSync(spool.root, 1, 1);
        } else if (step === "event") {
          const kind = what === "comes" ? "create" : "remove";
          watcher.tell({ kind, paths: [spool.file("web")] });
          await heeded();
        } else {
          await spool.sees("web", what === "comes" ? "maint" : undefined);
        }
      }
      assertEquals(
        spool.lines,
        isMissed
          ? [
            `warning no longer watching ${spool.root}, reading it 20 times a second: no event told of web`,
          ]
          : [],
      );
      assertEquals(spool.view.health.watched, !isMissed);
      await spool.sees("web", what === "comes" ? "maint" : undefined);
    });
  }
}

Deno.test("SpoolWatcher reads everything again when events were lost", async () => {
  using ticks = new HandDrivenTicks();
  const watchers: HandDrivenWatcher[] = [];
  using spool = new Viewed({ web: "maint", api: "maint" }, () => {
    watchers.push(new HandDrivenWatcher());
    return watchers.at(-1)!;
  });
  await ticks.begun();
  Deno.removeSync(spool.file("web"));
  spool.write("api", "changed");
  spool.write("db", "created");
  watchers[0]!.tell({ kind: "other", paths: [], flag: "rescan" });
  await spool.sees("api", "changed");
  await spool.sees("db", "created");
  await spool.sees("web", undefined);
  await until("it is watched anew", () => watchers.length === 2 && spool.view.health.watched);
  assertEquals(spool.view.health, well({ records: 2 }));
  assertEquals(spool.lines, []);
});

Deno.test("A watched spool is not read for nothing, but each record is looked at in its turn", async () => {
  using ticks = new HandDrivenTicks();
  const names = Array.from({ length: 250 }, (_, i) => `service-${i}`);
  using spool = new Viewed(
    Object.fromEntries(names.map((name) => [name, "maint"])),
    () => new HandDrivenWatcher(),
  );
  await ticks.begun();
  const changed = () => names.filter((name) => spool.reason(name) === "changed").length;
  for (const name of names) spool.write(name, "changed");
  const seen = Array.from({ length: 8 }, () => {
    ticks.tick();
    return changed();
  });
  assertEquals(seen, [0, 100, 200, 250, 250, 250, 250, 250]);
  const reads = spool.reads;
  for (let i = 0; i < 8; i++) ticks.tick();
  assertEquals(spool.reads, reads);
  // Those that come are looked at, and those that have gone no more.
  Deno.removeSync(spool.file(names[0]!));
  spool.view.refresh(names[0]!);
  spool.write("web", "maint");
  spool.view.refresh("web");
  spool.write("web", "changed");
  for (let i = 0; i < 4; i++) ticks.tick();
  assertEquals([spool.reason("web"), spool.reason(names[0]!)], ["changed", undefined]);
});

const DEATHS: readonly [how: string, why: string, die: (watcher: HandDrivenWatcher) => void][] = [
  ["ends", "the watch ended", (watcher) => watcher.close()],
  ["fails", "out of watches", (watcher) => watcher.die(new Error("out of watches"))],
];

for (const [how, why, die] of DEATHS) {
  Deno.test(`A watch that ${how} is told of, and the spool is read again and again`, async () => {
    const watcher = new HandDrivenWatcher();
    using spool = new Viewed({ web: "maint" }, () => watcher);
    die(watcher);
    spool.write("api", "unwatched");
    Deno.removeSync(spool.file("web"));
    await spool.sees("api", "unwatched");
    await spool.sees("web", undefined);
    assertEquals(spool.lines, [
      `warning no longer watching ${spool.root}, reading it 20 times a second: ${why}`,
    ]);
    assertEquals(spool.view.health, well({ watched: false, records: 1 }));
  });
}

Deno.test("A watch that cannot be had is told of", () => {
  const [, watch] = WAYS[1]!;
  using spool = new Viewed({ web: "maint" }, watch);
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.lines, [
    `warning cannot watch ${spool.root}, reading it 20 times a second: no watches left`,
  ]);
  assertEquals(spool.view.health, well({ watched: false, records: 1 }));
});

Deno.test("SpoolWatcher.refresh() reads one record at once", () => {
  using spool = new Viewed({ web: "maint" }, () => new HandDrivenWatcher());
  spool.write("web", "changed");
  spool.write("api", "created");
  spool.view.refresh("web");
  assertEquals([spool.reason("web"), spool.reason("api")], ["changed", undefined]);
  Deno.removeSync(spool.file("web"));
  spool.view.refresh("web");
  assertEquals(spool.reason("web"), undefined);
  // Of a spool that is gone, no file says anything.
  spool.view.refresh("api");
  Deno.removeSync(spool.root, { recursive: true });
  spool.view.refresh("api");
  assertEquals(spool.reason("api"), "created");
});

Deno.test("A SpoolWatcher that was disposed of keeps what it knew", async () => {
  using spool = new Viewed({ web: "maint" });
  spool.view[Symbol.dispose]();
  Deno.removeSync(spool.file("web"));
  await new Promise((resolve) => setTimeout(resolve, 700));
  assertEquals(spool.reason("web"), "maint");
  assertEquals(spool.lines, []);
});

async function healthOf(daemon: Daemon): Promise<SpoolHealth> {
  return JSON.parse((await daemon.get("/status")).body).spool;
}

async function answers(daemon: Daemon, service: string, reason: string | null): Promise<void> {
  const expected = reason === null
    ? { status: 200, body: "" }
    : { status: 503, body: `Service ${service} in down state: ${reason}` };
  await until(`${service} is down: ${reason}`, async () => {
    const { status, body } = await daemon.get(`/spool/${service}/0`);
    return status === expected.status && body === expected.body;
  });
}

const SETPRIV = RESPECTING_FILE_MODES.slice(0, 1);

serverTest("A spool that stops being readable stays in force and is told of", SETPRIV, async () => {
  await using daemon = await Daemon.start({ wrapper: RESPECTING_FILE_MODES });
  const { spool } = daemon;
  try {
    const known: string[] = [];
    // Not to be looked into; neither that nor to be listed; not to be listed.
    for (const mode of [0o444, 0o000, 0o111]) {
      Deno.chmodSync(spool, mode);
      await until("unhealthy", async () => !(await healthOf(daemon)).healthy);
      const { fault, records } = await healthOf(daemon);
      assert(fault?.includes("Permission denied"), `${fault}`);
      assertEquals(records, known.length);
      for (const name of known) await answers(daemon, name, "maint");
      Deno.chmodSync(spool, 0o700);
      known.push(`web-${known.length}`);
      Deno.writeTextFileSync(`${spool}/${known.at(-1)}`, "maint");
      for (const name of known) await answers(daemon, name, "maint");
      await until("healthy", async () => (await healthOf(daemon)).healthy);
      await until("watched", async () => (await healthOf(daemon)).watched);
    }
    await daemon.logged(
      /ERROR \S+ cannot be read, what was known of it stays in force: Permission denied/,
    );
    await daemon.logged(/WARNING \S+ can be read again/);
  } finally {
    Deno.chmodSync(spool, 0o700);
  }
});

serverTest(
  "What changes in a spool while it is unreadable is known afterwards",
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
      await answers(daemon, `web-${i}`, "maint");
    }
    await until("healthy", async () => (await healthOf(daemon)).healthy);
  },
);

serverTest("A record that may not be read is down until it may be", SETPRIV, async () => {
  await using daemon = await Daemon.start({ wrapper: RESPECTING_FILE_MODES });
  const path = `${daemon.spool}/web`;
  Deno.writeTextFileSync(path, "maint");
  await answers(daemon, "web", "maint");
  Deno.chmodSync(path, 0o000);
  await until("it cannot be read", async () => {
    const { status, body } = await daemon.get("/spool/web/0");
    return status === 503 &&
      body.startsWith("Service web in down state: the record cannot be read: Permission denied");
  });
  await daemon.logged(/WARNING web counts as down: the record cannot be read: Permission denied/);
  assertEquals((await healthOf(daemon)).healthy, true);
  Deno.chmodSync(path, 0o600);
  await answers(daemon, "web", "maint");
  Deno.removeSync(path);
  await answers(daemon, "web", null);
});

serverTest("A daemon that gets no watch reads the spool all the same", ["unshare"], async () => {
  await using daemon = await Daemon.start({ wrapper: WITHOUT_INOTIFY });
  await daemon.logged(
    /WARNING cannot watch \S+, reading it 20 times a second: Too many open files/,
  );
  const path = `${daemon.spool}/web`;
  for (let i = 0; i < 5; i++) {
    Deno.writeTextFileSync(path, `turn ${i}`);
    await answers(daemon, "web", `turn ${i}`);
  }
  assertEquals(await healthOf(daemon), well({ watched: false, records: 1 }));
  Deno.removeSync(path);
  await answers(daemon, "web", null);
});

serverTest("The spool may be named by any path that leads to it", ["env"], async () => {
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
    await answers(daemon, "web", `in ${spool}`);
    assertEquals((await healthOf(daemon)).watched, true);
    Deno.removeSync(path);
    await answers(daemon, "web", null);
  }
});

for (const [how, watch] of WAYS) {
  Deno.test(`${how}, files whose names are no record's are counted, named and logged`, async () => {
    using spool = new Viewed({ "web:x": "maint", web: "maint" }, watch);
    const { root } = spool;
    const warned = (name: string) =>
      spool.lines.some((line) => line.includes(`${root}/${name} has no effect`));
    const known = () => {
      const { records, faulty, faulty_names, misnamed, misnamed_names } = spool.view.health;
      return [records, faulty, faulty_names, misnamed, misnamed_names];
    };
    assertEquals(known(), [1, 1, [], 1, ["web:x"]]);
    assertEquals(spool.view.states(0).faulty, 1);
    assert(warned("web:x"), spool.lines.join());
    Deno.renameSync(spool.file("web:x"), spool.file(".weight:web:y"));
    await until("it is known", () => spool.view.health.misnamed_names[0] === ".weight:web:y");
    Deno.removeSync(spool.file(".weight:web:y"));
    spool.write(".hacheck.0.tmp", "");
    await until("it is gone", () => spool.view.health.misnamed === 0);
    assertEquals(known(), [1, 0, [], 0, []]);
  });
}
