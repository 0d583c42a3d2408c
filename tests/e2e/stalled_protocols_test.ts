import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { sendRaw } from "../support/raw_http.ts";
import { delay, stall, STALL_MS } from "../support/stalls.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../servers/certificates.ts";
import { afterData, FaultyServer, sending, silent } from "../servers/faulty.ts";
import { Gate, type Hold } from "../servers/gate.ts";
import { Grpc, GRPC_PROGRAMS } from "../servers/grpc.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../servers/mariadb.ts";
import { serverTest, until } from "../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../servers/nginx.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../servers/postgres.ts";
import { Redis, REDIS_PROGRAMS } from "../servers/redis.ts";

/** More pieces than a check or a request consists of. */
const MAX_PIECES = 20;

/** A response. */
interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A question that is asked through a gate. */
interface Row {
  readonly name: string;
  readonly gate: Gate;
  readonly ask: () => Promise<Answer>;
  /** The right status. */
  readonly expected: number;
}

/** A question that is being asked. */
interface Asked {
  readonly row: Row;
  readonly hold: Hold;
  readonly answer: Promise<Answer>;
  /** Whether its piece is held back; else it is answered already. */
  isHeld: boolean;
}

/** Asks all questions at once, and waits until each is answered or its piece is held back. */
function askAll(rows: readonly Row[], pieceOf: (row: Row) => number): Promise<Asked[]> {
  return Promise.all(rows.map(async (row) => {
    const hold = row.gate.hold(pieceOf(row));
    const asked: Asked = { row, hold, answer: row.ask(), isHeld: false };
    const reached = hold.reached.then(() => void (asked.isHeld = true));
    await Promise.race([reached, asked.answer]);
    return asked;
  }));
}

/** Sends the pieces that are held back. */
async function release(questions: readonly Asked[]): Promise<void> {
  await Promise.all(questions.map(({ isHeld, hold }) => isHeld ? hold.release() : undefined));
}

async function assertAnswers(questions: readonly Asked[], when: string): Promise<void> {
  for (const { row, answer } of questions) {
    const { status, body } = await answer;
    assertEquals(status, row.expected, `${row.name}, ${when}: ${body}`);
  }
}

/**
 * Stops a daemon before each piece of each question comes.
 *
 * @returns How many pieces each consists of, by the names of the rows.
 */
async function stallInEachPhase(
  daemon: Daemon,
  rows: readonly Row[],
): Promise<Map<string, number>> {
  let asked: Promise<Asked[]> | undefined;
  await stall(daemon, () => {
    asked = askAll(rows, () => MAX_PIECES);
  });
  await assertAnswers(await asked!, "stopped before the question");

  const pieces = new Map<string, number>();
  for (let piece = 0; pieces.size < rows.length; piece++) {
    assert(piece < MAX_PIECES);
    const questions = await askAll(rows.filter((row) => !pieces.has(row.name)), () => piece);
    await stall(daemon, () => release(questions));
    await assertAnswers(questions, `stopped before piece ${piece}`);
    for (const { row, isHeld } of questions) if (!isHeld) pieces.set(row.name, piece);
  }
  return pieces;
}

const SERVICES: Readonly<Record<string, () => Promise<AsyncDisposable & { port: number }>>> = {
  tcp: () => FaultyServer.start(silent),
  https: async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "ca");
    const { certificate, key } = await authority.issue("web", {});
    return await Nginx.start((address) =>
      `server {
      listen ${address} ssl;
      ssl_certificate ${certificate};
      ssl_certificate_key ${key};
      return 200 fine;
    }`
    );
  },
  redis: () => Redis.start(),
  smtp: () => FaultyServer.start(sending("220 a\r\n", afterData(sending("221 b\r\n")))),
  mysql: () => MariaDb.start(),
  postgres: () => Postgres.start("host template1 postgres all trust"),
  grpc: () => Grpc.start({ "": "SERVING" }),
  haproxy: () =>
    HAProxy.start((port) => `
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend page
    bind 127.0.0.1:${port}
    stats enable
    stats uri /
backend web
    server a 127.0.0.1:1
`),
};

const SERVICE_PROGRAMS = [
  ...[...NGINX_PROGRAMS, ...REDIS_PROGRAMS, ...MARIADB_PROGRAMS, ...POSTGRES_PROGRAMS],
  ...[...CERTIFICATE_PROGRAMS, ...GRPC_PROGRAMS, "haproxy"],
];

/** A daemon, and the questions that it is asked. */
interface Asking {
  readonly daemon: Daemon;
  readonly rows: readonly Row[];
}

/** Starts a daemon that checks services. Each has a gate of its own. */
async function startDaemon(
  stack: AsyncDisposableStack,
  services: ReadonlyMap<string, number>,
  timeout: number,
): Promise<Asking> {
  const daemon = stack.use(
    await Daemon.start({
      config: `healthcheck_timeout: ${timeout}
mysql_username: ${USER.username}
mysql_password: ${JSON.stringify(USER.password)}
postgres_username: postgres
postgres_database: template1
`,
    }),
  );
  const rows = [...services].map(([name, port]): Row => {
    const gate = stack.use(new Gate(port, "responses"));
    const path = `/${name}/web/${gate.port}/`;
    return { name, gate, ask: () => daemon.get(path, { pragma: "no-cache" }), expected: 200 };
  });
  // The first check of a protocol loads its code.
  await Promise.all(rows.map((row) => row.ask()));
  return { daemon, rows };
}

