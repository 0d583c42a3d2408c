import { complaints } from "../load/complaints.ts";
import { type Course, descriptorsAfter, Gauges, read } from "../load/gauges.ts";
import { Wire } from "../load/wire.ts";
import { Daemon, TempFolder } from "../programs.ts";
import { SpoolStore } from "../../src/spool/store.ts";
import { Canary } from "./canary.ts";
import { Conversation, Wrong } from "./conversation.ts";
import { Targets } from "./targets.ts";
import {
  BY_HOST,
  CONDEMNED,
  condemned,
  CONDEMNED_BECAUSE,
  CONDEMNED_SINCE,
  type World,
} from "./world.ts";

/** What a run is. */
export interface FuzzOptions {
  /** How many requests are sent, at least. */
  readonly requests: number;
  /** Where chance begins. */
  readonly seed: number;
  /** How many connections are open at once. */
  readonly connections: number;
  /** The one conversation to hold, instead of all. */
  readonly only: number | null;
}

/** What came of a run. */
export interface FuzzReport {
  /** How many requests were sent, and on how many connections. */
  readonly sent: { readonly requests: number; readonly connections: number };
  /** How many answers of each status there were. */
  readonly statuses: ReadonlyMap<number, number>;
  /** How many conversations ended in each way. */
  readonly endings: ReadonlyMap<string, number>;
  /** How often the canary was answered rightly, and how long the slowest answer took, in milliseconds. */
  readonly canary: { readonly right: number; readonly slowest: number };
  /** How long it took, in seconds. */
  readonly seconds: number;
  /** The daemon's memory, in MiB, and its descriptors. */
  readonly rss: Course;
  readonly descriptors: Course;
  /** How many descriptors it had before and after all. */
  readonly idle: { readonly before: number; readonly after: number };
  /** All that was wrong; nothing, if all is well. */
  readonly wrong: readonly string[];
}

/** How many mistakes are told before a run gives up. */
const MOST_WRONG = 10;

/**
 * By how many MiB the memory may grow between the second and the last quarter of a run. V8 keeps what it has
 * collected while it is pressed so: 148 MiB of heap were seen for 30 in use. Of a million requests this
 * finds a leak of 270 bytes each.
 */
export const RSS_GROWTH = 128;

/** What it says now and then of checks that are not allowed. */
const REFUSED = /^\S+ WARNING refused 127\.0\.0\.1: Not allowed to check /;

const CONFIG = [
  "allow_remote_spool_changes: true",
  "remote_spool_clients: [127.0.0.0/8]",
  "healthcheck_timeout: 0.5",
  "cache_time: 1",
  // Without a user nobody speaks to a database at all.
  "mysql_username: fuzz",
  "postgres_username: fuzz",
  "",
].join("\n");

/**
 * Sends a real daemon what no client should send, beside what many do.
 *
 * @param options What to send.
 * @returns What came of it.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  using spool = new TempFolder();
  await new SpoolStore(spool.path).markDown(
    `${BY_HOST.service}:${BY_HOST.host}:${BY_HOST.port}`,
    CONDEMNED_BECAUSE,
    null,
    CONDEMNED_SINCE,
  );
  await using targets = await Targets.start();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: CONFIG,
    allGrants: grantsOnLoopback,
  });
  const world = { ports: targets.ports, condemned: condemned() };
  await condemn(daemon);
  return await new Run(options, daemon, world).done();
}

/** Whatever it is asked for, the daemon reaches nobody but this machine. */
function grantsOnLoopback(spool: string): string[] {
  const spoolGrants = [`--allow-read=${spool}`, `--allow-write=${spool}`];
  return ["--no-prompt", ...spoolGrants, "--allow-net=127.0.0.0/8,[::1]"];
}

async function condemn(daemon: Daemon): Promise<void> {
  for (const [service, port] of CONDEMNED) {
    const body = new URLSearchParams({
      status: "down",
      reason: CONDEMNED_BECAUSE,
      creation: String(CONDEMNED_SINCE),
    });
    const response = await fetch(daemon.url(`/spool/${service}/${port}`), { method: "POST", body });
    await response.body?.cancel();
    if (response.status !== 200) throw new Error(`cannot mark ${service}: ${response.status}`);
  }
}

/** One run. */
class Run {
  readonly #options: FuzzOptions;
  readonly #daemon: Daemon;
  readonly #world: World;
  readonly #statuses = new Map<number, number>();
  readonly #endings = new Map<string, number>();
  readonly #wrong: string[] = [];
  #requests = 0;
  #conversations = 0;

  constructor(options: FuzzOptions, daemon: Daemon, world: World) {
    this.#options = options;
    this.#daemon = daemon;
    this.#world = world;
  }

  async done(): Promise<FuzzReport> {
    const { port, pid } = this.#daemon;
    const before = (await read(pid)).descriptors;
    const start = performance.now();
    const gauges = new Gauges(pid, 250);
    const canary = new Canary(port, this.#world);
    const { connections, only } = this.#options;
    if (only !== null) {
      await this.#converse(only, "0");
    } else {
      await Promise.all(
        Array.from({ length: connections }, (_, i) => this.#converseOn(String(i))),
      );
    }
    await canary[Symbol.asyncDispose]();
    await gauges[Symbol.asyncDispose]();
    const seconds = (performance.now() - start) / 1000;
    const after = await descriptorsAfter(pid, before);
    if (!(after <= before)) this.#wrong.push(`${before} descriptors became ${after}`);
    const { rss, descriptors } = gauges.courses;
    if (rss.after - rss.before > RSS_GROWTH) {
      this.#wrong.push(`memory is not flat: ${rss.before} MiB grew to ${rss.after}`);
    }
    this.#wrong.push(...canary.wrong, ...complaints(this.#daemon.log, REFUSED));
    return {
      sent: { requests: this.#requests, connections: this.#conversations },
      statuses: this.#statuses,
      endings: this.#endings,
      canary: { right: canary.right, slowest: canary.slowest },
      seconds,
      rss,
      descriptors,
      idle: { before, after },
      wrong: this.#wrong,
    };
  }

  /** Holds one conversation after the other. */
  async #converseOn(owner: string): Promise<void> {
    while (this.#requests < this.#options.requests && this.#wrong.length < MOST_WRONG) {
      await this.#converse(this.#conversations++, owner);
    }
  }

  async #converse(number: number, owner: string): Promise<void> {
    const conversation = new Conversation(this.#options.seed, number, this.#world, owner);
    this.#requests += conversation.length;
    try {
      const { statuses, ending } = await conversation.hold(await Wire.open(this.#daemon.port));
      for (const status of statuses) count(this.#statuses, status);
      count(this.#endings, ending);
    } catch (error) {
      if (!(error instanceof Wrong) && !(error instanceof Deno.errors.ConnectionRefused)) {
        throw error;
      }
      this.#wrong.push(`conversation ${number}: ${error.message}`);
    }
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
