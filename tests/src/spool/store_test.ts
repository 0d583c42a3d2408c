import { type DowntimeRecord, formatEntry } from "../../../src/spool/entry.ts";
import { EntryTooLongError, MAX_RECORD_BYTES, SpoolStore } from "../../../src/spool/store.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";
import { commandOf } from "../../support/forms.ts";
import { RESPECTING_FILE_MODES, type Result, run, TempFolder } from "../../support/programs.ts";
import { serverTest, until } from "../../servers/mod.ts";

/** 1 January 2100, in unix seconds. */
const FAR = 4102444800;

/** What most tests write. */
const MAINT = { mode: "down", reason: "maint", expiration: null } as const;

/** A temporary spool. */
class TestSpool extends TempFolder {
  readonly clock = new TestClock();
  readonly store = new SpoolStore(this.path, this.clock);

  /** Advances the time until writers that wait for the lock give up. */
  async lockTimesOut(writers = 1): Promise<void> {
    await until("they wait for the lock", () => this.clock.pending === writers);
    await this.clock.advance(2000);
  }

  /** The names of all files, sorted. */
  get files(): string[] {
    return [...Deno.readDirSync(this.path)].map(({ name }) => name).sort();
  }
}

/** Runs `hactl down` from a shell that runs another command first. */
function downAfter(first: string, spool: string, wrapper: readonly string[] = []): Promise<Result> {
  const hactl = commandOf("hactl", { spool });
  // Nothing listens on port 1, so that hactl waits for no daemon.
  const args = ["down", "web", "-r", "maint", "-p", "1", "--spool-root", spool];
  return run("sh", ["-c", `${first} && exec "$@"`, "sh", ...wrapper, ...hactl, ...args]);
}

