import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, run, runDaemon, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { freePort, until } from "../servers/mod.ts";

/** A pipe that only the test reads. */
class UnreadPipe implements Disposable {
  readonly #folder = new TempFolder();
  readonly #decoder = new TextDecoder();
  #file: Deno.FsFile | undefined;

  /** Its path. */
  readonly path: string = this.#folder.file("pipe");
  /** What was read. */
  text = "";

  static async open(): Promise<UnreadPipe> {
    const pipe = new UnreadPipe();
    assertEquals((await run("mkfifo", [pipe.path])).code, 0);
    // Open for writing, too, so that it does not end with the daemon.
    pipe.#file = await Deno.open(pipe.path, { read: true, write: true });
    return pipe;
  }

  /** Reads some bytes, and waits for them if there are none. */
  async read(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    const count = await this.#file!.read(buffer);
    this.text += this.#decoder.decode(buffer.subarray(0, count ?? 0), { stream: true });
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#folder[Symbol.dispose]();
  }
}

/** A daemon whose log is that pipe. */
function daemonOn(pipe: UnreadPipe, args: readonly string[]): Promise<Daemon> {
  return Daemon.start({
    wrapper: ["sh", "-c", 'exec 2>"$0"; exec "$@"', pipe.path],
    args: ["-v", ...args],
    grants: WORKER_GRANTS,
    port: freePort(),
  });
}

/** Sends requests, each of which causes a long line in the log. */
async function sendRequests(daemon: Daemon, count: number): Promise<void> {
  const pad = "x".repeat(150);
  const paths = Array.from({ length: count }, (_, i) => `/spool/request-${i}-${pad}/0`);
  // A connection may end after any response, so the remaining requests are sent again.
  while (paths.length > 0) {
    using connection = await RawConnection.open(daemon.port);
    const requests = paths.slice(0, 100).map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n`);
    await connection.send(`${requests.join("\r\n")}Connection: close\r\n\r\n`);
    const responses = (await connection.readAll()).split("HTTP/1.1 200 OK\r\n").length - 1;
    assert(responses > 0);
    paths.splice(0, responses);
  }
}

async function lostLines(daemon: Daemon): Promise<number> {
  return JSON.parse((await daemon.get("/status")).body).faults.lost_log_lines;
}

for (const workers of [1, 2]) {
  const COUNT = 10_000 * workers;

  Deno.test(`with -n ${workers}, an unread log delays no response, and lost lines are counted`, async () => {
    using pipe = await UnreadPipe.open();
    await using daemon = await daemonOn(pipe, ["-n", String(workers)]);
    await sendRequests(daemon, COUNT);
    assert(await lostLines(daemon) > 0);

    const requests = () =>
      [...pipe.text.matchAll(/DEBUG 200 GET \S+\/spool\/request-(\d+)-/g)].map(([, number]) =>
        Number(number)
      );
    const reported = () =>
      [...pipe.text.matchAll(/WARNING (\d+) log lines were lost$/gm)]
        .reduce((sum, [, count]) => sum + Number(count), 0);
    await until("all lines are read or reported as lost", async () => {
      // This request causes a line to read.
      await daemon.get("/status");
      await pipe.read();
      return requests().length + reported() >= COUNT;
    });
    // Lines of other requests may be lost as well.
    const lost = await lostLines(daemon);
    assertEquals(reported(), lost);
    assert(requests().length + lost - COUNT < 1000);
    assertEquals(new Set(requests()).size, requests().length);
    if (workers === 1) assertEquals(requests(), requests().toSorted((a, b) => a - b));
    const lines = pipe.text.split("\n");
    for (const line of lines.slice(0, -1)) {
      assertMatch(line, /^\d{4}-\S+Z (?:INFO|DEBUG|WARNING) \S/);
    }
  });

  Deno.test(`with -n ${workers}, an unread log does not keep the daemon from stopping`, async () => {
    using pipe = await UnreadPipe.open();
    await using daemon = await daemonOn(pipe, ["-n", String(workers)]);
    await sendRequests(daemon, 1000 * workers);
    daemon.kill("SIGTERM");
    const { code, signal } = await daemon.ended();
    assertEquals([code, signal], [0, null]);
  });
}

Deno.test("a daemon rejects a FIFO as log_path", async () => {
  using pipe = await UnreadPipe.open();
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", `log_path: ${pipe.path}\n`);
  const { code, stderr } = await runDaemon(
    ["-c", config, "--spool-root", folder.path, "-p", String(freePort())],
    ["--no-prompt", "--allow-read", "--allow-net", `--allow-write=${pipe.path}`],
  );
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot open log_path \S+: it is a FIFO: expected a file\n$/);
});
