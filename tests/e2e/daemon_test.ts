import { VERSION } from "../../src/runtime/version.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { commandOf } from "../support/forms.ts";
import {
  Daemon,
  RESPECTING_FILE_MODES,
  run,
  runDaemon,
  TempFolder,
  WORKER_GRANTS,
} from "../support/programs.ts";
import { RawConnection } from "../support/raw_http.ts";
import { afterRequest, FaultyServer, sending, silent } from "../servers/faulty.ts";
import { freePort, serverTest, until } from "../servers/mod.ts";

/** Waits until a daemon has ended. Fails if it does not end in time. */
async function endOf(daemon: Daemon): Promise<Deno.CommandStatus> {
  let status: Deno.CommandStatus | undefined;
  daemon.ended().then((ended) => status = ended);
  await until("the daemon has ended", () => status !== undefined);
  return status!;
}

/** Whether a port of 127.0.0.1 refuses connections. */
async function refuses(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}

/** The text of a file; empty for a missing one. */
function content(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

Deno.test("a daemon listens on every port that -p names", async () => {
  await using daemon = await Daemon.start({ args: ["-p", "0", "-p", "0", "--port=0"] });
  await daemon.logged(/(?:listens on .*\n[^]*){3}/);
  const ports = [...daemon.log.matchAll(/listens on 127\.0\.0\.1 port (\d+)/g)]
    .map(([, port]) => Number(port));
  assertEquals(new Set(ports).size, 3);
  for (const port of ports) {
    const response = await fetch(`http://127.0.0.1:${port}/spool/web/0`);
    assertEquals([response.status, await response.text()], [200, ""]);
  }
});

for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
  Deno.test(`on ${signal} a daemon accepts no connection, finishes the requests in flight, and exits 0`, async () => {
    let respond = () => {};
    await using service = await FaultyServer.start(afterRequest((socket) => {
      respond = () =>
        sending("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", (socket) => socket.end())(
          socket,
        );
    }));
    await using daemon = await Daemon.start();
    using idle = await RawConnection.open(daemon.port);
    const inFlight = daemon.get(`/http/web/${service.port}`);
    inFlight.catch(() => {});
    await until("the service is checked", () => service.received.endsWith("\r\n\r\n"));
    daemon.kill(signal);
    await until("connections are refused", () => refuses(daemon.port));
    respond();
    assertEquals(await inFlight, { status: 200, body: "fine" });
    assertEquals(await endOf(daemon), { success: true, code: 0, signal: null });
    assertStringIncludes(daemon.log, `INFO stopping on ${signal}\n`);
    assertEquals(await idle.readAll(), "");
  });
}

Deno.test("a stopping daemon waits for a hanging service as long as a check may take", async () => {
  await using service = await FaultyServer.start(silent);
  await using daemon = await Daemon.start({ config: "healthcheck_timeout: 1\n" });
  const inFlight = daemon.get(`/http/web/${service.port}`).catch(() => undefined);
  await until("the service is checked", () => service.accepted === 1);
  daemon.kill("SIGTERM");
  assertEquals((await endOf(daemon)).code, 0);
  // The deadline and the end coincide: there may be a response, or none.
  assert([503, undefined].includes((await inFlight)?.status));
});

Deno.test("a stopping daemon waits no longer for a client that does not finish its request", async () => {
  using spool = new TempFolder();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config:
      "healthcheck_timeout: 0.5\nallow_remote_spool_changes: true\nremote_spool_clients: [127.0.0.1]\n",
    grants: [`--allow-write=${spool.path}`],
  });
  using head = await RawConnection.open(daemon.port);
  await head.send("GET /spool/web/0 HTTP/1.1\r\nHost:");
  using form = await RawConnection.open(daemon.port);
  await form.send("POST /spool/web/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nstatus=");
  // After a response on another connection, the bytes sent before have been read.
  assertEquals((await daemon.get("/spool/web/0")).status, 200);
  daemon.kill("SIGTERM");
  assertEquals((await endOf(daemon)).code, 0);
  assertMatch(daemon.log, /^.* listens on .*\n.* stopping on SIGTERM\n$/);
});

