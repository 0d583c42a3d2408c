import { newCounters } from "../../../src/metrics/counters.ts";
import { Outflow, type ResponseInfo } from "../../../src/server/outflow.ts";
import { LARGE_BYTES, SizedResponse } from "../../../src/server/responses.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const REQUEST = new Request("http://127.0.0.1/x");

/** A client that reads its response when `read` is called. */
class Reader {
  readonly #completed = Promise.withResolvers<void>();
  readonly info: ResponseInfo;

  constructor(hostname: string) {
    this.info = { remoteAddr: { hostname }, completed: this.#completed.promise };
  }

  async read(): Promise<void> {
    this.#completed.resolve();
    await this.#completed.promise;
    await Promise.resolve();
  }
}

function page(bytes: number): Response {
  return new SizedResponse(new Uint8Array(bytes));
}

Deno.test("Outflow.pass() refuses large pages above the budget of all clients and of each", async () => {
  let now = 0;
  const counters = newCounters().refused;
  const outflow = new Outflow(counters, () => now);
  const half = 10 * 1024 * 1024;
  const readers = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map((name) => new Reader(name));
  const statuses = [];
  for (const { info } of readers) {
    const response = await outflow.pass(page(half), REQUEST, info);
    statuses.push(response.status);
    await response.body?.cancel();
  }
  // The first client has used its share, the second takes the rest.
  assertEquals(statuses, [200, 503, 200, 503]);
  assertEquals(counters.large_pages, 2);
  await readers[0]!.read();
  // The assumed bytes in the kernel decay in some seconds.
  now += 10_000;
  const again = await outflow.pass(page(half), REQUEST, new Reader("10.0.0.1").info);
  assertEquals(again.status, 200);
  await again.body?.cancel();
});

Deno.test("Outflow.pass() does not change the content of a large page", async () => {
  const outflow = new Outflow();
  const reader = new Reader("10.0.0.1");
  const text = "ä".repeat(LARGE_BYTES);
  const response = await outflow.pass(
    new SizedResponse(text, { status: 200, headers: { "content-type": "text/x" } }),
    REQUEST,
    reader.info,
  );
  assertEquals([...response.headers], [
    ["connection", "close"],
    ["content-length", String(2 * LARGE_BYTES)],
    ["content-type", "text/x"],
  ]);
  assertEquals(await response.text(), text);
  await reader.read();
});

Deno.test("Outflow.pass() sends responses to checks whatever waits", async () => {
  const outflow = new Outflow();
  const readers = [];
  const verdict = () =>
    new SizedResponse(new Uint8Array(64 * 1024), { status: 503, isCheck: true });
  let excesses = 0;
  outflow.onExcess = () => excesses++;
  for (let i = 0; i < 1000; i++) {
    const reader = new Reader("10.0.0.1");
    readers.push(reader);
    const response = await outflow.pass(verdict(), REQUEST, reader.info);
    assertEquals(response.status, 503);
    await response.body?.cancel();
  }
  assert(outflow.isExcessive && excesses > 0);
  // A response without a body cannot wait.
  const response = await outflow.pass(verdict(), REQUEST, readers[0]!.info);
  assertEquals([response.status, response.body], [503, null]);
  for (const reader of readers) await reader.read();
  assert(!outflow.isExcessive);
});

Deno.test("Outflow.pass() samples small responses, and detects clients that do not read", async () => {
  const outflow = new Outflow();
  const readers: Reader[] = [];
  let unchanged = 0;
  while (!outflow.isExcessive) {
    assert(readers.length < 10_000);
    const reader = new Reader("10.0.0.1");
    readers.push(reader);
    const response = new Response("fine");
    const passed = await outflow.pass(response, REQUEST, reader.info);
    if (passed === response) unchanged++;
    else assertEquals([await passed.text(), passed.headers.get("connection")], ["fine", "close"]);
  }
  assert(unchanged > 0.9 * readers.length, `${unchanged} of ${readers.length}`);
  for (const reader of readers) await reader.read();
  assert(!outflow.isExcessive);
});
