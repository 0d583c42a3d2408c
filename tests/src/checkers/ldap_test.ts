import { ldapChecker, type LdapCheckOptions } from "../../../src/checkers/ldap.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { ADMIN, Slapd, SLAPD_PROGRAMS } from "../../servers/slapd.ts";
import { longDeadline, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

const ANONYMOUS: LdapCheckOptions = { username: null, password: null };
const check = ldapChecker(ANONYMOUS);

/** Checks twenty times, and compares the verdicts. */
async function expectVerdict(
  options: LdapCheckOptions,
  port: number,
  expected: readonly [code: number, message: string, reason?: string],
): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    const { code, message, reason } = await ldapChecker(options)(requestTo(port), longDeadline());
    assertEquals([code, message, reason], [expected[0], expected[1], expected[2]]);
  }
  await until("no connection is open", async () => await connectionsTo(port) === 0);
}

const UP = [200, "LDAP connect response: OK"] as const;

serverTest("ldapChecker() binds to slapd, and reads its root DSE", SLAPD_PROGRAMS, async () => {
  await using server = await Slapd.start();
  await expectVerdict(ANONYMOUS, server.port, UP);
  await expectVerdict(ADMIN, server.port, UP);
  const wrong = { ...ADMIN, password: "wrong" };
  await expectVerdict(wrong, server.port, [500, "LDAP says invalidCredentials", "login"]);
  // A user without a password would be anonymous unnoticed.
  const none = { ...ADMIN, password: null };
  const unauthenticated = "unauthenticated bind (DN with no password) disallowed";
  await expectVerdict(none, server.port, [
    500,
    `LDAP says unwillingToPerform: ${unauthenticated}`,
    "unhealthy",
  ]);
  // Each check ends in good order.
  await until(
    "the server has logged all ends",
    () => server.log.match(/fd=\d+ closed/g)?.length === 80 + 1,
  );
  assertEquals(server.log.match(/ UNBIND$/gm)?.length, 40);
  await server.stop();
  const { code, reason } = await check(requestTo(server.port), longDeadline());
  assertEquals([code, reason], [503, "refused"]);
});

serverTest("ldapChecker() reports a slapd that requires a login", SLAPD_PROGRAMS, async () => {
  await using server = await Slapd.start("disallow bind_anon\nrequire authc");
  const refusal = "LDAP says inappropriateAuthentication: anonymous bind disallowed";
  await expectVerdict(ANONYMOUS, server.port, [500, refusal, "login"]);
  await expectVerdict(ADMIN, server.port, UP);
});

/** A response: its number, its tag, its result and a text. */
function response(id: number, tag: number, code: number, text = ""): string {
  const result = `\x0a\x01${String.fromCharCode(code)}\x04\0\x04${
    String.fromCharCode(text.length)
  }${text}`;
  const operation = String.fromCharCode(tag, result.length) + result;
  const message = `\x02\x01${String.fromCharCode(id)}${operation}`;
  return `\x30${String.fromCharCode(message.length)}${message}`;
}

const [BOUND, DONE] = [response(1, 0x61, 0), response(2, 0x65, 0)];
const NOT_LDAP = /: the server does not speak LDAP$/;

/** Servers and the verdicts for them. */
const SERVERS: readonly [name: string, behaviour: Behaviour, code: number, message: RegExp][] = [
  ["responds", afterData(sending(BOUND + DONE)), 200, /OK$/],
  ["sends a byte at a time", afterData(dripping(BOUND + DONE, 1)), 200, /OK$/],
  ["is busy", sending(response(1, 0x61, 51, "later")), 500, /^LDAP says busy: later$/],
  ["shuts down", sending(response(0, 0x78, 52, "bye")), 500, /^LDAP says unavailable: bye$/],
  ["has an unknown result", sending(response(1, 0x61, 99)), 500, /^LDAP says result 99$/],
  ["refuses the search", sending(BOUND + response(2, 0x65, 50)), 500, /insufficientAccessRights$/],
  ["closes after the login", sending(BOUND, closing), 503, /closed/],
  ["is another server", sending("220 mail.example ESMTP\r\n"), 503, NOT_LDAP],
  ["sends a long message", sending("\x30\x84\xff\xff\xff\xff"), 503, NOT_LDAP],
  ["sends a length of many bytes", sending("\x30\x89"), 503, NOT_LDAP],
  ["sends an empty message", sending("\x30\0"), 503, NOT_LDAP],
  ["sends elements beyond its message", sending("\x30\x03\x02\x7f\x01"), 503, NOT_LDAP],
  ["sends messages without an end", flooding(response(1, 0x64, 0)), 503, NOT_LDAP],
];

for (const [name, behaviour, expected, pattern] of SERVERS) {
  Deno.test(`ldapChecker() returns ${expected} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const { code, message } = await check(requestTo(server.port), longDeadline());
    assertEquals(code, expected, message);
    assertMatch(message, pattern);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

testAbsence(
  "ldapChecker()",
  check,
  /^LDAP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: Connection refused/,
  /^LDAP check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: /,
  {
    "accepts and sends nothing": silent,
    "sends a byte a second": dripping(BOUND, 1000),
  },
);
testFaults("ldapChecker()", check, () => [503]);