Deno.test("a daemon waits for a slow form no longer than a check may take", async () => {
  using spool = new TempFolder();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: "healthcheck_timeout: 3\nallow_remote_spool_changes: true\n",
    grants: [`--allow-write=${spool.path}`],
  });
  const form = "status=down&reason=maint";
  const head = `POST /spool/web/0 HTTP/1.1\r\nHost: x\r\nContent-Length: ${form.length}\r\n\r\n`;
  using slow = await RawConnection.open(daemon.port);
  await slow.send(head + form.slice(0, 10));
  using late = await RawConnection.open(daemon.port);
  const response = late.readSome();
  let hasResponse = false;
  response.then(() => hasResponse = true);
  await late.send(head);
  await slow.send(form.slice(10));
  assertMatch(await slow.readSome(), /^HTTP\/1\.1 200 /);
  Deno.removeSync(`${spool.path}/web`);
  // One byte less than the whole form.
  for (let sent = 0; sent < form.length - 1 && !hasResponse; sent++) {
    await late.send(form[sent]!);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await until("the form gets a response", () => hasResponse);
  assertMatch(
    await response,
    /^HTTP\/1\.1 408 [^]*connection: close[^]*The form was not sent within 3 seconds$/,
  );
  assertEquals(content(`${spool.path}/web`), "");
});

/** The exit status and message of a daemon that does not start. */
interface Rejection {
  readonly args: readonly string[];
  readonly code: 1 | 2;
  readonly message: string;
}

const NUMBER = (what: string, least: number, most: number, received: string) =>
  `Bad ${what}: expected a number from ${least} to ${most}: received "${received}"`;

const WRONG_USAGE: readonly [args: string[], message: string][] = [
  [["web"], "Unexpected argument: web"],
  [["-p", "1", "--", "-v"], "Unexpected argument: -v"],
  [["-x"], "Unknown flag: -x"],
  [["--daemon"], "Unknown flag: --daemon"],
  [["-v1"], "Unknown flag: -v1"],
  [["-p"], "Flag -p needs a value"],
  [["-c", ""], "Flag -c needs a value"],
  [["--spool-root="], "Flag --spool-root needs a value"],
  [["--verbose=yes"], "Flag --verbose takes no value: received --verbose=yes"],
  [["-p", "http"], NUMBER("-p", 0, 65_535, "http")],
  [["-p", "65536"], NUMBER("-p", 0, 65_535, "65536")],
  [["-p", "1.5", "-p", "0"], NUMBER("-p", 0, 65_535, "1.5")],
  [["-A", "agent"], NUMBER("-A", 0, 65_535, "agent")],
  [["-A", "65536"], NUMBER("-A", 0, 65_535, "65536")],
  [["-A", "1", "-A", "agent"], NUMBER("-A", 0, 65_535, "agent")],
  [["-A", "3333"], "Bad -A: expected another port than those of -p: received 3333"],
  [
    ["-p", "1", "-p", "2", "-A", "2"],
    "Bad -A: expected another port than those of -p: received 2",
  ],
  [["-S", "yes"], "Unexpected argument: yes"],
  [["-n", "0"], NUMBER("-n", 1, 256, "0")],
  [["-n", "two"], NUMBER("-n", 1, 256, "two")],
  [["-n", "1", "-n", "0"], NUMBER("-n", 1, 256, "0")],
  [["--num-procs", "0"], NUMBER("-n", 1, 256, "0")],
  [["--conf", "a", "--bind", "b"], 'Bad -B: expected an IPv4 or IPv6 address: received "b"'],
  [["-B", "localhost"], 'Bad -B: expected an IPv4 or IPv6 address: received "localhost"'],
  [["-B", "0x7f.1"], 'Bad -B: expected an IPv4 or IPv6 address: received "0x7f.1"'],
  [["-B", "127.0.0.1:80"], 'Bad -B: expected an IPv4 or IPv6 address: received "127.0.0.1:80"'],
];

