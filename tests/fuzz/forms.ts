import type { Dice } from "../load/dice.ts";
import { downLine } from "../load/down_line.ts";
import type { Downtime } from "./model.ts";

/** A form that changes the spool. */
export interface Form {
  /** The encoded form. */
  readonly body: string;
  /** Whether the daemon accepts the form. */
  readonly valid: boolean;
  /** The downtime that the form sets; undefined if the form ends it, null if the form does not change it. */
  readonly downtime: Downtime | undefined | null;
}

/** One byte more than a form may have. */
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
/** Times as text and as unix seconds. */
const PAST: readonly [string, number][] = [["1", 1], ["0", 0], [
  "1435694078.778886",
  1435694078.778886,
]];
const FUTURE: readonly [string, number][] = [["4e9", 4e9], ["4000000000.125", 4000000000.125]];
const WRONG_WEIGHTS: readonly string[] = ["", "101", "-1", "50%", "half", "0.5", "1e1"];
const WRONG_TIMES: readonly string[] = ["", "-1", "soon", "NaN", "Infinity", "1e300", "1,5", "٣"];

/**
 * Generates a form.
 *
 * @param dice The source of randomness.
 * @param service The service to change.
 */
export function form(dice: Dice, service: string): Form {
  if (dice.percent(20)) return { body: invalidForm(dice), valid: false, downtime: null };
  if (dice.percent(30)) return { body: "status=up", valid: true, downtime: undefined };
  const reason = dice.pick(REASONS);
  if (dice.percent(10)) return { body: weightForm(dice, reason), valid: true, downtime: null };
  const mode = dice.percent(30) ? "drain" : "down";
  const fields = [`status=${mode}`, `reason=${encode(dice, reason)}`];
  const creation = dice.percent(50) ? dice.pick(PAST) : undefined;
  if (creation !== undefined) fields.push(`creation=${creation[0]}`);
  const expiration = dice.percent(40) ? dice.pick([...PAST, ...FUTURE]) : undefined;
  if (expiration !== undefined) fields.push(`expiration=${expiration[0]}`);
  if (dice.percent(10)) fields.push("comment=x");
  const body = dice.percent(50) ? fields.join("&") : fields.reverse().join("&");
  const isExpired = expiration !== undefined && expiration[1] < 2e9;
  const line = downLine(service, reason, creation?.[1], expiration?.[1], mode);
  return { body, valid: true, downtime: isExpired ? undefined : { mode, line } };
}

function weightForm(dice: Dice, reason: string): string {
  const fields = [`weight=${dice.below(101)}`];
  if (dice.percent(50)) fields.push(`reason=${encode(dice, reason)}`);
  if (dice.percent(30)) fields.unshift(`expiration=${dice.pick([...PAST, ...FUTURE])[0]}`);
  return fields.join("&");
}

function encode(dice: Dice, text: string): string {
  const escaped = encodeURIComponent(text);
  return dice.percent(50) ? escaped.replaceAll("%20", "+") : escaped;
}

function invalidForm(dice: Dice): string {
  return dice.pick([
    () => "",
    () => "status=",
    () => "status=sideways",
    () => "Status=up",
    () => "status=down",
    () => "status=up&status=down",
    () => "status=down&reason=x&reason=y",
    () => `status=down&reason=x&expiration=${dice.pick(WRONG_TIMES)}`,
    () => `status=down&reason=x&creation=${dice.pick(WRONG_TIMES)}`,
    () => "status=drain",
    () => "weight=50&status=down&reason=x",
    () => "weight=50&weight=50",
    () => `weight=${dice.pick(WRONG_WEIGHTS)}`,
    () => '{"status": "up"}',
    () => `${dice.bytes(dice.below(200))}`.replaceAll("status", ""),
    ...dice.percent(2) ? [() => `status=up&${"x".repeat(TOO_LONG)}`] : [],
  ])();
}
