import { createLRU } from "lru.min";
import type { CheckRequest } from "../checks/check.ts";
import type { ProtocolCounters } from "../metrics/counters.ts";
import { type CheckPath, parseCheckPath, pathOf } from "./path.ts";

/** How many URLs are remembered; the one not asked for longest is forgotten first. */
export const MAX_ROUTES = 1000;

/** How long a URL may be, in characters, that is worth remembering. */
export const MAX_ROUTE_LENGTH = 1024;

/** How many other questions of one URL are remembered. */
const MAX_OTHERS = 7;

/** A question that a URL led to. */
export interface AskedQuestion {
  readonly question: CheckRequest;
  /** When it was asked last, in unix seconds. */
  readonly askedAt: number;
}

/** What a URL asks for. */
export interface Route {
  /** Its path and query string. */
  readonly path: string;
  /** What that says if it is a check's. */
  readonly check: CheckPath | undefined;
  /** The question that it led to last. */
  question: CheckRequest | undefined;
  /** When that was, in unix seconds. */
  askedAt: number;
  /** Other questions that it led to, the latest first: what HAProxy's headers name may alternate. */
  others: AskedQuestion[];
  /** The counters of its protocol, once a check was requested. */
  counters: ProtocolCounters | undefined;
}

/**
 * Reads the URLs of requests, and remembers those of checks: balancers ask the same ones again and again.
 *
 * To find a URL takes 0.1 µs; to take it apart and look up its parts, which are then new strings to every
 * map, 0.5 µs.
 *
 * @example
 * ```ts
 * import { Routes } from "./routes.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const { path, check } = new Routes().of("http://10.0.0.1:3333/http/web/8080/status");
 * assertEquals(path, "/http/web/8080/status");
 * assertEquals(check?.service, "web");
 * ```
 */
export class Routes {
  readonly #known = createLRU<string, Route>({ max: MAX_ROUTES });

  /**
   * Reads a URL.
   *
   * @param url The URL as `Deno.serve` gives it.
   * @returns What it asks for: the same object for the same URL, for as long as it is remembered.
   */
  of(url: string): Route {
    const known = this.#known.get(url);
    if (known !== undefined) return known;
    const path = pathOf(url);
    const route = {
      ...{ path, check: parseCheckPath(path), question: undefined },
      ...{ askedAt: 0, others: [], counters: undefined },
    };
    if (route.check !== undefined && url.length <= MAX_ROUTE_LENGTH) this.#known.set(url, route);
    return route;
  }

  /**
   * Returns the questions about a service that were asked lately.
   *
   * @param service The service's name.
   * @param since Since when, in unix seconds.
   * @returns Each question once for each URL that led to it.
   */
  recentChecks(service: string, since: number): CheckRequest[] {
    const found: CheckRequest[] = [];
    for (const { check, question, askedAt, others } of this.#known.values()) {
      if (check?.service !== service || question === undefined) continue;
      if (askedAt >= since) found.push(question);
      for (const other of others) if (other.askedAt >= since) found.push(other.question);
    }
    return found;
  }
}

/**
 * Makes room for another question of a route: the present one joins the others.
 *
 * @param route The route.
 * @param isMeant Tells whether a question is the one that is asked now.
 * @returns The question, if it is among the others, which it then leaves; else undefined.
 */
export function anotherQuestion(
  route: Route,
  isMeant: (question: CheckRequest) => boolean,
): CheckRequest | undefined {
  const { question, askedAt, others } = route;
  const found = others.find(({ question }) => isMeant(question))?.question;
  const rest = others.filter((other) => other.question !== found);
  if (question !== undefined && isShort(question)) rest.unshift({ question, askedAt });
  route.others = rest.slice(0, MAX_OTHERS);
  return found;
}

/** Long headers are not worth remembering several times. */
function isShort({ headers }: CheckRequest): boolean {
  return headers.reduce((sum, [, value]) => sum + value.length, 0) <= MAX_ROUTE_LENGTH;
}
