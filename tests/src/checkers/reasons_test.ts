import { ALL_UNVERIFIED } from "../../../src/net/tls_clients.ts";
/**
 * What every checker says of each way in which a service can fail: the reason, the address, and the phases.
 *
 * @module
 */

import { protocols } from "../../../src/checkers/mod.ts";
import { FAILURE_REASONS, type FailureReason, type Verdict } from "../../../src/checks/check.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { page } from "../../support/docs.ts";
import {
  afterData,
  type Behaviour,
  ClosedPort,
  closing,
  dripping,
  FaultyServer,
  flooding,
  FullPort,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

const LOGIN = { username: "checker", password: "secret" };

const PROTOCOLS = protocols({
  http: { serviceNameHeader: null },
  smtp: {},
  tls: ALL_UNVERIFIED,
  sendProxy: {},
  ldap: { username: null, password: null },
  mysql: LOGIN,
  // Scripted servers do not offer TLS.
  postgres: { ...LOGIN, database: "checker", mode: "off" },
  redis: { username: null, password: null },
  sentinel: { username: null, password: null },
});

/** The protocols that connect by TCP. That by UDP has tests of its own. */
const BY_TCP = [...PROTOCOLS.keys()].filter((name) => name !== "dns");

/** The first bytes that a TLS server sends to a client that does not speak TLS: an alert. */
const TLS_ALERT = "\x15\x03\x03\0\x02\x02\n";

/** The protocols with a TLS handshake. */
const SECURE = [
  "h2",
  "https",
  "grpcs",
  "rediss",
  "rediss-info",
  "sentinels",
  "sentinels-info",
  "smtps",
];

/** How long a check of a service that does not respond may take, in milliseconds. */
const TIMEOUT_MS = 300;

/** A service that fails, and the reasons of the protocols: that of most, and those of the others. */
interface Failure {
  readonly behaviour: Behaviour;
  readonly reason: FailureReason;
  readonly others?: Readonly<Record<string, FailureReason | "up">>;
}

/** The protocols that wait for the server to speak first. */
const GREETED = ["mysql", "smtp"] as const;

function each<T>(names: readonly string[], reason: T): Record<string, T> {
  return Object.fromEntries(names.map((name) => [name, reason]));
}

const FAILURES: Readonly<Record<string, Failure>> = {
  "accepts and sends nothing": {
    behaviour: silent,
    reason: "response_timeout",
    others: { tcp: "up", ...each(SECURE, "tls_timeout") },
  },
  "closes at once": {
    behaviour: closing,
    reason: "closed",
    others: { tcp: "up", ...each(SECURE, "tls") },
  },
  "receives data and resets": {
    behaviour: afterData(resetting),
    reason: "reset",
    others: { tcp: "up", ...each(GREETED, "response_timeout"), ...each(SECURE, "tls") },
  },
  "receives data and closes": {
    behaviour: afterData(closing),
    reason: "closed",
    others: { tcp: "up", ...each(GREETED, "response_timeout"), ...each(SECURE, "tls") },
  },
  "is an SSH server": {
    behaviour: sending("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    reason: "protocol",
    others: { tcp: "up", ...each(SECURE, "tls") },
  },
  "is a TLS server": {
    behaviour: sending(TLS_ALERT, closing),
    reason: "tls",
    others: {
      tcp: "up",
      mysql: "protocol",
      postgres: "protocol",
      smtp: "protocol",
      ldap: "protocol",
      memcached: "protocol",
      grpc: "closed",
      h2c: "closed",
    },
  },
  "sends zeros without an end": {
    behaviour: flooding("\0"),
    reason: "protocol",
    others: { tcp: "up", ...each(SECURE, "tls") },
  },
  "sends a byte a second": {
    behaviour: dripping("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1000),
    reason: "response_timeout",
    others: { tcp: "up", ...each(SECURE, "tls") },
  },
};

/** Asserts that the phases of a check are there, up to that in which it ended, and that none is negative. */
function assertPhases({ phases }: Verdict, elapsedMs: number, hint: string): void {
  assert(phases !== undefined, hint);
  const { connect, tls = 0, first_byte = 0, rest = 0 } = phases;
  const parts = [connect, tls, first_byte, rest];
  assert(parts.every((part) => part >= 0), `${hint}: ${parts}`);
  const sum = parts.reduce((sum, part) => sum + part, 0);
  // The check also loads modules, and the test measures from outside.
  assert(sum <= elapsedMs, `${hint}: the phases take ${sum} ms of ${elapsedMs}`);
}

/** The queries of protocols that reject others. */
const QUERIES: Readonly<Record<string, string>> = {
  mysql: "read_only=OFF",
  postgres: "role=primary",
};

/** Runs a check, and asserts what every failure has. */
async function failureOf(name: string, port: number, signal: AbortSignal): Promise<Verdict> {
  const start = performance.now();
  const path = `/match?${QUERIES[name] ?? "a=b"}`;
  const verdict = await PROTOCOLS.get(name)!.check(requestTo(port, { path }), signal);
  assertPhases(verdict, performance.now() - start, name);
  if (verdict.reason === undefined) return verdict;
  assertStringIncludes(verdict.message, `127.0.0.1:${port}`, name);
  return verdict;
}

for (const [what, { behaviour, reason, others = {} }] of Object.entries(FAILURES)) {
  Deno.test(`every protocol names the reason of a server that ${what}`, async () => {
    for (const name of BY_TCP) {
      await using server = await FaultyServer.start(behaviour);
      const expected = others[name] ?? reason;
      const isTimeout = expected.endsWith("_timeout");
      const signal = isTimeout ? AbortSignal.timeout(TIMEOUT_MS) : longDeadline();
      const verdict = await failureOf(name, server.port, signal);
      assertEquals([name, verdict.reason ?? "up", verdict.message], [
        name,
        expected,
        verdict.message,
      ]);
      if (!isTimeout) continue;
      const { connect, tls = 0, first_byte = 0, rest = 0 } = verdict.phases!;
      const waited = expected === "tls_timeout" ? tls : first_byte + rest;
      assert(waited > connect, `${name}: the time is that of the phase that timed out`);
    }
  });
}

Deno.test("every protocol names the reason of a closed port", async () => {
  using closed = await ClosedPort.open();
  for (const name of BY_TCP) {
    const { reason, phases } = await failureOf(name, closed.port, longDeadline());
    assertEquals([name, reason, Object.keys(phases!)], [name, "refused", ["connect"]]);
  }
});

Deno.test("every protocol names the reason of a port that accepts no connection", async () => {
  using full = await FullPort.open();
  for (const name of BY_TCP) {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const { reason, phases } = await failureOf(name, full.port, signal);
    assertEquals([name, reason, Object.keys(phases!)], [name, "connect_timeout", ["connect"]]);
  }
});

Deno.test("docs/checks.md has every reason, with its meaning", () => {
  const rows = page("checks.md").split("\n").filter((line) => /^\| `\w+` +\|/.test(line))
    .map((line) => line.split("|").slice(1, 3).map((cell) => cell.trim()));
  for (const [reason, meaning] of Object.entries(FAILURE_REASONS)) {
    assertEquals(
      rows.filter(([name, text]) => name === `\`${reason}\`` && text === meaning).length,
      1,
    );
  }
});
