import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, hactl, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { freePort, until } from "../servers/mod.ts";

const PATH = "/events?only=changes";

interface ServerEvent {
  readonly kind: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** Reads the stream of changes. */
class ChangeReader implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";
  /** The last id, as an EventSource keeps it. */
  lastId = "";

  private constructor(reader: ReadableStreamDefaultReader<string>) {
    this.#reader = reader;
  }

  static async open(daemon: Daemon, lastId?: string): Promise<ChangeReader> {
    const headers: HeadersInit = lastId === undefined ? {} : { "last-event-id": lastId };
    const response = await fetch(daemon.url(PATH), { headers });
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("content-type"), "text/event-stream; charset=UTF-8");
    const reader = new ChangeReader(
      response.body!.pipeThrough(new TextDecoderStream()).getReader(),
    );
    await until("the first id was sent", async () => {
      await reader.#block();
      return reader.lastId !== "";
    });
    return reader;
  }

  /** Returns the next event; null at the end. */
  async next(): Promise<ServerEvent | null> {
    for (;;) {
      const block = await this.#block();
      if (block === null) return null;
      const { event: kind, data } = block;
      if (kind !== undefined) return { kind, id: this.lastId, data: JSON.parse(data!) };
    }
  }

  /** Reads a block, as the fields of its lines. */
  async #block(): Promise<Record<string, string> | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) return null;
        this.#text += value;
        continue;
      }
      const lines = this.#text.slice(0, end).split("\n");
      this.#text = this.#text.slice(end + 2);
      const fields = Object.fromEntries(
        lines.map((line) => /^(\w*): ?(.*)$/.exec(line)!.slice(1)),
      );
      this.lastId = fields.id ?? this.lastId;
      return fields;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }
}

for (const workers of ["1", "2"]) {
  Deno.test(`GET ${PATH} sends what changes, resumes, and has the objects of the history, with ${workers} workers`, async () => {
    await using daemon = await Daemon.start({ args: ["-n", workers], grants: WORKER_GRANTS });
    const port = ["-p", String(daemon.port)];
    await hactl(daemon.spool, ["down", "before", "-r", "x", ...port]);
    await using reader = await ChangeReader.open(daemon);
    const closed = freePort();
    await daemon.get(`/tcp/web/${closed}`);
    const failed = (await reader.next())!;
    assertEquals(failed.kind, "change");
    assertEquals(
      [failed.data.kind, failed.data.service, failed.data.port, failed.data.to],
      ["check", "web", closed, "down"],
    );
    assertEquals(failed.data.reason, "refused");
    await hactl(daemon.spool, ["down", "web", "-r", "maint", ...port]);
    const down = (await reader.next())!;
    assertEquals([down.data.kind, down.data.to, down.data.reason], ["record", "down", "maint"]);
    await hactl(daemon.spool, ["up", "web", ...port]);
    const up = (await reader.next())!;
    assertEquals([up.data.to, up.data.why], ["up", "lifted"]);
    // A client that has seen the first change gets the others again, once.
    await using resumed = await ChangeReader.open(daemon, failed.id);
    assertEquals(await resumed.next(), down);
    assertEquals(await resumed.next(), up);
    const { changes, started } = JSON.parse((await daemon.get("/status/history")).body);
    assertEquals(changes.slice(0, 3), [up.data, down.data, failed.data]);
    assertEquals(up.id, `${started}-${up.data.id}`);
  });
}

Deno.test(`GET ${PATH} reports a gap to a client that a restart has cut off`, async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  let lastId: string;
  {
    await using daemon = await Daemon.start({ spool });
    await using reader = await ChangeReader.open(daemon);
    lastId = reader.lastId;
    daemon.kill("SIGTERM");
    assertEquals(await reader.next(), null);
    await daemon.ended();
  }
  await using daemon = await Daemon.start({ spool });
  await using reader = await ChangeReader.open(daemon, lastId);
  const gap = (await reader.next())!;
  assertEquals([gap.kind, gap.data], ["gap", { missed: null }]);
  daemon.writeRecord("web", "maint");
  const change = (await reader.next())!;
  assertEquals([change.kind, change.data.id, change.data.name], ["change", 1, "web"]);
});

Deno.test("page: false switches the page off at a reload, but not the stream of changes", async () => {
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", "page: true\n");
  await using daemon = await Daemon.start({
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  });
  const paths = ["/", "/events", "/page.css", "/page.js", "/page.svg"];
  const statuses = () =>
    Promise.all([...paths, PATH].map(async (path) => {
      const { status, body } = await fetch(daemon.url(path), {
        method: "HEAD",
        headers: { accept: "text/html" },
      });
      await body?.cancel();
      return status;
    }));
  assertEquals(await statuses(), [200, 200, 200, 200, 200, 200]);
  const open = await fetch(daemon.url("/events"));
  await using reader = await ChangeReader.open(daemon);
  folder.write("hacheck.yaml", "page: false\n");
  daemon.kill("SIGHUP");
  await daemon.logged(/the configuration was read again/);
  assertEquals(await statuses(), [404, 404, 404, 404, 404, 200]);
  // The open streams have ended: the page's for good, that of changes until its client reconnects.
  assertMatch(await open.text(), /^retry: /);
  assertEquals(await reader.next(), null);
  await using again = await ChangeReader.open(daemon, reader.lastId);
  daemon.writeRecord("web", "maint");
  assertEquals((await again.next())!.data.name, "web");
  folder.write("hacheck.yaml", "page: true\n");
  daemon.kill("SIGHUP");
  await until("the page is back", async () => (await statuses())[0] === 200);
  assert((await again.next()) === null);
});
