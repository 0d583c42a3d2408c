import type { Entry } from "../../../src/spool/entry.ts";
import { Expirations } from "../../../src/spool/expirations.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";

const entry = (expiration: number | null): Entry => ({
  ...{ mode: "down", reason: "", expiration, creation: null },
});

Deno.test("Expirations reports each entry once, when it has expired", async () => {
  const clock = new TestClock();
  const expired: string[] = [];
  using expirations = new Expirations(
    (name) => expired.push(name),
    clock,
    () => clock.now() / 1000,
  );
  expirations.set("never", entry(null));
  expirations.set("late", entry(30));
  expirations.set("soon", entry(10));
  expirations.set("renewed", entry(10));
  expirations.set("removed", entry(10));
  await clock.advance(5000);
  expirations.set("renewed", entry(20));
  expirations.set("removed", undefined);
  await clock.advance(4999);
  assertEquals(expired, []);
  await clock.advance(10);
  assertEquals(expired, ["soon"]);
  await clock.advance(100_000);
  assertEquals(expired, ["soon", "renewed", "late"]);
  assertEquals(clock.pending, 0);
});

Deno.test("Expirations waits for days without a timer that is too long", async () => {
  const clock = new TestClock();
  const expired: string[] = [];
  using expirations = new Expirations(
    (name) => expired.push(name),
    clock,
    () => clock.now() / 1000,
  );
  const days = 60 * 86_400;
  expirations.set("web", entry(days));
  await clock.advance(days * 1000);
  assertEquals(expired, []);
  await clock.advance(1000);
  assertEquals(expired, ["web"]);
});