Deno.test("a daemon rejects an invalid command line or configuration in one line, and changes nothing", async () => {
  using folder = new TempFolder();
  for (const [args, message] of WRONG_USAGE) {
    // Without permissions, anything that it started would fail with another message.
    assertEquals(await runDaemon(args, ["--no-prompt"]), {
      code: 2,
      stdout: "",
      stderr: `hacheck: ${message}\n`,
    }, args.join(" "));
  }
  const port = freePort();
  const configurations: [content: string | Uint8Array | null, message: string][] = [
    [null, "Cannot read configuration FILE: there is no such file"],
    [Uint8Array.of(0xff), "Cannot read configuration FILE: it is not UTF-8"],
    ["", "Cannot use configuration FILE: it is empty: expected at least a comment"],
    [
      "log_path: LOG\nallowed_clients: [10.0.0.1]",
      "Cannot use configuration FILE: its last line has no line feed: " +
      "it was cut off, or needs a line feed at its end",
    ],
    ["- a\n", "Cannot use configuration FILE: expected keys and values: found a list"],
    [
      "log_path: LOG\na: 1\na: 2\n",
      "Cannot use configuration FILE: it is not YAML: Cannot store mapping pair: duplicated key at line 3, column 1",
    ],
    [
      `log_path: LOG\nagent_port: ${port}\n`,
      `Bad agent_port: expected another port than those of -p: received ${port}`,
    ],
    [
      "log_path: LOG\nmysql_password: [hunter2]\nmax_clients: 0\n",
      "Cannot use configuration FILE: max_clients: expected a whole number from 1 to 10000: found 0; " +
      "mysql_password: expected a string: found a list",
    ],
  ];
  const log = folder.file("log");
  for (const [i, [content, message]] of configurations.entries()) {
    const path = folder.file(`${i}.yaml`);
    if (typeof content === "string") Deno.writeTextFileSync(path, content.replace("LOG", log));
    else if (content !== null) Deno.writeFileSync(path, content);
    const grants = ["--no-prompt", `--allow-read=${folder.path}`, `--allow-write=${folder.path}`];
    assertEquals(
      await runDaemon(
        ["-c", path, "-p", String(port), "--spool-root", folder.file("spool")],
        [...grants, "--allow-net"],
      ),
      { code: 2, stdout: "", stderr: `hacheck: ${message.replace("FILE", path)}\n` },
    );
  }
  assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
    "1.yaml",
    "2.yaml",
    "3.yaml",
    "4.yaml",
    "5.yaml",
    "6.yaml",
    "7.yaml",
  ]);
});

Deno.test("a daemon that cannot start reports why in one line, and exits 1", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const file = folder.write("file", "");
  const none = folder.file("none");
  const configured = (name: string, config: string) => ["-c", folder.write(name, config)];
  using busy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = busy.addr as Deno.NetAddr;
  const on = (root: string) => ["-B", "127.0.0.1", "-p", "0", "--spool-root", root];
  const rejections: readonly Rejection[] = [
    {
      args: ["-B", "127.0.0.1", "-p", "0", "-p", String(port), "--spool-root", spool],
      code: 1,
      message: `Cannot listen on 127.0.0.1 port ${port}: Address already in use (os error 98)`,
    },
    ...["1", "2"].map((workers): Rejection => ({
      args: [...on(spool), "-A", String(port), "-n", workers],
      code: 1,
      message: `Cannot listen on 127.0.0.1 port ${port}: Address already in use (os error 98)`,
    })),
    {
      args: [...on(spool), ...configured("d", `agent_port: ${port}\n`)],
      code: 1,
      message: `Cannot listen on 127.0.0.1 port ${port}: Address already in use (os error 98)`,
    },
    {
      args: ["-B", "198.51.100.7", "-p", "0", "--spool-root", spool],
      code: 1,
      message:
        "Cannot listen on 198.51.100.7 port 0: Cannot assign requested address (os error 99)",
    },
    {
      args: on(none),
      code: 1,
      message:
        `Cannot read spool ${none}: there is no such folder: create it, readable for hacheck's user`,
    },
    { args: on(file), code: 1, message: `Cannot read spool ${file}: ${file} is not a folder` },
    {
      args: on("/var/spool/another"),
      code: 1,
      message: "hacheck needs --allow-read=/var/spool/another",
    },
    {
      args: [...on(`${spool}//`), ...configured("a", "allow_remote_spool_changes: true\n")],
      code: 1,
      message: `allow_remote_spool_changes needs --allow-write=${spool}`,
    },
    {
      args: [...on(spool), ...configured("b", `log_path: ${folder.file("log")}\n`)],
      code: 1,
      message: `log_path needs --allow-write=${folder.file("log")}`,
    },
  ];
  for (const { args, code, message } of rejections) {
    assertEquals(
      await runDaemon(args, [
        ...["--no-prompt", `--allow-read=${folder.path}`, "--allow-net"],
        ...args.includes("-n") ? WORKER_GRANTS : [],
      ]),
      {
        code,
        stdout: "",
        stderr: `hacheck: ${message}\n`,
      },
    );
  }
  assertEquals(
    await runDaemon(
      [...on(spool), ...configured("c", `log_path: ${folder.file("no/log")}\n`)],
      ["--no-prompt", `--allow-read=${folder.path}`, `--allow-write=${folder.path}`, "--allow-net"],
    ),
    {
      code: 1,
      stdout: "",
      stderr: `hacheck: Cannot open log_path ${folder.file("no/log")}: ` +
        `No such file or directory (os error 2): open '${folder.file("no/log")}'\n`,
    },
  );
});

