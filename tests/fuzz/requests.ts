/**
 * Valid HTTP requests, each with the expected responses.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { form } from "./forms.ts";
import {
  ADDRESSES,
  type Check,
  type Downtime,
  type ExpectedResponse,
  expectedResponses,
  NOT_FOUND,
  PROTOCOLS,
} from "./model.ts";
import {
  FORGED_HOSTS,
  HOSTS,
  NAME,
  OTHER_METHODS,
  PATHS,
  TOKEN,
  UNKNOWN_PATHS,
  UNKNOWN_PROTOCOLS,
  VALUE,
  WRONG_ADDRESSES,
  WRONG_PORTS,
  WRONG_SERVICES,
  WRONG_STATED_PORTS,
} from "./vocabulary.ts";
import { ALWAYS_DOWN, BY_HOST, NEVER_DOWN, type World } from "./world.ts";

/** A request as bytes. */
export interface GeneratedRequest {
  /** The bytes, one character for each. */
  readonly bytes: string;
  /** The method. */
  readonly method: string;
  /** The expected responses. */
  readonly expected: readonly ExpectedResponse[];
  /** Whether the daemon may close the connection after it. */
  readonly last: boolean;
}

/** A request before its formatting. */
interface Draft {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body?: string;
  readonly expected: readonly ExpectedResponse[];
  /** Whether this must be the last request: closing the connection may discard a long response. */
  readonly long?: boolean;
}

const BAD_HOST: readonly ExpectedResponse[] = [[400, /^Bad Host: /]];

/** The response while large pages wait for clients that do not read, or after too many requests for them. */
const TOO_LARGE: ExpectedResponse = [
  503,
  /^Too many (?:bytes of large pages wait for clients|large pages were requested): /,
];

