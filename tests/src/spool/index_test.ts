import { SpoolIndex } from "../../../src/spool/index.ts";
import type { DowntimeRecord, Mode, WeightRecord } from "../../../src/spool/entry.ts";
import { assertEquals } from "../../support/assert.ts";

const LOCAL = "127.0.0.1";

function record(reason: string, expiration: number | null = null): DowntimeRecord {
  return { mode: "down", reason, expiration, creation: null };
}

/** An index of records with their names as the reason, and a clock that the test sets. */
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

Deno.test("SpoolIndex.find() finds all before the service, its port, and its port on a host", () => {
  // The order in which they were added does not matter.
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

Deno.test("SpoolIndex.find() passes over records that have expired at the time of the call", () => {
  const { index, clock } = filled({
    "all": 110,
    "web": 120,
    "web:8080": 130,
    "web:10.1.1.1:8080": 140,
  });
  const ask = () => found(index, "web", 8080, "10.1.1.1");
  for (const [i, name] of NAMES.entries()) {
    clock.now = 110 + 10 * i;
    assertEquals(ask(), name, "a record is active at its expiration");
    clock.now += 0.5;
    assertEquals(ask(), NAMES[i + 1]);
  }
  // A clock that is set back makes it down again.
  clock.now = 105;
  assertEquals(ask(), "all");
  assertEquals(index.size, 4);
});

Deno.test("SpoolIndex.find() finds records of the same service, port and host only", () => {
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

Deno.test("SpoolIndex.find() takes 127.0.0.1 for each address of this machine", () => {
  const { index } = filled(
    { "web:10.1.1.1:8080": null, "web:10.1.1.2:8080": null },
    (address) => address === "10.1.1.2",
  );
  assertEquals(found(index, "web", 8080, LOCAL), "web:10.1.1.2:8080");
  index.delete("web:10.1.1.2:8080");
  assertEquals(found(index, "web", 8080, LOCAL), undefined);
});

Deno.test("SpoolIndex.find() returns 503 and a line with the service's name without its port", () => {
  const index = new SpoolIndex();
  const maint: DowntimeRecord = {
    mode: "down",
    reason: "maint",
    expiration: 4000000000.125,
    creation: 1435694078.778886,
  };
  const rest = " in down state since 1435694078.778886 until 4000000000.125000: maint";
  for (const [name, service] of [["all", "all"], ["web", "web"], ["web:8080", "web"]]) {
    index.set(name!, maint);
    assertEquals(index.find("web", 8080, LOCAL), {
      name: name!,
      record: maint,
      verdict: { code: 503, message: `Service ${service}${rest}` },
      service: service!,
      port: name === "web:8080" ? 8080 : 0,
      host: LOCAL,
    });
    index.delete(name!);
  }
});

Deno.test("SpoolIndex.find() finds the record of port 0 for checks without a port only", () => {
  const index = new SpoolIndex();
  index.set("web:0", record("none"));
  assertEquals(index.find("web", 0, LOCAL)?.record, record("none"));
  assertEquals(index.find("web", 8080, LOCAL), undefined);
  index.set("web", record("whole"));
  assertEquals(index.find("web", 0, LOCAL)?.record, record("whole"));
  index.delete("web");
  assertEquals(index.find("web", 0, LOCAL)?.record, record("none"));
  index.delete("web:0");
  assertEquals([index.find("web", 0, LOCAL), index.size], [undefined, 0]);
});

Deno.test("SpoolIndex.set() replaces the record of the same name, and ignores invalid names", () => {
  const { index } = filled({ "web:8080": null, "web": 50 });
  index.set("web:8080", record("anew"));
  index.set("web", record("whole", 200));
  index.set("all", record("everything", 50));
  for (const name of [".web", "web:65536", "", ".."]) {
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

/** An index of records with these modes, and with their names as the reason. */
function modes(records: Record<string, Mode>): SpoolIndex {
  const index = new SpoolIndex();
  for (const [name, mode] of Object.entries(records)) index.set(name, { ...record(name), mode });
  return index;
}

Deno.test("SpoolIndex.find() returns 404 and a line with the state for a service that drains", () => {
  const index = modes({ web: "drain" });
  assertEquals(index.find("web", 8080, LOCAL)?.verdict, {
    code: 404,
    message: "Service web in drain state: web",
  });
});

Deno.test("SpoolIndex.find() prefers a record that is down to one that drains", () => {
  const cases: readonly [records: Record<string, Mode>, name: string][] = [
    [{ all: "drain", web: "down" }, "web"],
    [{ all: "down", web: "drain" }, "all"],
    [{ all: "drain", "web:8080": "down" }, "web:8080"],
    [{ web: "drain", "web:10.1.1.1:8080": "down" }, "web:10.1.1.1:8080"],
    [{ "web:8080": "drain", "web:10.1.1.1:8080": "down" }, "web:10.1.1.1:8080"],
    [{ "web:8080": "down", "web:10.1.1.1:8080": "drain" }, "web:8080"],
    // If all drain, it is the first.
    [{ all: "drain", web: "drain" }, "all"],
    [{ web: "drain", "web:8080": "drain" }, "web"],
    [{ "web:10.1.1.1:8080": "drain" }, "web:10.1.1.1:8080"],
    // Records of other services and ports do not matter.
    [{ all: "drain", api: "down", "web:8081": "down" }, "all"],
  ];
  for (const [records, name] of cases) {
    assertEquals(found(modes(records), "web", 8080, "10.1.1.1"), name, JSON.stringify(records));
  }
});

Deno.test("SpoolIndex.find() finds a record that drains after one that is down has expired", () => {
  const { index, clock } = filled({ web: 110 });
  index.set("all", { ...record("all"), mode: "drain" });
  assertEquals(found(index, "web"), "web");
  clock.now = 111;
  assertEquals(found(index, "web"), "all");
});

function weight(weight: number | null, expiration: number | null = null): WeightRecord {
  return { weight, reason: "canary", expiration, creation: null };
}

Deno.test("SpoolIndex.weight() returns the narrowest weight, and 100 if there is none", () => {
  const { index, clock } = filled({}, (address) => address === LOCAL || address === "10.1.1.2");
  const ask = (host = "10.1.1.1") => index.weight("web", 8080, host);
  assertEquals(ask(), 100);
  const files: readonly [name: string, weight: number][] = [
    [".weight:all", 10],
    [".weight:web", 20],
    [".weight:web:8080", 30],
    [".weight:web:10.1.1.1:8080", 40],
  ];
  for (const [name, percent] of files) {
    index.set(name, weight(percent, percent === 40 ? 110 : null));
    assertEquals(ask(), percent);
  }
  assertEquals([index.weight("web", 0, LOCAL), index.weight("api", 8080, LOCAL)], [20, 10]);
  assertEquals([index.weight("web", 8081, LOCAL), ask("10.1.1.3")], [20, 30]);
  clock.now = 111;
  assertEquals(ask(), 30, "an expired weight does not count");
  // 127.0.0.1 stands for each address of this machine.
  index.set(".weight:web:10.1.1.2:8080", weight(50));
  assertEquals(ask(LOCAL), 50);
  for (const [name] of [...files].reverse()) index.delete(name);
  index.delete(".weight:web:10.1.1.2:8080");
  assertEquals([ask(), ask(LOCAL), [...index.names]], [100, 100, []]);
});

Deno.test("SpoolIndex.weight() returns null for an invalid weight, and no wider one", () => {
  const index = new SpoolIndex();
  index.set(".weight:all", weight(50));
  index.set(".weight:web", weight(null));
  assertEquals(index.weight("web", 0, LOCAL), null);
});

Deno.test("SpoolIndex.set() ignores a weight under a record's name, and the reverse", () => {
  const index = new SpoolIndex();
  index.set(".weight:web", weight(0));
  assertEquals([found(index, "web"), index.size, index.hasActiveEntries], [undefined, 0, true]);
  index.set("api", weight(0));
  index.set(".weight:db", record("x"));
  assertEquals([...index.names], [".weight:web"]);
});

Deno.test("SpoolIndex.activeEntries has the entries that have not expired, sorted by name", () => {
  const { index } = filled({ "web:2001:db8::1:80": null, old: 99, all: 200 });
  index.set("web:8080", { ...record("d", 200), mode: "drain", creation: 5 });
  index.set(".weight:web", weight(50));
  index.set(".weight:old", weight(50, 99));
  index.set(".weight:api:80", weight(null, 200));
  const downtime = { port: 0, host: LOCAL, mode: "down", expiration: null, creation: null };
  assertEquals(JSON.parse(JSON.stringify(index.activeEntries)), {
    downtimes: [
      { ...downtime, name: "all", service: "all", reason: "all", expiration: 200 },
      {
        ...downtime,
        name: "web:2001:db8::1:80",
        service: "web",
        port: 80,
        host: "2001:db8::1",
        reason: "web:2001:db8::1:80",
      },
      {
        ...downtime,
        name: "web:8080",
        service: "web",
        port: 8080,
        mode: "drain",
        reason: "d",
        expiration: 200,
        creation: 5,
      },
    ],
    weights: [
      { name: "api:80", service: "api", port: 80, host: LOCAL, ...weight(null, 200) },
      { name: "web", service: "web", port: 0, host: LOCAL, ...weight(50) },
    ],
  });
});

Deno.test("SpoolIndex.onChange() is called after each record or weight that is added or removed", () => {
  const index = new SpoolIndex();
  let changes = 0;
  index.onChange = () => changes++;
  const fields = { reason: "", expiration: null, creation: null };
  index.set("web", { mode: "down", ...fields });
  assertEquals(changes, 1);
  index.set(".weight:web", { weight: 50, ...fields });
  assertEquals(changes, 2);
  index.delete("web");
  index.delete(".weight:web");
  assertEquals(changes, 4);
});

Deno.test("SpoolIndex.firstActiveEntries() returns the first by name, and counts all", () => {
  const index = new SpoolIndex(undefined, () => 100);
  const fields = { reason: "", expiration: null, creation: null };
  for (let i = 0; i < 1000; i++) {
    // In no order: 7 and 1000 have no common factor.
    const name = `service-${String(7 * i % 1000).padStart(3, "0")}`;
    index.set(name, { mode: "down", ...fields });
    if (i < 3) index.set(`.weight:${name}`, { weight: 50, ...fields });
  }
  index.set("a-expired", { mode: "down", ...fields, expiration: 99 });
  const { first, counts } = index.firstActiveEntries(3);
  assertEquals(first.downtimes.map(({ name }) => name), [0, 1, 2].map((i) => `service-00${i}`));
  assertEquals(first.weights, index.activeEntries.weights);
  assertEquals(counts, { downtimes: 1000, weights: 3 });
  assertEquals(index.firstActiveEntries(2000).first, index.activeEntries);
  assertEquals(index.firstActiveEntries(0), {
    first: { downtimes: [], weights: [] },
    counts: { downtimes: 1000, weights: 3 },
  });
});

Deno.test("SpoolIndex.entries() ends although each entry is replaced meanwhile", () => {
  const index = modes({ web: "down", api: "down" });
  index.set(".weight:web", weight(50));
  let entries = 0;
  for (const [name, entry] of index.entries()) {
    index.set(name, entry);
    entries++;
  }
  assertEquals(entries, 3);
});
