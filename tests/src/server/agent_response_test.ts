import { type AgentDown, agentResponse } from "../../../src/server/agent_response.ts";
import { SpoolIndex } from "../../../src/spool/index.ts";
import { parseDowntime, parseWeight } from "../../../src/spool/entry.ts";
import { assertEquals } from "../../support/assert.ts";

/** A spool of files, each with its content. */
function spoolOf(files: Record<string, string>): SpoolIndex {
  const index = new SpoolIndex(undefined, () => 100);
  for (const [name, content] of Object.entries(files)) {
    index.set(
      name,
      name.startsWith(".") ? parseWeight(content).record : parseDowntime(content).record,
    );
  }
  return index;
}

function respond(
  line: string,
  files: Record<string, string>,
  down: AgentDown = "maint",
): string {
  return agentResponse(line, spoolOf(files), down);
}

const DRAIN = '{"mode": "drain"}';

const STATES: readonly [files: Record<string, string>, maint: string, down: string][] = [
  [{}, "ready up 100%", "ready up 100%"],
  [{ web: "kernel update" }, "maint", "down #kernel update"],
  [{ web: "" }, "maint", "down"],
  [{ web: '{"reason": "a\\nready up\\u2028b"}' }, "maint", "down #a ready up b"],
  [{ web: `{"reason": "${"x".repeat(300)}"}` }, "maint", `down #${"x".repeat(200)}`],
  [{ web: DRAIN }, "drain", "drain"],
  [{ all: DRAIN, "web:8080": "why" }, "maint", "down #why"],
  [{ all: "everything" }, "maint", "down #everything"],
  [{ web: '{"expiration": 99}' }, "ready up 100%", "ready up 100%"],
  [{ api: "x", "web:8081": "x", "web:10.1.1.1:8080": "x" }, "ready up 100%", "ready up 100%"],
  [{ ".weight:web": '{"weight": 50}' }, "ready up 50%", "ready up 50%"],
  [{ ".weight:web": '{"weight": 0}' }, "ready up 0%", "ready up 0%"],
  [{ ".weight:web": '{"weight": 50, "expiration": 99}' }, "ready up 100%", "ready up 100%"],
  // After an invalid weight HAProxy keeps the weight that it had.
  [{ ".weight:web": "half" }, "ready up", "ready up"],
  [{ ".weight:web": '{"weight": 50}', web: "why" }, "maint", "down #why"],
  [{ ".weight:web": '{"weight": 50}', web: DRAIN }, "drain", "drain"],
];

Deno.test("agentResponse() returns the state of the service, and its weight if it is up", () => {
  for (const [files, maint, down] of STATES) {
    const shown = JSON.stringify(files);
    assertEquals(respond("web/8080", files, "maint"), maint, shown);
    assertEquals(respond("web/8080", files, "down"), down, shown);
  }
});

Deno.test("agentResponse() reads service/port, and a service without a port", () => {
  const files = { web: "x", "api:8080": DRAIN };
  const cases: [line: string, response: string][] = [
    ...["web", "web/", "web/0", "web/00000", "web/8080", " web/80\t\r"].map((
      line,
    ): [string, string] => [line, "maint"]),
    ...["api/8080", "api/08080"].map((line): [string, string] => [line, "drain"]),
    ...["api", "api/", "api/0", "api/8081", "w", ".web", "web-", "constructor"].map((
      line,
    ): [string, string] => [line, "ready up 100%"]),
  ];
  for (const [line, expected] of cases) {
    assertEquals(respond(line, files), expected, line);
  }
});

Deno.test("agentResponse() treats the service all as everything on the host", () => {
  assertEquals(respond("all", { web: "x" }), "ready up 100%");
  assertEquals(respond("all", { all: "x" }), "maint");
  assertEquals(respond("all", { all: DRAIN }), "drain");
  assertEquals(respond("all", { ".weight:all": '{"weight": 5}' }), "ready up 5%");
  assertEquals(respond("all", { all: "why" }, "down"), "down #why");
});

Deno.test("agentResponse() returns down in one line for a line that names no service", () => {
  const lines = [
    ...[
      "",
      " ",
      "/",
      "/8080",
      "web/x",
      "web/-1",
      "web/65536",
      "web/123456",
      "web/8080/",
      "web/80/x",
    ],
    ...["..", ".", "a b", "web:8080", "w\xe9b", "web\0", "a,b", "w".repeat(201), "a\tb"],
    ...["GET /spool/web/0 HTTP/1.1", "\x16\x03\x01"],
  ];
  for (const line of lines) {
    for (const down of ["maint", "down"] as const) {
      const response = respond(line, {}, down);
      assertEquals(
        // deno-lint-ignore no-control-regex
        /^down #Bad question: expected <service>\/<port>: received "[^\u0000-\u001f\u007f-\u009f]*"$/
          .test(response),
        true,
        `${JSON.stringify(line)}: ${response}`,
      );
    }
  }
  assertEquals(respond("x y".repeat(1000), {}).length < 300, true);
});