/** Runs a program that holds the lock until it is disposed of. */
async function holdLock(root: string): Promise<AsyncDisposable> {
  const holder = new Deno.Command("flock", {
    args: [root, "sh", "-c", "echo held; exec cat"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = holder.stdout.getReader();
  const { value } = await output.read();
  assertEquals(new TextDecoder().decode(value), "held\n");
  return {
    async [Symbol.asyncDispose]() {
      await holder.stdin.close();
      await output.cancel();
      await holder.status;
    },
  };
}

function nowInSeconds(): number {
  return Date.now() / 1000;
}

const CONTENTS: readonly [
  what: string,
  content: string | Uint8Array<ArrayBuffer>,
  DowntimeRecord,
][] = [
  ["a record", '{"reason": "a", "expiration": 2, "creation": 1}\n', {
    mode: "down",
    reason: "a",
    expiration: 2,
    creation: 1,
  }],
  ["a byte order mark before the JSON", '\ufeff{"reason": "a"}', {
    mode: "down",
    reason: "a",
    expiration: null,
    creation: null,
  }],
  ["an empty file", "", { mode: "down", reason: "", expiration: null, creation: null }],
  ["text", "being\nmoved\n", {
    mode: "down",
    reason: "being\nmoved",
    expiration: null,
    creation: null,
  }],
  ["Latin-1", Uint8Array.of(0x63, 0x61, 0x66, 0xe9), {
    mode: "down",
    reason: "caf\ufffd",
    expiration: null,
    creation: null,
  }],
  ["bytes", Uint8Array.of(0, 0xff, 0xfe, 0x80, 0xc3), {
    mode: "down",
    reason: "\u0000\ufffd\ufffd\ufffd\ufffd",
    expiration: null,
    creation: null,
  }],
  ["as much as is read", "x".repeat(MAX_RECORD_BYTES), {
    mode: "down",
    reason: "x".repeat(MAX_RECORD_BYTES),
    expiration: null,
    creation: null,
  }],
];

for (const [what, content, record] of CONTENTS) {
  Deno.test(`SpoolStore.readDowntime() reads ${what}`, () => {
    using spool = new TestSpool();
    Deno.writeFileSync(
      spool.file("web"),
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    assertEquals(spool.store.readDowntime("web"), { record, problem: null });
  });
}

const UNREADABLE: readonly [what: string, why: string, (path: string) => unknown][] = [
  ["a folder", "it is not a regular file", (path) => Deno.mkdirSync(path)],
  ["a link to itself", "it is not a regular file", (path) => Deno.symlinkSync(path, path)],
  ["a link to nothing", "it is not a regular file", (path) => Deno.symlinkSync("nothing", path)],
  ["a link to a file", "it is not a regular file", (path) => Deno.symlinkSync("/etc/passwd", path)],
  ["a pipe", "it is not a regular file", async (path) => {
    assertEquals(await run("mkfifo", [path]), { code: 0, stdout: "", stderr: "" });
  }],
  [
    "a byte too many",
    `it is longer than ${MAX_RECORD_BYTES} bytes`,
    (path) => Deno.writeFileSync(path, new Uint8Array(MAX_RECORD_BYTES + 1)),
  ],
  [
    "ten megabytes",
    `it is longer than ${MAX_RECORD_BYTES} bytes`,
    (path) => Deno.writeFileSync(path, new Uint8Array(10 * 1024 * 1024)),
  ],
];

for (const [what, why, make] of UNREADABLE) {
  Deno.test(`SpoolStore.readDowntime() returns a record that is down and invalid for ${what}`, async () => {
    using spool = new TestSpool();
    await make(spool.file("web"));
    const fault = `the record cannot be read: ${why}`;
    assertEquals(spool.store.readDowntime("web"), {
      record: { mode: "down", reason: fault, expiration: null, creation: null },
      problem: fault,
    });
    assertEquals(spool.store.listDowntimes(), ["web"]);
    assertEquals(spool.store.readDowntimes().map(({ name, reason }) => [name, reason]), [
      ["web", fault],
    ]);
  });
}

Deno.test("SpoolStore.readDowntime() returns undefined for a missing file, and throws if that is unknown", async () => {
  using spool = new TestSpool();
  assertEquals(spool.store.readDowntime("web"), undefined);
  const file = new SpoolStore(spool.write("file", ""));
  await assertRejects(() => Promise.try(() => file.readDowntime("web")), Error, "Not a directory");
});

Deno.test("SpoolStore.listDowntimes() returns the names of records only", () => {
  using spool = new TestSpool();
  const others = [".hacheck.tmp", ".web", "web:", "a:b", "web~", ".weight:", ".weight:a:b"];
  for (const name of ["web", "web:8080", "all", ".weight:web", ...others]) spool.write(name, "");
  assertEquals(spool.store.listEntries().sort(), [".weight:web", "all", "web", "web:8080"]);
  assertEquals(spool.store.listDowntimes().sort(), ["all", "web", "web:8080"]);
});

Deno.test("SpoolStore.readDowntimes() and readWeights() return all entries, sorted by name", () => {
  using spool = new TestSpool();
  for (const name of ["web:127.0.0.1:80", "web:0", "web", "all", ".web", "a:b"]) {
    spool.write(name, '{"expiration": 1}');
    spool.write(`.weight:${name}`, '{"weight": 5}');
  }
  const fields = { host: "127.0.0.1", reason: "", creation: null };
  const subjects = [["all", "all", 0], ["web", "web", 0], ["web:0", "web", 0]]
    .concat([["web:127.0.0.1:80", "web", 80]])
    .map(([name, service, port]) => ({ name, service, port, ...fields }));
  const downtimes = subjects.map((subject) => ({ ...subject, mode: "down", expiration: 1 }));
  const weights = subjects.map((subject) => ({ ...subject, weight: 5, expiration: null }));
  assertEquals<unknown>(spool.store.readDowntimes(), downtimes);
  assertEquals<unknown>(spool.store.readWeights(), weights);
});

Deno.test("SpoolStore.set() writes one file with mode 0644", async () => {
  using spool = new TestSpool();
  const before = nowInSeconds();
  const record = await spool.store.set("web:8080", { ...MAINT, expiration: FAR });
  assert(record.creation !== null);
  assert(record.creation >= before && record.creation <= nowInSeconds());
  assertEquals(
    Deno.readTextFileSync(spool.file("web:8080")),
    `{"reason": "maint", "expiration": ${FAR}, "creation": ${record.creation}}`,
  );
  assertEquals(Deno.statSync(spool.file("web:8080")).mode! & 0o7777, 0o644);
  assertEquals(spool.files, ["web:8080"]);
});

const REPLACED: readonly {
  when: string;
  present: DowntimeRecord;
  reason: string;
  expiration: number | null;
  creation?: number;
  /** The creation time of the new record; undefined for now. */
  since: number | undefined;
}[] = [
  {
    when: "with the same reason keeps its creation time, and sets the new expiration",
    present: { mode: "down", reason: "maint", expiration: null, creation: 5.25 },
    reason: "maint",
    expiration: FAR,
    since: 5.25,
  },
  {
    when: "with the same reason removes its expiration",
    present: { mode: "down", reason: "maint", expiration: FAR, creation: 5.25 },
    reason: "maint",
    expiration: null,
    since: 5.25,
  },
  {
    when: "with another reason sets a new creation time",
    present: { mode: "down", reason: "maint", expiration: null, creation: 5.25 },
    reason: "drain",
    expiration: null,
    since: undefined,
  },
  {
    when: "that has expired sets a new creation time",
    present: { mode: "down", reason: "maint", expiration: 6, creation: 5.25 },
    reason: "maint",
    expiration: null,
    since: undefined,
  },
  {
    when: "without a creation time sets one",
    present: { ...MAINT, creation: null },
    reason: "maint",
    expiration: null,
    since: undefined,
  },
  {
    when: "sets a creation time that is given",
    present: { mode: "down", reason: "maint", expiration: null, creation: 5.25 },
    reason: "maint",
    expiration: null,
    creation: 7.5,
    since: 7.5,
  },
  {
    when: "with another reason sets a creation time that is given",
    present: { mode: "down", reason: "maint", expiration: null, creation: 5.25 },
    reason: "drain",
    expiration: null,
    creation: 0,
    since: 0,
  },
];

for (const { when, present, reason, expiration, creation, since } of REPLACED) {
  Deno.test(`SpoolStore.set() over a record ${when}`, async () => {
    using spool = new TestSpool();
    spool.write("web", formatEntry(present));
    const before = nowInSeconds();
    const record = await spool.store.set("web", { mode: "down", reason, expiration, creation });
    assertEquals(record, { mode: "down", reason, expiration, creation: since ?? record.creation });
    if (since === undefined) assert(record.creation !== null && record.creation >= before);
    assertEquals(spool.store.readDowntime("web"), { record, problem: null });
  });
}

Deno.test("SpoolStore.set() writes a record that drains, and that is down for other hachecks", async () => {
  using spool = new TestSpool();
  const record = await spool.store.set("web", {
    mode: "drain",
    reason: "maint",
    expiration: FAR,
    creation: 5,
  });
  assertEquals(record, { mode: "drain", reason: "maint", expiration: FAR, creation: 5 });
  assertEquals(
    Deno.readTextFileSync(spool.file("web")),
    `{"reason": "maint", "expiration": ${FAR}, "creation": 5, "mode": "drain"}`,
  );
  assertEquals(spool.store.readDowntime("web"), { record, problem: null });
});

Deno.test("SpoolStore.set() sets a new creation time when the mode changes", async () => {
  using spool = new TestSpool();
  const { store } = spool;
  await store.set("web", { mode: "drain", reason: "maint", expiration: null, creation: 5 });
  assertEquals(
    (await store.set("web", { mode: "drain", reason: "maint", expiration: FAR })).creation,
    5,
  );
  const down = await store.set("web", MAINT);
  assert(down.creation !== null && down.creation > 5);
  await store.set("web", { ...MAINT, creation: 5 });
  const draining = await store.set("web", { mode: "drain", reason: "maint", expiration: null });
  assert(draining.creation !== null && draining.creation > 5);
  assertEquals(spool.files, ["web"]);
});

Deno.test("SpoolStore keeps weights apart from records", async () => {
  using spool = new TestSpool();
  const { store } = spool;
  const record = await store.set(".weight:web", {
    weight: 50,
    reason: "canary",
    expiration: FAR,
    creation: 5,
  });
  assertEquals(
    Deno.readTextFileSync(spool.file(".weight:web")),
    `{"reason": "canary", "expiration": ${FAR}, "creation": 5, "weight": 50}`,
  );
  assertEquals(store.readWeight(".weight:web"), { record, problem: null });
  assertEquals(store.readEntry(".weight:web"), { record, problem: null });
  await store.set("web", MAINT);
  await store.remove("web");
  assertEquals([store.listDowntimes(), store.listEntries(), store.readDowntime("web")], [
    [],
    [".weight:web"],
    undefined,
  ]);
  // The same weight and reason keep the creation time; others set a new one.
  assertEquals(
    (await store.set(".weight:web", { weight: 50, reason: "canary", expiration: null })).creation,
    5,
  );
  for (const [weight, reason] of [[51, "canary"], [50, "other"]] as const) {
    await store.set(".weight:web", { weight: 50, reason: "canary", expiration: null, creation: 5 });
    const { creation } = await store.set(".weight:web", { weight, reason, expiration: null });
    assert(creation !== null && creation > 5);
  }
  await store.set(".weight:web", { weight: 50, reason: "canary", expiration: 6, creation: 5 });
  const { creation } = await store.set(".weight:web", {
    weight: 50,
    reason: "canary",
    expiration: 7,
  });
  assert(creation !== null && creation > 5, "an expired weight does not count");
  await store.set(".weight:api", { weight: 0, reason: "canary", expiration: 6 });
  await store.removeExpired(".weight:api");
  assertEquals(spool.files, [".weight:web"]);
  await store.remove(".weight:web");
  await store.remove(".weight:web");
  assertEquals([spool.files, store.readWeight(".weight:web")], [[], undefined]);
});

Deno.test("SpoolStore.readWeight() returns null for an unreadable or invalid weight, and the problem", () => {
  using spool = new TestSpool();
  Deno.mkdirSync(spool.file(".weight:web"));
  spool.write(".weight:api", "50");
  const fault = "the record cannot be read: it is not a regular file";
  assertEquals(spool.store.readWeight(".weight:web"), {
    record: { weight: null, reason: fault, expiration: null, creation: null },
    problem: fault,
  });
  assertEquals(spool.store.readWeight(".weight:api"), {
    record: { weight: null, reason: "50", expiration: null, creation: null },
    problem: "it is not a JSON object",
  });
});

Deno.test("SpoolStore.set() replaces a link, and does not write to its target", async () => {
  using spool = new TestSpool();
  using elsewhere = new TempFolder();
  const path = elsewhere.write("precious", "content");
  for (const name of ["web", ".hacheck.tmp"]) Deno.symlinkSync(path, spool.file(name));
  await spool.store.set("web", MAINT);
  assertEquals(Deno.readTextFileSync(path), "content");
  assertEquals(spool.store.readDowntime("web")?.record.reason, "maint");
});

Deno.test("SpoolStore.set() leaves the spool unchanged if it throws", async () => {
  using spool = new TestSpool();
  Deno.mkdirSync(spool.file("web"));
  await assertRejects(
    () => spool.store.set("web", MAINT),
    Error,
  );
  assertEquals(spool.files, ["web"]);
  await assertRejects(
    () =>
      new SpoolStore(spool.file("none")).set("web", {
        mode: "down",
        reason: "maint",
        expiration: null,
      }),
    Deno.errors.NotFound,
  );
});

Deno.test("SpoolStore.remove() removes a file, and does nothing if there is none", async () => {
  using spool = new TestSpool();
  await spool.store.set("web", MAINT);
  await spool.store.set("web:8080", MAINT);
  await spool.store.remove("web");
  await spool.store.remove("web");
  assertEquals(spool.files, ["web:8080"]);
  await new SpoolStore(spool.file("none")).remove("web");
});

Deno.test("SpoolStore.removeExpired() removes expired records only", async () => {
  using spool = new TestSpool();
  const contents = {
    expired: formatEntry({
      mode: "down",
      reason: "",
      expiration: nowInSeconds() - 1,
      creation: null,
    }),
    lasting: formatEntry({ mode: "down", reason: "", expiration: FAR, creation: null }),
    endless: formatEntry({ mode: "down", reason: "", expiration: null, creation: null }),
    text: "maint",
  };
  for (const [name, content] of Object.entries(contents)) spool.write(name, content);
  Deno.mkdirSync(spool.file("folder"));
  for (const name of [...spool.files, "none"]) await spool.store.removeExpired(name);
  assertEquals(spool.files, ["endless", "folder", "lasting", "text"]);
});

/** The result of hactl if no daemon listens. */
const DONE = {
  code: 0,
  stdout: "",
  stderr: "hactl: no daemon listens on port 1: no daemon uses this spool\n",
};

Deno.test("hactl down creates a record with mode 0644 and a spool with mode 0750, whatever the umask", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  assertEquals(await downAfter("umask 077", spool), DONE);
  assertEquals(Deno.statSync(spool).mode! & 0o7777, 0o750);
  assertEquals(Deno.statSync(`${spool}/web`).mode! & 0o7777, 0o644);
  // An existing folder keeps its mode.
  Deno.chmodSync(spool, 0o705);
  assertEquals((await downAfter("umask 022", spool)).code, 0);
  assertEquals(Deno.statSync(spool).mode! & 0o7777, 0o705);
});

serverTest(
  "hactl down replaces a temporary file that another user's killed writer has left",
  RESPECTING_FILE_MODES.slice(0, 1),
  async () => {
    using spool = new TestSpool();
    // Only root can give the file to another user; for others its mode has the same effect.
    spool.write(".hacheck.tmp", '{"reas');
    if (Deno.uid() === 0) Deno.chownSync(spool.file(".hacheck.tmp"), 65534, 65534);
    Deno.chmodSync(spool.file(".hacheck.tmp"), 0o444);
    const result = await downAfter("true", spool.path, RESPECTING_FILE_MODES);
    assertEquals(result, DONE);
    assertEquals(spool.store.readDowntime("web")?.record.reason, "maint");
    assertEquals(spool.files, ["web"]);
  },
);

Deno.test("SpoolStore.set() leaves one complete record after 20 writes at once", async () => {
  using spool = new TestSpool();
  const reasons = Array.from({ length: 20 }, (_, i) => `${i} `.repeat(1000 + i));
  const records = await Promise.all(
    // A store for each: they share nothing but the folder.
    reasons.map((reason) =>
      new SpoolStore(spool.path).set("web", { mode: "down", reason, expiration: null })
    ),
  );
  const { record } = spool.store.readDowntime("web")!;
  assert(records.some(({ reason }) => reason === record.reason));
  assertEquals(spool.files, ["web"]);
});

serverTest("SpoolStore.set() waits for the lock", ["flock"], async () => {
  using spool = new TestSpool();
  let written: Promise<DowntimeRecord>;
  {
    await using _lock = await holdLock(spool.path);
    written = spool.store.set("web", MAINT);
    await until("the writer waits", () => spool.clock.pending === 1);
    await spool.clock.advance(100);
    assertEquals(spool.files, []);
    await until("the writer waits", () => spool.clock.pending === 1);
  }
  await spool.clock.advance(100);
  assertEquals((await written).reason, "maint");
  assertEquals(spool.files, ["web"]);
});

serverTest(
  "SpoolStore.set() writes without the lock after two seconds",
  ["flock"],
  async () => {
    using spool = new TestSpool();
    await using _lock = await holdLock(spool.path);
    const { clock } = spool;
    const stores = [new SpoolStore(spool.path, clock), new SpoolStore(spool.path, clock)];
    const writing = Promise.all(
      stores.map((store, i) =>
        store.set("web", { mode: "down", reason: `maint ${i}`, expiration: null })
      ),
    );
    await spool.lockTimesOut(2);
    const records = await writing;
    assert(records.some(({ reason }) => reason === spool.store.readDowntime("web")?.record.reason));
    const next = spool.store.set("web:8080", MAINT);
    await spool.lockTimesOut();
    await next;
    assertEquals(spool.files, ["web", "web:8080"]);
    // remove() needs no lock.
    await spool.store.remove("web");
    assertEquals(spool.files, ["web:8080"]);
  },
);

serverTest("SpoolStore.removeExpired() removes nothing without the lock", ["flock"], async () => {
  using spool = new TestSpool();
  spool.write(
    "web",
    formatEntry({ ...MAINT, expiration: 5, creation: null }),
  );
  {
    await using _lock = await holdLock(spool.path);
    const removal = spool.store.removeExpired("web");
    await spool.lockTimesOut();
    await removal;
    assertEquals(spool.files, ["web"]);
  }
  await spool.store.removeExpired("web");
  assertEquals(spool.files, []);
});

serverTest(
  "SpoolStore.removeExpired() keeps a record that is renewed while it waits for the lock",
  ["flock"],
  async () => {
    using spool = new TestSpool();
    spool.write("web", formatEntry({ ...MAINT, expiration: 5, creation: null }));
    const renewed = formatEntry({ ...MAINT, expiration: FAR, creation: null });
    let removal: Promise<void>;
    {
      await using _lock = await holdLock(spool.path);
      removal = spool.store.removeExpired("web");
      spool.write(".renewed", renewed);
      Deno.renameSync(spool.file(".renewed"), spool.file("web"));
      await until("the removal waits", () => spool.clock.pending === 1);
    }
    await spool.clock.advance(100);
    await removal;
    assertEquals(Deno.readTextFileSync(spool.file("web")), renewed);
  },
);

Deno.test("SpoolStore.set() rejects an entry that is too long to be read back", async () => {
  using spool = new TestSpool();
  const { store } = spool;
  const rest = formatEntry({ mode: "down", reason: "", expiration: FAR, creation: 1 }).length;
  // Control characters and all beyond ASCII are written as six bytes.
  for (const [unit, bytes] of [["x", 1], ["\u0001", 6], ["ü", 6], ["😀", 12]] as const) {
    const count = Math.floor((MAX_RECORD_BYTES - rest) / bytes);
    await store.set("web", {
      mode: "down",
      reason: unit.repeat(count),
      expiration: FAR,
      creation: 1,
    });
    const stored = store.readDowntime("web");
    assertEquals([stored?.problem, stored?.record.expiration], [null, FAR], unit);
    await assertRejects(
      () =>
        store.set("web", {
          mode: "down",
          reason: unit.repeat(count + 1),
          expiration: FAR,
          creation: 1,
        }),
      EntryTooLongError,
      `expected at most 65536 bytes as JSON: found ${rest + bytes * (count + 1)}`,
    );
    assertEquals(store.readDowntime("web"), stored, unit);
    await assertRejects(
      () => store.set("web", { mode: "drain", reason: unit.repeat(70_000), expiration: null }),
      EntryTooLongError,
    );
    await assertRejects(
      () => store.set(".weight:web", { weight: 5, reason: unit.repeat(70_000), expiration: null }),
      EntryTooLongError,
    );
  }
  assertEquals(store.listFiles(), ["web"]);
});
