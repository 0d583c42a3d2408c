import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { Daemon, hactl, hactlCommand, type Result, run, TempFolder } from "../support/programs.ts";
import { afterRequest, ClosedPort, FaultyServer, sending } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";

const SILENT: Result = { code: 0, stdout: "", stderr: "" };

/** Returns a function that runs hactl on the spool of a daemon. */
function on(daemon: Daemon, env: Record<string, string> = {}) {
  return (...args: string[]) => hactl(daemon.spool, [...args, "-p", String(daemon.port)], env);
}

/** A service whose checks fail until it is healed. */
function sick(): { port: number; asked: () => number; heal: () => void } & AsyncDisposable {
  let isHealthy = false;
  let count = 0;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => {
      count++;
      return isHealthy ? new Response("fine") : new Response("broken", { status: 500 });
    },
  );
  return {
    port: server.addr.port,
    asked: () => count,
    heal: () => isHealthy = true,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("hactl up warns of wider and narrower records that still keep a service out", async () => {
  await using daemon = await Daemon.start();
  const run = on(daemon);
  const write = (name: string, content: string) => daemon.writeRecord(name, content);
  write("all", "kernel");
  write("web:8080", '{"mode": "drain"}');
  write("web:8081", '{"expiration": 1}');
  write("db:8080", "other");
  const stillOut = "hactl: web is not fully in service: ";
  const outcome = await run("up", "web");
  assertEquals([outcome.code, outcome.stdout], [0, ""]);
  assertEquals(outcome.stderr, `${stillOut}all is down, web:8080 is draining\n`);
  assertEquals(
    (await run("up", "web", "-P", "8081")).stderr,
    "hactl: web:8081 is not fully in service: all is down\n",
  );
  assertEquals(
    (await run("up", "all")).stderr,
    "hactl: all is not fully in service: db:8080 is down, web:8080 is draining\n",
  );
  assertEquals(await run("up", "web", "-P", "8080"), SILENT);
});

Deno.test("a change succeeds without a daemon, and warns that none listens", async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  const there = (...args: string[]) => hactl(folder.path, [...args, "-p", String(closed.port)]);
  const notice = `hactl: no daemon listens on port ${closed.port}: no daemon uses this spool\n`;
  for (
    const args of [["down", "web", "db"], ["drain", "web"], ["weight", "web", "5"], ["up", "web"]]
  ) {
    assertEquals(await there(...args), { ...SILENT, stderr: notice }, args.join(" "));
  }
  // Only a command that asks the daemon fails without one.
  assertEquals((await there("up", "db")).code, 0);
  assertEquals((await there("weight", "web", "100")).code, 0);
  const status = await there("status");
  assertEquals([status.code, status.stdout], [1, ""]);
  assertStringIncludes(status.stderr, "Connection refused");
  assertEquals(await there("status", "web"), { ...SILENT, stdout: "UP\tweb\n" });
});

Deno.test("hactl warns of a service that no balancer has asked for, and suggests a similar one", async () => {
  await using daemon = await Daemon.start();
  const run = on(daemon);
  assertEquals(
    await run("down", "wbe"),
    SILENT,
    "no balancer has asked the daemon for anything",
  );
  await daemon.get("/spool/web/0");
  const never = `hactl: no balancer has asked the daemon on port ${daemon.port} for `;
  assertEquals(await run("up", "wbe"), { ...SILENT, stderr: `${never}wbe: did you mean web?\n` });
  assertEquals(await run("down", "backup"), { ...SILENT, stderr: `${never}backup\n` });
  assertEquals(await run("weight", "wbe", "5"), {
    ...SILENT,
    stderr: `${never}wbe: did you mean web?\n`,
  });
  for (const args of [["down", "web"], ["up", "web"], ["down", "all"]]) {
    assertEquals(await run(...args), SILENT, args.join(" "));
  }
});

Deno.test("hactl names the author of a record that another operator replaces or removes", async () => {
  await using daemon = await Daemon.start();
  const alice = on(daemon, { SUDO_USER: "alice" });
  const bob = on(daemon, { SUDO_USER: "bob" });
  const read = () => JSON.parse(Deno.readTextFileSync(`${daemon.spool}/web`));
  assertEquals(await alice("down", "web", "-r", "kernel"), SILENT);
  assertEquals(read().by, "alice");
  assertEquals(await alice("down", "web", "-r", "disk"), SILENT);
  assertEquals(await bob("drain", "web"), {
    ...SILENT,
    stderr: 'hactl: web: replaced the record of alice ("disk")\n',
  });
  assertEquals(read().by, "bob");
  const { services } = JSON.parse((await alice("status", "--json")).stdout);
  assertEquals([services[0].name, services[0].by], ["web", "bob"]);
  assertEquals(await alice("up", "web"), {
    ...SILENT,
    stderr: "hactl: web: removed the record of bob\n",
  });
  assertEquals(await bob("down", "web", "-e", "1"), {
    ...SILENT,
    stderr: "hactl: web counts as up: its expiration 1 is in the past\n",
  });
  assertEquals(await alice("up", "web"), SILENT, "the record had expired");
});

