import { SpoolIndex } from "../../../src/spool/index.ts";
import type { SpoolRecord } from "../../../src/spool/record.ts";
import { assertEquals } from "../../assert.ts";

const LOCAL = "127.0.0.1";

function record(reason: string, expiration: number | null = null): SpoolRecord {
  return { reason, expiration, creation: null };
}

/** An index with records that tell their names as the reason, asked at a time that the test moves. */
function filled(
  expirations: Record<string, number | null>,
  isOwn: (address: string) => boolean = (address) => address === LOCAL,
): { index: SpoolIndex; clock: { now: number } } {
  const clock = { now: 100 };
  const index = new SpoolIndex(isOwn, () => clock.now);
  for (const [name, expiration] of Object.entries(expirations)) {
    index.set(name, record(name, expiration));
  }
  return { index, clock };
}

function found(index: SpoolIndex, service: string, port = 0, host = LOCAL): string | undefined {
  return index.find(service, port, host)?.name;
}

const NAMES = ["all", "web", "web:8080", "web:10.1.1.1:8080"];

Deno.test("all is asked before the service, it before its port, that before its port on a host", () => {
  // In which order the files were found does not matter.
  for (const names of [NAMES, [...NAMES].reverse()]) {
    const { index } = filled(Object.fromEntries(names.map((name) => [name, null])));
    for (const name of NAMES) {
      assertEquals(found(index, "web", 8080, "10.1.1.1"), name);
      index.delete(name);
    }
    assertEquals(found(index, "web", 8080, "10.1.1.1"), undefined);
    assertEquals([index.size, [...index.names]], [0, []]);
  }
});

Deno.test("What has expired counts as up at the time of asking, and the next is asked", () => {
  const { index, clock } = filled({
    "all": 110,
    "web": 120,
    "web:8080": 130,
    "web:10.1.1.1:8080": 140,
  });
  const ask = () => found(index, "web", 8080, "10.1.1.1");
  for (const [i, name] of NAMES.entries()) {
    clock.now = 110 + 10 * i;
    assertEquals(ask(), name, "at the second of its expiration a record is in force");
    clock.now += 0.5;
    assertEquals(ask(), NAMES[i + 1]);
  }
  // A clock that is set back makes it down again: nothing was forgotten.
  clock.now = 105;
  assertEquals(ask(), "all");
  assertEquals(index.size, 4);
});

Deno.test("A record speaks of its service, port and host alone", () => {
  const { index } = filled({
    "web": null,
    "api:8080": null,
    "db:10.1.1.1:3306": null,
    "db:2001:db8::1:3306": null,
    "all:8080": null,
  });
  const cases: readonly [service: string, port: number, host: string, name: string | undefined][] =
    [
      ["web", 0, LOCAL, "web"],
      ["web", 8080, LOCAL, "web"],
      ["web", 8080, "10.1.1.1", "web"],
      ["we", 0, LOCAL, undefined],
      ["web2", 0, LOCAL, undefined],
      ["api", 8080, LOCAL, "api:8080"],
      ["api", 8080, "10.1.1.1", "api:8080"],
      ["api", 8081, LOCAL, undefined],
      ["api", 0, LOCAL, undefined],
      ["db", 3306, "10.1.1.1", "db:10.1.1.1:3306"],
      ["db", 3306, "2001:db8::1", "db:2001:db8::1:3306"],
      ["db", 3306, "10.1.1.2", undefined],
      ["db", 3306, LOCAL, undefined],
      ["db", 3307, "10.1.1.1", undefined],
      ["db", 0, "10.1.1.1", undefined],
      ["all", 8080, LOCAL, "all:8080"],
      ["constructor", 0, LOCAL, undefined],
      ["__proto__", 0, LOCAL, undefined],
    ];
  for (const [service, port, host, name] of cases) {
    assertEquals(found(index, service, port, host), name, `${service} ${port} ${host}`);
  }
});

Deno.test("A host of this machine's own is meant by 127.0.0.1", () => {
  const { index } = filled(
    { "web:10.1.1.1:8080": null, "web:10.1.1.2:8080": null },
    (address) => address === "10.1.1.2",
  );
  assertEquals(found(index, "web", 8080, LOCAL), "web:10.1.1.2:8080");
  index.delete("web:10.1.1.2:8080");
  assertEquals(found(index, "web", 8080, LOCAL), undefined);
});

Deno.test("The verdict is 503 and the line, with the service's name without its port", () => {
  const index = new SpoolIndex();
  const maint = { reason: "maint", expiration: 4000000000.125, creation: 1435694078.778886 };
  const rest = " in down state since 1435694078.778886 until 4000000000.125000: maint";
  for (const [name, service] of [["all", "all"], ["web", "web"], ["web:8080", "web"]]) {
    index.set(name!, maint);
    assertEquals(index.find("web", 8080, LOCAL), {
      name: name!,
      record: maint,
      verdict: { code: 503, message: `Service ${service}${rest}` },
      ...name === "web:8080" ? { host: LOCAL } : {},
    });
    index.delete(name!);
  }
});

Deno.test("A record takes the place of the one of its name, and what is no record is passed over", () => {
  const { index } = filled({ "web:8080": null, "web": 50 });
  index.set("web:8080", record("anew"));
  index.set("web", record("whole", 200));
  index.set("all", record("everything", 50));
  for (const name of [".web", "web:0", "", ".."]) {
    index.set(name, record("no"));
    index.delete(name);
    assertEquals(index.has(name), false);
  }
  index.delete("api");
  assertEquals(index.size, 3);
  assertEquals([...index.names].sort(), ["all", "web", "web:8080"]);
  assertEquals(index.find("web", 8080, LOCAL)?.record, record("whole", 200));
  index.delete("web");
  assertEquals(index.find("web", 8080, LOCAL)?.record, record("anew"));
  index.delete("web:8080");
  index.delete("web:8080");
  assertEquals(found(index, "web", 8080), undefined);
  assertEquals([index.has("web:8080"), index.has("all"), index.size], [false, true, 1]);
});
