import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { Daemon, hactl } from "../../support/programs.ts";
import { until } from "../../servers/mod.ts";

Deno.test("hactl reports at once that the daemon rejects it", async () => {
  await using daemon = await Daemon.start({ config: "allowed_clients: [192.0.2.1]\n" });
  const port = String(daemon.port);
  const { code, stderr } = await hactl(daemon.spool, ["down", "web", "-r", "x", "-p", port]);
  assertEquals([code, stderr], [
    1,
    `hactl: the daemon on port ${port} does not report the change: web: it rejects hactl: 403 Forbidden\n`,
  ]);
  assertStringIncludes(Deno.readTextFileSync(`${daemon.spool}/web`), '"reason": "x"');
});

/** Proxies to a daemon of another release, whose messages have other wording. */
function reworded(daemon: Daemon): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const headers = { "x-nerve-check-ip": request.headers.get("x-nerve-check-ip") ?? "" };
    const { status, body } = await daemon.get(new URL(request.url).pathname, headers);
    const words = { "Service": "Dienst", "the record cannot be read": "nicht lesbar", state: "Z" };
    const text = Object.entries(words).reduce((text, [a, b]) => text.replaceAll(a, b), body);
    return new Response(text, { status });
  });
}

Deno.test("hactl agrees with a daemon whose messages have other wording", async () => {
  await using daemon = await Daemon.start();
  await using proxy = reworded(daemon);
  const on = (...args: string[]) =>
    hactl(daemon.spool, [...args, "web", "-p", String(proxy.addr.port)]);
  const silent = { code: 0, stdout: "", stderr: "" };
  for (const where of [[], ["-P", "0"], ["-P", "80"], ["-P", "80", "-H", "127.0.0.2"]]) {
    for (const command of ["drain", "down", "up"]) {
      assertEquals(await on(command, ...where), silent, command);
    }
  }
  assertEquals(await on("down"), silent);
  assertEquals(await on("wait", "--down", "--timeout", "10s"), silent);
  assertEquals(await on("up"), silent);
  assertEquals(await on("wait", "--up", "--timeout", "10s"), silent);
  // The reason of a record that cannot be read is a message, too.
  Deno.mkdirSync(`${daemon.spool}/all`);
  await until("all cannot be read", async () => {
    return (await daemon.get("/spool/web/0")).body.includes("the record cannot be read");
  });
  assertEquals(await on("up"), {
    ...silent,
    stderr: "hactl: web is not fully in service: all is down\n",
  });
});

Deno.test("hactl weight agrees with a daemon whose messages have other wording", async () => {
  await using daemon = await Daemon.start();
  await using proxy = reworded(daemon);
  for (const weight of ["50", "0", "100"]) {
    const args = ["weight", "web", weight, "-p", String(proxy.addr.port)];
    assertEquals(await hactl(daemon.spool, args), { code: 0, stdout: "", stderr: "" });
  }
});
