import type { InternalErrorCounters } from "../../src/metrics/counters.ts";
import type { SpoolHealth } from "../../src/spool/watcher.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Debugger } from "../support/debugger.ts";
import { IN_MOUNT_NAMESPACE, MOUNT_PROGRAMS, onSmallDisk, runInMounts } from "../support/mounts.ts";
import {
  Daemon,
  hactlCommand,
  type Result,
  retryHactl,
  run,
  TempFolder,
} from "../support/programs.ts";
import { FaultyServer, silent } from "../servers/faulty.ts";
import { filesMatching, freePort, serverTest, until } from "../servers/mod.ts";

/** The part of `/status` that these tests read. */
interface Status {
  readonly uptime: number;
  readonly spool: SpoolHealth;
  readonly faults: InternalErrorCounters;
}

async function statusOf(daemon: Daemon): Promise<Status> {
  return JSON.parse((await daemon.get("/status")).body);
}

const UP = { status: 200, body: "" };

function down(service: string, why: string): { status: number; body: string } {
  return { status: 503, body: `Service ${service} in down state: ${why}` };
}

async function untilResponse(
  daemon: Daemon,
  service: string,
  response: { status: number; body: string },
): Promise<void> {
  await until(`${service} is ${JSON.stringify(response)}`, async () => {
    const { status, body } = await daemon.get(`/spool/${service}/0`);
    return status === response.status && body === response.body;
  });
}

/** Runs hactl in the mount namespace of a daemon. */
function hactlAmong(daemon: Daemon, ...args: readonly string[]): Promise<Result> {
  const command = hactlCommand(daemon.spool, [...args, "-p", String(daemon.port)]);
  return retryHactl(() => runInMounts(daemon, ...command));
}

/** Runs a line of shell in the mount namespace of a daemon, with the spool as `$1`, and returns its output. */
async function shell(daemon: Daemon, line: string, ...more: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runInMounts(
    daemon,
    ...["sh", "-c", line, "sh", daemon.spool, ...more],
  );
  assertEquals([code, stderr], [0, ""], line);
  return stdout;
}

/** A disk that cannot be written. */
interface Disk {
  readonly what: string;
  /** How the file system is mounted. */
  readonly options: string;
  /** The lines of shell that break and repair it. */
  readonly breakIt: string;
  readonly repair: string;
  /** The error of the system. */
  readonly why: string;
  /** Whether records can be removed from it. */
  readonly canRemove: boolean;
}

const DISKS: readonly Disk[] = [
  {
    what: "full",
    options: "size=64k",
    breakIt: 'cat /dev/zero > "$1/.filler" 2> /dev/null || true',
    repair: 'rm "$1/.filler"',
    why: "No space left on device",
    canRemove: true,
  },
  {
    what: "out of inodes",
    options: "nr_inodes=24",
    breakIt: 'cd "$1" && seq -f .filler-%g 24 | xargs touch 2> /dev/null || true',
    repair: 'rm "$1"/.filler*',
    why: "No space left on device",
    canRemove: true,
  },
  {
    what: "read-only",
    options: "size=64k",
    breakIt: 'mount -o remount,ro "$1"',
    repair: 'mount -o remount,rw "$1"',
    why: "Read-only file system",
    canRemove: false,
  },
];

/** Every file of the spool, with its content. */
const CONTENTS =
  'cd "$1" && for file in $(ls -A | grep -v filler); do echo "$file: $(cat "$file")"; done';

