import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import {
  PACKAGE,
  PACKAGE_PROGRAMS,
  packagePath,
  startService,
  stopService,
} from "../support/installed_package.ts";
import { run, TempFolder } from "../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../servers/certificates.ts";
import { parseStat, type StatRow } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";
import { DisposableSystem } from "../support/disposable_system.ts";

const EXAMPLES = new URL("../../deploy/haproxy/", import.meta.url).pathname;

/** The folder where the package installs the examples. */
const INSTALLED = "/usr/share/doc/hacheck/examples/haproxy";

/** The state and the last check of each server, as HAProxy reports them: `DOWN L7STS 503`. */
type Seen = Readonly<Record<string, string>>;

const UP = "UP L7OK 200";
const DOWN = "DOWN L7STS 503";

/**
 * A command of hactl, the servers of each example as HAProxy then reports them, and the reason that its
 * statistics and its log show for servers that are not up.
 */
type Step = readonly [
  hactl: string | null,
  seen: Readonly<Record<string, Seen>>,
  reason?: RegExp,
];

/** The servers of the examples that need no configuration, without any record. */
const FINE: Step[1] = {
  "send-state": { web1: UP, web2: UP },
  "short": { web1: UP, web2: UP },
  "by-host": { web1: UP, web2: UP, shop1: UP, shop2: UP },
  "gate": { web1: UP, web2: UP },
  "draining": { web1: UP, web2: UP },
  "databases": {
    // The configuration has no login for databases.
    db1: "DOWN L7STS 500",
    db2: "DOWN L7STS 500",
    redis1: UP,
    redis2: UP,
    mx1: DOWN,
    queue1: UP,
    queue2: UP,
  },
};

/** Gives all servers of some examples the same state. */
function all(seen: string, examples: Step[1]): Step[1] {
  const of = (servers: Seen) =>
    Object.fromEntries(Object.keys(servers).map((name) => [name, seen]));
  return Object.fromEntries(Object.entries(examples).map(([name, servers]) => [name, of(servers)]));
}

/** The steps of the examples that share a configuration. */
const STAGES: readonly (readonly Step[])[] = [
  [
    [null, FINE],
    ["down all -r maint", all(DOWN, FINE), /^Service all in down state since [\d.]+: maint$/],
    ["up all", FINE],
    ["drain all -r deploy", {
      ...all("DOWN L7STS 404", FINE),
      draining: { web1: "NOLB L7OKC 404", web2: "NOLB L7OKC 404" },
    }, /^Service all in drain state since [\d.]+: deploy$/],
  ],
  [
    [null, { agents: { web1: UP, web2: UP } }],
    ["down web -r maint", { agents: { web1: "MAINT", web2: "MAINT" } }],
    ["up web", { agents: { web1: UP, web2: UP } }],
    ["drain web -P 8081 -r deploy", { agents: { web1: UP, web2: `DRAIN L7OK 200` } }],
  ],
  [
    [null, { tls: { web1: UP, web2: UP } }],
    [
      "down web -P 8443 -r maint",
      { tls: { web1: DOWN, web2: UP } },
      /^Service web in down state since [\d.]+: maint$/,
    ],
  ],
];

serverTest("HAProxy accepts each example without a warning", ["haproxy", "openssl"], async () => {
  using folder = new TempFolder();
  const { certificate } = await Authority.create(folder, "ca");
  const names = [...Deno.readDirSync(EXAMPLES)].map(({ name }) => name.replace(/\.cfg$/, ""));
  const tried = STAGES.flatMap(([first]) => Object.keys(first![1]));
  assertEquals(names.toSorted(), tried.toSorted());
  for (const name of names) {
    // The file of certificates in the example does not exist on this host.
    const example = Deno.readTextFileSync(`${EXAMPLES}${name}.cfg`)
      .replaceAll("/etc/haproxy/ca.pem", certificate);
    const path = folder.write("haproxy.cfg", example);
    const { code, stdout, stderr } = await run("haproxy", ["-c", "-f", path], {
      PATH: "/usr/sbin:/usr/bin:/usr/local/sbin",
    });
    assertEquals({ code, stdout }, { code: 0, stdout: "Configuration file is valid\n" }, stderr);
    assert(!/WARNING|ALERT/.test(stderr), stderr);
  }
});

