import { assert, assertEquals } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Daemon, hactl, run, TempFolder } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** How many records come at once: more than the 16,384 events that the kernel keeps by default. */
const RECORDS = caseCount(40_000, 20_000);

/** Checks a service that no record names, again and again, and judges each answer. */
class Prober implements AsyncDisposable {
  readonly #asking: Promise<void>;
  #isStopped = false;
  /** How many answers came. */
  answers = 0;
  /** Whether a record for all services may be active. */
  isAllDown = false;

  constructor(daemon: Daemon) {
    this.#asking = this.#ask(daemon);
    // A wrong answer is thrown when the prober is disposed of.
    this.#asking.catch(() => {});
  }

  async #ask(daemon: Daemon): Promise<void> {
    while (!this.#isStopped) {
      const mayBeDown = this.isAllDown;
      const { status, body } = await daemon.get("/spool/other/0");
      if (!mayBeDown && !this.isAllDown) assertEquals([status, body], [200, ""]);
      this.answers++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#asking;
  }
}

function recordsOf(daemon: Daemon): Promise<number> {
  return daemon.get("/status").then(({ body }) => JSON.parse(body).spool.records);
}

async function change(daemon: Daemon, ...args: string[]): Promise<void> {
  const { code, stderr } = await hactl(daemon.spool, [...args, "-p", String(daemon.port)]);
  assertEquals(code, 0, `${args.join(" ")}: ${stderr}`);
}

Deno.test("While thousands of records come and go at once, checks are answered and hactl is heeded", async () => {
  using folder = new TempFolder();
  const beside = folder.file("beside");
  const spool = folder.file("spool");
  Deno.mkdirSync(beside);
  Deno.mkdirSync(spool);
  for (let i = 0; i < RECORDS; i++) Deno.writeTextFileSync(`${beside}/service-${i}`, "maint");
  await using daemon = await Daemon.start({ spool });
  const inspect = async (expected: number) => {
    for (const service of ["service-0", `service-${RECORDS - 1}`]) {
      const { status } = await daemon.get(`/spool/${service}/0`);
      assertEquals(status, expected, service);
    }
  };
  const attempt = async (script: string, expected: number, records: number) => {
    await using prober = new Prober(daemon);
    const before = await recordsOf(daemon);
    const changing = run("sh", ["-ec", script]);
    await until("it has begun", async () => await recordsOf(daemon) !== before);
    const { answers } = prober;
    // No matter how many others are still to be read.
    for (const name of ["web", "all"]) {
      prober.isAllDown = name === "all";
      await change(daemon, "down", name, "-r", "maint");
      assertEquals((await daemon.get("/spool/web/0")).status, 503);
      await change(daemon, "up", name);
      assertEquals((await daemon.get("/spool/web/0")).status, 200);
    }
    prober.isAllDown = false;
    const { code, stderr } = await changing;
    assertEquals(code, 0, stderr);
    if (expected === 503) await inspect(expected);
    await until("all is known", async () => await recordsOf(daemon) === records);
    await inspect(expected);
    assert(prober.answers > answers);
  };
  await attempt(
    `cd ${beside} && find . -type f -print0 | xargs -0 mv -t ${spool}`,
    503,
    RECORDS,
  );
  await attempt(`find ${spool} -type f -delete`, 200, 0);
  // The daemon still follows changes.
  Deno.writeTextFileSync(`${spool}/web`, "maint");
  await until("it is known", async () => (await daemon.get("/spool/web/0")).status === 503);
  assert(JSON.parse((await daemon.get("/status")).body).spool.watched);
});