for (const { what, options, breakIt, repair, why, canRemove } of DISKS) {
  serverTest(
    `a spool on a disk that is ${what} stays as it is, and failed changes are reported`,
    MOUNT_PROGRAMS,
    async () => {
      using folder = new TempFolder();
      await using daemon = await Daemon.start({
        spool: folder.path,
        wrapper: onSmallDisk(folder.path, options),
        config: "allow_remote_spool_changes: true\n",
        grants: [`--allow-write=${folder.path}`],
      });
      const post = (service: string, form: string) =>
        fetch(daemon.url(`/spool/${service}/0`), {
          method: "POST",
          body: new URLSearchParams(form),
        });
      const silentResult = { code: 0, stdout: "", stderr: "" };
      assertEquals(await hactlAmong(daemon, "down", "web", "-r", "maint"), silentResult);
      const { body } = await daemon.get("/spool/web/0");
      const before = await shell(daemon, CONTENTS);
      assertMatch(
        before,
        /^web: \{"reason": "maint", "expiration": null, "creation": [\d.]+, "by": "\w+"\}\n$/,
      );

      await shell(daemon, breakIt);
      const refused: [args: string[], what: string][] = [
        [["down", "api", "-r", "new"], "write the record of api"],
        [["down", "web", "-r", "new"], "write the record of web"],
        [["down", "web", "-r", "maint", "-e", "4000000000"], "write the record of web"],
      ];
      if (!canRemove) refused.push([["up", "web"], "remove the record of web"]);
      for (const [args, what] of refused) {
        const { code, stdout, stderr } = await hactlAmong(daemon, ...args);
        assertEquals([code, stdout], [1, ""], args.join(" "));
        assert(stderr.startsWith(`hactl: cannot ${what}: ${why}`), stderr);
        assertEquals(stderr.split("\n").length, 2, stderr);
      }
      const forms: [service: string, form: string, what: string][] = [
        ["api", "status=down&reason=new", "take down api"],
        ["web", "status=down&reason=new", "take down web"],
      ];
      if (!canRemove) forms.push(["web", "status=up", "end the downtime of web"]);
      for (const [service, form, what] of forms) {
        const response = await post(service, form);
        assertEquals(
          [response.status, await response.text()],
          [500, `Cannot ${what}: the spool cannot be written`],
        );
        await daemon.logged(new RegExp(`ERROR cannot ${what}: .*${why}`));
      }
      assertEquals((await statusOf(daemon)).faults.spool_changes, forms.length);
      // No file is torn or left over, and no service is up because of it.
      assertEquals(await shell(daemon, CONTENTS), before);
      assertEquals(await daemon.get("/spool/web/0"), { status: 503, body });
      assertEquals(await daemon.get("/spool/api/0"), UP);
      assertEquals((await statusOf(daemon)).spool.healthy, true);
      // Changes that need no space succeed.
      assertEquals(await hactlAmong(daemon, "up", "api"), silentResult);
      assertEquals(await hactlAmong(daemon, "status", "web", "api"), {
        code: 1,
        stdout: "DOWN\tinf\tweb\tmaint\nUP\tapi\n",
        stderr: "",
      });
      if (canRemove) {
        assertEquals(await hactlAmong(daemon, "up", "web"), silentResult);
        assertEquals(await daemon.get("/spool/web/0"), UP);
      }

      await shell(daemon, repair);
      assertEquals(await hactlAmong(daemon, "down", "api", "-r", "new"), silentResult);
      assertEquals((await daemon.get("/spool/api/0")).status, 503);
      const response = await post("db", "status=down&reason=new");
      assertEquals([response.status, await response.text()], [200, ""]);
    },
  );
}

serverTest(
  "a log on a full disk loses lines, which are counted, and delays no response",
  MOUNT_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const path = folder.file("log");
    await using daemon = await Daemon.start({
      wrapper: onSmallDisk(folder.path, "size=64k"),
      config: `log_path: ${path}\n`,
      args: ["-v"],
      grants: [`--allow-read=${path}`, `--allow-write=${path}`],
      port: freePort(),
    });
    const lost = async () => (await statusOf(daemon)).faults.lost_log_lines;
    const log = async () => (await runInMounts(daemon, "cat", path)).stdout;
    assertEquals(await lost(), 0);
    await until("requests are logged", async () => (await log()).includes("DEBUG 200 GET "));
    const fill = await runInMounts(
      daemon,
      "sh",
      "-c",
      'cat /dev/zero > "$1"',
      "sh",
      folder.file("filler"),
    );
    assertStringIncludes(fill.stderr, "No space left on device");
    await until("there is no room for a line", async () => await lost() > 0);
    const before = await lost();
    for (let i = 0; i < 5; i++) assertEquals(await daemon.get("/spool/web/0"), UP);
    await until("all lines are counted", async () => await lost() >= before + 6);
    assertEquals((await runInMounts(daemon, "rm", folder.file("filler"))).code, 0);
    assertEquals(await daemon.get("/spool/found/0"), UP);
    await until("lines are written again", async () => (await log()).includes("/spool/found/0 "));
    assertMatch(
      await log(),
      /^\S+Z WARNING \d+ log lines were lost\n(?:\S+Z DEBUG .*\n)+$/m,
    );
  },
);

