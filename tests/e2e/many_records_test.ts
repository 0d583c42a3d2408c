import { main } from "../../cli/hactl.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, run, TempFolder } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** How many records come at once: more than the system has room to tell of by events. */
const RECORDS = 40_000;

/** How long an answer may take in milliseconds, on a machine that does much else. 250 ms is the aim. */
const MAX_WAIT_MS = 2000;

/** Asks a daemon again and again, and remembers how long an answer took at most. */
class Prober implements AsyncDisposable {
  readonly #asking: Promise<void>;
  #isOver = false;
  /** How many answers came. */
  answers = 0;
  /** How long the slowest took, in milliseconds. */
  worst = 0;

  constructor(daemon: Daemon, path: string) {
    this.#asking = this.#ask(daemon, path);
  }

  async #ask(daemon: Daemon, path: string): Promise<void> {
    while (!this.#isOver) {
      const askedAt = performance.now();
      await daemon.get(path);
      this.worst = Math.max(this.worst, performance.now() - askedAt);
      this.answers++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#asking;
  }
}

function recordsOf(daemon: Daemon): Promise<number> {
  return daemon.get("/status").then(({ body }) => JSON.parse(body).spool.records);
}

/** Runs hactl's own code. */
async function hactl(daemon: Daemon, ...args: string[]): Promise<void> {
  const line = [...args, "-p", String(daemon.port), "--spool-root", daemon.spool];
  assertEquals(await main(line), 0, line.join(" "));
}

Deno.test("While thousands of records come and go at once, checks are answered and hactl is heeded", async () => {
  using folder = new TempFolder();
  const beside = folder.file("beside");
  const spool = folder.file("spool");
  Deno.mkdirSync(beside);
  Deno.mkdirSync(spool);
  for (let i = 0; i < RECORDS; i++) Deno.writeTextFileSync(`${beside}/service-${i}`, "maint");
  await using daemon = await Daemon.start({ spool });
  const last = RECORDS - 1;
  const inspect = async (expected: number) => {
    for (const service of ["service-0", `service-${last}`]) {
      const { status } = await daemon.get(`/spool/${service}/0`);
      assertEquals(status, expected, service);
    }
  };
  const attempt = async (what: string, script: string, expected: number, records: number) => {
    await using prober = new Prober(daemon, "/spool/other/0");
    const startedAt = performance.now();
    const changing = run("sh", ["-ec", script]);
    await until("it has begun", async () => {
      const known = await recordsOf(daemon);
      return known > 0 && known < RECORDS;
    });
    // No matter how many others are still to be read.
    for (const name of ["web", "all"]) {
      await hactl(daemon, "down", name, "-r", "maint");
      const { status } = await daemon.get("/spool/web/0");
      assertEquals(status, 503);
      await hactl(daemon, "up", name);
      assertEquals((await daemon.get("/spool/web/0")).status, 200);
    }
    const { code, stderr } = await changing;
    assertEquals(code, 0, stderr);
    if (expected === 503) await inspect(expected);
    await until("all is known", async () => await recordsOf(daemon) === records);
    await inspect(expected);
    const took = Math.round(performance.now() - startedAt);
    const { answers, worst } = prober;
    console.log(`${RECORDS} ${what}: known after ${took} ms, worst of ${answers}: ${worst | 0} ms`);
    assert(answers > 20, `${answers} answers`);
    assert(worst < MAX_WAIT_MS, `an answer took ${worst} ms`);
  };
  await attempt(
    "come",
    `cd ${beside} && find . -type f -print0 | xargs -0 mv -t ${spool}`,
    503,
    RECORDS,
  );
  await attempt("go", `find ${spool} -type f -delete`, 200, 0);
  // It still follows what happens.
  Deno.writeTextFileSync(`${spool}/web`, "maint");
  await until("it is known", async () => (await daemon.get("/spool/web/0")).status === 503);
  assert(JSON.parse((await daemon.get("/status")).body).spool.watched);
});
