import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, hactl } from "../support/programs.ts";
import { ClosedPort } from "../servers/faulty.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

serverTest(
  "HAProxy's log and statistics show the reason of a failed check, and hactl why shows the same",
  ["haproxy"],
  async () => {
    using closed = await ClosedPort.open();
    await using daemon = await Daemon.start();
    await using haproxy = await HAProxy.start((port) => `
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend www
    bind 127.0.0.1:${port}
    default_backend web
backend web
    option httpchk GET /http/web/0/health
    http-check send-state
    http-check expect rstatus ^(2|3) on-error "%[res.body]"
    server a 127.0.0.1:${closed.port} check port ${daemon.port} inter 200ms fall 2
`);
    const message = `HTTP check of 127.0.0.1:${closed.port} failed after `;
    const why = "Connection refused (os error 111)";
    let shown = "";
    await until("HAProxy's statistics show the reason", async () => {
      const [row] = (await haproxy.stat()).filter(({ svname }) => svname === "a");
      shown = row!["last_chk"]!;
      return row!["status"] === "DOWN" && shown.includes(message) && shown.includes(why);
    });
    await until("HAProxy's log shows it", () => {
      return haproxy.log.split("\n").some((line) =>
        line.includes("web/a is DOWN") && line.includes(message)
      );
    });
    const { code, stdout } = await hactl(daemon.spool, ["why", "web", "-p", String(daemon.port)]);
    assertEquals(code, 1);
    const [first, failure] = stdout.split("\n");
    assert(first!.includes(`http check of 127.0.0.1:${closed.port}/health since `), first);
    assert(first!.endsWith(": refused: nothing listens on the port"), first);
    assert(failure!.includes(message) && failure!.includes(why), failure);
  },
);