Deno.test("hactl verifies a change by the status of /spool if the daemon is a Python hacheck", async () => {
  using folder = new TempFolder();
  const isDown = (name: string) => {
    try {
      return Deno.statSync(folder.file(name)).isFile;
    } catch {
      return false;
    }
  };
  let ignoresChanges = false;
  await using older = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const path = new URL(request.url).pathname;
    const [, service, port] = /^\/spool\/(\w+)\/(\d+)\/status$/.exec(path) ?? [];
    if (service === undefined) return new Response("404: Not Found", { status: 404 });
    const name = port === "0" ? service : `${service}:${port}`;
    const status = isDown(name) && !ignoresChanges ? 503 : 200;
    return new Response(status === 200 ? "" : `Service ${name} in down state: x`, { status });
  });
  const port = String(older.addr.port);
  for (const where of [[], ["-P", "8080"]]) {
    for (const command of ["down", "drain", "up"]) {
      const args = [command, "web", ...where, "-p", port];
      assertEquals(await hactl(folder.path, args), SILENT, args.join(" "));
      const state = command === "up" ? "--up" : "--down";
      const wait = ["wait", "web", ...where, state, "--timeout", "10s", "-p", port];
      assertEquals(await hactl(folder.path, wait), SILENT, wait.join(" "));
    }
  }
  ignoresChanges = true;
  const { code, stderr } = await hactl(folder.path, ["down", "web", "-p", port]);
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    `hactl: the daemon on port ${port} does not report the change: web: `,
  );
});

Deno.test("hactl wait --healthy and up --healthy wait until the service's own check succeeds", async () => {
  await using web = sick();
  await using daemon = await Daemon.start({ config: "cache_time: 600\n" });
  const run = on(daemon);
  const waitFor = ["wait", "web", "--healthy", "--timeout"];
  const never = await run(...waitFor, "1s");
  assertEquals([never.code, never.stdout], [1, ""]);
  assertStringIncludes(never.stderr, "no balancer has asked the daemon to check web");

  assertEquals((await daemon.get(`/http/web/${web.port}/status`)).status, 500);
  assertEquals(await run("down", "web", "-r", "deploy"), SILENT);
  const up = await run("up", "web", "--healthy", "1s");
  assertEquals([up.code, up.stdout], [1, ""]);
  assertEquals(
    up.stderr,
    "hactl: the record of web stays: not healthy after 1 s: " +
      `its http check on port ${web.port} fails: 500 broken\n`,
  );
  assertEquals((await run("status", "web")).stdout, "DOWN\tinf\tweb\tdeploy\n");
  assertEquals((await run(...waitFor, "1s")).code, 1);

  const waiting = run(...waitFor, "60s");
  const lifting = run("up", "web", "--healthy", "60s");
  const before = web.asked();
  await until("both ask", () => web.asked() >= before + 2);
  web.heal();
  assertEquals(await waiting, SILENT, "with a downtime");
  assertEquals(await lifting, SILENT);
  assertEquals((await daemon.get(`/spool/web/0`)).status, 200);
  assertEquals(await run("up", "web", "-P", String(web.port), "--healthy", "60s"), SILENT);
  const other = await run("wait", "web", "-P", "1", "--healthy", "1s");
  assertStringIncludes(other.stderr, "no balancer has asked the daemon to check web:1\n");
});

/** In a user namespace, this user is not root. Not every container permits to create one. */
const UNSHARE = (await run("unshare", ["--user", "true"]).catch(() => ({ code: 1 }))).code === 0
  ? "unshare"
  : "unshare with the right to make user namespaces";

serverTest("hactl suggests sudo to a user without the right to write", [UNSHARE], async () => {
  using folder = new TempFolder();
  using closed = await ClosedPort.open();
  folder.write("web", "maint");
  Deno.chmodSync(folder.path, 0o500);
  try {
    for (const [command, what] of [["up", "remove"], ["down", "write"]] as const) {
      const args = [command, "web", "-p", String(closed.port)];
      const line = ["--user", ...hactlCommand(folder.path, args)];
      const { code, stderr } = await run("unshare", line, { NO_COLOR: "1", SUDO_USER: "alice" });
      assertEquals(code, 1);
      assertMatch(
        stderr,
        new RegExp(
          `^hactl: cannot ${what} the record of web: Permission denied .*: try again with sudo\n$`,
        ),
      );
    }
  } finally {
    Deno.chmodSync(folder.path, 0o700);
  }
});

Deno.test("hactl warns of no service if another program listens on the daemon's port", async () => {
  using folder = new TempFolder();
  await using other = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 200 OK\r\n\r\n<html>", (socket) => socket.end())),
  );
  const { code, stderr } = await hactl(folder.path, ["down", "web", "-p", String(other.port)]);
  assertEquals(code, 1);
  assertEquals(stderr.trim().split("\n").length, 1, stderr);
});