serverTest(
  "a file system that is mounted over the spool, or unmounted, keeps the last known state in force",
  MOUNT_PROGRAMS,
  async () => {
    for (const isMountedFirst of [false, true]) {
      using folder = new TempFolder();
      const wrapper = isMountedFirst ? onSmallDisk(folder.path, "size=64k") : IN_MOUNT_NAMESPACE;
      await using daemon = await Daemon.start({ spool: folder.path, wrapper });
      const [take, giveBack] = isMountedFirst
        ? ['mount --bind "$1" "$2" && umount "$1"', 'mount --bind "$2" "$1"']
        : ['mount -t tmpfs -o size=64k tmpfs "$1"', 'umount "$1"'];
      using aside = new TempFolder();
      assertEquals((await hactlAmong(daemon, "down", "web", "-r", "maint")).code, 0);
      const { body } = await daemon.get("/spool/web/0");

      await shell(daemon, take, aside.path);
      const why = `${daemon.spool} was replaced by a folder without records in force`;
      await until(
        "the fault is reported",
        async () => (await statusOf(daemon)).spool.fault === why,
      );
      await daemon.logged(
        /ERROR \S+ cannot be read, the last known state stays in force: .* without records/,
      );
      assertEquals(await daemon.get("/spool/web/0"), { status: 503, body });
      // The record is not in this folder, so hactl cannot remove it.
      const { code, stderr } = await hactlAmong(daemon, "up", "web");
      assertEquals(code, 1);
      assertStringIncludes(stderr, "does not report the change: web: expected up");

      await shell(daemon, giveBack, aside.path);
      await until("the spool is healthy", async () => (await statusOf(daemon)).spool.healthy);
      assertEquals(await daemon.get("/spool/web/0"), { status: 503, body });
      assertEquals((await hactlAmong(daemon, "up", "web")).code, 0);
      assertEquals(await daemon.get("/spool/web/0"), UP);
    }
  },
);

Deno.test("records stay in force after rm -rf of the spool, and after an empty one replaces it", async () => {
  const names = Array.from({ length: 500 }, (_, i) => `service-${i}`);
  for (let round = 0; round < caseCount(5, 2); round++) {
    await using daemon = await Daemon.start();
    for (const name of names) daemon.writeRecord(name, "maint");
    await until(
      "all records are known",
      async () => (await statusOf(daemon)).spool.records === 500,
    );
    const line = 'rm -rf "$1" && mkdir "$1"';
    assertEquals((await run("sh", ["-c", line, "sh", daemon.spool])).code, 0);
    await until("the fault is reported", async () => !(await statusOf(daemon)).spool.healthy);
    await until(
      "all records are in force",
      async () => (await statusOf(daemon)).spool.records === 500,
    );
    for (const name of names) {
      assertEquals(await daemon.get(`/spool/${name}/0`), down(name, "maint"));
    }
  }
});

Deno.test("POST reports an error if the record vanished with the spool", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  Deno.writeTextFileSync(`${spool}/web`, "maint");
  await using daemon = await Daemon.start({
    spool,
    config: "allow_remote_spool_changes: true\n",
    grants: [`--allow-write=${spool}`],
  });
  const up = async () => {
    const body = new URLSearchParams("status=up");
    const response = await fetch(daemon.url("/spool/web/0"), { method: "POST", body });
    return [response.status, await response.text()];
  };
  const refused = [500, "Cannot end the downtime of web: the spool cannot be read"];
  Deno.removeSync(spool, { recursive: true });
  assertEquals(await up(), refused);
  Deno.mkdirSync(spool);
  await until("the fault is reported", async () => {
    return (await statusOf(daemon)).spool.fault?.endsWith("without records in force") ?? false;
  });
  assertEquals(await up(), refused);
  assertEquals(await daemon.get("/spool/web/0"), down("web", "maint"));
  assertEquals((await statusOf(daemon)).faults.spool_changes, 2);
});

