import { complaints, CUTTING } from "../load/complaints.ts";
import { AGENT_PORT } from "../load/agent_lines.ts";
import { Dice } from "../load/dice.ts";
import { type Course, descriptorsAfter, Gauges, read } from "../load/gauges.ts";
import { stallAgainAndAgain } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";
import { HOME, IS_BUNDLED } from "../support/forms.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { SpoolStore } from "../../src/spool/store.ts";
import { AgentCanary } from "./agent_canary.ts";
import { Canary } from "./canary.ts";
import { CLOSED, ConnectionCutError, ContractError, Conversation } from "./conversation.ts";
import { requestWithoutReading } from "./non_reading_client.ts";
import { Targets } from "./targets.ts";
import {
  ALWAYS_DOWN,
  BY_HOST,
  DOWN_REASON,
  DOWN_SINCE,
  initialDowntimes,
  type World,
} from "./world.ts";

/** The options of a run. */
export interface FuzzOptions {
  /** The least number of requests. */
  readonly requests: number;
  /** The seed of the random numbers. */
  readonly seed: number;
  /** The number of connections at once. */
  readonly connections: number;
  /** The number of the only conversation to run, or null for all. */
  readonly only: number | null;
}

/** The results of a run. */
export interface FuzzReport {
  /** The numbers of requests and of connections. */
  readonly sent: { readonly requests: number; readonly connections: number };
  /** The number of responses by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** The number of conversations by kind of ending. */
  readonly endings: ReadonlyMap<string, number>;
  /** The number of correct responses to the canary, and the time of the slowest, in milliseconds. */
  readonly canary: { readonly correct: number; readonly slowest: number };
  /** The numbers of agent checks with a correct response and with none. */
  readonly agents: { readonly correct: number; readonly unanswered: number };
  /** The number of times that the daemon was stopped for a moment. */
  readonly stalls: number;
  /** The duration of the run, in seconds. */
  readonly seconds: number;
  /** The daemon's memory, in MiB. */
  readonly rss: Course;
  /** The daemon's descriptors. */
  readonly descriptors: Course;
  /** The number of descriptors before and after the run. */
  readonly idle: { readonly before: number; readonly after: number };
  /** The failures; empty if the daemon kept the contract. */
  readonly failures: readonly string[];
}

/** The number of failures after which a run stops. */
const MAX_FAILURES = 10;

/**
 * The most growth of the memory between the second and the last quarter of a run, in MiB. Under such a load V8
 * keeps freed memory. In a million requests the limit finds a leak of 270 bytes each.
 */
export const RSS_GROWTH = 128;

/** How many names one connection uses in turn for its own services. */
const OWNERS_PER_SLOT = 8;

/** The number of clients that send agent checks. */
const AGENTS = 4;
/** The number of clients that send many requests and read no response. */
const NON_READERS = 8;

/** The warnings that the load and the configuration cause. */
const EXPECTED_WARNINGS =
  /^\S+ WARNING (?:refused 127\.0\.0\.1: Not allowed to check |too many unread responses: |agent check from 127\.0\.0\.1 is not answered: |mysql_username has no effect without )/;

const CONFIG = [
  "allow_remote_spool_changes: true",
  "remote_spool_clients: [127.0.0.0/8]",
  "healthcheck_timeout: 0.5",
  "cache_time: 1",
  // Without a user the daemon connects to no database.
  "mysql_username: fuzz",
  "postgres_username: fuzz",
  "",
].join("\n");

/**
 * Sends valid and invalid requests to a real daemon, and compares its responses with the model's.
 *
 * @param options The options of the run.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  using spool = new TempFolder();
  await new SpoolStore(spool.path).set(`${BY_HOST.service}:${BY_HOST.host}:${BY_HOST.port}`, {
    mode: "down",
    reason: DOWN_REASON,
    expiration: null,
    creation: DOWN_SINCE,
  });
  await using targets = await Targets.start();
  await using daemon = await Daemon.start({
    spool: spool.path,
    config: CONFIG,
    args: ["-A", "0"],
    allGrants: grantsOnLoopback,
  });
  const agentPort = Number((await daemon.logged(AGENT_PORT))[1]);
  const world = { ports: targets.ports, downtimes: initialDowntimes() };
  await setDowntimes(daemon);
  return await new Run(options, daemon, agentPort, world).run();
}

/** The grants of a daemon that can connect to no other machine. */
function grantsOnLoopback(spool: string): string[] {
  const readable = [spool, ...IS_BUNDLED ? [`${HOME}src`] : []];
  const spoolGrants = [`--allow-read=${readable}`, `--allow-write=${spool}`];
  return ["--no-prompt", ...spoolGrants, "--allow-net=127.0.0.0/8,[::1]"];
}