Deno.test("a daemon without a needed permission names the flags", async () => {
  using folder = new TempFolder();
  const path = folder.write("hacheck.yaml", "# nothing\n");
  assertEquals(await runDaemon(["-c", path], ["--no-prompt"]), {
    code: 1,
    stdout: "",
    stderr: "hacheck: hacheck needs --allow-read=/var/spool/hacheck --allow-net=0.0.0.0:3333; " +
      `-c needs --allow-read=${path}\n`,
  });
});

serverTest("a daemon reports files that the system does not let it read", ["setpriv"], async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const config = folder.write("hacheck.yaml", "# nothing\n");
  const start = async () => {
    const [command, ...args] = [
      ...RESPECTING_FILE_MODES,
      ...commandOf("hacheck", { spool, grants: [`--allow-read=${config}`] }),
      ...["-B", "127.0.0.1", "-p", "0", "--spool-root", spool, "-c", config],
    ];
    const { code, stdout, stderr } = await run(command!, args, { NO_COLOR: "1" });
    return { code, stdout, stderr };
  };
  Deno.chmodSync(config, 0);
  assertEquals(await start(), {
    code: 2,
    stdout: "",
    stderr: `hacheck: Cannot read configuration ${config}: ` +
      `Permission denied (os error 13): readfile '${config}'\n`,
  });
  Deno.chmodSync(config, 0o600);
  Deno.chmodSync(spool, 0);
  const { code, stdout, stderr } = await start();
  assertEquals([code, stdout], [1, ""]);
  assertMatch(
    stderr,
    new RegExp(`^(?:.* WARNING .*\n)?hacheck: Cannot read spool ${spool}: Permission denied.*\n$`),
  );
});

Deno.test("a daemon with permission to write creates the spool with mode 0750", async () => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  await using _daemon = await Daemon.start({ spool, grants: [`--allow-write=${spool}`] });
  const { isDirectory, mode } = Deno.statSync(spool);
  assertEquals([isDirectory, (mode! & 0o777).toString(8)], [true, "750"]);
});

Deno.test("--help and --version print and exit 0, whatever else is given", async () => {
  assertEquals(await runDaemon(["--version"], ["--no-prompt"]), {
    code: 0,
    stdout: `hacheck ${VERSION}\n`,
    stderr: "",
  });
  for (const flag of ["--help", "-h"]) {
    const { code, stdout, stderr } = await runDaemon([flag, "-p", "0"], ["--no-prompt"]);
    assertEquals([code, stderr], [0, ""]);
    for (const line of ["hacheck [-c FILE] [-p PORT]", "default 3333", "/var/spool/hacheck"]) {
      assertStringIncludes(stdout, line);
    }
  }
});

Deno.test("a daemon warns of unknown keys, and starts", async () => {
  await using daemon = await Daemon.start({ config: "cashe_time: 3\nmysql_pasword: hunter2\n" });
  const [first, second] = daemon.log.split("\n");
  assertMatch(
    first!,
    /^\S+ WARNING unknown key cashe_time in \/\S+\/hacheck\.yaml: did you mean cache_time\?$/,
  );
  assertMatch(
    second!,
    /^\S+ WARNING unknown key mysql_pasword in \/\S+\/hacheck\.yaml: did you mean mysql_password\?$/,
  );
  assertEquals(daemon.log.includes("hunter2"), false);
});