/** Files in a spool: how to create one, its reason, and whether it is an invalid record. */
const RECORDS: readonly {
  what: string;
  make: (path: string) => unknown;
  why: string;
  isFault: boolean;
}[] = [
  {
    what: "folder",
    make: (path) => Deno.mkdirSync(path),
    why: "the record cannot be read: it is not a regular file",
    isFault: true,
  },
  {
    what: "link-out",
    make: (path) => Deno.symlinkSync("/etc/hostname", path),
    why: "the record cannot be read: it is not a regular file",
    isFault: true,
  },
  {
    what: "link-to-nothing",
    make: (path) => Deno.symlinkSync("nothing", path),
    why: "the record cannot be read: it is not a regular file",
    isFault: true,
  },
  {
    what: "pipe",
    make: (path) => run("mkfifo", [path]),
    why: "the record cannot be read: it is not a regular file",
    isFault: true,
  },
  {
    what: "big",
    make: (path) => Deno.writeFileSync(path, new Uint8Array(10 * 1024 * 1024)),
    why: "the record cannot be read: it is longer than 65536 bytes",
    isFault: true,
  },
  {
    what: "binary",
    make: (path) => Deno.writeFileSync(path, Uint8Array.of(0, 1, 0xff, 0xfe, 10, 0x80)),
    why: " \ufffd\ufffd \ufffd",
    isFault: false,
  },
  {
    what: "latin-1",
    make: (path) => Deno.writeFileSync(path, Uint8Array.of(0x63, 0x61, 0x66, 0xe9)),
    why: "caf\ufffd",
    isFault: false,
  },
  ...["NaN", "-Infinity"].map((expiration) => ({
    what: `expires-${expiration}`,
    make: (path: string) =>
      Deno.writeTextFileSync(path, `{"reason": "x", "expiration": ${expiration}}`),
    why: `{"reason": "x", "expiration": ${expiration}}`,
    isFault: true,
  })),
  ...["1e400", "-1", "1e21", '"1"', "true", "[1]"].map((expiration, i) => ({
    what: `expires-senselessly-${i}`,
    make: (path: string) =>
      Deno.writeTextFileSync(path, `{"reason": "x", "expiration": ${expiration}}`),
    why: "x",
    isFault: true,
  })),
];

Deno.test("an invalid record is down and logged, at the start and later", async () => {
  for (const isThereFirst of [true, false]) {
    using folder = new TempFolder();
    const write = async () => {
      for (const { what, make } of RECORDS) await make(folder.file(what));
    };
    if (isThereFirst) await write();
    await using daemon = await Daemon.start({ spool: folder.path });
    if (!isThereFirst) await write();
    for (const { what, why } of RECORDS) await untilResponse(daemon, what, down(what, why));
    const faulty = RECORDS.filter(({ isFault }) => isFault);
    for (const { what } of faulty) {
      await daemon.logged(new RegExp(`WARNING invalid record \\S+/${what} counts as down: `));
    }
    const { healthy, faulty: count, faulty_names: names } = (await statusOf(daemon)).spool;
    assertEquals([healthy, count, names.length], [true, faulty.length, 10]);
    assert(names.every((name) => faulty.some(({ what }) => what === name)), names.join(" "));
    for (const { what } of RECORDS) Deno.removeSync(folder.file(what), { recursive: true });
    for (const { what } of RECORDS) await untilResponse(daemon, what, UP);
    assertEquals((await statusOf(daemon)).spool.faulty, 0);
  }
});

