import { complaints, CUTTING } from "../load/complaints.ts";
import { Dice } from "../load/dice.ts";
import { type Course, descriptorsAfter, Gauges, read } from "../load/gauges.ts";
import { AGENT_PORT } from "../load/agent_lines.ts";
import { rest, stallAgainAndAgain } from "../load/stalls.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { Answers, type Latency } from "./answers.ts";
import { askOn, CACHE_MS } from "./checking_clients.ts";
import { Downtimes } from "./downtimes.ts";
import { operate } from "./operators.ts";
import { misbehave } from "./misbehaving_clients.ts";
import { Service, STATES, TIMEOUT_MS } from "./service.ts";
import { askUnread } from "./unread_log.ts";

/** What a run is. */
export interface SoakOptions {
  /** How long it lasts, in seconds. */
  readonly seconds: number;
  /** Where chance begins. */
  readonly seed: number;
}

/** What came of a run. */
export interface SoakReport {
  /** How many answers of each kind there were. */
  readonly answers: ReadonlyMap<string, number>;
  /** How long they took, by protocol. */
  readonly latencies: ReadonlyMap<string, Latency>;
  /** How often a service changed, and the number of downtimes. */
  readonly changes: { readonly services: number; readonly downtimes: number };
  /** How often clients misbehaved in which way. */
  readonly tricks: ReadonlyMap<string, number>;
  /** How often the daemon was stopped for a moment. */
  readonly stalls: number;
  /** The responses of a daemon whose log is not read. */
  readonly unread: number;
  /** How long it lasted, in seconds. */
  readonly seconds: number;
  /** The daemon's memory, in MiB, and its descriptors. */
  readonly rss: Course;
  readonly descriptors: Course;
  /** How many descriptors it had before and after all. */
  readonly idle: { readonly before: number; readonly after: number };
  /** All that was wrong; nothing, if all is well. */
  readonly wrong: readonly string[];
}

/** By how much memory, in MiB, and descriptors may grow from the second to the last quarter of a run. */
export const GROWTH = { rss: 64, descriptors: 24 } as const;

const SERVICES = 8;
const ASKERS = 10;
const ROGUES = 12;

/** How long a service stays as it is, in milliseconds. */
const STATE_MS = { least: 3000, most: 10_000 } as const;

/** How long it is remembered how one was, in milliseconds: longer than any answer may be true. */
const REMEMBERED_MS = 60_000;

/** How long a downtime and what follows it last at most, in milliseconds: of one service, and of everything. */
const LONGEST = { one: { down: 3000, up: 4000 }, all: { down: 800, up: 12_000 } } as const;

/** What it has to say of agent checks of which less than a line comes in time, and of clients that do not read. */
const EXPECTED =
  /^\S+ WARNING (?:agent check from 127\.0\.0\.1 is not answered: |too many unread responses: )/;

const CONFIG = [
  "allow_remote_spool_changes: true",
  "remote_spool_clients: [127.0.0.0/8]",
  `cache_time: ${CACHE_MS / 1000}`,
  `healthcheck_timeout: ${TIMEOUT_MS / 1000}`,
  // No check is queued, so that a late response has no other cause.
  "max_clients: 400",
  "",
].join("\n");

/**
 * Holds a real daemon under mixed load, beside services that die and return, operators that take them out and
 * up and clients that misbehave, and judges every answer.
 *
 * @param options How long.
 * @returns What came of it.
 */
