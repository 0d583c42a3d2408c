import { Networks } from "../../../src/net/networks.ts";
import { Refusals } from "../../../src/server/refusals.ts";
import { checkSpoolAccess } from "../../../src/server/spool_access.ts";
import { assertEquals } from "../../support/assert.ts";
import { RecordedLog } from "../../support/log.ts";

const TOKEN = "0123456789-._~+/abcdef==";

/** What is answered to who may not, and what is logged of it. */
async function answered(
  { token = null, clients = null, client = "10.0.0.1", url = "http://ha:3333", ...said }: {
    token?: string | null;
    clients?: string[] | null;
    client?: string;
    url?: string;
    authorization?: string;
    origin?: string;
    "sec-fetch-site"?: string;
  },
): Promise<{ answer: unknown[] | undefined; told: string[] }> {
  const recorded = new RecordedLog();
  const refusals = new Refusals(recorded.log);
  const request = new Request(`${url}/spool/web/0`, { method: "POST", headers: said });
  const access = { token, clients: clients === null ? null : new Networks(clients), refusals };
  const response = await checkSpoolAccess(request, client, access);
  assertEquals(refusals.counters, {
    targets: 0,
    clients: 0,
    spool_changes: response === undefined ? 0 : 1,
    large_pages: 0,
  });
  return {
    answer: response && [
      response.status,
      await response.text(),
      response.headers.get("www-authenticate"),
    ],
    told: recorded.lines,
  };
}

const LET_IN = { answer: undefined, told: [] };
const NO_TOKEN = {
  answer: [401, "Unauthorized", "Bearer"],
  told: ["WARNING refused 10.0.0.1: it does not have the remote_spool_token"],
};

Deno.test("without a token and without clients, everybody may change the spool", async () => {
  assertEquals(await answered({}), LET_IN);
  assertEquals(await answered({ authorization: "Bearer whatever" }), LET_IN);
});

Deno.test("where there is a token, who has it may change the spool, and nobody else", async () => {
  for (const authorization of [`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER   ${TOKEN}`]) {
    assertEquals(await answered({ token: TOKEN, authorization }), LET_IN);
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
    assertEquals(await answered({ token: TOKEN, ...given }), NO_TOKEN, authorization);
  }
});

Deno.test("where clients are listed, others may not change the spool, token or not", async () => {
  const clients = ["10.0.0.0/31", "2001:db8::/32"];
  for (const client of ["10.0.0.0", "10.0.0.1", "2001:db8::1"]) {
    assertEquals(await answered({ clients, client }), LET_IN);
    assertEquals(
      await answered({ clients, client, token: TOKEN, authorization: `Bearer ${TOKEN}` }),
      LET_IN,
    );
  }
  assertEquals(await answered({ clients, token: TOKEN }), NO_TOKEN);
  for (const client of ["10.0.0.2", "127.0.0.1", "::1", "2001:db9::1"]) {
    for (const authorization of [`Bearer ${TOKEN}`, "Bearer x"]) {
      assertEquals(await answered({ clients, client, token: TOKEN, authorization }), {
        answer: [403, "Forbidden", null],
        told: [`WARNING refused ${client}: remote_spool_clients does not list it`],
      });
    }
  }
});

Deno.test("a browser changes the spool for this daemon's own page alone, and only with the token", async () => {
  const refused = (why: string) => ({
    answer: [403, "Forbidden", null],
    told: [`WARNING refused 10.0.0.1: a browser sent it${why}`],
  });
  const authorization = `Bearer ${TOKEN}`;
  for (
    const [said, url] of [
      [{ origin: "http://ha:3333" }],
      [{ origin: "http://ha:3333", "sec-fetch-site": "same-origin" }],
      [{ "sec-fetch-site": "same-origin" }],
      [{ origin: "http://ha" }, "http://ha:80"],
      [{ origin: "https://ha:3333" }, "https://ha:3333"],
      [{ origin: "http://[::1]:3333" }, "http://[::1]:3333"],
    ] as const
  ) {
    const given = url === undefined ? said : { ...said, url };
    assertEquals(await answered({ ...given, token: TOKEN, authorization }), LET_IN);
    assertEquals(await answered({ ...given, token: TOKEN }), NO_TOKEN);
    // Who makes a name of theirs lead here has the browser believe that the page is theirs.
    assertEquals(await answered(given), refused(", and there is no remote_spool_token"));
  }
  for (
    const said of [
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
      const told = await answered({ ...said, token, authorization });
      assertEquals(told, refused(" for another site"), JSON.stringify(said));
    }
  }
  // What is no URL has no origin.
  assertEquals(
    await checkSpoolAccess(
      { url: "http://h a/spool/web/0", headers: new Headers({ origin: "http://h a" }) } as Request,
      "10.0.0.1",
      { clients: null, token: TOKEN, refusals: new Refusals(new RecordedLog().log) },
    ).then((response) => response?.status),
    403,
  );
});
