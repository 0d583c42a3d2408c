import { complaints, CUTTING } from "../load/complaints.ts";
import { AGENT_PORT } from "../load/agent_lines.ts";
import { Dice } from "../load/dice.ts";
import { type Course, descriptorsAfter, Gauges, read } from "../load/gauges.ts";
import { stallAgainAndAgain } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { SpoolStore } from "../../src/spool/store.ts";
import { AgentCanary } from "./agent_canary.ts";
import { Canary } from "./canary.ts";
import { Conversation, CutOff, Wrong } from "./conversation.ts";
import { hoardOn } from "./hoarder.ts";
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
  /** How often agent checks were answered rightly, and how often not at all. */
  readonly agents: { readonly right: number; readonly silent: number };
  /** How often the daemon was stopped for a moment. */
  readonly stalls: number;
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

/** How many ask for agent checks, and how many ask for much and read nothing. */
const AGENTS = 4;
const HOARDERS = 8;

/** What it says now and then of checks that are not allowed, and of agent checks that send no line in time. */
const REFUSED =
  /^\S+ WARNING (?:refused 127\.0\.0\.1: Not allowed to check |too many unread responses: |agent check from 127\.0\.0\.1 is not answered: )/;

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
  await new SpoolStore(spool.path).set(`${BY_HOST.service}:${BY_HOST.host}:${BY_HOST.port}`, {
    mode: "down",
    reason: CONDEMNED_BECAUSE,
    expiration: null,
    creation: CONDEMNED_SINCE,
  });
  await using targets = await Targets.start();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: CONFIG,
    args: ["-A", "0"],
    allGrants: grantsOnLoopback,
  });
  const agentPort = Number((await daemon.logged(AGENT_PORT))[1]);
  const world = { ports: targets.ports, condemned: condemned() };
  await condemn(daemon);
  return await new Run(options, daemon, agentPort, world).done();
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
  readonly #agentPort: number;
  readonly #world: World;
  readonly #statuses = new Map<number, number>();
  readonly #endings = new Map<string, number>();
  readonly #wrong: string[] = [];
  /** Conversations that were cut off. */
  readonly #cut: string[] = [];
  #requests = 0;
  #conversations = 0;

  constructor(options: FuzzOptions, daemon: Daemon, agentPort: number, world: World) {
    this.#options = options;
    this.#daemon = daemon;
    this.#agentPort = agentPort;
    this.#world = world;
  }

  async done(): Promise<FuzzReport> {
    const { port, pid } = this.#daemon;
    const before = (await read(pid)).descriptors;
    const start = performance.now();
    const gauges = new Gauges(pid, 250);
    const canary = new Canary(port, this.#world);
    const { connections, only, seed } = this.#options;
    const end = new AbortController();
    const agents = new AgentCanary();
    const dice = (number: number) => new Dice(seed, 2 ** 30 + number);
    // Waited for at the end; what fails there must not be lost until then.
    const beside = Promise.all([
      stallAgainAndAgain(this.#daemon, end.signal),
      ...Array.from(
        { length: AGENTS },
        (_, i) => agents.askOn(this.#agentPort, dice(i), end.signal),
      ),
      ...Array.from({ length: HOARDERS }, (_, i) => hoardOn(port, dice(AGENTS + i), end.signal)),
    ]);
    beside.catch(() => {});
    if (only !== null) {
      await this.#converse(only, "0");
    } else {
      await Promise.all(
        Array.from({ length: connections }, (_, i) => this.#converseOn(String(i))),
      );
    }
    end.abort();
    const [stalls] = await beside;
    await canary[Symbol.asyncDispose]();
    await gauges[Symbol.asyncDispose]();
    const seconds = (performance.now() - start) / 1000;
    const after = await descriptorsAfter(pid, before);
    if (!(after <= before)) this.#wrong.push(`${before} descriptors became ${after}`);
    const { rss, descriptors } = gauges.courses;
    if (rss.after - rss.before > RSS_GROWTH) {
      this.#wrong.push(`memory is not flat: ${rss.before} MiB grew to ${rss.after}`);
    }
    // It cuts the connections of all where clients do not read, and says so.
    const isAllowed = CUTTING.test(this.#daemon.log);
    if (!isAllowed) this.#wrong.push(...this.#cut.slice(0, MOST_WRONG));
    this.#wrong.push(...agents.wrong, ...canary.wrong, ...complaints(this.#daemon.log, REFUSED));
    return {
      sent: { requests: this.#requests, connections: this.#conversations },
      statuses: this.#statuses,
      endings: this.#endings,
      canary: { right: canary.right, slowest: canary.slowest },
      agents: { right: agents.right, silent: agents.silent },
      stalls,
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
      if (error instanceof CutOff) {
        count(this.#endings, "cut by the daemon");
        this.#cut.push(`conversation ${number}: ${error.message}`);
        return;
      }
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
