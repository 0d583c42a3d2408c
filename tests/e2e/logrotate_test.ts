import { minimalDaemonFlags } from "../../src/daemon/permissions.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, run, runDaemon, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";

const LOGROTATE = "/usr/sbin/logrotate";

const ROTATIONS = 5;

/** A daemon that logs every request to a file, which logrotate rotates. */
class RotatedDaemon implements AsyncDisposable {
  readonly #folder: TempFolder;
  readonly #daemon: Daemon;
  #clients: Promise<void>[] = [];
  #quiet = true;

  /** The number of requests sent. */
  sent = 0;
  /** The numbers of the requests with a response. */
  readonly answered: number[] = [];

  private constructor(folder: TempFolder, daemon: Daemon) {
    this.#folder = folder;
    this.#daemon = daemon;
  }

  /** Starts it with permission to read and write the file, and nothing beside it. */
  static async start(workers: number, format: string, rotation: string): Promise<RotatedDaemon> {
    const folder = new TempFolder();
    Deno.mkdirSync(folder.file("log"));
    const log = folder.file("log/hacheck.log");
    folder.write("logrotate.conf", `${log} {\n rotate 100\n missingok\n ${rotation}\n}\n`);
    try {
      return new RotatedDaemon(
        folder,
        await Daemon.start({
          args: ["-v", "-n", String(workers)],
          config: `log_path: ${log}\nlog_format: ${format}\n`,
          grants: [...WORKER_GRANTS, `--allow-read=${log}`, `--allow-write=${log}`],
          port: freePort(),
        }),
      );
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  /** Starts clients that send one request after another, each for another service. */
  load(): void {
    this.#quiet = false;
    this.#clients = Array.from({ length: 8 }, async () => {
      while (!this.#quiet) {
        const number = this.sent++;
        const { status } = await this.#daemon.get(`/spool/request-${number}/0`);
        assertEquals(status, 200);
        this.answered.push(number);
      }
    });
  }

  /** Waits for more responses. */
  async more(): Promise<void> {
    const enough = this.answered.length + 100;
    await until("more responses have come", () => this.answered.length >= enough);
  }