Deno.test("a daemon logs to stderr, and logs requests only with -v", async () => {
  await using quiet = await Daemon.start();
  await using verbose = await Daemon.start({ args: ["-v"] });
  for (const daemon of [quiet, verbose]) {
    await daemon.get("/spool/web/0?x");
    await daemon.get("/gopher/web/0");
    const refused = await fetch(daemon.url("/spool/web/0"), { method: "POST" });
    assertEquals(
      [refused.status, await refused.text()],
      [403, "remote spool changes are not enabled"],
    );
    daemon.kill("SIGTERM");
    await endOf(daemon);
    await daemon.logged(/stopping/);
  }
  const start = `INFO hacheck ${VERSION} listens on 127\\.0\\.0\\.1 port PORT\n`;
  const stop = "INFO stopping on SIGTERM\n";
  const at = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `;
  const request = (line: string) => `DEBUG ${line} \\(127\\.0\\.0\\.1\\) \\d+\\.\\d\\dms\n`;
  const pattern = (daemon: Daemon, lines: string[]) =>
    new RegExp(
      `^${lines.map((line) => at + line).join("").replaceAll("PORT", String(daemon.port))}$`,
    );
  assertMatch(quiet.log, pattern(quiet, [start, stop]));
  assertMatch(
    verbose.log,
    pattern(verbose, [
      start,
      request("200 GET http://127\\.0\\.0\\.1:PORT/spool/web/0\\?x"),
      request("404 GET http://127\\.0\\.0\\.1:PORT/gopher/web/0"),
      request("403 POST http://127\\.0\\.0\\.1:PORT/spool/web/0"),
      stop,
    ]),
  );
});

Deno.test("a daemon with log_path: stdout writes nothing to stderr", async () => {
  using folder = new TempFolder();
  const errors = folder.file("stderr");
  await using daemon = await Daemon.start({
    config: "log_path: stdout\n",
    wrapper: ["sh", "-c", 'errors=$1; shift; exec "$@" 1>&2 2>"$errors"', "sh", errors],
  });
  daemon.kill("SIGTERM");
  await endOf(daemon);
  await daemon.logged(/INFO hacheck .*\n.*INFO stopping on SIGTERM\n$/);
  assertEquals(content(errors), "");
});

Deno.test("a daemon logs to a file, and opens a new one when the file is moved away", async () => {
  using folder = new TempFolder();
  const path = folder.write("log", "an older line\n");
  await using daemon = await Daemon.start({
    port: freePort(),
    args: ["-v"],
    config: `log_path: ${path}\n`,
    grants: [`--allow-read=${path}`, `--allow-write=${path}`],
  });
  const logged = async (page: string, file: string) => {
    await daemon.get(page);
    await until(`${page} is in ${file}`, () => content(file).includes(`${page} `));
  };
  await logged("/first", path);
  assert(content(path).startsWith("an older line\n"));

  Deno.renameSync(path, folder.file("log.1"));
  await logged("/second", path);
  assertEquals(content(folder.file("log.1")).includes("/second"), false);
  assertEquals((Deno.statSync(path).mode! & 0o777).toString(8), "640");

  Deno.removeSync(path);
  await logged("/third", path);

  // If no new file can be created, the log continues in the old one.
  Deno.renameSync(path, folder.file("log.2"));
  Deno.mkdirSync(path);
  await logged("/fourth", folder.file("log.2"));
  Deno.removeSync(path);
  await logged("/fifth", path);
  assertEquals(daemon.log, "");
});

Deno.test("a daemon that runs out of file descriptors serves again as soon as some are free", async () => {
  await using daemon = await Daemon.start({
    // Deno raises its soft limit to the hard one.
    wrapper: ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"],
  });
  const clients: RawConnection[] = [];
  try {
    const restarted = new RegExp(`ERROR serving port ${daemon.port} again: .*Too many open files`);
    await until("the listener has crashed and serves again", async () => {
      clients.push(await RawConnection.open(daemon.port));
      return restarted.test(daemon.log);
    });
    assert(clients.length < 60, `${clients.length} clients`);
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
  await until("the daemon responds", async () => (await daemon.get("/spool/web/0")).status === 200);
  daemon.writeRecord("web", "maint");
  await until("the daemon watches the spool", async () => {
    return (await daemon.get("/spool/web/0")).status === 503;
  });
  daemon.kill("SIGTERM");
  assertEquals((await endOf(daemon)).code, 0);
});
