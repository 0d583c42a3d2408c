import { newCounters } from "../../../src/metrics/counters.ts";
import { Networks } from "../../../src/net/networks.ts";
import { Refusals } from "../../../src/server/refusals.ts";
import { checkSpoolAccess } from "../../../src/server/spool_access.ts";
import { assertEquals } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";

const TOKEN = "0123456789-._~+/abcdef==";

/** Checks the access of a request. Returns the response to a refused client, and the log. */
async function access(
  { token = null, clients = null, client = "10.0.0.1", url = "http://ha:3333", ...headers }: {
    token?: string | null;
    clients?: string[] | null;
    client?: string;
    url?: string;
    authorization?: string;
    origin?: string;
    "sec-fetch-site"?: string;
  },
): Promise<{ refusal: unknown[] | undefined; log: string[] }> {
  const recorded = new RecordedLog();
  const refusals = new Refusals(recorded.log);
  const request = new Request(`${url}/spool/web/0`, { method: "POST", headers });
  const options = { token, clients: clients === null ? null : new Networks(clients), refusals };
  const response = await checkSpoolAccess(request, client, options);
  assertEquals(refusals.counters, {
    ...newCounters().refused,
    spool_changes: response === undefined ? 0 : 1,
  });
  return {
    refusal: response && [
      response.status,
      await response.text(),
      response.headers.get("www-authenticate"),
    ],
    log: recorded.lines,
  };
}

const ALLOWED = { refusal: undefined, log: [] };
const NO_TOKEN = {
  refusal: [401, "Unauthorized", "Bearer"],
  log: ["WARNING refused 10.0.0.1: it does not have the remote_spool_token"],
};

Deno.test("checkSpoolAccess() allows all clients without a token and without listed clients", async () => {
  assertEquals(await access({}), ALLOWED);
  assertEquals(await access({ authorization: "Bearer whatever" }), ALLOWED);
});

Deno.test("checkSpoolAccess() allows only clients with the token", async () => {
  for (const authorization of [`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER   ${TOKEN}`]) {
    assertEquals(await access({ token: TOKEN, authorization }), ALLOWED);
  }
  for (
    const authorization of [
      ...[undefined, "", "Bearer", "Bearer ", TOKEN, `Basic ${TOKEN}`, `Bearer${TOKEN}`],
      ...[`Bearer ${TOKEN}x`, `Bearer x${TOKEN}`, `Bearer ${TOKEN.slice(1)}`],
      ...[`Bearer ${TOKEN.slice(0, -1)}`, `Bearer ${TOKEN.toUpperCase()}`, `Bearer "${TOKEN}"`],
      ...[`Bearer ${TOKEN} ${TOKEN}`, `Bearer ${TOKEN}, Bearer ${TOKEN}`, `Bearer token=${TOKEN}`],
      ...["Bearer undefined", "Bearer null", `Bearer ${"x".repeat(30_000)}`, `Bearer ${TOKEN}\xe4`],
    ]
  ) {
    const given = authorization === undefined ? {} : { authorization };
    assertEquals(await access({ token: TOKEN, ...given }), NO_TOKEN, authorization);
  }
});

Deno.test("checkSpoolAccess() allows only listed clients, whatever their token is", async () => {
  const clients = ["10.0.0.0/31", "2001:db8::/32"];
  for (const client of ["10.0.0.0", "10.0.0.1", "2001:db8::1"]) {
    assertEquals(await access({ clients, client }), ALLOWED);
    assertEquals(
      await access({ clients, client, token: TOKEN, authorization: `Bearer ${TOKEN}` }),
      ALLOWED,
    );
  }
  assertEquals(await access({ clients, token: TOKEN }), NO_TOKEN);
  for (const client of ["10.0.0.2", "127.0.0.1", "::1", "2001:db9::1"]) {
    for (const authorization of [`Bearer ${TOKEN}`, "Bearer x"]) {
      assertEquals(await access({ clients, client, token: TOKEN, authorization }), {
        refusal: [403, "Forbidden", null],
        log: [`WARNING refused ${client}: remote_spool_clients does not list it`],
      });
    }
  }
});

Deno.test("checkSpoolAccess() allows a browser only for the daemon's own page, and with the token", async () => {
  const refused = (why: string) => ({
    refusal: [403, "Forbidden", null],
    log: [`WARNING refused 10.0.0.1: a browser sent it${why}`],
  });
  const authorization = `Bearer ${TOKEN}`;
  for (
    const [headers, url] of [
      [{ origin: "http://ha:3333" }],
      [{ origin: "http://ha:3333", "sec-fetch-site": "same-origin" }],
      [{ "sec-fetch-site": "same-origin" }],
      [{ origin: "http://ha" }, "http://ha:80"],
      [{ origin: "https://ha:3333" }, "https://ha:3333"],
      [{ origin: "http://[::1]:3333" }, "http://[::1]:3333"],
    ] as const
  ) {
    const given = url === undefined ? headers : { ...headers, url };
    assertEquals(await access({ ...given, token: TOKEN, authorization }), ALLOWED);
    assertEquals(await access({ ...given, token: TOKEN }), NO_TOKEN);
    // After DNS rebinding the browser takes another site's page for the daemon's.
    assertEquals(await access(given), refused(", and there is no remote_spool_token"));
  }
  for (
    const headers of [
      { origin: "http://example.org" },
      { origin: "http://ha:3334" },
      { origin: "http://ha" },
      { origin: "https://ha:3333" },
      { origin: "http://ha:3333.example.org" },
      { origin: "http://ha:3333/" },
      { origin: "null" },
      { origin: "" },
      { origin: "http://ha:3333", "sec-fetch-site": "cross-site" },
      { origin: "http://ha:3333", "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "none" },
      { "sec-fetch-site": "" },
    ]
  ) {
    for (const token of [null, TOKEN]) {
      const result = await access({ ...headers, token, authorization });
      assertEquals(result, refused(" for another site"), JSON.stringify(headers));
    }
  }
  // An invalid URL has no origin.
  assertEquals(
    await checkSpoolAccess(
      { url: "http://h a/spool/web/0", headers: new Headers({ origin: "http://h a" }) } as Request,
      "10.0.0.1",
      { clients: null, token: TOKEN, refusals: new Refusals(new RecordedLog().log) },
    ).then((response) => response?.status),
    403,
  );
});
