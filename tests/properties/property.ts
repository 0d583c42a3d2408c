import fc from "fast-check";
import { caseCount } from "../support/cases.ts";

/**
 * Checks a property on generated cases. If it fails, the error names the smallest failing case, and the seed and
 * the path with which `fc.assert` reproduces it.
 *
 * @param property The property.
 * @param cases How many cases to try with `HACHECK_CASES=all`; a fifth of them otherwise. All properties together
 * have 150,000.
 */
export function holds<Values>(
  property: fc.IRawProperty<Values>,
  cases: number,
): void | Promise<void> {
  const options = { numRuns: caseCount(cases), verbose: fc.VerbosityLevel.None };
  return fc.assert(property, options) as void | Promise<void>;
}

/** Text that is likely to break a parser: separators, escapes, control characters and parts of valid input. */
export function oddText(...likely: readonly string[]): fc.Arbitrary<string> {
  const pieces = [
    ...[
      "/",
      "?",
      ":",
      ";",
      "=",
      ",",
      ".",
      "..",
      " ",
      "\t",
      "\r\n",
      "\n",
      "\0",
      "%2f",
      "%00",
      "\\",
      '"',
    ],
    ...[
      "0",
      "1",
      "80",
      "65535",
      "65536",
      "-1",
      "1e400",
      "NaN",
      "é",
      "\ufeff",
      "\u2028",
      "\ud800",
      "💥",
    ],
    ...likely,
  ];
  return fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join("")),
  );
}

/** A text with an odd piece inserted, or in place of some characters. */
export function corrupted(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(text, fc.nat(), fc.nat(3), oddText()).map(([text, at, removed, piece]) => {
    const start = at % (text.length + 1);
    return text.slice(0, start) + piece + text.slice(start + removed);
  });
}

/** The name of a service that a record can have. */
export const service: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: fc.stringMatching(/^[\w-][.\w-]{0,20}$/) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("all", "web", "a", "w".repeat(200), "a..b", "-", "__proto__"),
  },
);

/** A port to connect to. */
export const port: fc.Arbitrary<number> = fc.integer({ min: 1, max: 65_535 });

/** The canonical address of another host. */
export const host: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 126 }), fc.nat(255), fc.nat(255), fc.nat(255))
    .map((parts) => parts.join(".")),
  fc.tuple(fc.integer({ min: 0x2000, max: 0x3fff }), fc.nat(0xffff), fc.nat(0xffff), fc.nat(0xffff))
    .map(([a, b, c, d]) =>
      new URL(`http://[${[a, b, 0, c, 0, 0, 0, d].map((n) => n.toString(16)).join(":")}]/`).hostname
        .slice(1, -1)
    ),
);

/** A time in unix seconds. */
export const time: fc.Arbitrary<number> = fc.oneof(
  fc.double({ min: 0, max: 1e10, noNaN: true }).map(Math.abs),
  fc.integer({ min: 0, max: 4_102_444_800 }),
  fc.constantFrom(0, 1e21 - 131_072, 5e-324),
);