/** The services of the examples. The system has the addresses of all their hosts. */
const SERVICES = `
const fine = ({ headers, url }) => {
  const { pathname } = new URL(url);
  // If HAProxy sends no Host, hacheck sends the address.
  const knows = /^(?:www|shop)\\.example\\.org$|^127\\.0\\.0\\.1:/.test(headers.get("host"));
  return new Response("fine", { status: pathname === "/health" && knows ? 200 : 503 });
};
const options = { hostname: "0.0.0.0", onListen() {} };
for (const port of [8080, 8081]) Deno.serve({ ...options, port }, fine);
const [cert, key] = ["web.pem", "web.key"].map((name) => Deno.readTextFileSync("/mnt/" + name));
for (const port of [8443, 8444]) Deno.serve({ ...options, port, cert, key }, fine);
for (const port of [9001, 9002]) Deno.listen({ ...options, port });
const log = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 5514 });
for await (const [line] of log) Deno.writeFileSync("/tmp/haproxy.log", line, { append: true });
`;

/** Reads the statistics of each HAProxy. */
const ASK = `
const answers = await Promise.all(Deno.args.map(async (path) => {
  const connection = await Deno.connect({ transport: "unix", path });
  await connection.write(new TextEncoder().encode("show stat\\n"));
  return await new Response(connection.readable).text();
}));
console.log(JSON.stringify(answers));
`;

/** HAProxy processes in a disposable system, each with one of the installed examples. */
class Balancers {
  readonly #system: DisposableSystem;
  readonly #names: readonly string[];

  private constructor(system: DisposableSystem, names: readonly string[]) {
    this.#system = system;
    this.#names = names;
  }

  /** Starts one process for each example. They share the ports of their frontends. */
  static async start(system: DisposableSystem, names: readonly string[]): Promise<Balancers> {
    for (const name of names) {
      await system.sh(`
        mkdir -p /run/haproxy
        echo 'global' >/tmp/${name}.cfg
        echo '  stats socket /tmp/${name}.sock' >>/tmp/${name}.cfg
        echo '  log 127.0.0.1:5514 local0' >>/tmp/${name}.cfg
        haproxy -D -p /tmp/${name}.pid -f /tmp/${name}.cfg -f ${INSTALLED}/${name}.cfg 2>&1
      `);
    }
    return new Balancers(system, names);
  }

  /** Reads the state of each server, by example. */
  async seen(): Promise<Record<string, Seen>> {
    const servers = await this.#servers();
    return Object.fromEntries(this.#names.map((name) => [
      name,
      Object.fromEntries(servers[name]!.map(({ svname, status, check_status, check_code }) => {
        // `UP 1/2` is still up. A star stands for a check in flight.
        const [balanced] = status!.split(" ");
        return [svname, `${balanced} ${check_status!.replace("* ", "")} ${check_code}`.trim()];
      })),
    ]));
  }

  /** Reads the reasons that the statistics show for servers that are not up, without repetitions. */
  async reasons(): Promise<string[]> {
    const servers = Object.values(await this.#servers()).flat();
    return [
      ...new Set(
        servers.filter(({ status }) => !/^UP/.test(status!)).map(({ last_chk }) => last_chk!),
      ),
    ];
  }

  async #servers(): Promise<Record<string, StatRow[]>> {
    const sockets = this.#names.map((name) => `/tmp/${name}.sock`);
    const deno = ["/usr/local/bin/deno", "run", "--quiet", "--allow-all", "/mnt/ask.js"];
    const { code, stdout, stderr } = await this.#system.run(...deno, ...sockets);
    assertEquals(code, 0, stderr);
    const answers: string[] = JSON.parse(stdout);
    return Object.fromEntries(this.#names.map((name, i) => [
      name,
      parseStat(answers[i]!).filter(({ svname }) => svname !== "FRONTEND" && svname !== "BACKEND"),
    ]));
  }

  /** Reads the names of the servers that the log reports as down for a reason. */
  async logged(reason: RegExp): Promise<Set<string>> {
    const lines = (await this.#system.sh("cat /tmp/haproxy.log")).split("\n");
    return new Set(lines.flatMap((line) => {
      const [, server, info = ""] = /Server (\S+) is .*, info: "([^"]*)"/.exec(line) ?? [];
      return server !== undefined && reason.test(info) ? [server] : [];
    }));
  }

  /** Waits until the servers have the expected states. */
  async waitFor(expected: Readonly<Record<string, Seen>>, what: string): Promise<void> {
    await until(
      what,
      async () => {
        assertEquals(await this.seen(), expected);
        return true;
      },
      undefined,
      200,
    );
  }
}