export async function soak({ seconds, seed }: SoakOptions): Promise<SoakReport> {
  using spool = new TempFolder();
  using _quiet = silenceHactl();
  await using stack = new AsyncDisposableStack();
  const dice = new Dice(seed);
  const services: Service[] = [];
  for (let i = 0; i < SERVICES; i++) {
    services.push(stack.use(await Service.start(`service-${i}`, dice)));
  }
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: CONFIG,
    args: ["-A", "0"],
    grants: [`--allow-write=${spool.path}`],
  });
  const agentPort = Number((await daemon.logged(AGENT_PORT))[1]);
  const before = (await read(daemon.pid)).descriptors;
  const start = performance.now();
  const gauges = new Gauges(daemon.pid, 500);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), seconds * 1000);
  const { signal } = end;
  const answers = new Answers();
  const downtimes = new Downtimes();
  let streams = 0;
  const own = () => new Dice(seed, ++streams);
  const shared = { daemon, port: daemon.port, agentPort, services, downtimes, answers, signal };

  const living = services.map((service) => live(service, own(), signal));
  const asking = Array.from({ length: ASKERS }, () => askOn({ ...shared, dice: own() }));
  const operating = [
    ...services.map(({ name, port }) =>
      operate({ ...shared, dice: own(), service: name, port, longest: LONGEST.one })
    ),
    operate({ ...shared, dice: own(), service: "all", port: 0, longest: LONGEST.all }),
  ];
  const misbehaving = Array.from({ length: ROGUES }, () => misbehave({ ...shared, dice: own() }));
  const stalling = stallAgainAndAgain(daemon, signal);
  const unread = askUnread(signal);
  const all = [...living, ...asking, ...operating, ...misbehaving, stalling, unread];
  const failed = await firstFailure(all, end);
  clearTimeout(timer);
  const lasted = (performance.now() - start) / 1000;
  await gauges[Symbol.asyncDispose]();

  const { rss, descriptors } = gauges.courses;
  const wrong = [...failed, ...answers.wrong, ...complaints(daemon.log, EXPECTED)];
  if (CUTTING.test(daemon.log)) answers.count("cut off", answers.cut.length);
  else wrong.push(...answers.cut);
  for (
    const [what, { before, after }, bound] of [
      ["MiB", rss, GROWTH.rss],
      ["descriptors", descriptors, GROWTH.descriptors],
    ] as const
  ) {
    if (after - before > bound) wrong.push(`${before} ${what} grew to ${after}`);
  }
  const after = await descriptorsAfter(daemon.pid, before);
  if (!(after <= before)) wrong.push(`${before} descriptors became ${after}`);
  const marks = failed.length > 0 ? [] : await Promise.all(operating);
  const tricks = failed.length > 0 ? [] : await Promise.all(misbehaving);
  return {
    answers: answers.counts,
    latencies: answers.latencies,
    changes: {
      services: services.reduce((sum, { changes }) => sum + changes, 0),
      downtimes: marks.reduce((sum, marked) => sum + marked, 0),
    },
    tricks: summed(tricks),
    stalls: failed.length > 0 ? 0 : await stalling,
    unread: failed.length > 0 ? 0 : await unread,
    seconds: lasted,
    rss,
    descriptors,
    idle: { before, after },
    wrong,
  };
}

/** Hides the output of hactl, which runs within this program. */
function silenceHactl(): Disposable {
  const print = console.error;
  console.error = (...parts: unknown[]) => {
    if (!String(parts[0]).startsWith("hactl: ")) print(...parts);
  };
  return { [Symbol.dispose]: () => console.error = print };
}

/** Has a service be now this and now that. */
async function live(service: Service, dice: Dice, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await rest(dice.between(STATE_MS.least, STATE_MS.most), signal);
    // Half of the time all is well.
    const state = dice.percent(50) ? "alive" : dice.pick(STATES);
    await service.become(state);
    service.forget(performance.now() - REMEMBERED_MS);
  }
}

/** Waits for all, and ends the run where one of them fails. */
async function firstFailure(
  doing: readonly Promise<unknown>[],
  end: AbortController,
): Promise<string[]> {
  const failed: string[] = [];
  await Promise.all(doing.map((one) =>
    one.catch((error) => {
      failed.push(error instanceof Error ? error.stack ?? error.message : String(error));
      end.abort();
    })
  ));
  return failed;
}

function summed(counts: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const sum = new Map<string, number>();
  for (const [name, count] of counts.flatMap((one) => [...one])) {
    sum.set(name, (sum.get(name) ?? 0) + count);
  }
  return sum;
}
