import { parseDuration, parseTime } from "../../cli/times.ts";
import { UsageError } from "../../src/flags.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { run } from "../support/programs.ts";

Deno.test("parseDuration() adds the parts of a duration", () => {
  const cases: [text: string, seconds: number][] = [
    ["1s", 1],
    ["90s", 90],
    ["30m", 1800],
    ["1h30m", 5400],
    ["24h", 86_400],
    ["2d", 172_800],
    ["1w", 604_800],
    ["1w2d3h4m5s", 788_645],
    ["0h5m", 300],
  ];
  for (const [text, seconds] of cases) assertEquals(parseDuration("--for", text), seconds, text);
});

Deno.test("parseDuration() rejects anything else, with examples", () => {
  for (
    const text of ["", " ", "0", "0s", "30", "m", "30M", "-5m", "1.5h", "30m1h", "1h 30m", "5 m"]
  ) {
    const { message } = assertThrows(() => parseDuration("--for", text), UsageError);
    assertEquals(
      message,
      "Bad --for: expected weeks, days, hours, minutes or seconds such as 30m, 1h30m or 2d: " +
        `received ${JSON.stringify(text)}`,
    );
  }
});

/** Tuesday, 24 November 2026, 12:00 UTC. */
const NOON = Date.UTC(2026, 10, 24, 12) / 1000;

Deno.test("parseTime() reads a time with a zone", () => {
  const cases: [text: string, utc: string][] = [
    ["2026-12-01T08:00Z", "2026-12-01T08:00:00.000Z"],
    ["2026-12-01t08:00z", "2026-12-01T08:00:00.000Z"],
    ["2026-12-01 08:00:30Z", "2026-12-01T08:00:30.000Z"],
    ["2026-12-01T08:00+01:00", "2026-12-01T07:00:00.000Z"],
    ["2026-12-01T08:00-0330", "2026-12-01T11:30:00.000Z"],
    ["2028-02-29T23:59:59+14:00", "2028-02-29T09:59:59.000Z"],
  ];
  for (const [text, utc] of cases) {
    const time = parseTime("--until", text, NOON);
    assertEquals(new Date(time * 1000).toISOString(), utc, text);
  }
});

/** Parses times in a process whose zone is another one. */
async function timesIn(zone: string, texts: readonly string[], now = NOON): Promise<string[]> {
  const module = new URL("../../cli/times.ts", import.meta.url);
  const code = `import { parseTime } from ${JSON.stringify(module.href)};
for (const text of ${JSON.stringify(texts)}) {
  try {
    console.log(new Date(parseTime("--until", text, ${now}) * 1000).toISOString());
  } catch ({ message }) {
    console.log(message);
  }
}`;
  const { code: status, stdout, stderr } = await run(
    Deno.execPath(),
    ["eval", "--ext=ts", code],
    { TZ: zone },
  );
  assertEquals([status, stderr], [0, ""]);
  return stdout.trimEnd().split("\n");
}

Deno.test("parseTime() reads a time without a zone as one of this host's zone", async () => {
  const texts = ["2026-12-01T08:00", "2026-12-01", "2027-07-01 08:00", "14:30", "11:59", "13:00"];
  // In Berlin it is 13:00, in Auckland 01:00 of the next day.
  assertEquals(await timesIn("Europe/Berlin", texts), [
    "2026-12-01T07:00:00.000Z",
    "2026-11-30T23:00:00.000Z",
    "2027-07-01T06:00:00.000Z",
    "2026-11-24T13:30:00.000Z",
    "2026-11-25T10:59:00.000Z",
    "2026-11-25T12:00:00.000Z",
  ]);
  assertEquals(await timesIn("Pacific/Auckland", ["08:00", "00:30"]), [
    "2026-11-24T19:00:00.000Z",
    "2026-11-25T11:30:00.000Z",
  ]);
  // Deno's Temporal rejects the first and turns the second the wrong way round.
  assertEquals(await timesIn("", ["2026-12-01T08:00"]), ["2026-12-01T08:00:00.000Z"]);
  assertEquals(await timesIn("GMT+2", ["2026-12-01T08:00"]), ["2026-12-01T10:00:00.000Z"]);
});

