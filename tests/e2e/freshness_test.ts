import { main } from "../../cli/hactl.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { caseCount } from "../support/cases.ts";
import { Daemon, type DaemonOptions, WITHOUT_INOTIFY, WORKER_GRANTS } from "../support/programs.ts";
import { serverTest, until } from "../servers/mod.ts";

/** How often hactl may time out on a busy machine. */
const MAX_TIMEOUTS = 10;

/** Calls hactl's code in this process until it succeeds. */
async function runHactl(
  daemon: Daemon,
  command: "up" | "down",
  args: readonly string[],
): Promise<void> {
  const line = [command, ...args, "-p", String(daemon.port), "--spool-root", daemon.spool];
  for (let timeouts = 0; await main(line) !== 0; timeouts++) {
    assert(timeouts < MAX_TIMEOUTS, `hactl ${line.join(" ")} always fails`);
  }
}

/** A healthy service. */
function alive(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response("alive"));
}

/** Takes a service down and up again and again, and checks it at once each time. */
async function rounds(times: number, options: DaemonOptions): Promise<void> {
  await using service = alive();
  const { port } = service.addr;
  await using daemon = await Daemon.start(options);
  const subjects = [
    { args: ["web"], name: "web" },
    { args: ["web", "-P", String(port)], name: "web" },
    { args: ["all"], name: "all" },
  ];
  const paths = [`/spool/web/${port}`, `/tcp/web/${port}`, `/http/web/${port}/status`];
  const stale = [];
  for (let i = 0; i < times; i++) {
    const { args, name } = subjects[i % subjects.length]!;
    const path = paths[Math.floor(i / subjects.length) % paths.length]!;
    await runHactl(daemon, "down", [...args, "-r", `round ${i}`]);
    const down = await daemon.get(path);
    if (
      down.status !== 503 ||
      !down.body.startsWith(`Service ${name} in down state since `) ||
      !down.body.endsWith(`: round ${i}`)
    ) stale.push({ path, down });
    await runHactl(daemon, "up", args);
    const up = await daemon.get(path);
    if (up.status !== 200) stale.push({ path, up });
  }
  assertEquals(stale, []);
}

Deno.test("each check after hactl down or up sees the change", async () => {
  await rounds(caseCount(500), {});
});

Deno.test("each check after hactl down or up sees the change, with two workers", async () => {
  await rounds(caseCount(100), { args: ["-n", "2"], grants: WORKER_GRANTS });
});

serverTest(
  "each check after hactl down or up sees the change, without inotify",
  ["unshare"],
  async () => {
    await rounds(caseCount(20), { wrapper: WITHOUT_INOTIFY });
  },
);

Deno.test("each of several operators sees their change when hactl returns", async () => {
  await using daemon = await Daemon.start();
  const operators = Array.from({ length: 8 }, async (_, i) => {
    const path = `/spool/service-${i}/0`;
    for (let round = 0; round < 10; round++) {
      await runHactl(daemon, "down", [`service-${i}`, "-r", `round ${round}`]);
      const { status, body } = await daemon.get(path);
      assert(status === 503 && body.endsWith(`: round ${round}`), `${status} ${body}`);
      await runHactl(daemon, "up", [`service-${i}`]);
      assertEquals(await daemon.get(path), { status: 200, body: "" });
    }
  });
  for (const settled of await Promise.allSettled(operators)) {
    if (settled.status === "rejected") throw settled.reason;
  }
});

Deno.test("a check in flight returns down if a downtime begins meanwhile", async () => {
  const requests: (() => void)[] = [];
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Promise<Response>((resolve) => requests.push(() => resolve(new Response("alive")))),
  );
  const { port } = service.addr;
  await using daemon = await Daemon.start();
  for (const [i, args] of [["web"], ["web", "-P", String(port)], ["all"]].entries()) {
    const name = args[0]!;
    // The first two share a run, the last bypasses the cache.
    const checks = [
      daemon.get(`/http/web/${port}/${i}`),
      daemon.get(`/http/web/${port}/${i}`),
      daemon.get(`/http/web/${port}/${i}`, { pragma: "no-cache" }),
    ];
    await until("the service has both requests", () => requests.length === 2);
    await runHactl(daemon, "down", [...args, "-r", "maint"]);
    for (const respond of requests.splice(0)) respond();
    for (const { status, body } of await Promise.all(checks)) {
      assert(
        status === 503 && body.startsWith(`Service ${name} in down state since `),
        `${status} ${body}`,
      );
    }
    await runHactl(daemon, "up", args);
  }
});
