import fc from "fast-check";
import { type CommandLine, parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";
import { holds, oddText } from "./property.ts";

const FLAGS = {
  port: { short: "p", takesValue: true },
  reason: { short: "r", takesValue: true, mayBeEmpty: true },
  "spool-root": { takesValue: true },
  verbose: { short: "v", takesValue: false },
  help: { short: "h", takesValue: false },
};

const operand = oddText("web", "down").filter((text) => text === "-" || !text.startsWith("-"));
const value = oddText("web", "-", "--").filter((text) => text !== "");

/** A flag with a value in one of its forms, and the expected result. */
const valued = fc.oneof(
  ...(["port", "reason", "spool-root"] as const).map((name) =>
    fc.tuple(value, fc.nat(4)).map(([value, way]) => {
      const { short } = FLAGS[name] as { short?: string };
      const forms = [[`--${name}`, value], [`--${name}=${value}`]];
      if (short !== undefined) {
        forms.push([`-${short}`, value], [`-${short}=${value}`], [`-v${short}`, value]);
      }
      const args = forms[way % forms.length]!;
      return { args, name, value, isVerbose: args[0]!.startsWith("-v") };
    })
  ),
);
const bare = fc.constantFrom("-v", "--verbose").map((arg) => {
  return { args: [arg], name: "", value: "", isVerbose: true };
});
const plain = operand.map((arg) => ({ args: [arg], name: "_", value: arg, isVerbose: false }));

Deno.test("parseFlags() returns the same result for each form of a flag", () =>
  holds(
    fc.property(
      fc.array(fc.oneof(valued, bare, plain), { maxLength: 8 }),
      fc.option(
        fc.array(fc.oneof(operand, fc.constantFrom("-v", "--port", "--")), { maxLength: 3 }),
        {
          nil: undefined,
        },
      ),
      (parts, rest) => {
        const args = parts.flatMap(({ args }) => args);
        const line = parseFlags(rest === undefined ? args : [...args, "--", ...rest], FLAGS);
        const of = (wanted: string) =>
          parts.filter(({ name }) => name === wanted).map(({ value }) => value);
        assertEquals([...line.operands], [...of("_"), ...rest ?? []]);
        for (const name of ["port", "reason", "spool-root"]) {
          assertEquals([...line.all(name)], of(name));
        }
        assertEquals(line.has("verbose"), parts.some(({ isVerbose }) => isVerbose));
        assertEquals(line.has("help"), false);
      },
    ),
    5000,
  ));

Deno.test("parseFlags() rejects unknown flags, and returns only values of the command line", () => {
  const arg = fc.oneof(
    oddText("-", "--", "p", "v", "port", "reason=", "spool-root"),
    fc.constantFrom(
      "-v",
      "-p",
      "-vp",
      "-pv",
      "-port",
      "--",
      "--port",
      "--port=",
      "-r=",
      "-h1",
      "--help=no",
    ),
  );
  return holds(
    fc.property(fc.array(arg, { maxLength: 6 }), (args) => {
      let line: CommandLine;
      try {
        line = parseFlags(args, FLAGS);
      } catch (error) {
        assert(error instanceof UsageError, String(error));
        assert(error.message !== "");
        return;
      }
      const all = args.join("\n");
      for (const text of [...line.operands, ...line.all("port"), ...line.all("reason")]) {
        assert(all.includes(text), text);
      }
      if (line.has("verbose")) assert(args.some((arg) => /^(--v[erbos]*$|-[vh]*v)/.test(arg)), all);
      if (line.has("help")) assert(args.some((arg) => /^(--h[elp]*$|-[vh]*h)/.test(arg)), all);
      const end = args.indexOf("--");
      const before = end < 0 ? args : args.slice(0, end);
      if (!before.some((arg) => arg.startsWith("-") && arg !== "-")) {
        assertEquals([...line.operands], [...before, ...end < 0 ? [] : args.slice(end + 1)]);
      }
    }),
    8000,
  );
});

Deno.test("wholeNumber() returns a number in its range, and names the range in its error", () =>
  holds(
    fc.property(
      fc.oneof(
        fc.integer({ min: -10, max: 70_000 }).map(String),
        oddText("1_0", "0x1f", "+1", "1.0"),
      ),
      (text) => {
        const isValid = /^[0-9]{1,15}$/.test(text) && Number(text) <= 65_535;
        if (isValid) return assertEquals(wholeNumber("-p", text, 0, 65_535), Number(text));
        const { message } = assertThrows(() => wholeNumber("-p", text, 0, 65_535), UsageError);
        assert(message.startsWith("Bad -p: expected a number from 0 to 65535: received "), message);
      },
    ),
    4000,
  ));
