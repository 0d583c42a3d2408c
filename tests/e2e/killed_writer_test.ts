import { SpoolStore } from "../../src/spool/store.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { HOME, moduleOf } from "../support/forms.ts";
import { caseCount } from "../support/cases.ts";
import { Daemon, TempFolder } from "../support/programs.ts";

const CONFIG = `${HOME}deno.json`;

/** How many writers are killed. */
const KILLS = caseCount(1000, 100);

/** How many writers run at once. */
const WRITERS = 4;

/** The pause between two requests, in milliseconds. */
const PAUSE_MS = 1;

/** Long reasons, so that a kill can interrupt a write. */
const REASONS = ["a", "b"].map((letter) => `${letter.repeat(50_000)} end`);

/** Takes a service down and up without end, by hactl's own code. Nothing listens on port 1, so it does not wait. */
const WRITER = `
  import { main } from ${JSON.stringify(moduleOf("hactl"))};
  const [root, ...reasons] = Deno.args;
  const common = ["web", "-p", "1", "--spool-root", root];
  for (let turn = 0;; turn++) {
    for (const reason of reasons) await main(["down", "-r", reason, ...common]);
    await main(["up", ...common]);
    // The first turn loads code, which takes most of its time.
    if (turn === 0) Deno.stdout.writeSync(Uint8Array.of(10));
  }
`;

/** Starts a writer, and kills it at a random moment of its work. */
async function startAndKill(script: string, root: string): Promise<void> {
  await using writer = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-lock", "--config", CONFIG, script, root, ...REASONS],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const output = writer.stdout.getReader();
  const { done } = await output.read();
  assert(!done, "the writer ended before it wrote");
  // A down and an up take some milliseconds.
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
  writer.kill("SIGKILL");
  await output.cancel();
  assertEquals((await writer.status).signal, "SIGKILL");
}

/** Reads a record's file, and counts what it finds. */
class Reader {
  readonly #path: string;
  whole = 0;
  missing = 0;
  torn: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  read(): void {
    let content;
    try {
      content = Deno.readTextFileSync(this.#path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      this.missing++;
      return;
    }
    const [, reason] =
      /^\{"reason": "([^"]*)", "expiration": null, "creation": [\d.]+, "by": "[^"]+"\}$/
        .exec(content) ?? [];
    if (reason !== undefined && REASONS.includes(reason)) this.whole++;
    else this.torn.push(`${content.length}: ${content.slice(0, 20)}…${content.slice(-20)}`);
  }
}

Deno.test("hactl leaves no incomplete record, however often it is killed", async () => {
  using folder = new TempFolder();
  const script = folder.write("writer.js", WRITER);
  await using daemon = await Daemon.start();
  const { spool } = daemon;
  const reader = new Reader(`${spool}/web`);
  const answers = { up: 0, down: 0 };

  let left = KILLS;
  const writers = Array.from({ length: WRITERS }, async () => {
    while (left-- > 0) await startAndKill(script, spool);
  });
  let writing = true;
  const written = Promise.all(writers).finally(() => writing = false);
  const asking = (async () => {
    while (writing) {
      const { status, body } = await daemon.get("/spool/web/0");
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (status === 200 && body === "") {
        answers.up++;
        continue;
      }
      const [, reason] = /^Service web in down state since \d+\.\d{6}: (.*)$/.exec(body) ?? [];
      assert(status === 503 && REASONS.includes(reason!), `${status} ${body.slice(0, 200)}`);
      answers.down++;
    }
  })();
  const reading = (async () => {
    while (writing) {
      reader.read();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  })();
  for (const settled of await Promise.allSettled([written, asking, reading])) {
    if (settled.status === "rejected") throw settled.reason;
  }

  assertEquals(reader.torn, []);
  // The reader and the daemon have seen the writers at work.
  const { whole, missing } = reader;
  assert(
    Math.min(whole, missing, answers.up, answers.down) > 20,
    JSON.stringify({ whole, missing, answers }),
  );

  // The writers leave at most the record and some temporary files.
  const files = [...Deno.readDirSync(spool)].map(({ name }) => name);
  const debris = files.filter((name) => name !== "web");
  assertEquals(debris.filter((name) => !name.startsWith(".")), []);
  assert(debris.length <= 5, debris.join(", "));
  const store = new SpoolStore(spool);
  assertEquals(store.listDowntimes().filter((name) => name !== "web"), []);

  // The next writer succeeds, and removes the temporary files.
  await store.set("web", { mode: "down", reason: "the last", expiration: null });
  assertEquals(store.readDowntime("web")?.record.reason, "the last");
  assert(![...Deno.readDirSync(spool)].some(({ name }) => name === ".hacheck.tmp"));
});
