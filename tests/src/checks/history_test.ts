import {
  type Change,
  type CheckChange,
  describe,
  FLAPPING_MS,
  History,
  MAX_CHANGES,
  MAX_LINES_PER_SECOND,
  recordChange,
} from "../../../src/checks/history.ts";
import type { DowntimeRecord } from "../../../src/spool/entry.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { TestClock } from "../../support/clock.ts";
import { RecordedLog } from "../../support/log.ts";

const RECORD: DowntimeRecord = {
  ...{ mode: "down", reason: "kernel", expiration: null, creation: 10, by: "alice" },
};

const CHECK: CheckChange = {
  ...{ kind: "check", at: 1000, service: "web", protocol: "tcp", host: "127.0.0.1", port: 80 },
  ...{ path: "/", from: "up", to: "down", code: 503, reason: "refused", message: "no" },
  ...{ address: "127.0.0.1:80", changes: 1 },
} as const;

function fixture(isShared = false) {
  const clock = new TestClock();
  const recorded = new RecordedLog();
  const history = new History(recorded.log, isShared, clock);
  const changes = () => history.changes(0, null).reverse();
  return { clock, history, changes, lines: recorded.lines };
}

/** The change of a record, which has to be one. */
function changed(
  ...args: Parameters<typeof recordChange>
): NonNullable<ReturnType<typeof recordChange>> {
  const change = recordChange(...args);
  assert(change !== undefined);
  return change;
}

Deno.test("recordChange() describes what changes, and nothing else", () => {
  const until = { ...RECORD, expiration: 50 };
  const weight = { weight: 50, reason: "", expiration: null, creation: null };
  const brief = (...args: Parameters<typeof recordChange>) => {
    const change = recordChange(...args);
    return change && [change.name, change.service, change.to, change.weight, change.why];
  };
  assertEquals(brief("web:80", undefined, RECORD, 20), ["web:80", "web", "down", null, null]);
  assertEquals(brief("web:80", RECORD, undefined, 20), ["web:80", "web", "up", null, "lifted"]);
  assertEquals(brief("web", RECORD, { ...RECORD, mode: "drain" }, 20), [
    ...["web", "web", "drain", null, null],
  ]);
  assertEquals(brief("web", until, undefined, 60), undefined, "it had expired");
  assertEquals(brief("web", until, RECORD, 60), ["web", "web", "down", null, null]);
  assertEquals(brief("web", RECORD, until, 60), ["web", "web", "up", null, "expired"]);
  assertEquals(brief("web", RECORD, { ...RECORD, creation: 11 }, 20), undefined);
  assertEquals(brief(".weight:web", undefined, weight, 20), ["web", "web", "weight", 50, null]);
  assertEquals(brief(".weight:web", weight, undefined, 20), [
    "web",
    "web",
    "weight",
    100,
    "lifted",
  ]);
});

Deno.test("History.add() logs who took what out, why, until when, and by what", () => {
  const { history, lines } = fixture();
  const until = { ...RECORD, expiration: 4_000_000_000 };
  history.add(changed("web:80", undefined, until, 20));
  history.add(changed("web:80", until, undefined, 20));
  history.add(describe("db", RECORD, "expired", 20)!);
  history.announce("all", "10.0.0.1");
  history.add(changed("all", undefined, { ...RECORD, mode: "drain", by: undefined! }, 20));
  history.announce("all", null);
  history.add(changed("all", RECORD, undefined, 20));
  const weight = { weight: 50, reason: "canary", expiration: null, creation: null, by: "bob" };
  history.add(changed(".weight:web", undefined, weight, 20));
  assertEquals(lines, [
    "INFO record web:80: down by alice until 2096-10-02T07:06:40.000Z: kernel (spool)",
    "INFO record web:80: removed (spool)",
    "INFO record db: expired (spool)",
    "INFO record all: drain: kernel (post from 10.0.0.1)",
    "INFO record all: removed (spool)",
    "INFO record web: weight 50% by bob: canary (spool)",
  ]);
});

