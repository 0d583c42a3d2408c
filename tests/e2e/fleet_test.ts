import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, type DaemonOptions, hactl, type Result, TempFolder } from "../support/programs.ts";
import { afterData, type Behaviour, FaultyServer, sending } from "../servers/faulty.ts";
import { ClosedPort } from "../servers/faulty.ts";
import { until } from "../servers/mod.ts";

/** The ports of each of five daemons: 200 in all. */
const PORTS = 40;

/** The timeout of hactl, in seconds. Daemons of a busy machine respond in this time, too. */
const TIMEOUT_S = 8;

/** Starts a daemon on {@linkcode PORTS} ports. */
async function manyPorts(options: DaemonOptions): Promise<{ daemon: Daemon; urls: string[] }> {
  const args = Array.from({ length: PORTS }, () => ["-p", "0"]).flat();
  const daemon = await Daemon.start({ ...options, args });
  const ports = () => [...daemon.log.matchAll(/listens on \S+ port (\d+)/g)];
  await until("it listens on all ports", () => ports().length === PORTS);
  return { daemon, urls: ports().map(([, port]) => `http://127.0.0.1:${port}`) };
}

const CHANGEABLE: DaemonOptions = {
  config: "allow_remote_spool_changes: true\n",
  allGrants: (spool) => [
    ...["--no-prompt", "--allow-net", `--allow-read=${spool}`, `--allow-write=${spool}`],
  ],
};

/** Runs the installed hactl on many daemons. */
async function onAll(urls: readonly string[], ...args: string[]): Promise<Result> {
  using folder = new TempFolder();
  const file = folder.write("hosts", urls.join("\n"));
  const more = [`--allow-read=${file}`];
  // Each call waits this long for the daemons that hang. The others have to respond on a busy machine, too.
  const all = [...args, "--timeout", `${TIMEOUT_S}s`, "--daemon-file", file];
  return await hactl(folder.path, all, {}, more);
}

const lines = (text: string) => text === "" ? [] : text.trimEnd().split("\n");

Deno.test("hactl asks 200 daemons at once, and names those that fail", async () => {
  const changeable = await manyPorts(CHANGEABLE);
  await using _changeable = changeable.daemon;
  const other = await manyPorts(CHANGEABLE);
  await using _other = other.daemon;
  const refusing = await manyPorts({});
  await using _refusing = refusing.daemon;
  const hanging = await manyPorts({});
  await using _hanging = hanging.daemon;
  // The ports of a stopped daemon could become those of another test.
  using closed = new DisposableStack();
  const stopped: { urls: string[] } = { urls: [] };
  for (let i = 0; i < PORTS; i++) {
    stopped.urls.push(`http://127.0.0.1:${closed.use(await ClosedPort.open()).port}`);
  }
  hanging.daemon.kill("SIGSTOP");

  const groups = [changeable, refusing, hanging, other, stopped];
  const all = groups.flatMap(({ urls }) => urls);
  const errors = (refusal: string | null) => [
    ...refusal === null ? [] : refusing.urls.map((url) => `hactl: ${url}: ${refusal}`),
    ...hanging.urls.map((url) => `hactl: ${url}: no response within ${TIMEOUT_S} s`),
    ...stopped.urls.map((url) => `hactl: ${url}: Connection refused (os error 111)`),
    `hactl: ${refusal === null ? 80 : 120} of 200 daemons failed`,
  ];
  const healthy = [...changeable.urls, ...other.urls];

  const down = await onAll(all, "down", "web", "-r", "maint");
  assertEquals(lines(down.stdout), healthy.map((url) => `${url}\tOK`));
  assertEquals(
    lines(down.stderr),
    errors("cannot write the record of web: 403 remote spool changes are not enabled"),
  );
  assertEquals(down.code, 1);

  const status = await onAll(all, "status", "web");
  assertEquals(
    lines(status.stdout),
    [changeable, refusing, other].flatMap(({ urls }, i) =>
      urls.map((url) => `${url}\t${i === 1 ? "UP\tweb" : "DOWN\tinf\tweb\tmaint"}`)
    ),
  );
  assertEquals(lines(status.stderr), errors(null));
  assertEquals(status.code, 1);

  // The exit status is 1 if a daemon fails, and if a service is down.
  const downed = await onAll(healthy, "status", "web");
  assertEquals([downed.code, downed.stderr], [1, ""]);
  const up = await onAll(healthy, "up", "web");
  assertEquals([up.code, lines(up.stdout).length, up.stderr], [0, 80, ""]);
  const upped = await onAll(healthy, "status", "web");
  assertEquals([upped.code, upped.stderr], [0, ""]);
  assertEquals(lines(upped.stdout), healthy.map((url) => `${url}\tUP\tweb`));
  const one = await onAll([...healthy, stopped.urls[0]!], "status", "web");
  assertEquals([one.code, lines(one.stdout).length], [1, 80]);
});

Deno.test("hactl asks all of 200 daemons before the first has responded", async () => {
  const count = 200;
  let arrived = 0;
  const waiting: (() => void)[] = [];
  const body = '{"seen_services": [["web", null]]}';
  const answer = sending(`HTTP/1.1 200 OK\r\n\r\n${body}`, (socket) => socket.end());
  // No daemon responds until all have been asked.
  const behaviour: Behaviour = afterData((socket) => {
    waiting.push(() => answer(socket));
    if (++arrived === count) { for (const go of waiting) go(); }
  });
  const servers = await Promise.all(
    Array.from({ length: count }, () => FaultyServer.start(behaviour)),
  );
  try {
    const urls = servers.map(({ port }) => `http://127.0.0.1:${port}`);
    assertEquals(await onAll(urls, "list"), {
      code: 0,
      stdout: urls.map((url) => `${url}\tweb last_response=null\n`).join(""),
      stderr: "",
    });
    assert(servers.every(({ accepted }) => accepted === 1), "each is asked once");
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
});