  /** Ends the load. */
  async quiet(): Promise<void> {
    this.#quiet = true;
    await Promise.all(this.#clients);
  }

  /** Ends the load, and waits until all requests are logged: lines are written in the background. */
  async logged(): Promise<void> {
    await this.quiet();
    await until("all requests are logged", () => {
      return Object.values(this.files()).flatMap(numbersIn).length >= this.answered.length;
    });
  }

  /** Rotates the log. */
  async rotate(): Promise<void> {
    const { code, stderr } = await run(LOGROTATE, [
      ...["--force", "--state", this.#folder.file("state")],
      this.#folder.file("logrotate.conf"),
    ]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  }

  /** The content of each file in the folder of the log. */
  files(): Record<string, string> {
    const path = this.#folder.file("log");
    return Object.fromEntries(
      [...Deno.readDirSync(path)].map(({ name }) => [
        name,
        Deno.readTextFileSync(`${path}/${name}`),
      ]),
    );
  }

  /** The mode of the log file. */
  get mode(): number {
    return Deno.statSync(this.#folder.file("log/hacheck.log")).mode! & 0o777;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quiet().catch(() => {});
    await this.#daemon[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** The numbers of the requests in a log, in the order of its lines. */
function numbersIn(log: string): number[] {
  return [...log.matchAll(/\/spool\/request-(\d+)\/0 /g)].map(([, number]) => Number(number));
}

/** Fails unless every line of a log is whole. */
function assertWhole(log: string, format: string): void {
  assert(log === "" || log.endsWith("\n"));
  for (const line of log.split("\n").slice(0, -1)) {
    if (format === "json") assertEquals(typeof JSON.parse(line).message, "string");
    else assertMatch(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARNING) [^\0]+$/);
  }
}

/** The files after these rotations. */
const ROTATED = [
  "hacheck.log",
  ...Array.from({ length: ROTATIONS }, (_, i) => `hacheck.log.${i + 1}`),
];

for (const workers of [1, 3]) {
  for (const format of ["text", "json"]) {
    serverTest(
      `rotations under load lose and duplicate no line of ${format} with -n ${workers}`,
      [LOGROTATE],
      async () => {
        // With `create`, logrotate would move away a file that hacheck created first.
        await using daemon = await RotatedDaemon.start(workers, format, "nocreate");
        daemon.load();
        for (let rotations = 0; rotations < ROTATIONS; rotations++) {
          await daemon.more();
          await daemon.rotate();
        }
        await daemon.more();
        await daemon.logged();

        const files = daemon.files();
        assertEquals(Object.keys(files).sort(), ROTATED);
        for (const log of Object.values(files)) assertWhole(log, format);
        for (const [name, log] of Object.entries(files)) {
          assert(numbersIn(log).length > 0, `${name} has no request`);
        }
        assertEquals(
          Object.values(files).flatMap(numbersIn).sort((a, b) => a - b),
          daemon.answered.sort((a, b) => a - b),
        );
        assertEquals(daemon.mode & 0o027, 0, "only the owner writes, others do not read");
      },
    );
  }

  serverTest(
    `with -n ${workers}, the log continues in the file that logrotate creates`,
    [LOGROTATE],
    async () => {
      await using daemon = await RotatedDaemon.start(workers, "text", "create 0604");
      for (let rotations = 0; rotations < ROTATIONS; rotations++) {
        daemon.load();
        await daemon.more();
        await daemon.logged();
        await daemon.rotate();
      }
      const { answered } = daemon;
      const before = answered.length;
      daemon.load();
      await daemon.more();
      await daemon.logged();

      const files = daemon.files();
      assertEquals(Object.keys(files).sort(), ROTATED);
      const last = numbersIn(files["hacheck.log"]!).sort((a, b) => a - b);
      assertEquals(last, answered.slice(before).sort((a, b) => a - b));
      assertEquals(
        Object.values(files).flatMap(numbersIn).sort((a, b) => a - b),
        answered.sort((a, b) => a - b),
      );
      assertEquals(daemon.mode, 0o604);
    },
  );

  serverTest(
    `with -n ${workers}, the log continues at the start of a file that logrotate truncates`,
    [LOGROTATE],
    async () => {
      await using daemon = await RotatedDaemon.start(workers, "text", "copytruncate");
      daemon.load();
      for (let rotations = 0; rotations < ROTATIONS; rotations++) {
        await daemon.more();
        await daemon.rotate();
      }
      // By design of logrotate, lines between the copy and the truncation are lost.
      const first = daemon.sent;
      await daemon.more();
      await daemon.quiet();
      await until("all requests since then are logged", () => {
        const logged = new Set(numbersIn(daemon.files()["hacheck.log"]!));
        return daemon.answered.every((number) => number < first || logged.has(number));
      });

      const files = daemon.files();
      assertEquals(Object.keys(files).sort(), ROTATED);
      assertWhole(files["hacheck.log"]!, "text");
      const all = Object.values(files).flatMap(numbersIn);
      assertEquals(new Set(all).size, all.length, "no line is duplicated");
    },
  );
}

for (const format of ["text", "json"]) {
  Deno.test(`a value with line feeds is one line of ${format} in the log`, async () => {
    using folder = new TempFolder();
    const log = folder.file("hacheck.log");
    const reason = 'evil\n2026-01-01T00:00:00.000Z INFO {"@timestamp":"…"}\r\n\u2028\u0000';
    await using daemon = await Daemon.start({
      config: `log_path: ${log}\nlog_format: ${format}\n`,
      grants: [`--allow-read=${log}`, `--allow-write=${log}`],
      port: freePort(),
    });
    Deno.writeTextFileSync(`${daemon.spool}/.new`, JSON.stringify({ reason }));
    Deno.renameSync(`${daemon.spool}/.new`, `${daemon.spool}/web`);
    let content = "";
    await until("both lines are logged", () => {
      content = Deno.readTextFileSync(log);
      return content.split("\n").length > 2;
    });
    assertWhole(content, format);
    const lines = content.split("\n").slice(0, -1);
    assertEquals(lines.length, 2);
    if (format === "json") {
      const [start, change] = lines.map((line) => JSON.parse(line));
      assertEquals([start.level, start.properties.port], ["INFO", daemon.port]);
      assertMatch(start.message, /^hacheck \S+ listens on 127\.0\.0\.1 port \d+$/);
      assertEquals([change.level, change.properties.because], ["INFO", `: ${reason}`]);
      assert(change.message.startsWith(`record web: down: ${reason}`), change.message);
    } else {
      assertMatch(lines[0]!, /^\S+Z INFO hacheck \S+ listens on 127\.0\.0\.1 port \d+$/);
      assertMatch(
        lines[1]!,
        /^\S+Z INFO record web: down: evil\\n2026-01-01\S+ INFO \S+\\u000d\\n\\u2028/,
      );
    }
  });
}

for (const granted of ["", "read"]) {
  Deno.test(`a daemon without permission to write its log names the flags, with ${granted || "no"} grant`, async () => {
    using folder = new TempFolder();
    const log = folder.file("hacheck.log");
    const config = folder.write("hacheck.yaml", `log_path: ${log}\n`);
    const spool = folder.file("spool");
    assertEquals(
      await runDaemon(
        ["-c", config, "-p", "0", "-B", "127.0.0.1", "--spool-root", spool],
        [
          ...[...minimalDaemonFlags(spool), `--allow-read=${config}`],
          ...granted === "" ? [] : [`--allow-${granted}=${log}`],
        ],
      ),
      {
        code: 1,
        stdout: "",
        stderr: `hacheck: log_path needs ${
          granted === "" ? `--allow-read=${log} ` : ""
        }--allow-write=${log}\n`,
      },
    );
  });
}
