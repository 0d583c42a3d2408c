import { type CommandLine, parseFlags, UsageError, wholeNumber } from "../../src/flags.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";

const FLAGS = {
  port: { short: "p", takesValue: true },
  reason: { short: "r", takesValue: true, mayBeEmpty: true },
  "spool-root": { takesValue: true },
  verbose: { short: "v", takesValue: false },
  help: { short: "h", takesValue: false, isOld: true },
  healthy: { takesValue: true, optionalValue: /^\d+[smh]$/ },
  service: { takesValue: true },
  processes: { short: "n", takesValue: true, alias: "num-procs" },
};

/** A parsed command line, without absent flags. */
function parsed(line: CommandLine): Record<string, readonly string[] | true> {
  const parsed: Record<string, readonly string[] | true> = {};
  for (const [name, { takesValue }] of Object.entries(FLAGS)) {
    if (takesValue && line.all(name).length > 0) parsed[name] = line.all(name);
    if (!takesValue && line.has(name)) parsed[name] = true;
  }
  if (line.operands.length > 0) parsed.operands = line.operands;
  return parsed;
}

const ACCEPTED: readonly [args: string[], parsed: Record<string, readonly string[] | true>][] = [
  [[], {}],
  [["-p", "1"], { port: ["1"] }],
  [["-p1"], { port: ["1"] }],
  [["-p=1"], { port: ["1"] }],
  [["--port", "1"], { port: ["1"] }],
  [["--port=1"], { port: ["1"] }],
  [["-p", "1", "-p", "2", "--port=3"], { port: ["1", "2", "3"] }],
  [["-p", "0x1F"], { port: ["0x1F"] }],
  [["-v"], { verbose: true }],
  [["-v", "--verbose"], { verbose: true }],
  [["-vh"], { verbose: true, help: true }],
  [["-vp", "1"], { verbose: true, port: ["1"] }],
  [["--spool-root", "/var/spool/x y"], { "spool-root": ["/var/spool/x y"] }],
  [["-r", ""], { reason: [""] }],
  [["-r", "", "web"], { reason: [""], operands: ["web"] }],
  [["--reason", ""], { reason: [""] }],
  [["--reason="], { reason: [""] }],
  [["-r", "a=b -c"], { reason: ["a=b -c"] }],
  [["--reason=-a=b"], { reason: ["-a=b"] }],
  [["-r", "true"], { reason: ["true"] }],
  [["-r", "-"], { reason: ["-"] }],
  [["-r", "-x"], { reason: ["-x"] }],
  [["-r", "-p", "1"], { reason: ["-p"], operands: ["1"] }],
  [["-r", "--", "web"], { reason: ["--"], operands: ["web"] }],
  [["--reason=-x"], { reason: ["-x"] }],
  [["-p", "-1"], { port: ["-1"] }],
  [["-vp1"], { verbose: true, port: ["1"] }],
  [["-vr=x"], { verbose: true, reason: ["x"] }],
  [["--reas", "why"], { reason: ["why"] }],
  [["--reas=why"], { reason: ["why"] }],
  [["--verb"], { verbose: true }],
  [["--v"], { verbose: true }],
  [["--h"], { help: true }],
  [["--num-procs", "2"], { processes: ["2"] }],
  [["--num", "2"], { processes: ["2"] }],
  [["--proc=2"], { processes: ["2"] }],
  [["--healthy", "5m", "web"], { healthy: ["5m"], operands: ["web"] }],
  [["--healthy", "web"], { healthy: [""], operands: ["web"] }],
  [["--healthy"], { healthy: [""] }],
  [["web", "-p", "1", "db"], { port: ["1"], operands: ["web", "db"] }],
  [["1", "1.0", "0x10", "-"], { operands: ["1", "1.0", "0x10", "-"] }],
  [["-v", "true"], { verbose: true, operands: ["true"] }],
  [["true", "", " "], { operands: ["true", "", " "] }],
  [["-v", "--", "-p", "--nope", "--", ""], {
    verbose: true,
    operands: ["-p", "--nope", "--", ""],
  }],
];

