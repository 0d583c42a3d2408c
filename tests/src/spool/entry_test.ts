import { oneLine } from "../../../src/text/control_characters.ts";
import {
  type DowntimeRecord,
  formatEntry,
  isExpired,
  isTime,
  parseDowntime,
  parseWeight,
  stateLine,
} from "../../../src/spool/entry.ts";
import { assert, assertEquals } from "../../support/assert.ts";

function record(
  reason: string,
  expiration: number | null = null,
  creation: number | null = null,
): DowntimeRecord {
  return { mode: "down", reason, expiration, creation };
}

/** The pattern by which PaaSTA's drainer parses the line. */
const PAASTA =
  /^Service (?<service>.+) in (?<state>.+) state(?: since (?<since>[0-9.]+))?(?: until (?<until>[0-9.]+))?(?:: (?<reason>.*))?$/;

const PROBLEMS: readonly [content: string, problem: string | null][] = [
  ["", null],
  ["text { }", null],
  ['["maint"]', null],
  ["{}", null],
  ['{"reason": 5, "creation": "soon"}', null],
  ['{"expiration": null}', null],
  ['{"expiration": 0}', null],
  ['{"expiration": 4000000000.125}', null],
  ['{"expiration": -1}', "expiration: expected unix seconds or null: found -1"],
  ['{"expiration": 1e400}', "expiration: expected unix seconds or null: found Infinity"],
  ['{"expiration": 1e21}', "expiration: expected unix seconds or null: found 1e+21"],
  ['{"expiration": "4000000000"}', 'expiration: expected unix seconds or null: found "4000000000"'],
  ['{"expiration": false}', "expiration: expected unix seconds or null: found false"],
  ['{"expiration": [5]}', "expiration: expected unix seconds or null: found [5]"],
  [
    `{"expiration": "${"9".repeat(500)}"}`,
    `expiration: expected unix seconds or null: found "${"9".repeat(99)}`,
  ],
  ['{"expiration": NaN}', "it begins with { but is not valid JSON"],
  ['\n{"reason": "ha', "it begins with { but is not valid JSON"],
  ['{"mode": null}', null],
  ['{"mode": "down"}', null],
  ['{"mode": "drain"}', null],
  ['{"mode": "Drain"}', 'mode: expected down or drain: found "Drain"'],
  ['{"mode": ["drain"]}', 'mode: expected down or drain: found ["drain"]'],
  ['{"mode": "maint", "expiration": -1}', "expiration: expected unix seconds or null: found -1"],
];

for (const [content, problem] of PROBLEMS) {
  Deno.test(`parseDowntime() finds the problem of ${JSON.stringify(content.slice(0, 40))}: ${problem?.slice(0, 50)}`, () => {
    assertEquals(parseDowntime(content).problem, problem);
    if (problem !== null) assert(!isExpired(parseDowntime(content).record, Number.MAX_VALUE));
  });
}

/** A record that drains. */
function draining(
  reason: string,
  expiration: number | null = null,
  creation: number | null = null,
): DowntimeRecord {
  return { ...record(reason, expiration, creation), mode: "drain" };
}