for (
  const [what, make] of [
    ["pipe", (path: string) => run("mkfifo", [path])],
    ["link that leads elsewhere", (path: string) => Deno.symlinkSync("/etc/hostname", path)],
  ] as const
) {
  Deno.test(`a daemon with a ${what} in its spool still notices later changes`, async () => {
    await using daemon = await Daemon.start();
    const { spool } = daemon;
    // A hidden file is no record.
    for (const name of [".hidden", "web"]) await make(`${spool}/${name}`);
    await untilResponse(
      daemon,
      "web",
      down("web", "the record cannot be read: it is not a regular file"),
    );
    await daemon.logged(
      /WARNING no longer watching \S+, reading it 20 times a second: no event reported the change of web/,
    );
    for (const reason of ["created", "changed"]) {
      Deno.writeTextFileSync(`${spool}/api`, reason);
      await untilResponse(daemon, "api", down("api", reason));
    }
    assertEquals((await statusOf(daemon)).spool.watched, false);
    Deno.removeSync(`${spool}/api`);
    await untilResponse(daemon, "api", UP);
    Deno.removeSync(spool, { recursive: true });
    Deno.mkdirSync(spool);
    Deno.writeTextFileSync(`${spool}/db`, "anew");
    await untilResponse(daemon, "db", down("db", "anew"));
    await untilResponse(daemon, "web", UP);
    daemon.kill("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
  });
}

/** Changes a spool many times, and returns its final records. */
function churn(spool: string, changes: number): Map<string, string> {
  const records = new Map<string, string>();
  for (let i = 0; i < changes; i++) {
    const name = `service-${(i * 7919) % 400}`;
    if (i % 3 === 0 && records.has(name)) {
      Deno.removeSync(`${spool}/${name}`);
      records.delete(name);
    } else {
      Deno.writeTextFileSync(`${spool}/${name}`, `change ${i}`);
      records.set(name, `change ${i}`);
    }
  }
  return records;
}

async function untilKnown(daemon: Daemon, records: ReadonlyMap<string, string>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    const name = `service-${i}`;
    const reason = records.get(name);
    await untilResponse(daemon, name, reason === undefined ? UP : down(name, reason));
  }
}

Deno.test("the daemon knows the final records after thousands of changes at once", async () => {
  await using daemon = await Daemon.start();
  await untilKnown(daemon, churn(daemon.spool, caseCount(20_000, 8000)));
  assertEquals((await statusOf(daemon)).spool.watched, true);
  daemon.writeRecord("web", "followed");
  await untilResponse(daemon, "web", down("web", "followed"));
});

/** The length of the kernel's queue of events. */
async function queueLength(): Promise<number> {
  return Number((await run("cat", ["/proc/sys/fs/inotify/max_queued_events"])).stdout);
}

/** Stops a daemon while a function runs. */
async function whileStopped(daemon: Daemon, act: () => void): Promise<void> {
  daemon.kill("SIGSTOP");
  try {
    await until("the daemon is stopped", async () => {
      const { stdout } = await run("cat", [`/proc/${daemon.pid}/stat`]);
      return stdout.includes(") T ");
    });
    act();
  } finally {
    daemon.kill("SIGCONT");
  }
}

Deno.test("the daemon notices changes whose events overflow the kernel's queue", async () => {
  await using daemon = await Daemon.start();
  const path = `${daemon.spool}/late`;
  Deno.writeTextFileSync(path, "before");
  await untilResponse(daemon, "late", down("late", "before"));
  // Each change causes two events or more, and the stopped daemon reads none.
  const changes = await queueLength();
  let records = new Map<string, string>();
  await whileStopped(daemon, () => {
    records = churn(daemon.spool, changes);
    Deno.writeTextFileSync(path, "after");
  });
  const late = down("late", "after");
  // The daemon first processes very many events.
  await until("the last change is known", async () => {
    return (await daemon.get("/spool/late/0")).body === late.body;
  }, 120_000);
  await untilKnown(daemon, records);
  assertEquals((await statusOf(daemon)).spool.watched, true);
});

Deno.test("the daemon notices changes without events, after an overflow that Deno does not report", async () => {
  await using daemon = await Daemon.start();
  const { spool } = daemon;
  const names = Array.from({ length: 300 }, (_, i) => `service-${i}`);
  const expired = JSON.stringify({ reason: "over", expiration: 1 });
  for (const name of names) Deno.writeTextFileSync(`${spool}/${name}`, expired);
  for (const name of ["web", "api"]) Deno.writeTextFileSync(`${spool}/${name}`, "before");
  for (const name of [".a", ".b"]) Deno.writeTextFileSync(`${spool}/${name}`, "");
  const last = names.at(-1)!;
  await untilResponse(daemon, "web", down("web", "before"));
  await until("all records are known", async () => (await statusOf(daemon)).spool.records === 302);
  const room = await queueLength();
  await whileStopped(daemon, () => {
    // Deno reports neither these events nor the overflow.
    for (let i = 0; i <= room; i++) {
      Deno.openSync(`${spool}/${i % 2 === 0 ? ".a" : ".b"}`).close();
    }
    Deno.writeTextFileSync(`${spool}/web`, "after");
    Deno.writeTextFileSync(`${spool}/.new`, "in its place");
    Deno.renameSync(`${spool}/.new`, `${spool}/api`);
    Deno.writeTextFileSync(`${spool}/${last}`, "maint");
  });
  await untilResponse(daemon, "web", down("web", "after"));
  await untilResponse(daemon, "api", down("api", "in its place"));
  await untilResponse(daemon, last, down(last, "maint"));
  assertEquals((await statusOf(daemon)).spool.watched, true);
});

