import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Clients } from "../support/clients.ts";
import { Daemon, type DaemonOptions, run, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { ClosedPort, FaultyServer, silent } from "../servers/faulty.ts";
import { freePort, until } from "../servers/mod.ts";
import { DeferredService } from "../servers/deferred_service.ts";

const REREAD = "INFO the configuration was read again";

const REFUSED = "ERROR the configuration stays as it was: ";

const GAVE_UP = " (if that was granted at start, a restart is enough)";

/** On so many connections, each of three event loops is asked. */
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

  /** Starts it in a folder, where it may write its spool and its logs. */
  static async start(
    loops: number,
    content: (folder: TempFolder) => string,
    options: DaemonOptions = {},
  ): Promise<ReloadedDaemon> {
    const folder = new TempFolder();
    try {
      const config = folder.write("changing.yaml", content(folder));
      const logs = LOGS.map((name) => folder.file(name)).join();
      const daemon = await Daemon.start({
        ...options,
        args: ["-n", String(loops), "-c", config, ...options.args ?? []],
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
   * Gives it another configuration.
   *
   * @param content The configuration; null to take it away.
   * @returns What it logs on stderr until it has taken or refused it, without the times.
   */
  async reload(content: string | null): Promise<string[]> {
    if (content === null) Deno.removeSync(this.config);
    else Deno.writeTextFileSync(this.config, content);
    const before = this.daemon.log.length;
    let told: string[] = [];
    this.daemon.kill("SIGHUP");
    await until("it has read the configuration", () => {
      told = this.daemon.log.slice(before).split("\n").slice(0, -1)
        .map((line) => line.replace(/^\S+Z /, ""))
        // Lines are written in the background: those of other workers about earlier requests may come now.
        .filter((line) => !line.startsWith("WARNING refused"));
      return told.some((line) => line === REREAD || line.startsWith(REFUSED));
    });
    return told;
  }

  /** Asks a check by every event loop, and returns what all of them answer. */
  async askAll(path: string, headers: Record<string, string> = {}): Promise<string> {
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

/** What all say, or that they do not say the same. */
function unanimous(answers: readonly unknown[]): string {
  const different = [...new Set(answers.map(String))];
  return different.length === 1 ? different[0]! : `different things: ${different.join(", ")}`;
}

/** A web service that answers with some of what it was told, and counts its visitors. */
class TellingService implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** How often it was asked. */
  visits = 0;

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ headers }) => {
      this.visits++;
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

/** What a service is told by every event loop. */
async function toldByAll(reloaded: ReloadedDaemon): Promise<string> {
  await using service = new TellingService();
  return await reloaded.askAll(`/http/web/${service.port}/`, { "x-site": "a" });
}

/** A change of the configuration, and what shows which is in force. */
interface Change {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** Finds out what holds in every event loop. */
  readonly probe: (reloaded: ReloadedDaemon) => Promise<string>;
  /** What it finds before and after. */
  readonly found: readonly [before: string, after: string];
  /** What is logged of the configuration after the change. */
  readonly warning?: string;
}

const TOKEN = "0123456789abcdef";

/** What every event loop answers to who marks a service up. */
async function markedByAll({ daemon }: ReloadedDaemon): Promise<string> {
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
    probe: toldByAll,
    found: ["200 x-old=web", "200 x-new=web"],
  },
  {
    what: "http_headers_to_copy",
    before: "http_headers_to_copy: []\n",
    after: "http_headers_to_copy: [X-Site]\n",
    probe: toldByAll,
    found: ["200 ", "200 x-site=a"],
  },
  {
    what: "cache_time",
    before: "cache_time: 0\n",
    after: "cache_time: 60\n",
    probe: async (reloaded) => {
      await using service = new TellingService();
      for (let times = 0; times < ALL; times++) {
        await reloaded.daemon.get(`/http/web/${service.port}/`);
      }
      // Each event loop has a cache of its own.
      return service.visits <= 3 ? "reused" : service.visits === ALL ? "asked anew" : "both";
    },
    found: ["asked anew", "reused"],
  },
  {
    what: "max_clients",
    // One service, and one client, can hold half of them.
    before: "max_clients: 2\n",
    after: "max_clients: 6\n",
    probe: async ({ daemon }) => {
      await using service = await DeferredService.start();
      let answered = 0;
      const answers = Array.from({ length: 2 * ALL }, async (_, number) => {
        await daemon.get(`/http/web/${service.port}/${number}`);
        answered++;
      });
      let underWay: number[] = [];
      await until("all are under way or wait", async () => {
        const { event_loops } = JSON.parse((await daemon.get("/debug/runtime")).body);
        const sum = (key: string) =>
          event_loops.reduce((sum: number, loop: Record<string, number>) => sum + loop[key]!, 0);
        underWay = event_loops.map((loop: Record<string, number>) => loop.checks_under_way);
        return sum("checks_under_way") + sum("checks_queued") === answers.length;
      });
      await until("all are answered", () => {
        service.respond("fine");
        return answered === answers.length;
      });
      await Promise.all(answers);
      return unanimous(underWay);
    },
    found: ["1", "3"],
  },
  {
    what: "healthcheck_timeout",
    before: "healthcheck_timeout: 0.2\n",
    after: "healthcheck_timeout: 2\n",
    probe: async (reloaded) => {
      await using service = await FaultyServer.start(silent);
      const answers = await reloaded.askAll(`/http/web/${service.port}/`);
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
      return (await reloaded.askAll(`/mysql/web/${port.port}`))
        .replace(/\d\.\d+s/g, "…").replaceAll(`:${port.port}`, ":PORT");
    },
    found: [
      "500 No MySQL username/password in config file",
      "503 MySQL check failed after …: Connection refused (os error 111) at 127.0.0.1:PORT",
    ],
  },
  {
    what: "allow_remote_spool_changes",
    before: "allow_remote_spool_changes: true\nremote_spool_clients: [127.0.0.1]\n",
    after: "allow_remote_spool_changes: false\n",
    probe: markedByAll,
    found: ["200 ", "403 remote spool changes are not enabled"],
  },
  {
    what: "remote_spool_clients",
    before: "allow_remote_spool_changes: true\nremote_spool_clients: [192.0.2.1]\n",
    after: "allow_remote_spool_changes: true\nremote_spool_clients: [127.0.0.0/8]\n",
    probe: markedByAll,
    found: ["403 Forbidden", "200 "],
  },
  {
    what: "remote_spool_token",
    before: `allow_remote_spool_changes: true\nremote_spool_token: ${"a".repeat(16)}\n`,
    after: `allow_remote_spool_changes: true\nremote_spool_token: ${TOKEN}\n`,
    probe: markedByAll,
    found: ["401 Unauthorized", "200 "],
  },
  {
    what: "allowed_clients",
    before: "allowed_clients: [127.0.0.0/8]\n",
    after: "allowed_clients: [192.0.2.1]\n",
    probe: (reloaded) => reloaded.askAll("/spool/web/0"),
    found: ["200 ", "403 Forbidden"],
    warning: "WARNING hactl cannot connect to the daemon: allowed_clients does not list 127.0.0.1",
  },
  {
    what: "check_hosts",
    before: "check_hosts: [10.0.0.0/8]\n",
    after: "check_hosts: [224.0.0.0/4]\n",
    // Whatever is listed, nothing connects there.
    probe: (reloaded) => reloaded.askAll("/tcp/web/80", { "x-nerve-check-ip": "224.0.0.1" }),
    found: [
      "403 Not allowed to check 224.0.0.1: check_hosts does not list it",
      "403 Not allowed to check 224.0.0.1: no check_hosts allows it",
    ],
  },
  {
    what: "check_ports",
    before: "check_ports: [1]\n",
    after: "check_ports: [2-65535]\n",
    probe: (reloaded) => reloaded.askAll("/mysql/web/1"),
    found: [
      "500 No MySQL username/password in config file",
      "403 Not allowed to check port 1: check_ports does not list it",
    ],
  },
];

for (const loops of [1, 3]) {
  for (const { what, before, after, probe, found, warning } of CHANGES) {
    Deno.test(`SIGHUP with -n ${loops} puts another ${what} in force, and the old one again`, async () => {
      using folder = new TempFolder();
      await using reloaded = await ReloadedDaemon.start(loops, () => before, {
        spool: folder.path,
        grants: [`--allow-write=${folder.path}`],
      });
      assertEquals(await probe(reloaded), found[0]);
      for (const [content, expected] of [[after, found[1]], [before, found[0]]] as const) {
        const warned = content === after && warning !== undefined ? [warning] : [];
        const told = await reloaded.reload(content);
        assertEquals(told.filter((line) => !line.includes("refused")), [...warned, REREAD]);
        await until("it is in force", async () => await probe(reloaded) === expected);
      }
    });
  }

  Deno.test(`SIGHUP with -n ${loops} refuses what cannot be used, and tells why in one line`, async () => {
    const good = "service_name_header: X-Old\n";
    await using reloaded = await ReloadedDaemon.start(loops, () => good);
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
      assert(line!.startsWith(REFUSED), line);
      const told = line!.slice(REFUSED.length);
      if (typeof why === "string") assertEquals(told, why);
      else assertMatch(told, why);
      assertEquals(await toldByAll(reloaded), "200 x-old=web");
    }
    assertEquals(await reloaded.reload("service_name_header: X-New\n"), [REREAD]);
    await until("it is in force", async () => await toldByAll(reloaded) === "200 x-new=web");
  });

  Deno.test(`SIGHUP with -n ${loops} refuses a configuration that was cut off anywhere`, async () => {
    const closing = `check_ports: [1]
allowed_clients: [127.0.0.0/8]
allow_remote_spool_changes: true
remote_spool_clients: [192.0.2.1]
remote_spool_token: ${TOKEN}
`;
    using folder = new TempFolder();
    await using reloaded = await ReloadedDaemon.start(loops, () => closing, {
      spool: folder.path,
      grants: [`--allow-write=${folder.path}`],
    });
    const { config } = reloaded;
    const isClosed = async () => {
      assertEquals(
        await reloaded.askAll("/tcp/web/2"),
        "403 Not allowed to check port 2: check_ports does not list it",
      );
      assertMatch(await markedByAll(reloaded), /^403 /);
    };
    // Where nothing that it closed is missing, the cut is not seen, and does no harm.
    const harmless = closing.indexOf("allow_remote");
    for (let length = 0; length < closing.length; length++) {
      const [line] = await reloaded.reload(closing.slice(0, length));
      assert(line!.startsWith(length === harmless ? REREAD : REFUSED), `${length}: ${line}`);
      if (length === 0) {
        assertEquals(
          line,
          `${REFUSED}Cannot use configuration ${config}: it is empty: expected at least a comment`,
        );
      }
    }
    await isClosed();
    assertEquals(await reloaded.reload(`# all gone\n`), [
      `${REFUSED}check_ports, allowed_clients are missing or no longer restricts anything: ` +
      "a reload does not lift restrictions, a restart does",
    ]);
    await isClosed();
    assertEquals(await reloaded.reload(closing.replace("[1]", "[1, 3]")), [REREAD]);
    await until("it is in force", async () => await markedByAll(reloaded) === "403 Forbidden");
    await isClosed();
  });

  Deno.test(`SIGHUP with -n ${loops} warns of keys that mean nothing, once each`, async () => {
    await using reloaded = await ReloadedDaemon.start(loops, () => "# nothing\n");
    const { config } = reloaded;
    assertEquals(await reloaded.reload("cashe_time: 3\nservice_name_header: X-New\nport: 1\n"), [
      `WARNING unknown key cashe_time in ${config}`,
      `WARNING unknown key port in ${config}`,
      REREAD,
    ]);
    await until("the rest is in force", async () => await toldByAll(reloaded) === "200 x-new=web");
  });

  Deno.test(`SIGHUP with -n ${loops} makes the log go on elsewhere, and lets go of the old file`, async () => {
    const to = (path: string, format = "text") => `log_path: ${path}\nlog_format: ${format}\n`;
    await using reloaded = await ReloadedDaemon.start(
      loops,
      (folder) => to(folder.file("first.log")),
      { args: ["-v"], port: freePort() },
    );
    const { daemon } = reloaded;
    const [first, second] = LOGS.map((name) => reloaded.file(name)) as [string, string];
    const read = (log: string) => log === "stderr" ? daemon.log : Deno.readTextFileSync(log);
    let batches = 0;
    /** Asks every event loop, and tells which logs have all of that, and which have some. */
    const ask = async () => {
      const name = `/spool/batch-${batches++}/0`;
      await reloaded.askAll(name);
      return [first, second, "stderr"].flatMap((log) => {
        const lines = read(log).split(`${name} `).length - 1;
        return lines === 0 ? [] : [lines === ALL ? log : `${lines} lines in ${log}`];
      });
    };
    // The other is there, but nobody writes to it.
    Deno.writeTextFileSync(second, "");
    await until("all requests are logged there", async () => String(await ask()) === first);

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
      await until("it says so in the new log", () => read(log).slice(before).includes(marker));
      await until("all requests are told there", async () => String(await ask()) === log);
      await until("the old file is closed", async () => {
        const { stdout } = await run("find", [
          ...[`/proc/${daemon.pid}/fd`, "-lname", "*.log", "-printf", "%l\n"],
        ]);
        const open = new Set(stdout.split("\n").slice(0, -1));
        return String([...open]) === (log === "stderr" ? "" : log);
      });
    }
  });

  Deno.test(`what is under way at a SIGHUP with -n ${loops} is answered, even if SIGTERM follows`, async () => {
    await using service = await DeferredService.start();
    const start = "healthcheck_timeout: 60\nmax_clients: 100\n";
    await using reloaded = await ReloadedDaemon.start(loops, () => start);
    const { daemon } = reloaded;
    const asked: Promise<string>[] = [];
    for (const content of ["max_clients: 50\n", "max_clients: 100\n"]) {
      const name = asked.length;
      asked.push(reloaded.askAll(`/http/web/${service.port}/${name}`));
      // Each event loop asks once.
      await until("all have asked", async () => {
        const { body } = await daemon.get("/status/count");
        const { web } = JSON.parse(body).service_access_counts;
        return web?.["127.0.0.1"] === asked.length * ALL;
      });
      await until("they are under way", () => service.pending === asked.length * loops);
      assertEquals(await reloaded.reload(`${content}healthcheck_timeout: 60\n`), [REREAD]);
    }
    daemon.kill("SIGTERM");
    await daemon.logged(/stopping on SIGTERM/);
    service.respond("fine");
    for (const answers of asked) assertEquals(await answers, "200 fine");
    assertEquals((await daemon.ended()).code, 0);
  });

  Deno.test(`no answer is lost or wrong while the configuration is read again with -n ${loops}`, async () => {
    await using service = new TellingService();
    await using reloaded = await ReloadedDaemon.start(loops, () => "cache_time: 0\n");
    const { daemon } = reloaded;
    await using checks = new Clients(4, daemon, `/http/web/${service.port}/`, 200);
    daemon.writeRecord("down", "maint");
    await until("it is known", async () => {
      return (await reloaded.askAll("/spool/down/0")).startsWith("503 Service down");
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

Deno.test("SIGHUP changes nothing for a daemon without a configuration file", async () => {
  await using daemon = await Daemon.start();
  daemon.kill("SIGHUP");
  await daemon.logged(/INFO the configuration was read again\n$/);
  assertEquals(await daemon.get("/spool/web/0"), { status: 200, body: "" });
});