/** Pages that list thousands of services. */
const LONG_PAGES: readonly Pick<Draft, "method" | "target" | "headers" | "expected">[] = [
  {
    method: "GET",
    target: "/",
    headers: ["Accept: application/json"],
    expected: [[200, /^\{"downtimes":\[.*\}$/s], TOO_LARGE],
  },
  {
    method: "GET",
    target: "/status/count",
    headers: [],
    expected: [[200, /^\{"service_access_counts":\{.*\}$/], TOO_LARGE],
  },
  {
    method: "GET",
    target: "/recent",
    headers: [],
    expected: [[200, /^\{"seen_services":\[.*\],"threshold_seconds":600\}$/], TOO_LARGE],
  },
];

/** Generates the requests of one connection. */
export class RequestGenerator {
  readonly #dice: Dice;
  readonly #world: World;
  /** The services that only this connection changes. */
  readonly #ownServices: readonly string[];
  readonly #downtimes: Map<string, Downtime | null>;

  /**
   * @param dice The source of randomness.
   * @param world The services, and their downtimes.
   * @param owner Identifies the connection among those that are open.
   */
  constructor(dice: Dice, world: World, owner: string) {
    this.#dice = dice;
    this.#world = world;
    this.#ownServices = [`own-${owner}-a`, `own-${owner}-b`];
    this.#downtimes = new Map(world.downtimes);
    // An earlier connection may have left records of them.
    for (const service of this.#ownServices) {
      for (const name of [service, `${service}:8081`]) this.#downtimes.set(name, null);
    }
  }

  /** Generates the next request. */
  next(): GeneratedRequest {
    return this.#format(this.#draft());
  }

  /** Generates a check of the spool alone, to be cut, mangled or framed wrongly. */
  plain(method = "GET", service: string = this.#dice.pick(ALWAYS_DOWN)[0]): string {
    const body = method === "POST" ? "status=up" : undefined;
    const headers = body === undefined ? [] : [`Content-Length: ${body.length}`];
    return formatRequest(
      method,
      `/spool/${service}/0`,
      "1.1",
      ["Host: x", ...headers],
      body ?? "",
      "\r\n",
    );
  }

  #draft(): Draft {
    const roll = this.#dice.below(100);
    if (roll < 78) return this.#check();
    if (roll < 81) return this.#change();
    if (roll < 86) return this.#page();
    if (roll < 90) return this.#unknownPath();
    return this.#check(this.#dice.pick(OTHER_METHODS));
  }

  #check(method: string = this.#dice.pick(["GET", "GET", "GET", "HEAD", "OPTIONS"])): Draft {
    const dice = this.#dice;
    const protocol = dice.percent(5)
      ? dice.pick(UNKNOWN_PROTOCOLS)
      : dice.percent(85)
      ? "spool"
      : dice.pick(PROTOCOLS);
    const service = this.#service();
    const port = dice.percent(4) ? dice.pick(WRONG_PORTS) : this.#port(protocol, service);
    const path = dice.pick(PATHS);
    const check: Check = {
      protocol,
      service,
      port,
      path,
      method,
      ...this.#statedTarget(protocol, service),
    };
    return {
      method,
      target: `/${protocol}/${service}/${port}${path}`,
      headers: [...this.#targetHeaders(check), ...this.#bypassHeaders()],
      expected: expectedResponses(check, this.#downtimes, this.#world.ports),
    };
  }

  #service(): string {
    const dice = this.#dice;
    const roll = dice.below(100);
    if (roll < 30) return dice.pick(ALWAYS_DOWN)[0];
    if (roll < 35) return BY_HOST.service;
    if (roll < 50) return dice.pick(this.#ownServices);
    if (roll < 85) return dice.pick(NEVER_DOWN);
    if (roll < 93) return `${dice.text(NAME, dice.between(1, 60))}-x`;
    return dice.pick(WRONG_SERVICES);
  }

  /** A port to check: that of a service of this run where the check connects. */
  #port(protocol: string, service: string): string {
    const dice = this.#dice;
    if (dice.percent(3)) return dice.pick(["65536", "99999", "100000000000000000000000"]);
    if (protocol !== "spool") return String(dice.pick([0, ...this.#servicePorts()]));
    if (service === "by-port" || dice.percent(20)) return dice.pick(["8081", "08081", "0"]);
    return dice.pick(["0", "00", "1", "80", "8080", "65535", "8082"]);
  }

  /** The ports of the services. The silent one is rare: each of its checks lasts until the timeout. */
  #servicePorts(): number[] {
    const { silent, ...others } = this.#world.ports;
    return [...Object.values(others), ...this.#dice.percent(1) ? [silent] : []];
  }

  #statedTarget(protocol: string, service: string): { statedPort?: string; address?: string } {
    const dice = this.#dice;
    const stated: { statedPort?: string; address?: string } = {};
    if (dice.percent(15)) {
      stated.statedPort = dice.percent(20)
        ? dice.pick(WRONG_STATED_PORTS)
        : this.#port(protocol, service);
    }
    if (dice.percent(service === BY_HOST.service ? 80 : 15)) {
      stated.address = dice.percent(20)
        ? dice.pick(WRONG_ADDRESSES)
        : dice.pick([...ADDRESSES.keys()]);
    }
    return stated;
  }

  #targetHeaders({ statedPort, address }: Check): string[] {
    const dice = this.#dice;
    const fields = ["UP 1/3", "name=web/a; node=lb1; weight=1/1; scur=0/0; qcur=0"];
    const isInState = address !== undefined && !address.includes(",") && dice.percent(50);
    if (isInState) fields.splice(1, 0, `address=${address}`);
    if (statedPort !== undefined) {
      fields.splice(dice.below(fields.length) + 1, 0, `port=${statedPort}`);
    }
    const headers: string[] = [];
    if (isInState || statedPort !== undefined || dice.percent(10)) {
      headers.push(`X-Haproxy-Server-State: ${fields.join("; ")}`);
    }
    if (address !== undefined && !isInState) headers.push(`X-Nerve-Check-IP: ${address}`);
    // The address in the other header has precedence.
    if (isInState && dice.percent(50)) {
      headers.push(`X-Nerve-Check-IP: ${dice.pick(WRONG_ADDRESSES)}`);
    }
    return headers;
  }

  #bypassHeaders(): string[] {
    const dice = this.#dice;
    if (!dice.percent(10)) return [];
    const header = dice.pick(["Pragma", "Cache-Control"]);
    return [`${header}: ${dice.pick(["no-cache", "no-cache", "max-age=0", "\xff"])}`];
  }

  #change(): Draft {
    const dice = this.#dice;
    const service = dice.pick(this.#ownServices);
    const [port, record] = dice.pick([["0", service], ["8081", `${service}:8081`]] as const);
    const { body, valid, downtime } = form(dice, service);
    if (downtime === undefined) this.#downtimes.delete(record);
    else if (downtime !== null) this.#downtimes.set(record, downtime);
    return {
      method: "POST",
      target: `/spool/${service}/${port}${dice.pick(["/status", "", "/x?y"])}`,
      headers: ["Content-Type: application/x-www-form-urlencoded"],
      body,
      expected: valid ? [[200, ""]] : [[400, /^Bad \w+: expected /], [413, /^The form is longer/]],
    };
  }

  #page(): Draft {
    const dice = this.#dice;
    if (dice.percent(0.5)) return { ...this.#dice.pick(LONG_PAGES), long: true };
    const [target, expected] = dice.pick<readonly [string, readonly ExpectedResponse[]]>([
      ["/status", [[200, /^\{"cache":\{.*\}$/]]],
      ["/", NOT_FOUND],
      ["/status?x", [[200, /^\{"cache":\{.*\}$/]]],
      ["/recent?threshold=0", [
        [200, /^\{"seen_services":\[.*\],"threshold_seconds":0\}$/],
        TOO_LARGE,
      ]],
      ["/recent?threshold=x", [[400, /^Bad threshold: /]]],
      ["/recent?threshold=-1", [[400, /^Bad threshold: /]]],
      ["/status/services/condemned/0", [[200, /"kept_out_by":\{"name":"condemned",/]]],
      ["/status/downtimes", [[200, /^\{"downtimes":\[.+\],"weights":\[.*\]\}$/], TOO_LARGE]],
      ["/status/services/web/0/x", [[200, /"kept_out_by":null,.*"agent_weight":100,/]]],
      ["/status/services/web/65536", [[400, /^Bad port/]]],
      ["/debug/runtime", [[200, /^\{"versions":\{.*\}$/]]],
    ]);
    if (dice.percent(10)) {
      return {
        method: dice.pick(OTHER_METHODS),
        target,
        headers: [],
        expected: [[405, /^Method not/]],
      };
    }
    return { method: dice.pick(["GET", "GET", "HEAD"]), target, headers: [], expected };
  }

  #unknownPath(): Draft {
    const dice = this.#dice;
    const target = dice.percent(90)
      ? dice.pick(UNKNOWN_PATHS)
      : `/${dice.text(TOKEN, dice.between(1, 30))}`;
    return { method: dice.pick(["GET", "POST", "PUT"]), target, headers: [], expected: NOT_FOUND };
  }

  /** Formats a request in one of the ways that HTTP allows. */
  #format({ method, target, headers, body, expected, long = false }: Draft): GeneratedRequest {
    const dice = this.#dice;
    const isHttp10 = dice.percent(8);
    const isKeptAlive = !isHttp10 || dice.percent(50);
    const isClosed = !isHttp10 && dice.percent(3);
    const fields = [...headers, ...this.#extraHeaders()];
    const isForged = body === undefined && dice.percent(1);
    if (isForged) fields.push(`Host: ${dice.pick(FORGED_HOSTS)}`);
    else if (!isHttp10 || dice.percent(50)) {
      fields.push(`Host: ${dice.percent(80) ? "x" : dice.pick(HOSTS)}`);
    }
    if (isHttp10 && isKeptAlive) fields.push("Connection: keep-alive");
    if (isClosed) fields.push("Connection: close");
    const framed = this.#frame(body, isHttp10);
    if (framed.headers.length === 0) fields.push(...this.#upgrade());
    const absolute = dice.percent(5) ? dice.pick(["http://x", "http://u@x:99999", "ftp://x"]) : "";
    const shuffled = dice.percent(50) ? fields : fields.reverse();
    const eol = dice.percent(3) ? "\n" : "\r\n";
    const bytes = formatRequest(
      method,
      absolute + target,
      isHttp10 ? "1.0" : "1.1",
      [...shuffled, ...framed.headers],
      framed.body,
      eol,
    );
    // The daemon closes the connection instead of reading a body that it does not use.
    const last = long || !isKeptAlive || isClosed || (framed.body !== "" && body === undefined) ||
      (body?.length ?? 0) > 60_000;
    return {
      bytes: dice.percent(2) ? `\r\n${bytes}` : bytes,
      method,
      expected: isForged ? BAD_HOST : expected,
      last,
    };
  }

  #frame(body: string | undefined, isHttp10: boolean): { headers: string[]; body: string } {
    const dice = this.#dice;
    if (body === undefined) {
      // HTTP allows a body here.
      return dice.percent(2)
        ? { headers: ["Content-Length: 5"], body: "hello" }
        : { headers: [], body: "" };
    }
    if (!isHttp10 && dice.percent(25)) {
      return { headers: ["Transfer-Encoding: chunked"], body: chunked(dice, body) };
    }
    const headers = [`Content-Length: ${body.length}`];
    if (dice.percent(2)) headers.push(headers[0]!);
    if (!isHttp10 && dice.percent(5)) headers.push("Expect: 100-continue");
    return { headers, body };
  }

  #extraHeaders(): string[] {
    const dice = this.#dice;
    const headers: string[] = [];
    while (dice.percent(30)) {
      const name = `X-${dice.text(TOKEN, dice.between(1, 20))}`;
      const value = dice.text(VALUE, dice.between(0, 30));
      headers.push(`${name}:${value}`);
    }
    return headers;
  }

  /** A request for an upgrade that the daemon does not support. Deno rejects an upgrade beside a body. */
  #upgrade(): string[] {
    const dice = this.#dice;
    if (!dice.percent(2)) return [];
    return ["Connection: Upgrade", `Upgrade: ${dice.pick(["websocket", "h2c"])}`];
  }
}

function formatRequest(
  method: string,
  target: string,
  version: string,
  headers: readonly string[],
  body: string,
  eol: string,
): string {
  return [`${method} ${target} HTTP/${version}`, ...headers, "", ""].join(eol) + body;
}

function chunked(dice: Dice, body: string): string {
  let chunks = "";
  for (let sent = 0; sent < body.length;) {
    const chunk = body.slice(sent, sent + dice.between(1, Math.max(20, body.length / 4)));
    const extension = dice.percent(10) ? ";a=b" : "";
    chunks += `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`;
    sent += chunk.length;
  }
  return `${chunks}0\r\n${dice.percent(10) ? "X-Trailer: x\r\n" : ""}\r\n`;
}