Deno.test("parseFlags() parses flags, values, abbreviations and operands", () => {
  for (const [args, expected] of ACCEPTED) {
    assertEquals(parsed(parseFlags(args, FLAGS)), expected, args.join(" "));
  }
});

const REJECTED: readonly [args: string[], message: string][] = [
  [["-x"], "Unknown flag: -x"],
  [["--nope"], "Unknown flag: --nope"],
  [["--nope=1"], "Unknown flag: --nope=1"],
  [["--no-verbose"], "Unknown flag: --no-verbose"],
  [["---port", "1"], "Unknown flag: ---port"],
  [["-port", "1"], "Unknown flag: -port"],
  [["-spool-root", "x"], "Unknown flag: -spool-root"],
  [["-vx"], "Unknown flag: -vx"],
  [["-v1"], "Unknown flag: -v1"],
  [["--s"], "Ambiguous flag: --s: could be --spool-root, --service"],
  [["--=x"], "Unknown flag: --=x"],
  [["-v=1"], "Unknown flag: -v=1"],
  [["-9"], "Unknown flag: -9"],
  [["--=1"], "Unknown flag: --=1"],
  [["--_", "x"], "Unknown flag: --_"],
  [["--__proto__=x"], "Unknown flag: --__proto__=x"],
  [["--toString"], "Unknown flag: --toString"],
  [["-p"], "Flag -p needs a value"],
  [["--port"], "Flag -p needs a value"],
  [["--port="], "Flag -p needs a value"],
  [["-p", ""], "Flag -p needs a value"],
  [["--port", ""], "Flag -p needs a value"],
  [["-p", "1", "-p"], "Flag -p needs a value"],
  [["--spool-root"], "Flag --spool-root needs a value"],
  [["-r"], "Flag -r needs a value"],
  [["", "-r"], "Flag -r needs a value"],
  [["-r", "", "-p", ""], "Flag -p needs a value"],
  [["--verbose=true"], "Flag --verbose takes no value: received --verbose=true"],
  [["--verbose=no"], "Flag --verbose takes no value: received --verbose=no"],
  [["--verbose="], "Flag --verbose takes no value: received --verbose="],
];

Deno.test("parseFlags() rejects unknown and ambiguous flags, and missing values", () => {
  for (const [args, message] of REJECTED) {
    assertEquals(assertThrows(() => parseFlags(args, FLAGS), UsageError).message, message);
  }
});

Deno.test("CommandLine.one() returns the last of repeated values", () => {
  const line = parseFlags(["-p", "1", "-p", "2", "--spool-root", "a", "--spool-root=b"], FLAGS);
  assertEquals(line.one("reason"), undefined);
  assertEquals(line.one("port"), "2");
  assertEquals(line.one("spool-root"), "b");
  assertEquals(line.all("port"), ["1", "2"]);
});

Deno.test("wholeNumber() accepts numbers within its bounds", () => {
  for (const [text, number] of [["0", 0], ["65535", 65_535], ["0080", 80]] as const) {
    assertEquals(wholeNumber("-p", text, 0, 65_535), number);
  }
});

Deno.test("wholeNumber() rejects anything else, and names what it expected", () => {
  const texts = ["", " 1", "1.0", "1e3", "0x50", "-1", "+1", "65536", "٣", "9".repeat(16), 'a"b'];
  for (const text of texts) {
    const error = assertThrows(() => wholeNumber("-p", text, 0, 65_535), UsageError);
    const received = JSON.stringify(text);
    assertEquals(
      error.message,
      `Bad -p: expected a number from 0 to 65535: received ${received}`,
    );
  }
  assertThrows(() => wholeNumber("-n", "0", 1, 2), UsageError, "from 1 to 2");
});