/** The library that fakes the time for a program. */
const FAKETIME_PATTERN = "/usr/lib/*/faketime/libfaketimeMT.so.1";
const [FAKETIME = FAKETIME_PATTERN] = filesMatching(FAKETIME_PATTERN);

serverTest(
  "a clock that is set affects expirations only",
  [FAKETIME],
  async () => {
    using folder = new TempFolder();
    let requests = 0;
    await using service = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      requests++;
      return new Response("alive");
    });
    await using mute = await FaultyServer.start(silent);
    const clock = folder.write("clock", "+0");
    const set = (offset: string) => Deno.renameSync(folder.write("next", offset), clock);
    await using daemon = await Daemon.start({
      config: "cache_time: 3600\nhealthcheck_timeout: 0.3\n",
      wrapper: [
        ...["env", `LD_PRELOAD=${FAKETIME}`, `FAKETIME_TIMESTAMP_FILE=${clock}`],
        ...["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"],
      ],
    });
    const now = Date.now() / 1000;
    const record = (seconds: number) => JSON.stringify({ reason: "x", expiration: now + seconds });
    const records = {
      soon: record(3600),
      later: record(40 * 86_400),
      over: record(-3600),
      never: "x",
    };
    for (const [name, content] of Object.entries(records)) {
      daemon.writeRecord(name, content);
    }
    await untilResponse(daemon, "never", down("never", "x"));
    const path = `/http/web/${service.addr.port}/status`;
    const timeout = (await daemon.get(`/http/mute/${mute.port}/0`)).body;
    assertMatch(timeout, /^HTTP check of 127\.0\.0\.1:\d+ failed after \d\.\d\ds: timed out: .+$/);
    const downUnder: [offset: string, down: string[]][] = [
      ["+0", ["later", "never", "soon"]],
      ["+30d", ["later", "never"]],
      ["+100d", ["never"]],
      ["+0", ["later", "never", "soon"]],
      ["-30d", ["later", "never", "over", "soon"]],
      ["-19000d", ["later", "never", "over", "soon"]],
      ["+30d", ["later", "never"]],
      ["+0", ["later", "never", "soon"]],
    ];
    for (const [i, [offset, expected]] of downUnder.entries()) {
      set(offset);
      await until(`under ${offset} ${expected.join(" ")} are down`, async () => {
        const statuses = await Promise.all(
          Object.keys(records).map(async (
            name,
          ) => [name, (await daemon.get(`/spool/${name}/0`)).status]),
        );
        const found = statuses.filter(([, status]) => status === 503).map(([name]) => name).sort();
        return found.join() === expected.join();
      });
      // Cached results and deadlines do not depend on this clock.
      assertEquals(await daemon.get(path), { status: 200, body: "alive" });
      assertEquals(requests, 1);
      assertMatch(
        (await daemon.get(`/http/mute/${mute.port}/${i + 1}`)).body,
        /after \d\.\d\ds: timed/,
      );
      const { uptime } = await statusOf(daemon);
      assert(uptime > 0 && uptime < 600, `${uptime} under ${offset}`);
    }
  },
);

