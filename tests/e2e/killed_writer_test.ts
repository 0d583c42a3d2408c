import { SpoolStore } from "../../src/spool/store.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { HOME, moduleOf } from "../support/forms.ts";
import { Daemon } from "../support/programs.ts";

const CONFIG = `${HOME}deno.json`;

const KILLS = 1000;

/** How many write at once. */
const WRITERS = 4;

/** Long enough to be written in many pieces, if it were written in pieces. */
const REASONS = ["a", "b"].map((letter) => `${letter.repeat(50_000)} end`);

/** Marks down and up for ever, by hactl's own code. Nothing listens on port 1: no daemon is waited for. */
const WRITER = `
  const [hactl, root, ...reasons] = Deno.args;
  const { main } = await import(hactl);
  const common = ["web", "-p", "1", "--spool-root", root];
  Deno.stdout.writeSync(Uint8Array.of(10));
  for (;;) {
    for (const reason of reasons) await main(["down", "-r", reason, ...common]);
    await main(["up", ...common]);
  }
`;

/** Starts a writer, and kills it in the midst of its work. */
async function startAndKill(root: string): Promise<void> {
  await using writer = new Deno.Command(Deno.execPath(), {
    args: [
      ...["eval", "--config", CONFIG, WRITER],
      ...[moduleOf("hactl"), root, ...REASONS],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const output = writer.stdout.getReader();
  const { done } = await output.read();
  assert(!done, "the writer ended before it wrote");
  // A down and an up take some milliseconds; the kill may strike at any of them.
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
  writer.kill("SIGKILL");
  await output.cancel();
  assertEquals((await writer.status).signal, "SIGKILL");
}

/** What a reader of a record's file saw. */
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

Deno.test("1,000 writers are killed as they write, and nobody ever sees half a record", async () => {
  await using daemon = await Daemon.start();
  const { spool } = daemon;
  const reader = new Reader(`${spool}/web`);
  const answers = { up: 0, down: 0 };

  let left = KILLS;
  const writers = Array.from({ length: WRITERS }, async () => {
    while (left-- > 0) await startAndKill(spool);
  });
  let writing = true;
  const written = Promise.all(writers).finally(() => writing = false);
  const asking = (async () => {
    while (writing) {
      const { status, body } = await daemon.get("/spool/web/0");
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
      for (let i = 0; i < 20; i++) reader.read();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  for (const settled of await Promise.allSettled([written, asking, reading])) {
    if (settled.status === "rejected") throw settled.reason;
  }

  assertEquals(reader.torn, []);
  // The reader and the daemon have seen both, or they would have seen nothing of the writing.
  const { whole, missing } = reader;
  assert(
    Math.min(whole, missing, answers.up, answers.down) > 20,
    JSON.stringify({ whole, missing, answers }),
  );

  // What is left is at most the record, and what nobody takes for one: a file or two of writers' last words.
  const files = [...Deno.readDirSync(spool)].map(({ name }) => name);
  const debris = files.filter((name) => name !== "web");
  assertEquals(debris.filter((name) => !name.startsWith(".")), []);
  assert(debris.length <= 5, debris.join(", "));
  const store = new SpoolStore(spool);
  assertEquals(store.listDowntimes().filter((name) => name !== "web"), []);

  // And it is no hindrance to the next.
  await store.set("web", { mode: "down", reason: "the last", expiration: null });
  assertEquals(store.readDowntime("web")?.record.reason, "the last");
  assert(![...Deno.readDirSync(spool)].some(({ name }) => name === ".hacheck.tmp"));
});
