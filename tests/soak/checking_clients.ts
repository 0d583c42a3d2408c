/**
 * Balancers that request checks and judge each response.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { askInParts } from "../load/agent_lines.ts";
import { rest } from "../load/stalls.ts";
import { CutError, Wire, type WireResponse } from "../load/wire.ts";
import type { Answers } from "./answers.ts";
import type { Downtimes } from "./downtimes.ts";
import type { Service } from "./service.ts";

/** How long an asker rests between two questions at most, in milliseconds. */
const LONGEST_REST_MS = 8;

/** How many questions are asked on one connection at most. */
const MOST_QUESTIONS = 100;

/** After which time there is no answer, in milliseconds. */
const PATIENCE_MS = 20_000;

/** How long an answer is under way at most, in milliseconds, on a busy machine. */
const TRANSIT_MS = 2000;

/** How long the daemon may reuse a result, in milliseconds. */
export const CACHE_MS = 1000;

/** What an asker works with. */
export interface AskerOptions {
  /** The daemon's port. */
  readonly port: number;
  /** The port on which it answers agent checks. */
  readonly agentPort: number;
  /** The services to check. */
  readonly services: readonly Service[];
  /** The downtimes in force. */
  readonly downtimes: Downtimes;
  /** Collects the responses. */
  readonly answers: Answers;
  /** Chance. */
  readonly dice: Dice;
  /** Ends the work. */
  readonly signal: AbortSignal;
}

/** A question about a service. */
interface Question {
  readonly protocol: string;
  readonly method: string;
  readonly service: Service;
  /** Whether no result may be reused. */
  readonly fresh: boolean;
  /** The bytes to send. */
  readonly bytes: string;
}

/**
 * Requests checks until it is stopped.
 *
 * @param options What to work with.
 */
export async function askOn(options: AskerOptions): Promise<void> {
  const { port, dice, signal, answers } = options;
  while (!signal.aborted) {
    await askAgent(options);
    using wire = await Wire.open(port);
    for (let left = dice.between(1, MOST_QUESTIONS); left > 0 && !signal.aborted; left--) {
      const asked = question(options);
      const start = performance.now();
      const impatient = setTimeout(() => wire[Symbol.dispose](), PATIENCE_MS);
      await wire.send(asked.bytes);
      const answer = await wire.response(asked.method).catch((error) => {
        if (error instanceof CutError) return null;
        throw error;
      });
      clearTimeout(impatient);
      const end = performance.now();
      if (answer === null) {
        answers.cut.push(`no answer to ${JSON.stringify(asked.bytes)}`);
        break;
      }
      const kind = judge(options, asked, answer, start, end);
      answers.add(asked.protocol, kind, end - start);
      if (kind === "wrong") answers.wrong.push(describe(asked, answer, start, end));
      // A response may be the last on its connection.
      if (answer.isLast) break;
      await rest(dice.below(LONGEST_REST_MS), signal);
    }
  }
}

/** The statuses that stand for the answers of agent checks. */
const AGENT_STATUSES: Readonly<Record<string, number>> = {
  "ready up 100%\n": 200,
  "drain\n": 404,
  "maint\n": 503,
};

/** Asks for an agent check. No answer is never wrong: HAProxy keeps what it had. */
async function askAgent(options: AskerOptions): Promise<void> {
  const { agentPort, dice, services, downtimes, answers, signal } = options;
  const { name, port } = dice.pick(services);
  const start = performance.now();
  const { manner, answer } = await askInParts(agentPort, `${name}/${port}`, dice, signal);
  const end = performance.now();
  const status = AGENT_STATUSES[answer];
  if (answer === "") return answers.add("agent", "agent checks without an answer", end - start);
  const names = ["all", name, `${name}:${port}`];
  const judged = status === undefined || manner === "half"
    ? "wrong"
    // A HEAD response shows the mode only.
    : downtimes.judge(names, { status, body: "" }, "HEAD", start, end);
  const isRight = judged === "right" || judged === "no downtime" && status === 200;
  answers.add("agent", isRight ? "agent checks" : "wrong", end - start);
  if (isRight) return;
  const line = JSON.stringify(answer);
  answers.wrong.push(
    `agent check of ${name}/${port} (${manner}) at ${start} ms: ${line} at ${end}`,
  );
}

function question({ dice, services }: AskerOptions): Question {
  const service = dice.pick(services);
  const protocol = dice.pick(["spool", "spool", "http", "http", "tcp"]);
  const method = dice.pick(["GET", "GET", "GET", "GET", "OPTIONS", "HEAD"]);
  const fresh = dice.percent(15);
  const stated = dice.percent(50);
  const path = `/${protocol}/${service.name}/${stated ? 0 : service.port}/health`;
  const headers = ["Host: soak"];
  if (stated) headers.push(`X-Haproxy-Server-State: UP; address=127.0.0.1; port=${service.port}`);
  if (fresh) headers.push(dice.pick(["Pragma: no-cache", "Cache-Control: no-cache"]));
  const bytes = [`${method} ${path} HTTP/1.1`, ...headers, "", ""].join("\r\n");
  return { protocol, method, service, fresh, bytes };
}

/** The kind of an answer. */
function judge(
  { downtimes }: AskerOptions,
  { protocol, method, service, fresh }: Question,
  answer: WireResponse,
  asked: number,
  answered: number,
): string {
  const names = ["all", service.name, `${service.name}:${service.port}`];
  // A service whose downtime begins during its check is down.
  const decided = Math.max(asked, answered - TRANSIT_MS);
  const byRecord = downtimes.judge(names, answer, method, decided, answered);
  if (byRecord === "wrong") return "wrong";
  if (byRecord === "right") return "down by an operator";
  if (protocol === "spool") {
    return answer.status === 200 && answer.body === "" ? "up by the spool" : "wrong";
  }
  const since = fresh ? asked : asked - CACHE_MS;
  if (service.isTrue(protocol, method, answer, since, answered, fresh)) {
    return answer.status === 200 ? "up by the service" : "down by the service";
  }
  // On a machine that is too busy a service may be too late: that is down, and never wrong.
  return answer.status === 503 && /timed out/.test(answer.body) ? "late" : "wrong";
}

function describe(
  { bytes, service }: Question,
  { status, body }: WireResponse,
  asked: number,
  answered: number,
): string {
  return `to ${JSON.stringify(bytes)}, asked at ${asked} ms and answered at ${answered} ms: ` +
    `${status} ${JSON.stringify(body)}: ${service.name} is ${service.state}`;
}
