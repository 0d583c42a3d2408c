/**
 * Requests that make sense as HTTP, whatever they ask for, each with the answers that are right.
 *
 * @module
 */

import type { Dice } from "../load/dice.ts";
import { form } from "./forms.ts";
import {
  ADDRESSES,
  type Answer,
  answersTo,
  type Mark,
  NOT_FOUND,
  PROTOCOLS,
  type Question,
} from "./model.ts";
import {
  FORGED_HOSTS,
  HOSTS,
  NAME,
  NOBODYS,
  OTHER_METHODS,
  PATHS,
  TOKEN,
  UNKNOWN_PROTOCOLS,
  VALUE,
  WRONG_ADDRESSES,
  WRONG_PORTS,
  WRONG_SERVICES,
  WRONG_STATED_PORTS,
} from "./vocabulary.ts";
import { BY_HOST, CONDEMNED, FREE, type World } from "./world.ts";

/** A request, as it is sent. */
export interface Sent {
  /** Its bytes, a character each. */
  readonly bytes: string;
  /** Its method. */
  readonly method: string;
  /** The answers that are right. */
  readonly answers: readonly Answer[];
  /** Whether the daemon may close the connection after it. */
  readonly last: boolean;
}

/** What is asked for, before it is spelled. */
interface Draft {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body?: string;
  readonly answers: readonly Answer[];
  /** Whether nothing may follow: who is sent off loses what had not left for him yet. */
  readonly long?: boolean;
}

const BAD_HOST: readonly Answer[] = [[400, /^Bad Host: /]];

/** The response where large pages wait for clients that do not read, or too many were requested. */
const TOO_LARGE: Answer = [
  503,
  /^Too many (?:bytes of large pages wait for clients|large pages were requested): /,
];

