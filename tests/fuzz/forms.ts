import type { Dice } from "../load/dice.ts";
import { downLine } from "../load/down_line.ts";

/** A form that asks for a change of the spool. */
export interface Form {
  /** As it goes over the wire. */
  readonly body: string;
  /** Whether it makes sense. */
  readonly valid: boolean;
  /** The line that tells of what it marks down; undefined if it marks up. */
  readonly line: string | RegExp | undefined;
}

/** Longer than any form may be. */
const TOO_LONG = 64 * 1024 + 1;

const REASONS: readonly string[] = [
  "",
  "maint",
  "kernel update",
  "100% done",
  "a\r\nSet-Cookie: b",
  "tab\tand nul\0",
  "déménagé → 🚀",
  "<script>alert(1)</script>",
  '{"reason": "x"}',
  "a=b&c=d+e",
  "x".repeat(2000),
];
/** Times as they are sent, and as they are meant. */
const PAST: readonly [string, number][] = [["1", 1], ["0", 0], [
  "1435694078.778886",
  1435694078.778886,
]];
const FUTURE: readonly [string, number][] = [["4e9", 4e9], ["4000000000.125", 4000000000.125]];
const SENSELESS: readonly string[] = ["", "-1", "soon", "NaN", "Infinity", "1e300", "1,5", "٣"];

/**
 * Makes up a form.
 *
 * @param dice Chance.
 * @param service The service it is about.
 */
export function form(dice: Dice, service: string): Form {
  if (dice.percent(20)) return { body: senseless(dice), valid: false, line: undefined };
  if (dice.percent(30)) return { body: "status=up", valid: true, line: undefined };
  const reason = dice.pick(REASONS);
  const fields = ["status=down", `reason=${encoded(dice, reason)}`];
  const creation = dice.percent(50) ? dice.pick(PAST) : undefined;
  if (creation !== undefined) fields.push(`creation=${creation[0]}`);
  const expiration = dice.percent(40) ? dice.pick([...PAST, ...FUTURE]) : undefined;
  if (expiration !== undefined) fields.push(`expiration=${expiration[0]}`);
  if (dice.percent(10)) fields.push("comment=x");
  const body = dice.percent(50) ? fields.join("&") : fields.reverse().join("&");
  const over = expiration !== undefined && expiration[1] < 2e9;
  const line = over ? undefined : downLine(service, reason, creation?.[1], expiration?.[1]);
  return { body, valid: true, line };
}

function encoded(dice: Dice, text: string): string {
  const escaped = encodeURIComponent(text);
  return dice.percent(50) ? escaped.replaceAll("%20", "+") : escaped;
}

function senseless(dice: Dice): string {
  return dice.pick([
    () => "",
    () => "status=",
    () => "status=sideways",
    () => "Status=up",
    () => "status=down",
    () => "status=up&status=down",
    () => "status=down&reason=x&reason=y",
    () => `status=down&reason=x&expiration=${dice.pick(SENSELESS)}`,
    () => `status=down&reason=x&creation=${dice.pick(SENSELESS)}`,
    () => '{"status": "up"}',
    () => `${dice.bytes(dice.below(200))}`.replaceAll("status", ""),
    ...dice.percent(2) ? [() => `status=up&${"x".repeat(TOO_LONG)}`] : [],
  ])();
}
