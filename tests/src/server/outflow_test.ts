import { Outflow, type ResponseInfo } from "../../../src/server/outflow.ts";
import { LARGE_BYTES, sized, SizedResponse } from "../../../src/server/sized_response.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const REQUEST = new Request("http://127.0.0.1/x");

/** A client, and what is sent to it: nothing of it arrives until `read` is called. */
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

Deno.test("Outflow refuses large pages while too much of others waits, for each client and for all", async () => {
  let now = 0;
  const outflow = new Outflow(() => now);
  const half = 10 * 1024 * 1024;
  const readers = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map((name) => new Reader(name));
  const statuses = [];
  for (const { info } of readers) {
    const response = await outflow.pass(page(half), REQUEST, info);
    statuses.push(response.status);
    await response.body?.cancel();
  }
  // The client of the first has its share, and the third takes what is left.
  assertEquals(statuses, [200, 503, 200, 503]);
  assertEquals(outflow.refused, 2);
  await readers[0]!.read();
  // What the kernel may still hold of it is written off after some seconds.
  now += 10_000;
  const again = await outflow.pass(page(half), REQUEST, new Reader("10.0.0.1").info);
  assertEquals(again.status, 200);
  await again.body?.cancel();
});

Deno.test("Outflow sends a large page as it is", async () => {
  const outflow = new Outflow();
  const reader = new Reader("10.0.0.1");
  const text = "ä".repeat(LARGE_BYTES);
  const response = await outflow.pass(
    sized(text, { status: 200, headers: { "content-type": "text/x" } }),
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

Deno.test("Outflow answers checks whatever waits", async () => {
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
  // With no body, there is nothing more that could wait.
  const response = await outflow.pass(verdict(), REQUEST, readers[0]!.info);
  assertEquals([response.status, response.body], [503, null]);
  for (const reader of readers) await reader.read();
  assert(!outflow.isExcessive);
});

Deno.test("Outflow changes nothing of most small responses, and finds out when they are not read", async () => {
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