const CONTENTS: readonly [content: string, record: DowntimeRecord][] = [
  // As hactl and the other hachecks write it.
  [
    '{"reason": "maint", "expiration": 4000000000.125, "creation": 1435694078.778886}',
    record("maint", 4000000000.125, 1435694078.778886),
  ],
  ['{"reason": "maint", "expiration": null, "creation": null}', record("maint")],
  [
    '{"service": "web", "reason": "maint", "expiration": 5, "creation": 4, "by": {"a": [1]}}',
    record("maint", 5, 4),
  ],
  ['{"reason": "caf\\u00e9 \\ud83d\\ude80"}', record("café 🚀")],
  ['\n {"reason":"maint"}\r\n', record("maint")],
  ['{"reason": " a\\nb "}', record(" a\nb ")],
  ["{}", record("")],
  ['{"reason": null}', record("")],
  ['{"__proto__": {"reason": "no"}}', record("")],
  ['{"reason": "x", "expiration": 0, "creation": 0}', record("x", 0, 0)],
  ['{"reason": "x", "expiration": 1e3}', record("x", 1000)],

  // An unknown mode is down.
  ['{"reason": "x", "expiration": 5, "creation": 4, "mode": "drain"}', draining("x", 5, 4)],
  ['{"mode": "drain"}', draining("")],
  ['{"mode": "down", "reason": "x"}', record("x")],
  ['{"mode": "DRAIN", "reason": "x"}', record("x")],
  ['{"mode": ["drain"]}', record("")],
  ['{"mode": "up"}', record("")],
  ['{"mode": null}', record("")],

  // Content that is not an object is itself the reason.
  ["", record("")],
  [" \n", record("")],
  ["maint\n", record("maint")],
  ["two\nlines\n", record("two\nlines")],
  ['["maint"]', record('["maint"]')],
  ['"maint"', record('"maint"')],
  ["42", record("42")],
  ["null", record("null")],
  ["true", record("true")],
  ['{"reason": "half', record('{"reason": "half')],
  ["{'reason': 'python'}", record("{'reason': 'python'}")],
  ['{"reason": "a"}{"reason": "b"}', record('{"reason": "a"}{"reason": "b"}')],
  ['{"expiration": NaN}', record('{"expiration": NaN}')],
  ['{"reason": "x", "expiration": Infinity}', record('{"reason": "x", "expiration": Infinity}')],

  // A reason of another type is kept as JSON.
  ['{"reason": 7}', record("7")],
  ['{"reason": false}', record("false")],
  ['{"reason": ["a", 1]}', record('["a",1]')],
  ['{"reason": {"why": "a"}}', record('{"why":"a"}')],

  // An invalid time is ignored.
  ['{"reason": "x", "expiration": -1, "creation": -0.5}', record("x")],
  ['{"reason": "x", "expiration": 1e400, "creation": 1e400}', record("x")],
  ['{"reason": "x", "expiration": -1e400}', record("x")],
  ['{"reason": "x", "expiration": 1e21, "creation": 1e300}', record("x")],
  ['{"reason": "x", "expiration": "5", "creation": "4"}', record("x")],
  ['{"reason": "x", "expiration": true, "creation": false}', record("x")],
  ['{"reason": "x", "expiration": [5], "creation": {"at": 4}}', record("x")],
];

for (const [content, expected] of CONTENTS) {
  Deno.test(`parseDowntime() reads ${JSON.stringify(content)}`, () => {
    assertEquals(parseDowntime(content).record, expected);
  });
}

const LINES: readonly [record: DowntimeRecord, line: string][] = [
  [record(""), "Service web in down state"],
  [record("maint"), "Service web in down state: maint"],
  [
    record("", null, 1435694078.778886),
    "Service web in down state since 1435694078.778886",
  ],
  [record("", 4000000000.125), "Service web in down state until 4000000000.125000"],
  [
    record("maint", 4000000000.125, 1435694078.778886),
    "Service web in down state since 1435694078.778886 until 4000000000.125000: maint",
  ],
  [record("", 5, 0), "Service web in down state since 0.000000 until 5.000000"],
  [record("x", null, 1e-7), "Service web in down state since 0.000000: x"],
  [record("x", 1e20), "Service web in down state until 100000000000000000000.000000: x"],
  [record("a: b 🚀"), "Service web in down state: a: b 🚀"],
  [record(" since 5 until 6"), "Service web in down state:  since 5 until 6"],
  [record("two\nlines\r\nand\ttab\u0000"), "Service web in down state: two lines and tab "],
  [draining(""), "Service web in drain state"],
  [
    draining("maint", 4000000000.125, 1435694078.778886),
    "Service web in drain state since 1435694078.778886 until 4000000000.125000: maint",
  ],
  [record("a\u2028b\u2029c\u0085d\u007fe"), "Service web in down state: a b c d e"],
  [record("a\u202eb\u2066\u001bc\u200bd"), "Service web in down state: a b c d"],
];

for (const [fields, line] of LINES) {
  Deno.test(`stateLine() returns ${JSON.stringify(line)}, which PaaSTA's drainer parses`, () => {
    assertEquals(stateLine("web", fields), line);
    const groups = PAASTA.exec(line)?.groups;
    assert(groups !== undefined);
    assertEquals({ ...groups }, {
      service: "web",
      state: fields.mode,
      since: fields.creation?.toFixed(6),
      until: fields.expiration?.toFixed(6),
      reason: fields.reason === "" ? undefined : oneLine(fields.reason),
    });
  });
}

Deno.test("stateLine() returns a line that PaaSTA's drainer parses for any content of a file", () => {
  for (const [content] of CONTENTS) {
    const record = parseDowntime(content).record;
    const { service, state } = PAASTA.exec(stateLine("all", record))?.groups ?? {};
    assertEquals([service, state], ["all", record.mode], content);
  }
});