serverTest("a cached result expires in time after the clock was set back", [FAKETIME], async () => {
  using folder = new TempFolder();
  let isWell = true;
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("", { status: isWell ? 200 : 500 }),
  );
  const clock = folder.write("clock", "+0");
  await using daemon = await Daemon.start({
    config: "cache_time: 1\n",
    wrapper: [
      ...["env", `LD_PRELOAD=${FAKETIME}`, `FAKETIME_TIMESTAMP_FILE=${clock}`],
      ...["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"],
    ],
  });
  const path = `/http/web/${service.addr.port}/status`;
  assertEquals((await daemon.get(path)).status, 200);
  isWell = false;
  Deno.renameSync(folder.write("next", "-30d"), clock);
  await until("the check is down", async () => (await daemon.get(path)).status === 500);
});

/** Bugs of a checker: code that a debugger runs in the daemon, and the number of uncaught errors. */
const BUGS: readonly { what: string; code: string; unforeseen: number }[] = [
  {
    what: "throws",
    code: "Deno.connect = () => ({ then() { throw new Error('struck') } });",
    unforeseen: 0,
  },
  {
    what: "throws as it cleans up",
    code: "Deno.connect = () => Promise.resolve({});",
    unforeseen: 0,
  },
  {
    what: "never settles",
    code: "Deno.connect = () => new Promise(() => {});",
    unforeseen: 0,
  },
  {
    what: "throws outside of a promise",
    code: `Deno.connect = () => {
      setTimeout(() => { throw new Error("struck") });
      return new Promise(() => {});
    };`,
    unforeseen: 1,
  },
  {
    what: "drops a rejection",
    code: `Deno.connect = () => {
      Promise.reject(new Error("struck"));
      return new Promise(() => {});
    };`,
    unforeseen: 1,
  },
];

for (const { what, code, unforeseen } of BUGS) {
  Deno.test(`a checker that ${what} is down and logged, and delays no other check`, async () => {
    await using service = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("alive"),
    );
    const { port } = service.addr;
    await using daemon = await Daemon.start({
      config: "max_clients: 1\nhealthcheck_timeout: 0.5\ncache_time: 0\n",
      grants: [Debugger.GRANT],
    });
    await using debug = await Debugger.attach(daemon, 0);
    const isUp = async () => (await daemon.get(`/tcp/web/${port}`)).status === 200;
    await until("the check is up", isUp);
    daemon.writeRecord("api", "maint");
    await untilResponse(daemon, "api", down("api", "maint"));

    await debug.run(`globalThis.connect ??= Deno.connect; ${code}`);
    for (const protocol of ["tcp", "http"]) {
      await until("the checker fails", async () => {
        const { status } = await daemon.get(`/${protocol}/web/${port}`);
        assert(status === 200 || status === 503);
        return status === 503;
      });
    }
    assertEquals(await daemon.get("/spool/api/0"), down("api", "maint"));
    assertEquals(await daemon.get("/spool/web/0"), UP);
    const { faults } = await statusOf(daemon);
    if (unforeseen > 0) {
      assert(faults.unforeseen >= unforeseen, JSON.stringify(faults));
      await daemon.logged(/ERROR internal error: Error: struck/);
    }

    await debug.run("Deno.connect = globalThis.connect;");
    await until("the check is up again", isUp);
  });
}

Deno.test("a file in the spool with an invalid name is logged, and counted in every report", async () => {
  using folder = new TempFolder();
  folder.write("we\u202eb", "maint");
  folder.write(".hidden", "maint");
  await using daemon = await Daemon.start({ spool: folder.path });
  await daemon.logged(
    new RegExp(`WARNING ${folder.path}/we\\\\u202eb has no effect: expected a name`),
  );
  folder.write("web:host:80", "maint");
  await until("both files are counted", async () => (await statusOf(daemon)).spool.misnamed === 2);
  const { faulty, misnamed, misnamed_names, records } = (await statusOf(daemon)).spool;
  assertEquals([faulty, misnamed, records], [2, 2, 0]);
  assertEquals(misnamed_names.toSorted(), ["web:host:80", "we\u202eb"]);
  const { body } = await daemon.get("/metrics");
  assertStringIncludes(body, 'hacheck_spool_records{state="faulty"} 2\n');
  assert(!(await daemon.stop()).includes(".hidden"), daemon.log);

  // The first daemon logs the second file only 10 s after the first.
  await using other = await Daemon.start();
  other.writeRecord("web:host:80", "maint");
  await other.logged(
    new RegExp(`WARNING ${other.spool}/web:host:80 has no effect: expected a name`),
  );
});