async function examplesWork(): Promise<void> {
  using folder = new TempFolder();
  Deno.copyFileSync(await packagePath(), folder.file(PACKAGE));
  folder.write("services.js", SERVICES);
  folder.write("ask.js", ASK);
  const authority = await Authority.create(folder, "ca");
  await authority.issue("web", { for: "DNS:www.example.org" });
  await authority.issue("hacheck", { for: "DNS:hacheck.example.org" });
  await using system = await DisposableSystem.start(folder.path);
  await system.sh(`
    dpkg --install /mnt/${PACKAGE} >/dev/null 2>&1
    for host in 10.0.0.1 10.0.0.2; do ip address add $host/32 dev lo; done
    deno=/usr/local/bin/deno
    $deno run --quiet --unstable-net --allow-all /mnt/services.js >/dev/null 2>&1 </dev/null &
    redis-server --bind 127.0.0.1 --save '' >/dev/null 2>&1 </dev/null &
    cp /mnt/ca.pem /etc/haproxy/ca.pem
  `);

  for (const [[, examples], ...steps] of STAGES as [Step, ...Step[]][]) {
    const names = Object.keys(examples);
    // The head of an example has the configuration of hacheck that it needs.
    await system.sh(`
      cp /mnt/hacheck.pem /etc/hacheck/cert.pem
      cp /mnt/hacheck.key /etc/hacheck/key.pem
      cp /mnt/ca.pem /etc/hacheck/ca.pem
      # hacheck rejects an empty configuration.
      echo '# The examples need this.' >/etc/hacheck/hacheck.yaml
      sed -n 's/^#     //p' ${names.map((name) => `${INSTALLED}/${name}.cfg`).join(" ")} \\
        >>/etc/hacheck/hacheck.yaml
      chgrp hacheck /etc/hacheck/*
      chmod 640 /etc/hacheck/*
      rm -f /var/spool/hacheck/*
    `);
    await startService(system, "tls" in examples ? "https" : "http");
    const balancers = await Balancers.start(system, names);
    await balancers.waitFor(examples, `HAProxy has the states of ${names}`);
    for (const [hactl, seen, reason] of steps) {
      await system.sh(`hactl ${hactl}`);
      await balancers.waitFor(seen, `HAProxy has the states of ${names} after hactl ${hactl}`);
      if (reason === undefined) continue;
      // A check in progress has no reason.
      await until("the statistics show the reason of each example", async () => {
        const reasons = await balancers.reasons();
        assert(reasons.length > 0);
        for (const shown of reasons) assertMatch(shown, reason);
        return true;
      });
      await until("the log shows the reason of each example", async () => {
        const logged = await balancers.logged(reason);
        const servers = Object.values(seen).flatMap((servers) =>
          Object.entries(servers).filter(([, how]) => !how.startsWith("UP")).map(([name]) => name)
        );
        // A server that was down before is not logged again.
        const already = /^(?:db|mx)\d$/;
        const missing = servers.filter((name) =>
          !already.test(name) && ![...logged].some((server) => server.endsWith(`/${name}`))
        );
        assertEquals(missing, []);
        return true;
      });
    }
    await stopService(system);
  }
}

const EXAMPLES_WORK =
  "HAProxy reports services as up, down and draining by each example as it is installed";
const PROGRAMS = [...PACKAGE_PROGRAMS, ...CERTIFICATE_PROGRAMS, "haproxy", "redis-server"];
if (Deno.uid() === 0) serverTest(EXAMPLES_WORK, PROGRAMS, examplesWork);
else Deno.test({ name: `${EXAMPLES_WORK} (needs root)`, ignore: true, fn: examplesWork });