Deno.test("formatEntry() returns the bytes that other hachecks write and read", () => {
  const cases: readonly [record: DowntimeRecord, content: string][] = [
    [
      record("maint", 4000000000.125, 1435694078.778886),
      '{"reason": "maint", "expiration": 4000000000.125, "creation": 1435694078.778886}',
    ],
    [record(""), '{"reason": "", "expiration": null, "creation": null}'],
    [
      record('say "no"\\\n', 0, 5),
      '{"reason": "say \\"no\\"\\\\\\n", "expiration": 0, "creation": 5}',
    ],
    // Other hachecks ignore the mode: the service is down for them.
    [
      draining("maint", null, 5),
      '{"reason": "maint", "expiration": null, "creation": 5, "mode": "drain"}',
    ],
    [record("\ud800"), '{"reason": "\\ud800", "expiration": null, "creation": null}'],
    // Python's json.dump writes only ASCII.
    [
      record("wörk \x7f 🚧"),
      '{"reason": "w\\u00f6rk \\u007f \\ud83d\\udea7", "expiration": null, "creation": null}',
    ],
    [
      { ...draining("maint", null, 5), by: "älice" },
      '{"reason": "maint", "expiration": null, "creation": 5, "mode": "drain", "by": "\\u00e4lice"}',
    ],
  ];
  for (const [fields, content] of cases) {
    assertEquals(formatEntry(fields), content);
    assertEquals(parseDowntime(content).record, fields);
  }
});

const WEIGHTS: readonly [content: string, weight: number | null, problem: string | null][] = [
  ['{"reason": "x", "expiration": null, "creation": 5, "weight": 50}', 50, null],
  ['{"weight": 0}', 0, null],
  ['{"weight": 100.0}', 100, null],
  ['{"weight": 101}', null, "weight: expected an integer from 0 to 100: found 101"],
  ['{"weight": -1}', null, "weight: expected an integer from 0 to 100: found -1"],
  ['{"weight": 0.5}', null, "weight: expected an integer from 0 to 100: found 0.5"],
  ['{"weight": "50"}', null, 'weight: expected an integer from 0 to 100: found "50"'],
  ['{"weight": [50]}', null, "weight: expected an integer from 0 to 100: found [50]"],
  ["{}", null, "weight: expected an integer from 0 to 100: found null"],
  [
    '{"weight": 50, "expiration": "soon"}',
    50,
    'expiration: expected unix seconds or null: found "soon"',
  ],
  ['{"weight": 50', null, "it is not a JSON object"],
  ["50", null, "it is not a JSON object"],
  ["", null, "it is not a JSON object"],
];

for (const [content, weight, problem] of WEIGHTS) {
  Deno.test(`parseWeight() reads ${JSON.stringify(content)}`, () => {
    assertEquals([parseWeight(content).record.weight, parseWeight(content).problem], [
      weight,
      problem,
    ]);
  });
}

Deno.test("formatEntry() returns the keys of a record, and the weight", () => {
  const weight = { weight: 50, reason: "canary", expiration: 4e9, creation: 5.25 };
  const content = '{"reason": "canary", "expiration": 4000000000, "creation": 5.25, "weight": 50}';
  assertEquals(formatEntry(weight), content);
  assertEquals(parseWeight(content).record, weight);
  const signed = { ...weight, by: "alice" };
  assertEquals(formatEntry(signed), content.replace("}", ', "by": "alice"}'));
  assertEquals(parseWeight(formatEntry(signed)).record, signed);
});

Deno.test("parseDowntime() ignores an invalid `by`", () => {
  for (const by of ["5", "null", '""', "[]"]) {
    assertEquals("by" in parseDowntime(`{"by": ${by}}`).record, false, by);
  }
});

Deno.test("isExpired() is true after the expiration, and not at it", () => {
  const cases: readonly [expiration: number | null, now: number, expired: boolean][] = [
    [null, 1e15, false],
    [100, 99.999, false],
    [100, 100, false],
    [100, 100.001, true],
    [0, 1, true],
  ];
  for (const [expiration, now, expired] of cases) {
    assertEquals(isExpired(record("x", expiration), now), expired, `${expiration} at ${now}`);
  }
});

Deno.test("isTime() accepts unix seconds only", () => {
  for (const value of [0, 0.5, 1435694078.778886, 4e9, 1e20]) {
    assertEquals(isTime(value), true, `${value}`);
  }
  for (const value of [-1, NaN, Infinity, -Infinity, 1e21, "5", null, undefined, true, [5], {}]) {
    assertEquals(isTime(value), false, `${value}`);
  }
});
