import { assertEquals } from "../support/assert.ts";
import { Daemon, hactl } from "../support/programs.ts";

Deno.test("hactl down and up are what the daemon says when they return", async () => {
  await using daemon = await Daemon.start();
  const port = String(daemon.port);
  assertEquals(await hactl(daemon.spool, ["down", "web", "-r", "maint", "-p", port]), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  assertEquals((await daemon.get("/spool/web/0")).status, 503);
  assertEquals(await hactl(daemon.spool, ["up", "web", "-p", port]), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  assertEquals(await daemon.get("/spool/web/0"), { status: 200, body: "" });
});