async function setDowntimes(daemon: Daemon): Promise<void> {
  for (const [service, port] of ALWAYS_DOWN) {
    const body = new URLSearchParams({
      status: "down",
      reason: DOWN_REASON,
      creation: String(DOWN_SINCE),
    });
    const response = await fetch(daemon.url(`/spool/${service}/${port}`), { method: "POST", body });
    await response.body?.cancel();
    if (response.status !== 200) {
      throw new Error(`cannot set ${service} down: status ${response.status}`);
    }
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
  readonly #failures: string[] = [];
  /** The conversations that the daemon cut. */
  readonly #cuts: string[] = [];
  #requests = 0;
  #conversations = 0;

  constructor(options: FuzzOptions, daemon: Daemon, agentPort: number, world: World) {
    this.#options = options;
    this.#daemon = daemon;
    this.#agentPort = agentPort;
    this.#world = world;
  }

  async run(): Promise<FuzzReport> {
    const { port, pid } = this.#daemon;
    const before = (await read(pid)).descriptors;
    const start = performance.now();
    const gauges = new Gauges(pid, 250);
    const canary = new Canary(port, this.#world);
    const { connections, only, seed } = this.#options;
    const end = new AbortController();
    const agents = new AgentCanary();
    const dice = (number: number) => new Dice(seed, 2 ** 30 + number);
    // Awaited at the end; until then a rejection must not count as unhandled.
    const background = Promise.all([
      stallAgainAndAgain(this.#daemon, end.signal),
      ...Array.from(
        { length: AGENTS },
        (_, i) => agents.run(this.#agentPort, dice(i), end.signal),
      ),
      ...Array.from(
        { length: NON_READERS },
        (_, i) => requestWithoutReading(port, dice(AGENTS + i), end.signal),
      ),
    ]);
    background.catch(() => {});
    if (only !== null) {
      await this.#runConversation(only, "0");
    } else {
      await Promise.all(
        Array.from({ length: connections }, (_, i) => this.#runConversations(String(i))),
      );
    }
    end.abort();
    const [stalls] = await background;
    await canary[Symbol.asyncDispose]();
    await gauges[Symbol.asyncDispose]();
    const seconds = (performance.now() - start) / 1000;
    const after = await descriptorsAfter(pid, before);
    if (!(after <= before)) {
      this.#failures.push(`expected at most ${before} descriptors after the run: found ${after}`);
    }
    const { rss, descriptors } = gauges.courses;
    if (rss.after - rss.before > RSS_GROWTH) {
      this.#failures.push(
        `memory grew from ${rss.before} to ${rss.after} MiB: expected at most ${RSS_GROWTH} more`,
      );
    }
    // The daemon logs when it cuts all connections because clients do not read.
    const mayCut = CUTTING.test(this.#daemon.log);
    if (!mayCut) this.#failures.push(...this.#cuts.slice(0, MAX_FAILURES));
    this.#failures.push(
      ...agents.failures,
      ...canary.failures,
      ...complaints(this.#daemon.log, EXPECTED_WARNINGS),
    );
    return {
      sent: { requests: this.#requests, connections: this.#conversations },
      statuses: this.#statuses,
      endings: this.#endings,
      canary: { correct: canary.correct, slowest: canary.slowest },
      agents: { correct: agents.correct, unanswered: agents.unanswered },
      stalls,
      seconds,
      rss,
      descriptors,
      idle: { before, after },
      failures: this.#failures,
    };
  }

  /** Runs one conversation after another. */
  async #runConversations(slot: string): Promise<void> {
    let owner = 0;
    while (this.#requests < this.#options.requests && this.#failures.length < MAX_FAILURES) {
      const number = this.#conversations++;
      const isComplete = await this.#runConversation(number, `${slot}-${owner}`);
      // The daemon may still process requests without a response: they must not change services of the next one.
      if (!isComplete) owner = (owner + 1) % OWNERS_PER_SLOT;
    }
  }

  /** Runs a conversation. Returns whether the daemon has responded to all of its requests. */
  async #runConversation(number: number, owner: string): Promise<boolean> {
    const conversation = new Conversation(this.#options.seed, number, this.#world, owner);
    this.#requests += conversation.length;
    try {
      const { statuses, ending } = await conversation.run(await Wire.open(this.#daemon.port));
      for (const status of statuses) count(this.#statuses, status);
      count(this.#endings, ending);
      return ending !== CLOSED;
    } catch (error) {
      if (error instanceof ConnectionCutError) {
        count(this.#endings, "cut by the daemon");
        this.#cuts.push(`conversation ${number}: ${error.message}`);
        return false;
      }
      if (!(error instanceof ContractError) && !(error instanceof Deno.errors.ConnectionRefused)) {
        throw error;
      }
      this.#failures.push(`conversation ${number}: ${error.message}`);
      return false;
    }
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