Deno.test("History.add() logs from what to what a check changed, and why", () => {
  const { history, lines } = fixture();
  history.add({ ...CHECK, from: null });
  history.add({ ...CHECK, service: "db" });
  history[Symbol.dispose]();
  assertEquals(lines, [
    "INFO tcp check of web at 127.0.0.1:80: down (refused): no",
    "INFO tcp check of db at 127.0.0.1:80: up to down (refused): no",
  ]);
});

Deno.test("History.add() keeps one change of a flapping check every ten seconds, with their number", async () => {
  const { clock, history, changes, lines } = fixture();
  const up: CheckChange = { ...CHECK, from: "down", to: "up", reason: null, message: "ok" };
  for (const change of [CHECK, up, CHECK, up]) history.add(change);
  assertEquals(changes().length, 1);
  await clock.advance(FLAPPING_MS);
  const brief = () =>
    changes().map((change) => {
      const { from, to, changes } = change as CheckChange & Change;
      return [from, to, changes];
    });
  assertEquals(brief(), [["up", "down", 1], ["down", "up", 3]]);
  history.add(CHECK);
  history.add(up);
  await clock.advance(3 * FLAPPING_MS);
  assertEquals(brief().slice(2), [["up", "up", 2]]);
  history.add(CHECK);
  assertEquals(brief().slice(3), [["up", "down", 1]]);
  assertEquals(
    lines[1],
    "INFO tcp check of web at 127.0.0.1:80: down to up, 3 changes within 10 s: ok",
  );
  history[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});

Deno.test("History.add() keeps once what several workers report", async () => {
  const { clock, history, changes } = fixture(true);
  const both = (change: Parameters<typeof history.add>[0]) => {
    history.add(change);
    history.add({ ...change, at: change.at + 0.01 });
  };
  both(changed("web", undefined, RECORD, 20));
  both(changed("web", RECORD, undefined, 21));
  both(CHECK);
  assertEquals(changes().map(({ kind, to }) => [kind, to]), [
    ["record", "down"],
    ["record", "up"],
    ["check", "down"],
  ]);
  // The same again, by another record.
  both(changed("web", undefined, { ...RECORD, creation: 22 }, 22));
  assertEquals(changes().length, 4);
  await clock.advance(60_000);
  both(changed("web", undefined, RECORD, 80));
  assertEquals(changes().length, 5);
  history[Symbol.dispose]();
});

Deno.test("History.changes() returns the last MAX_CHANGES, newest first, of a service or of all", () => {
  const { history } = fixture();
  history.add(changed("all", undefined, RECORD, 20));
  history.add(changed("db", undefined, RECORD, 20));
  history.add(changed("web:80", undefined, RECORD, 20));
  const names = (after: number, service: string | null) =>
    history.changes(after, service).map(({ id, service }) => [id, service]);
  assertEquals(names(0, "web"), [[3, "web"], [1, "all"]]);
  assertEquals(names(1, null), [[3, "web"], [2, "db"]]);
  for (let i = 0; i < MAX_CHANGES; i++) history.add(changed(`s${i}`, undefined, RECORD, 20));
  assertEquals(history.changes(0, null).length, MAX_CHANGES);
  assertEquals(history.changes(0, null)[0]!.id, MAX_CHANGES + 3);
});

Deno.test("History.add() logs at most MAX_LINES_PER_SECOND lines a second, and counts the others", async () => {
  const { clock, history, lines } = fixture();
  const count = MAX_LINES_PER_SECOND + 5;
  for (let i = 0; i < count; i++) history.add(changed(`s${i}`, undefined, RECORD, 20));
  assertEquals(lines.length, MAX_LINES_PER_SECOND);
  await clock.advance(1000);
  history.add(changed("last", undefined, RECORD, 20));
  assertEquals(lines.slice(MAX_LINES_PER_SECOND), [
    "INFO 5 more changes were not logged",
    "INFO record last: down by alice: kernel (spool)",
  ]);
});
