import type { Dice } from "../load/dice.ts";
import { downLine } from "../load/down_line.ts";
import type { Mark } from "./model.ts";

/** A form that asks for a change of the spool. */
export interface Form {
  /** As it goes over the wire. */
  readonly body: string;
  /** Whether it makes sense. */
  readonly valid: boolean;
  /** What it marks; undefined if it marks up, null if it leaves things as they are. */
  readonly mark: Mark | undefined | null;
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
const SENSELESS_WEIGHTS: readonly string[] = ["", "101", "-1", "50%", "half", "0.5", "1e1"];
const SENSELESS: readonly string[] = ["", "-1", "soon", "NaN", "Infinity", "1e300", "1,5", "٣"];

/**
 * Makes up a form.
 *
 * @param dice Chance.
 * @param service The service it is about.
 */
export function form(dice: Dice, service: string): Form {
  if (dice.percent(20)) return { body: senseless(dice), valid: false, mark: null };
  if (dice.percent(30)) return { body: "status=up", valid: true, mark: undefined };
  const reason = dice.pick(REASONS);
  if (dice.percent(10)) return { body: weight(dice, reason), valid: true, mark: null };
  const mode = dice.percent(30) ? "drain" : "down";
  const fields = [`status=${mode}`, `reason=${encoded(dice, reason)}`];
  const creation = dice.percent(50) ? dice.pick(PAST) : undefined;
  if (creation !== undefined) fields.push(`creation=${creation[0]}`);
  const expiration = dice.percent(40) ? dice.pick([...PAST, ...FUTURE]) : undefined;
  if (expiration !== undefined) fields.push(`expiration=${expiration[0]}`);
  if (dice.percent(10)) fields.push("comment=x");
  const body = dice.percent(50) ? fields.join("&") : fields.reverse().join("&");
  const over = expiration !== undefined && expiration[1] < 2e9;
  const line = downLine(service, reason, creation?.[1], expiration?.[1], mode);
  return { body, valid: true, mark: over ? undefined : { mode, line } };
}

function weight(dice: Dice, reason: string): string {
  const fields = [`weight=${dice.below(101)}`];
  if (dice.percent(50)) fields.push(`reason=${encoded(dice, reason)}`);
  if (dice.percent(30)) fields.unshift(`expiration=${dice.pick([...PAST, ...FUTURE])[0]}`);
  return fields.join("&");
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
    () => "status=drain",
    () => "weight=50&status=down&reason=x",
    () => "weight=50&weight=50",
    () => `weight=${dice.pick(SENSELESS_WEIGHTS)}`,
    () => '{"status": "up"}',
    () => `${dice.bytes(dice.below(200))}`.replaceAll("status", ""),
    ...dice.percent(2) ? [() => `status=up&${"x".repeat(TOO_LONG)}`] : [],
  ])();
}
