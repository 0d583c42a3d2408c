import { smtpChecker } from "../../../src/checkers/smtp.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Postfix, POSTFIX_PROGRAMS } from "../../servers/postfix.ts";
import { longDeadline, requestTo, testAbsence, testFaults } from "./checker_contract.ts";

const checkSmtp = smtpChecker();

const UP = /^Connected in \d+\.\d\ds$/;
const CLOSED = /^Peer unexpectedly closed connection at 127\.0\.0\.1:\d+$/;
const TIMED_OUT = /^Connection timed out after \d+\.\d\ds at 127\.0\.0\.1:\d+$/;

const GREETING = "220 mail.example ESMTP\r\n";
const GOODBYE = "221 2.0.0 Bye\r\n";

/** A server that sends its greeting, and behaves like this after the first line. */
function greeted(then: Behaviour): Behaviour {
  return sending(GREETING, afterData(then, "\r\n"));
}

serverTest("smtpChecker() reads the greeting of Postfix, and quits", POSTFIX_PROGRAMS, async () => {
  await using postfix = await Postfix.start();
  for (let turn = 0; turn < 20; turn++) {
    const { code, message } = await checkSmtp(requestTo(postfix.port), longDeadline());
    assertEquals(code, 200, message);
    assertMatch(message, UP);
  }
  assertEquals(await connectionsTo(postfix.port), 0);
  await postfix.stop();
  const { code, message } = await checkSmtp(requestTo(postfix.port), longDeadline());
  assertEquals(code, 503);
  assertMatch(message, /^Unexpected error .*refused.* after \d+\.\d\ds$/);
});

Deno.test("smtpChecker() waits for the greeting, and sends only QUIT", async () => {
  await using server = await FaultyServer.start(greeted(sending(GOODBYE, closing)));
  const { code } = await checkSmtp(requestTo(server.port), longDeadline());
  assertEquals(code, 200);
  assertEquals(server.received, "QUIT\r\n");
});

/** Servers and the verdicts for them. */
const servers: readonly {
  name: string;
  behaviour: Behaviour;
  code?: number;
  message: RegExp;
}[] = [
  {
    name: "sends a greeting of several lines",
    behaviour: sending(
      "220-mail.example\r\n220-No spam\r\n220 go ahead\r\n",
      afterData(sending("221-Bye\r\n221 bye\r\n")),
    ),
    code: 200,
    message: UP,
  },
  {
    name: "sends a greeting without text",
    behaviour: sending("220\r\n", afterData(sending("221\r\n"))),
    code: 200,
    message: UP,
  },
  {
    name: "ends its lines without CR",
    behaviour: sending("220 hi\n", afterData(sending("221 bye\n"))),
    code: 200,
    message: UP,
  },
  {
    name: "sends a byte at a time",
    behaviour: dripping("220-a\r\n220 b\r\n", 0, afterData(dripping(GOODBYE, 0))),
    code: 200,
    message: UP,
  },
  {
    name: "sends both replies at once",
    behaviour: sending(GREETING + GOODBYE),
    code: 200,
    message: UP,
  },
  {
    name: "sends a refusal",
    behaviour: sending("554 5.3.2 No SMTP service here\r\n"),
    message: /^Got unexpected greeting "554 5\.3\.2 No SMTP service here" at 127\.0\.0\.1:\d+$/,
  },
  {
    name: "sends a refusal of several lines",
    behaviour: sending("421-Too busy\r\n421 try later\r\n", closing),
    message: /^Got unexpected greeting "421 try later" at 127\.0\.0\.1:\d+$/,
  },
  {
    name: "rejects QUIT",
    behaviour: greeted(sending("502 5.5.2 What?\r\n")),
    message: /^Got unexpected QUIT response "502 5\.5\.2 What\?" at 127\.0\.0\.1:\d+$/,
  },
  { name: "closes at once", behaviour: closing, message: /^Peer unexpectedly|reset/ },
  { name: "resets the connection", behaviour: resetting, message: /^Unexpected error .+ after/ },
  { name: "closes within its greeting", behaviour: sending("220 ma", closing), message: CLOSED },
  {
    name: "closes between the lines of its greeting",
    behaviour: sending("220-mail\r\n", closing),
    message: CLOSED,
  },
  { name: "closes on QUIT", behaviour: greeted(closing), message: CLOSED },
  {
    name: "resets on QUIT",
    behaviour: greeted(resetting),
    message: /^Unexpected error .*reset.* after \d+\.\d\ds$/,
  },
  {
    name: "is an SSH server",
    behaviour: sending("SSH-2.0-OpenSSH_9.2\r\n"),
    message: /^Got unexpected greeting "SSH-2\.0-OpenSSH_9\.2" at 127\.0\.0\.1:\d+$/,
  },
  {
    name: "sends control characters",
    behaviour: sending('\x1b[2J"\0\r\n'),
    message: /^Got unexpected greeting "\\u001b\[2J\\"\\u0000" at 127\.0\.0\.1:\d+$/,
  },
  {
    name: "has a long greeting",
    behaviour: sending(`500 ${"x".repeat(1000)}\r\n`),
    message: /^Got unexpected greeting "500 x{196}" at 127\.0\.0\.1:\d+$/,
  },
  {
    name: "sends an endless line",
    behaviour: flooding("220 "),
    message:
      /^Unexpected error a line is longer than 2048 bytes at 127\.0\.0\.1:\d+ after \d+\.\d\ds$/,
  },
  {
    name: "sends endless lines",
    behaviour: flooding("220-hello\r\n"),
    message:
      /^Unexpected error a reply of more than 100 lines at 127\.0\.0\.1:\d+ after \d+\.\d\ds$/,
  },
  {
    name: "sends endless zeros",
    behaviour: flooding("\0"),
    message: /^Unexpected error a line is longer than 2048 bytes at 127\.0\.0\.1:\d+ after/,
  },
];

for (const { name, behaviour, code = 503, message } of servers) {
  Deno.test(`smtpChecker() returns ${code} for a server that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const verdict = await checkSmtp(requestTo(server.port), longDeadline());
    assertEquals(verdict.code, code, verdict.message);
    assertMatch(verdict.message, message);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

Deno.test({
  name: "smtpChecker() explains that a silent server on port 465 expects TLS",
  // Only root can listen on a port below 1024.
  ignore: Deno.uid() !== 0,
  async fn() {
    // An address that no other test listens on.
    await using _server = await FaultyServer.start(silent, { host: "127.0.0.65", port: 465 });
    const request = requestTo(465, { host: "127.0.0.65" });
    const { code, message } = await checkSmtp(request, AbortSignal.timeout(300));
    assertEquals(code, 503);
    assertMatch(
      message,
      /^Connection timed out after \d\.\d\ds at 127\.0\.0\.65:465: no greeting came\. Servers on port 465 expect TLS first: check that port by smtps$/,
    );
  },
});

testAbsence(
  "smtpChecker()",
  smtpChecker(),
  /^Unexpected error .*refused.* after \d+\.\d\ds$/,
  TIMED_OUT,
  {
    "sends nothing": silent,
    "stops within its greeting": sending("220 ma"),
    "stops between the lines of its greeting": sending("220-mail\r\n"),
    "does not reply to QUIT": greeted(silent),
    "sends a byte a second": dripping(GREETING, 1000),
  },
);

testFaults("smtpChecker()", smtpChecker(), () => [503]);
