import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Clients } from "../support/clients.ts";
import { Daemon, type DaemonOptions, run, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { ClosedPort, FaultyServer, silent } from "../servers/faulty.ts";
import { freePort, until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

const REREAD = "INFO the configuration was read again";

const REJECTED = "ERROR the configuration stays as it was: ";

const GAVE_UP = " (if that was granted at start, a restart is enough)";

/** With so many connections, each of three workers gets one. */
const ALL = 40;

/** A daemon whose configuration changes. */
class ReloadedDaemon implements AsyncDisposable {
  readonly #folder: TempFolder;

  /** The daemon. */
  readonly daemon: Daemon;
  /** The path of its configuration. */
  readonly config: string;

  private constructor(folder: TempFolder, daemon: Daemon) {
    this.#folder = folder;
    this.daemon = daemon;
    this.config = folder.file("changing.yaml");
  }

  /** Starts it with permission to write its logs. */
  static async start(
    workers: number,
    content: (folder: TempFolder) => string,
    options: DaemonOptions = {},
  ): Promise<ReloadedDaemon> {
    const folder = new TempFolder();
    try {
      const config = folder.write("changing.yaml", content(folder));
      const logs = LOGS.map((name) => folder.file(name)).join();
      const daemon = await Daemon.start({
        ...options,
        args: ["-n", String(workers), "-c", config, ...options.args ?? []],
        grants: [
          ...[...WORKER_GRANTS, `--allow-read=${config},${logs}`, `--allow-write=${logs}`],
          ...options.grants ?? [],
        ],
      });
      return new ReloadedDaemon(folder, daemon);
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  /** The path of a file beside the configuration. */
  file(name: string): string {
    return this.#folder.file(name);
  }

  /**
   * Replaces the configuration.
   *
   * @param content The configuration; null to remove the file.
   * @returns The lines that the daemon logs until it has accepted or rejected it, without their times.
   */
  async reload(content: string | null): Promise<string[]> {
    if (content === null) Deno.removeSync(this.config);
    else Deno.writeTextFileSync(this.config, content);
    const before = this.daemon.log.length;
    let lines: string[] = [];
    this.daemon.kill("SIGHUP");
    await until("it has read the configuration", () => {
      lines = this.daemon.log.slice(before).split("\n").slice(0, -1)
        .map((line) => line.replace(/^\S+Z /, ""))
        // Lines are written in the background: those of other workers about earlier requests may come now.
        .filter((line) => !line.startsWith("WARNING refused"));
      return lines.some((line) => line === REREAD || line.startsWith(REJECTED));
    });
    return lines;
  }

  /** Requests a check of every worker, and returns their response. */
  async requestAll(path: string, headers: Record<string, string> = {}): Promise<string> {
    const answers = await Promise.all(
      Array.from({ length: ALL }, () => this.daemon.get(path, headers)),
    );
    return unanimous(answers.map(({ status, body }) => `${status} ${body}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** The files beside the configuration that the daemon may log to. */
const LOGS = ["first.log", "second.log"];

/** The common value of all, or a list of the differing ones. */
function unanimous(answers: readonly unknown[]): string {
  const different = [...new Set(answers.map(String))];
  return different.length === 1 ? different[0]! : `different values: ${different.join(", ")}`;
}

/** A web service that returns some headers of the request, and counts requests. */
class EchoingService implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** The number of requests. */
  requests = 0;

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ headers }) => {
      this.requests++;
      const names = ["x-old", "x-new", "x-site"].filter((name) => headers.has(name));
      return new Response(names.map((name) => `${name}=${headers.get(name)}`).join());
    });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** The headers that every worker forwards to a service. */
async function forwardedByAll(reloaded: ReloadedDaemon): Promise<string> {
  await using service = new EchoingService();
  return await reloaded.requestAll(`/http/web/${service.port}/`, { "x-site": "a" });
}

/** A change of the configuration, and a probe for the one in force. */
interface Change {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** Returns the behaviour of all workers. */
  readonly probe: (reloaded: ReloadedDaemon) => Promise<string>;
  /** The behaviour before and after. */
  readonly found: readonly [before: string, after: string];
  /** The warning that the new configuration causes. */
  readonly warning?: string;
}

const TOKEN = "0123456789abcdef";

/** The response of every worker to a POST that ends a downtime. */
async function postToAll({ daemon }: ReloadedDaemon): Promise<string> {
  const answers = Array.from({ length: ALL }, async () => {
    const response = await fetch(daemon.url("/spool/web/0/status"), {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, connection: "close" },
      body: new URLSearchParams({ status: "up" }),
    });
    return `${response.status} ${await response.text()}`;
  });
  return unanimous(await Promise.all(answers));
}

const CHANGES: readonly Change[] = [
  {
    what: "service_name_header",
    before: "service_name_header: X-Old\n",
    after: "service_name_header: X-New\n",
    probe: forwardedByAll,
    found: ["200 x-old=web", "200 x-new=web"],
  },
  {
    what: "http_headers_to_copy",
    before: "http_headers_to_copy: []\n",
    after: "http_headers_to_copy: [X-Site]\n",
    probe: forwardedByAll,
    found: ["200 ", "200 x-site=a"],
  },
  {
    what: "cache_time",
    before: "cache_time: 0\n",
    after: "cache_time: 60\n",
    probe: async (reloaded) => {
      await using service = new EchoingService();
      for (let times = 0; times < ALL; times++) {
        await reloaded.daemon.get(`/http/web/${service.port}/`);
      }
      // Each worker has a cache of its own.
      return service.requests <= 3 ? "reused" : service.requests === ALL ? "checked again" : "both";
    },
    found: ["checked again", "reused"],
  },
  {
    what: "max_clients",
    // One service, and one client, can hold half of them.
    before: "max_clients: 2\n",
    after: "max_clients: 6\n",
    probe: async ({ daemon }) => {
      await using service = await DeferredService.start();
      const answers = Array.from(
        { length: 2 * ALL },
        (_, number) => daemon.get(`/http/web/${service.port}/${number}`),
      );
      let inFlight: number[] = [];
      await until("all checks are in flight or queued", async () => {
        const { event_loops } = JSON.parse((await daemon.get("/debug/runtime")).body);
        const sum = (key: string) =>
          event_loops.reduce(
            (sum: number, worker: Record<string, number>) => sum + worker[key]!,
            0,
          );
        inFlight = event_loops.map((worker: Record<string, number>) => worker.checks_under_way);
        return sum("checks_under_way") + sum("checks_queued") === answers.length;
      });
      service.respondToAll("fine");
      await Promise.all(answers);
      return unanimous(inFlight);
    },
    found: ["1", "3"],
  },
  {
    what: "healthcheck_timeout",
    before: "healthcheck_timeout: 0.2\n",
    after: "healthcheck_timeout: 2\n",
    probe: async (reloaded) => {
      await using service = await FaultyServer.start(silent);
      const answers = await reloaded.requestAll(`/http/web/${service.port}/`);
      const seconds = [...answers.matchAll(/failed after ([\d.]+)s: timed out/g)].map(([, text]) =>
        Number(text)
      );
      return unanimous(seconds.map((seconds) => seconds < 1.9 ? "short" : "long"));
    },
    found: ["short", "long"],
  },
  {
    what: "mysql_username and mysql_password",
    before: "# nothing\n",
    after: "mysql_username: checker\nmysql_password: secret\n",
    probe: async (reloaded) => {
      using port = await ClosedPort.open();
      return (await reloaded.requestAll(`/mysql/web/${port.port}`))
        .replace(/\d\.\d+s/g, "…").replaceAll(`:${port.port}`, ":PORT");
    },
    found: [
      "500 No MySQL username/password in config file",
      "503 MySQL check of 127.0.0.1:PORT failed after …: Connection refused (os error 111)",
    ],
  },
  {
    what: "allow_remote_spool_changes",
    before: "allow_remote_spool_changes: true\nremote_spool_clients: [127.0.0.1]\n",
    after: "allow_remote_spool_changes: false\n",
    probe: postToAll,
    found: ["200 ", "403 remote spool changes are not enabled"],
  },
  {
    what: "remote_spool_clients",
    before: "allow_remote_spool_changes: true\nremote_spool_clients: [192.0.2.1]\n",
    after: "allow_remote_spool_changes: true\nremote_spool_clients: [127.0.0.0/8]\n",
    probe: postToAll,
    found: ["403 Forbidden", "200 "],
  },
  {
    what: "remote_spool_token",
    before: `allow_remote_spool_changes: true\nremote_spool_token: ${"a".repeat(16)}\n`,
    after: `allow_remote_spool_changes: true\nremote_spool_token: ${TOKEN}\n`,
    probe: postToAll,
    found: ["401 Unauthorized", "200 "],
  },
  {
    what: "allowed_clients",
    before: "allowed_clients: [127.0.0.0/8]\n",
    after: "allowed_clients: [192.0.2.1]\n",
    probe: (reloaded) => reloaded.requestAll("/spool/web/0"),
    found: ["200 ", "403 Forbidden"],
    warning: "WARNING hactl cannot connect to the daemon: allowed_clients does not list 127.0.0.1",
  },
  {
    what: "check_hosts",
    before: "check_hosts: [10.0.0.0/8]\n",
    after: "check_hosts: [224.0.0.0/4]\n",
    // A multicast address is never connected to, even if it is listed.
    probe: (reloaded) => reloaded.requestAll("/tcp/web/80", { "x-nerve-check-ip": "224.0.0.1" }),
    found: [
      "403 Not allowed to check 224.0.0.1: check_hosts does not list it",
      "403 Not allowed to check 224.0.0.1: no check_hosts allows it",
    ],
  },
  {
    what: "check_ports",
    before: "check_ports: [1]\n",
    after: "check_ports: [2-65535]\n",
    probe: (reloaded) => reloaded.requestAll("/mysql/web/1"),
    found: [
      "500 No MySQL username/password in config file",
      "403 Not allowed to check port 1: check_ports does not list it",
    ],
  },
];

for (const workers of [1, 3]) {
  for (const { what, before, after, probe, found, warning } of CHANGES) {
    Deno.test(`SIGHUP with -n ${workers} applies a changed ${what}, and the old value again`, async () => {
      using folder = new TempFolder();
      await using reloaded = await ReloadedDaemon.start(workers, () => before, {
        spool: folder.path,
        grants: [`--allow-write=${folder.path}`],
      });
      assertEquals(await probe(reloaded), found[0]);
      for (const [content, expected] of [[after, found[1]], [before, found[0]]] as const) {
        const warned = content === after && warning !== undefined ? [warning] : [];
        const lines = await reloaded.reload(content);
        assertEquals(lines.filter((line) => !/refused| check of /.test(line)), [...warned, REREAD]);
        await until(
          "the configuration is in force",
          async () => await probe(reloaded) === expected,
        );
      }
    });
  }

  Deno.test(`SIGHUP with -n ${workers} rejects an invalid configuration, and logs why in one line`, async () => {
    const good = "service_name_header: X-Old\n";
    await using reloaded = await ReloadedDaemon.start(workers, () => good);
    const { config, daemon: { spool } } = reloaded;
    const foreign = reloaded.file("foreign");
    const cases: readonly [content: string | null, why: string | RegExp][] = [
      [
        "cache_time: soon\nservice_name_header: X-New\n",
        `Cannot use configuration ${config}: cache_time: expected a number of seconds from 0 to 86400: found "soon"`,
      ],
      [
        "max_clients: 0\nlog_format: xml\nservice_name_header: X-New\n",
        `Cannot use configuration ${config}: max_clients: expected a whole number from 1 to 10000: found 0; ` +
        `log_format: expected text or json: found "xml"`,
      ],
      ["a: [1\nb: 2\n", /^Cannot use configuration \S+: it is not YAML: .+$/],
      [
        "- service_name_header: X-New\n",
        `Cannot use configuration ${config}: expected keys and values: found a list`,
      ],
      [null, `Cannot read configuration ${config}: there is no such file`],
      [
        "allow_remote_spool_changes: true\nservice_name_header: X-New\n",
        `allow_remote_spool_changes needs --allow-write=${spool}${GAVE_UP}`,
      ],
      [
        "https_verify: true\nservice_name_header: X-New\n",
        "https_verify needs https_ca: a PEM file with the trusted authorities",
      ],
      [
        `https_verify: true\nhttps_ca: ${foreign}\nservice_name_header: X-New\n`,
        `https_ca needs --allow-read=${foreign}${GAVE_UP}`,
      ],
      [
        `log_path: ${foreign}\nservice_name_header: X-New\n`,
        `log_path needs --allow-read=${foreign} --allow-write=${foreign}${GAVE_UP}`,
      ],
    ];
    for (const [content, why] of cases) {
      const [line, ...others] = await reloaded.reload(content);
      assertEquals(others, []);
      assert(line!.startsWith(REJECTED), line);
      const found = line!.slice(REJECTED.length);
      if (typeof why === "string") assertEquals(found, why);
      else assertMatch(found, why);
      assertEquals(await forwardedByAll(reloaded), "200 x-old=web");
    }
    assertEquals(await reloaded.reload("service_name_header: X-New\n"), [REREAD]);
    await until(
      "the configuration is in force",
      async () => await forwardedByAll(reloaded) === "200 x-new=web",
    );
  });

  Deno.test(`SIGHUP with -n ${workers} rejects a truncated configuration`, async () => {
    const restricting = `check_ports: [1]
allowed_clients: [127.0.0.0/8]
allow_remote_spool_changes: true
remote_spool_clients: [192.0.2.1]
remote_spool_token: ${TOKEN}
`;
    using folder = new TempFolder();
    await using reloaded = await ReloadedDaemon.start(workers, () => restricting, {
      spool: folder.path,
      grants: [`--allow-write=${folder.path}`],
    });
    const { config } = reloaded;
    const isRestricted = async () => {
      assertEquals(
        await reloaded.requestAll("/tcp/web/2"),
        "403 Not allowed to check port 2: check_ports does not list it",
      );
      assertMatch(await postToAll(reloaded), /^403 /);
    };
    // A truncation between two lines that removes no restriction is not detected, and harmless.
    const harmless = restricting.indexOf("allow_remote");
    for (let length = 0; length < restricting.length; length++) {
      const [line] = await reloaded.reload(restricting.slice(0, length));
      assert(line!.startsWith(length === harmless ? REREAD : REJECTED), `${length}: ${line}`);
      if (length === 0) {
        assertEquals(
          line,
          `${REJECTED}Cannot use configuration ${config}: it is empty: expected at least a comment`,
        );
      }
    }
    await isRestricted();
    assertEquals(await reloaded.reload(`# nothing\n`), [
      `${REJECTED}check_ports, allowed_clients are missing or no longer restricts anything: ` +
      "a reload does not lift restrictions, a restart does",
    ]);
    await isRestricted();
    assertEquals(await reloaded.reload(restricting.replace("[1]", "[1, 3]")), [REREAD]);
    await until(
      "the configuration is in force",
      async () => await postToAll(reloaded) === "403 Forbidden",
    );
    await isRestricted();
  });

  Deno.test(`SIGHUP with -n ${workers} warns of each unknown key and each half-set pair once`, async () => {
    await using reloaded = await ReloadedDaemon.start(workers, () => "# nothing\n");
    const { config } = reloaded;
    const content = "cashe_time: 3\nservice_name_header: X-New\nport: 1\nmysql_password: a\n";
    assertEquals(await reloaded.reload(content), [
      `WARNING unknown key cashe_time in ${config}: did you mean cache_time?`,
      `WARNING unknown key port in ${config}`,
      "WARNING mysql_password has no effect without mysql_username",
      REREAD,
    ]);
    await until(
      "the other keys are in force",
      async () => await forwardedByAll(reloaded) === "200 x-new=web",
    );
  });

  Deno.test(`SIGHUP with -n ${workers} continues the log in another file, and closes the old one`, async () => {
    const to = (path: string, format = "text") => `log_path: ${path}\nlog_format: ${format}\n`;
    await using reloaded = await ReloadedDaemon.start(
      workers,
      (folder) => to(folder.file("first.log")),
      { args: ["-v"], port: freePort() },
    );
    const { daemon } = reloaded;
    const [first, second] = LOGS.map((name) => reloaded.file(name)) as [string, string];
    const read = (log: string) => log === "stderr" ? daemon.log : Deno.readTextFileSync(log);
    let batches = 0;
    /** Sends requests to every worker, and returns the logs that have all of them, or some. */
    const request = async () => {
      const name = `/spool/batch-${batches++}/0`;
      await reloaded.requestAll(name);
      return [first, second, "stderr"].flatMap((log) => {
        const lines = read(log).split(`${name} `).length - 1;
        return lines === 0 ? [] : [lines === ALL ? log : `${lines} lines in ${log}`];
      });
    };
    // The other file exists, but the daemon does not write to it.
    Deno.writeTextFileSync(second, "");
    await until("all requests are logged there", async () => String(await request()) === first);

    for (
      const [log, content, marker] of [
        [second, to(second, "json"), '"message":"the configuration was read again"'],
        ["stderr", to("stderr"), REREAD],
        [first, to(first), REREAD],
      ] as const
    ) {
      const before = read(log).length;
      Deno.writeTextFileSync(reloaded.config, content);
      daemon.kill("SIGHUP");
      await until("the new log reports the reload", () => read(log).slice(before).includes(marker));
      await until("all requests are logged there", async () => String(await request()) === log);
      await until("the old file is closed", async () => {
        const { stdout } = await run("find", [
          ...[`/proc/${daemon.pid}/fd`, "-lname", "*.log", "-printf", "%l\n"],
        ]);
        const open = new Set(stdout.split("\n").slice(0, -1));
        return String([...open]) === (log === "stderr" ? "" : log);
      });
    }
  });

  Deno.test(`requests in flight at a SIGHUP with -n ${workers} get their responses, even if SIGTERM follows`, async () => {
    await using service = await DeferredService.start();
    const start = "healthcheck_timeout: 60\nmax_clients: 100\n";
    await using reloaded = await ReloadedDaemon.start(workers, () => start);
    const { daemon } = reloaded;
    const responses: Promise<string>[] = [];
    for (const content of ["max_clients: 50\n", "max_clients: 100\n"]) {
      const name = responses.length;
      responses.push(reloaded.requestAll(`/http/web/${service.port}/${name}`));
      // Each worker checks once.
      await until("all requests are counted", async () => {
        const { body } = await daemon.get("/status/count");
        const { web } = JSON.parse(body).service_access_counts;
        return web?.["127.0.0.1"] === responses.length * ALL;
      });
      await until("the checks are in flight", () => service.pending === responses.length * workers);
      assertEquals(await reloaded.reload(`${content}healthcheck_timeout: 60\n`), [REREAD]);
    }
    daemon.kill("SIGTERM");
    await daemon.logged(/stopping on SIGTERM/);
    service.respond("fine");
    for (const response of responses) assertEquals(await response, "200 fine");
    assertEquals((await daemon.ended()).code, 0);
  });

  Deno.test(`no response is lost or wrong during reloads with -n ${workers}`, async () => {
    await using service = new EchoingService();
    await using reloaded = await ReloadedDaemon.start(workers, () => "cache_time: 0\n");
    const { daemon } = reloaded;
    await using checks = new Clients(4, daemon, `/http/web/${service.port}/`, 200);
    daemon.writeRecord("down", "maint");
    await until("the record is known", async () => {
      return (await reloaded.requestAll("/spool/down/0")).startsWith("503 Service down");
    });
    await using downs = new Clients(4, daemon, `/http/down/${service.port}/`, 503);
    for (let times = 1; times <= 30; times++) {
      assertEquals(await reloaded.reload(`cache_time: ${times % 2}\n`), [REREAD]);
      await checks.more(10);
      await downs.more(10);
    }
    assertEquals([checks.lost, checks.wrong, downs.lost, downs.wrong], [0, 0, 0, 0]);
  });
}

Deno.test("SIGHUP changes nothing in a daemon without a configuration file", async () => {
  await using daemon = await Daemon.start();
  daemon.kill("SIGHUP");
  await daemon.logged(/INFO the configuration was read again\n$/);
  assertEquals(await daemon.get("/spool/web/0"), { status: 200, body: "" });
});
