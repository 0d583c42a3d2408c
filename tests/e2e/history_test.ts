import type { Change } from "../../src/checks/history.ts";
import type { CheckReport } from "../../src/checks/outcomes.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { getFromWorkers } from "../support/clients.ts";
import {
  Daemon,
  type DaemonOptions,
  hactl,
  TempFolder,
  WORKER_GRANTS,
} from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** A service whose status the test sets. */
class WebService implements AsyncDisposable {
  status = 200;
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response(`status ${this.status}`, { status: this.status }),
  );

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function start(workers: number, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({
    config: "cache_time: 0\n",
    args: ["-n", String(workers)],
    grants: WORKER_GRANTS,
    ...options,
  });
}

async function history(daemon: Daemon, query = ""): Promise<Change[]> {
  const { status, body } = await daemon.get(`/status/history${query}`);
  assertEquals(status, 200, body);
  return JSON.parse(body).changes;
}

/** The lines about changes in a log, without their times. */
function changesIn(log: string): string[] {
  return log.split("\n").filter((line) => / INFO (?:record|\w+ check of) /.test(line))
    .map((line) => line.replace(/^\S+ INFO /, ""));
}

for (const workers of [1, 3]) {
  Deno.test(`with -n ${workers}, each change of a record is logged and kept once, with who and why`, async () => {
    using folder = new TempFolder();
    const spool = folder.file("spool");
    Deno.mkdirSync(spool);
    await using daemon = await start(workers, {
      spool,
      config: "allow_remote_spool_changes: true\n",
      grants: [`--allow-write=${spool}`, ...WORKER_GRANTS],
    });
    const down = await hactl(daemon.spool, ["down", "web", "-r", "kernel", "-p", `${daemon.port}`]);
    assertEquals([down.code, down.stderr], [0, ""]);
    await Deno.remove(`${daemon.spool}/web`);
    const has = (why: string) => async () =>
      (await history(daemon)).some((change) => change.kind === "record" && change.why === why);
    await until("the record is known to be removed", has("lifted"));
    const expiration = Math.floor(Date.now() / 1000) + 5;
    const body = new URLSearchParams({
      ...{ status: "down", reason: "deploy", expiration: String(expiration) },
    });
    const response = await fetch(daemon.url("/spool/db/5432"), { method: "POST", body });
    assertEquals([response.status, await response.text()], [200, ""]);
    await until("the record has expired", has("expired"), 20_000);
    const changes = (await history(daemon)).reverse();
    const brief = changes.map((change) => {
      assert(change.kind === "record");
      const { id, name, to, reason, by, until, source, client, why } = change;
      return [id, name, to, reason, by, until, source, client, why];
    });
    assertEquals(brief, [
      [1, "web", "down", "kernel", "operator", null, "spool", null, null],
      [2, "web", "up", "kernel", "operator", null, "spool", null, "lifted"],
      [3, "db:5432", "down", "deploy", null, expiration, "post", "127.0.0.1", null],
      [4, "db:5432", "up", "deploy", null, expiration, "spool", null, "expired"],
    ]);
    for (const reported of await getFromWorkers(daemon, "/status/history")) {
      assertEquals(JSON.parse(reported).changes.length, 4);
    }
    const time = new Date(expiration * 1000).toISOString();
    assertEquals(changesIn(await daemon.stop()), [
      "record web: down by operator: kernel (spool)",
      "record web: removed (spool)",
      `record db:5432: down until ${time}: deploy (post from 127.0.0.1)`,
      "record db:5432: expired (spool)",
    ]);
  });

  Deno.test(`with -n ${workers}, a change of a check's outcome is logged once, whichever workers see it`, async () => {
    await using service = new WebService();
    await using daemon = await start(workers);
    const path = `/http/web/${service.port}/health`;
    const everywhere = async (code: number) => {
      for (const body of await getFromWorkers(daemon, path)) assertEquals(body, `status ${code}`);
    };
    await everywhere(200);
    assertEquals(await history(daemon), [], "the first success is no change");
    service.status = 500;
    await everywhere(500);
    const address = `127.0.0.1:${service.port}`;
    const [change, ...others] = await history(daemon, "?service=web");
    assert(change?.kind === "check");
    assertEquals(others, []);
    assertEquals(
      [change.from, change.to, change.code, change.reason, change.address, change.path],
      ["up", "down", 500, "status", address, "/health"],
    );
    const { checks } = JSON.parse((await daemon.get("/status/checks/web")).body);
    const [check] = checks as CheckReport[];
    assertEquals([checks.length, check!.state, check!.last_good?.code], [1, "down", 200]);
    assert(check!.failures.length >= 1 && check!.failures.length <= 10);
    assert(check!.failures.every(({ code, message }) => code === 500 && message === "status 500"));
    assertEquals(changesIn(await daemon.stop()), [
      `http check of web at ${address}: up to down (status): status 500`,
    ]);
  });
}

Deno.test("the history and the results of checks outlast SIGHUP", async () => {
  await using service = new WebService();
  await using daemon = await start(1);
  service.status = 503;
  await daemon.get(`/http/web/${service.port}`);
  daemon.kill("SIGHUP");
  await daemon.logged(/the configuration was read again/);
  assertEquals((await history(daemon)).length, 1);
  const { checks } = JSON.parse((await daemon.get("/status/checks")).body);
  assertEquals(checks.length, 1);
});

Deno.test("a JSON log has the parts of a change as properties", async () => {
  await using daemon = await start(1, { config: "log_format: json\n" });
  daemon.writeRecord("web", '{"reason":"kernel","by":"alice"}');
  await until("the record is known", async () => (await history(daemon)).length === 1);
  const line = (await daemon.stop()).split("\n").find((line) => line.includes("record web"))!;
  const { message, level, properties } = JSON.parse(line);
  assertEquals([level, message], ["INFO", "record web: down by alice: kernel (spool)"]);
  const { name, to, by, reason, source } = properties;
  assertEquals([name, to, by, reason, source], ["web", "down", "alice", "kernel", "spool"]);
});