/** How long the daemon runs between two stalls, in milliseconds. */
const RUNS_MS = [0, 3, 8];

/**
 * Stops a daemon again and again over the end of checks, each of which got its last piece in time.
 *
 * @param asking The daemon, with a `healthcheck_timeout` of 2 s.
 * @param pieces How many pieces the response of each service consists of.
 * @param run How long the daemon runs between two stalls, in milliseconds.
 */
async function stallOverTheEnd(
  { daemon, rows }: Asking,
  pieces: ReadonlyMap<string, number>,
  run: number,
): Promise<void> {
  for (let attempts = 0; attempts < 10; attempts++) {
    const startedAt = performance.now();
    const until = (milliseconds: number) =>
      delay(Math.max(0, startedAt + milliseconds - performance.now()));
    const questions = await askAll(rows, ({ name }) => Math.max(0, pieces.get(name)! - 1));
    await until(1600);
    daemon.kill("SIGSTOP");
    await release(questions);
    const isInTime = performance.now() - startedAt < 1900;
    await until(2300);
    for (let stalls = 0; stalls < 2; stalls++) {
      daemon.kill("SIGCONT");
      await delay(run);
      daemon.kill("SIGSTOP");
      await delay(STALL_MS);
    }
    daemon.kill("SIGCONT");
    await Promise.all(questions.map(({ answer }) => answer));
    // On a busy machine the test itself may be late.
    if (isInTime) return await assertAnswers(questions, `run for ${run} ms between two stalls`);
  }
  throw new Error("the test was always late");
}

serverTest(
  "A daemon that stalls in any phase of a check, or repeatedly over its end, gives no wrong answer, by any protocol",
  SERVICE_PROGRAMS,
  async () => {
    await using stack = new AsyncDisposableStack();
    const services = new Map(
      await Promise.all(
        Object.entries(SERVICES).map(async ([name, start]) => {
          return [name, stack.use(await start()).port] as const;
        }),
      ),
    );
    services.set("redis-info", services.get("redis")!);
    const { daemon, rows } = await startDaemon(stack, services, 60);
    const pieces = await stallInEachPhase(daemon, rows);
    await Promise.all(
      RUNS_MS.map(async (run) =>
        stallOverTheEnd(await startDaemon(stack, services, 2), pieces, run)
      ),
    );
  },
);

serverTest(
  `A daemon that stalls ${STALL_MS} ms in any phase of a request gives no wrong answer, by any method and version of HTTP`,
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "ca");
    const { certificate, key } = await authority.issue("host", { for: "IP:127.0.0.1" });
    await using stack = new AsyncDisposableStack();
    const [plain, secure] = await Promise.all([
      Daemon.start(),
      Daemon.start({
        config: `tls_cert: ${certificate}\ntls_key: ${key}\n`,
        grants: [`--allow-read=${certificate},${key}`],
      }),
    ]);
    for (const daemon of [plain, secure]) {
      stack.use(daemon);
      daemon.writeRecord("down", "maint");
    }
    const caCerts = [Deno.readTextFileSync(authority.certificate)];
    const rowsOf = (
      name: string,
      daemon: Daemon,
      ask: (port: number, path: string) => Promise<Answer>,
    ) =>
      [["up", 200], ["down", 503]].map(([service, expected]): Row => {
        const gate = stack.use(new Gate(daemon.port, "requests"));
        const path = `/spool/${service}/0`;
        return {
          name: `${name} ${path}`,
          gate,
          ask: () => ask(gate.port, path),
          expected: Number(expected),
        };
      });
    const fetchBy =
      (scheme: "http" | "https", versions: { http1?: boolean; http2?: boolean }, method: string) =>
      async (port: number, path: string) => {
        // A new client makes a new connection.
        using client = Deno.createHttpClient({ caCerts, ...versions });
        const response = await fetch(`${scheme}://127.0.0.1:${port}${path}`, { client, method });
        return { status: response.status, body: await response.text() };
      };
    const METHODS = ["GET", "HEAD", "OPTIONS"];
    const rows = METHODS.flatMap((method) =>
      [
        rowsOf(`HTTP/1.0 ${method}`, plain, (port, path) =>
          sendRaw(port, `${method} ${path} HTTP/1.0\r\n\r\n`)),
        rowsOf(`HTTP/2 ${method}`, plain, fetchBy("http", { http1: false }, method)),
      ].flat()
    );
    const secureRows = METHODS.flatMap((method) =>
      [
        rowsOf(`HTTP/1.1 ${method} by TLS`, secure, fetchBy("https", { http2: false }, method)),
        rowsOf(`HTTP/2 ${method} by TLS`, secure, fetchBy("https", { http1: false }, method)),
      ].flat()
    );
    for (const row of [...rows, ...secureRows]) {
      await until(`${row.name} is known`, async () => (await row.ask()).status === row.expected);
    }
    await Promise.all([stallInEachPhase(plain, rows), stallInEachPhase(secure, secureRows)]);
  },
);