Deno.test("parseTime() rejects a local time if the zone of TZ is unknown", async () => {
  const [local, utc] = await timesIn("Europe/Nowhere", ["2026-12-01T08:00", "2026-12-01T08:00Z"]);
  assertEquals(
    local,
    "Bad --until: expected a time with its zone, such as 2026-12-01T08:00Z: " +
      'received "2026-12-01T08:00", as the zone of TZ is unknown',
  );
  assertEquals(utc, "2026-12-01T08:00:00.000Z");
});

Deno.test("parseTime() rejects an hour that daylight saving time skips", async () => {
  // On 28 March 2027 clocks in Berlin go from 02:00 to 03:00.
  const skipped = (text: string) =>
    `Bad --until: expected a time that exists: received "${text}", which daylight saving time skips`;
  const texts = ["2027-03-28T02:00", "2027-03-28 02:59:59", "2027-03-28T01:59", "2027-03-28T03:00"];
  assertEquals(await timesIn("Europe/Berlin", texts), [
    skipped("2027-03-28T02:00"),
    skipped("2027-03-28 02:59:59"),
    "2027-03-28T00:59:00.000Z",
    "2027-03-28T01:00:00.000Z",
  ]);
  const [oneHourBefore, after] = [Date.UTC(2027, 2, 28, 0), Date.UTC(2027, 2, 28, 12)];
  assertEquals(await timesIn("Europe/Berlin", ["02:30"], oneHourBefore / 1000), [skipped("02:30")]);
  assertEquals(await timesIn("Europe/Berlin", ["02:30"], after / 1000), [
    "2027-03-29T00:30:00.000Z",
  ]);
});

Deno.test("parseTime() takes the first of an hour that daylight saving time repeats", async () => {
  // On 25 October 2026 clocks in Berlin go from 03:00 to 02:00.
  const [before, between] = [Date.UTC(2026, 9, 24, 12), Date.UTC(2026, 9, 25, 1, 10)];
  const texts = ["2026-10-25T02:30", "02:30"];
  assertEquals(await timesIn("Europe/Berlin", texts, before / 1000), [
    "2026-10-25T00:30:00.000Z",
    "2026-10-25T00:30:00.000Z",
  ]);
  assertEquals(await timesIn("Europe/Berlin", ["02:30"], between / 1000), [
    "2026-10-26T01:30:00.000Z",
  ]);
});

Deno.test("parseTime() rejects anything but a time to come, with examples", () => {
  for (
    const text of [
      "",
      "tomorrow",
      "1796108400",
      "2026-12",
      "2026-2-1",
      "2026-02-30",
      "2027-02-29",
      "2026-13-01",
      "2026-12-01T24:00",
      "2026-12-01T08",
      "2026-12-01T08:60",
      "2026-12-01T08:00:60",
      "2026-12-01T08:00+15:00",
      "2026-12-01T08:00 CET",
      "2026-12-01Z",
      "24:00",
      "8:00",
      "08:00Z",
    ]
  ) {
    const { message } = assertThrows(() => parseTime("--until", text, NOON), UsageError);
    assertEquals(
      message,
      "Bad --until: expected a time such as 2026-12-01T08:00, 2026-12-01T08:00Z, 2026-12-01 or " +
        `08:00: received ${JSON.stringify(text)}`,
    );
  }
  for (const text of ["2026-11-24T12:00Z", "2026-11-24T12:59:59+01:00", "2025-12-01"]) {
    const { message } = assertThrows(() => parseTime("--until", text, NOON), UsageError);
    assertEquals(
      message,
      `Bad --until: expected a time to come: received ${JSON.stringify(text)}, which is over`,
    );
  }
});
