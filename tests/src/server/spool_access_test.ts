import { Networks } from "../../../src/networks.ts";
import { Refusals } from "../../../src/refusals.ts";
import { refusedChange } from "../../../src/server/spool_access.ts";
import { assertEquals } from "../../assert.ts";
import { RecordedLog } from "../../log.ts";

const TOKEN = "0123456789-._~+/abcdef==";

/** What is answered to who may not, and what is logged of it. */
async function answered(
  { token = null, clients = null, client = "10.0.0.1", authorization }: {
    token?: string | null;
    clients?: string[] | null;
    client?: string;
    authorization?: string;
  },
): Promise<{ answer: unknown[] | undefined; told: string[] }> {
  const recorded = new RecordedLog();
  const refusals = new Refusals(recorded.log);
  const headers = new Headers(authorization === undefined ? {} : { authorization });
  const access = { token, clients: clients === null ? null : new Networks(clients), refusals };
  const response = await refusedChange(headers, client, access);
  assertEquals(refusals.counters, {
    targets: 0,
    clients: 0,
    spool_changes: response === undefined ? 0 : 1,
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