/** Pages that tell of thousands of services. */
const LONG_PAGES: readonly Pick<Draft, "method" | "target" | "headers" | "answers">[] = [
  {
    method: "GET",
    target: "/",
    headers: ["Accept: application/json"],
    answers: [[200, /^\{"downtimes":\[.*\}$/s], TOO_LARGE],
  },
  {
    method: "GET",
    target: "/status/count",
    headers: [],
    answers: [[200, /^\{"service_access_counts":\{.*\}$/], TOO_LARGE],
  },
  {
    method: "GET",
    target: "/recent",
    headers: [],
    answers: [[200, /^\{"seen_services":\[.*\],"threshold_seconds":600\}$/], TOO_LARGE],
  },
];

/** Makes up the requests of one connection. */
export class Requests {
  readonly #dice: Dice;
  readonly #world: World;
  /** The services that only this connection marks. */
  readonly #own: readonly string[];
  readonly #marks: Map<string, Mark | null>;

  /**
   * @param dice Chance.
   * @param world What they are about.
   * @param owner Tells this connection from all others that are open.
   */
  constructor(dice: Dice, world: World, owner: string) {
    this.#dice = dice;
    this.#world = world;
    this.#own = [`own-${owner}-a`, `own-${owner}-b`];
    this.#marks = new Map(world.condemned);
    // What an earlier connection left of them is not known.
    for (const service of this.#own) {
      for (const name of [service, `${service}:8081`]) this.#marks.set(name, null);
    }
  }

  /** One more request. */
  next(): Sent {
    return this.#spelled(this.#draft());
  }

  /** A request that asks no service, for a path that is cut, mangled or framed wrongly. */
  plain(method = "GET", service: string = this.#dice.pick(CONDEMNED)[0]): string {
    const body = method === "POST" ? "status=up" : undefined;
    const headers = body === undefined ? [] : [`Content-Length: ${body.length}`];
    return written(
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
    if (roll < 90) return this.#nobodys();
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
    const question: Question = {
      protocol,
      service,
      port,
      path,
      method,
      ...this.#stated(protocol, service),
    };
    return {
      method,
      target: `/${protocol}/${service}/${port}${path}`,
      headers: [...this.#targetHeaders(question), ...this.#freshness()],
      answers: answersTo(question, this.#marks, this.#world.ports),
    };
  }

  #service(): string {
    const dice = this.#dice;
    const roll = dice.below(100);
    if (roll < 30) return dice.pick(CONDEMNED)[0];
    if (roll < 35) return BY_HOST.service;
    if (roll < 50) return dice.pick(this.#own);
    if (roll < 85) return dice.pick(FREE);
    if (roll < 93) return `${dice.text(NAME, dice.between(1, 60))}-x`;
    return dice.pick(WRONG_SERVICES);
  }

  /** A port to check: one of those of services, where something would connect to it. */
  #port(protocol: string, service: string): string {
    const dice = this.#dice;
    if (dice.percent(3)) return dice.pick(["65536", "99999", "100000000000000000000000"]);
    if (protocol !== "spool") return String(dice.pick([0, ...this.#servicePorts()]));
    if (service === "by-port" || dice.percent(20)) return dice.pick(["8081", "08081", "0"]);
    return dice.pick(["0", "00", "1", "80", "8080", "65535", "8082"]);
  }

  /** Those of services, the one that never answers seldom: each of its checks lasts as long as one may. */
  #servicePorts(): number[] {
    const { silent, ...others } = this.#world.ports;
    return [...Object.values(others), ...this.#dice.percent(1) ? [silent] : []];
  }

  #stated(protocol: string, service: string): { statedPort?: string; address?: string } {
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

  #targetHeaders({ statedPort, address }: Question): string[] {
    const dice = this.#dice;
    const fields = ["UP 1/3", "name=web/a; node=lb1; weight=1/1; scur=0/0; qcur=0"];
    const inState = address !== undefined && !address.includes(",") && dice.percent(50);
    if (inState) fields.splice(1, 0, `address=${address}`);
    if (statedPort !== undefined) {
      fields.splice(dice.below(fields.length) + 1, 0, `port=${statedPort}`);
    }
    const headers: string[] = [];
    if (inState || statedPort !== undefined || dice.percent(10)) {
      headers.push(`X-Haproxy-Server-State: ${fields.join("; ")}`);
    }
    if (address !== undefined && !inState) headers.push(`X-Nerve-Check-IP: ${address}`);
    // What stands in the other header wins over it.
    if (inState && dice.percent(50)) {
      headers.push(`X-Nerve-Check-IP: ${dice.pick(WRONG_ADDRESSES)}`);
    }
    return headers;
  }

  #freshness(): string[] {
    const dice = this.#dice;
    if (!dice.percent(10)) return [];
    const header = dice.pick(["Pragma", "Cache-Control"]);
    return [`${header}: ${dice.pick(["no-cache", "no-cache", "max-age=0", "\xff"])}`];
  }

  #change(): Draft {
    const dice = this.#dice;
    const service = dice.pick(this.#own);
    const [port, record] = dice.pick([["0", service], ["8081", `${service}:8081`]] as const);
    const { body, valid, mark } = form(dice, service);
    if (mark === undefined) this.#marks.delete(record);
    else if (mark !== null) this.#marks.set(record, mark);
    return {
      method: "POST",
      target: `/spool/${service}/${port}${dice.pick(["/status", "", "/x?y"])}`,
      headers: ["Content-Type: application/x-www-form-urlencoded"],
      body,
      answers: valid ? [[200, ""]] : [[400, /^Bad \w+: expected /], [413, /^The form is longer/]],
    };
  }

  #page(): Draft {
    const dice = this.#dice;
    if (dice.percent(0.5)) return { ...this.#dice.pick(LONG_PAGES), long: true };
    const [target, answers] = dice.pick<readonly [string, readonly Answer[]]>([
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
        answers: [[405, /^Method not/]],
      };
    }
    return { method: dice.pick(["GET", "GET", "HEAD"]), target, headers: [], answers };
  }

  #nobodys(): Draft {
    const dice = this.#dice;
    const target = dice.percent(90)
      ? dice.pick(NOBODYS)
      : `/${dice.text(TOKEN, dice.between(1, 30))}`;
    return { method: dice.pick(["GET", "POST", "PUT"]), target, headers: [], answers: NOT_FOUND };
  }

  /** Spells a request in one of the ways in which clients may. */
  #spelled({ method, target, headers, body, answers, long = false }: Draft): Sent {
    const dice = this.#dice;
    const old = dice.percent(8);
    const keep = !old || dice.percent(50);
    const close = !old && dice.percent(3);
    const fields = [...headers, ...this.#noise()];
    const forged = body === undefined && dice.percent(1);
    if (forged) fields.push(`Host: ${dice.pick(FORGED_HOSTS)}`);
    else if (!old || dice.percent(50)) {
      fields.push(`Host: ${dice.percent(80) ? "x" : dice.pick(HOSTS)}`);
    }
    if (old && keep) fields.push("Connection: keep-alive");
    if (close) fields.push("Connection: close");
    const framed = this.#framed(body, old);
    if (framed.headers.length === 0) fields.push(...this.#upgrade());
    const absolute = dice.percent(5) ? dice.pick(["http://x", "http://u@x:99999", "ftp://x"]) : "";
    const shuffled = dice.percent(50) ? fields : fields.reverse();
    const eol = dice.percent(3) ? "\n" : "\r\n";
    const bytes = written(
      method,
      absolute + target,
      old ? "1.0" : "1.1",
      [...shuffled, ...framed.headers],
      framed.body,
      eol,
    );
    // What it did not want to read it may not wait for.
    const last = long || !keep || close || (framed.body !== "" && body === undefined) ||
      (body?.length ?? 0) > 60_000;
    return {
      bytes: dice.percent(2) ? `\r\n${bytes}` : bytes,
      method,
      answers: forged ? BAD_HOST : answers,
      last,
    };
  }

  #framed(body: string | undefined, old: boolean): { headers: string[]; body: string } {
    const dice = this.#dice;
    if (body === undefined) {
      // Nobody forbids it.
      return dice.percent(2)
        ? { headers: ["Content-Length: 5"], body: "hello" }
        : { headers: [], body: "" };
    }
    if (!old && dice.percent(25)) {
      return { headers: ["Transfer-Encoding: chunked"], body: chunked(dice, body) };
    }
    const headers = [`Content-Length: ${body.length}`];
    if (dice.percent(2)) headers.push(headers[0]!);
    if (!old && dice.percent(5)) headers.push("Expect: 100-continue");
    return { headers, body };
  }

  #noise(): string[] {
    const dice = this.#dice;
    const noise: string[] = [];
    while (dice.percent(30)) {
      const name = `X-${dice.text(TOKEN, dice.between(1, 20))}`;
      const value = dice.text(VALUE, dice.between(0, 30));
      noise.push(`${name}:${value}`);
    }
    return noise;
  }

  /** Nobody offers what it asks for. Deno refuses it beside a body. */
  #upgrade(): string[] {
    const dice = this.#dice;
    if (!dice.percent(2)) return [];
    return ["Connection: Upgrade", `Upgrade: ${dice.pick(["websocket", "h2c"])}`];
  }
}

function written(
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
