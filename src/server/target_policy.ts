import { createLRU } from "lru.min";
import { isLoopback, LOCAL_ADDRESS } from "../net/addresses.ts";
import { MAX_CACHED_MATCHES, Network } from "../net/networks.ts";
import type { Target, UnknownAddress } from "./target.ts";

/** What a check may connect to, beside this machine. */
export interface TargetPolicyOptions {
  /** The addresses and ranges of other machines, of what {@linkcode Network.parse} reads. */
  readonly hosts: readonly string[];
  /** The ports, or ranges of them (`8000-8999`); null for all. */
  readonly ports: readonly (number | string)[] | null;
  /** The ports that the daemon itself listens on; none, if not given. It may be filled later. */
  readonly ownPorts?: ReadonlySet<number>;
}

/** Where nobody listens, whatever is listed: this network, multicast, broadcast and reserved. */
const NOBODYS = ["0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/96", "ff00::/8"];

/**
 * Where a machine is told, unasked for a password, what only it should know: link-local addresses,
 * and those at which clouds serve their metadata. A wide range was hardly meant to include them.
 */
const GUARDED = [
  ...["169.254.0.0/16", "fe80::/10"],
  ...["100.100.100.200", "fd00:100::100:200"], // Alibaba
  ...["168.63.129.16"], // Azure
  ...["192.0.0.192", "fd00:c1::a9fe:a9fe"], // Oracle
  ...["fd00:ec2::/32"], // Amazon
  ...["fd20:ce::254"], // Google
  ...["fd00:a9fe:a9fe::1"], // Linode
  ...["fd00:42::42"], // Scaleway
  // The same by way of a translator to IPv4: NAT64 and 6to4.
  ...["64:ff9b::a9fe:0/112", "64:ff9b::6464:64c8", "64:ff9b::a83f:8110", "64:ff9b::c000:c0"],
  ...["64:ff9b:1::/48"],
  ...["2002:a9fe::/32", "2002:6464:64c8::/48", "2002:a83f:8110::/48", "2002:c000:c0::/48"],
];

function networks(texts: readonly string[]): readonly Network[] {
  return texts.map((text) => Network.parse(text)!);
}

/**
 * Decides what a check may connect to: this machine, but for the daemon's own ports, and what the
 * configuration lists. A check of the daemon by itself could name another such check, and that a third one: one
 * request would take many places.
 *
 * @example
 * ```ts
 * import { TargetPolicy } from "./target_policy.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const policy = new TargetPolicy({ hosts: ["10.0.0.0/8"], ports: null });
 * assertEquals(policy.refusal({ host: "10.1.2.3", port: 80 }), undefined);
 * assertEquals(
 *   policy.refusal({ host: "192.0.2.1", port: 80 }),
 *   "Not allowed to check 192.0.2.1: check_hosts does not list it",
 * );
 * ```
 */
export class TargetPolicy {
  readonly #listed: readonly Network[];
  /** Read when they are asked for first: to read them takes 2.5 ms of the start. */
  #reserved:
    | { readonly nobodys: readonly Network[]; readonly guarded: readonly Network[] }
    | undefined;
  readonly #ports: readonly (readonly [first: number, last: number])[] | null;
  readonly #ownPorts: ReadonlySet<number>;
  readonly #remembered = createLRU<string, { readonly refusal: string | undefined }>({
    max: MAX_CACHED_MATCHES,
  });

  /** @param options What a check may connect to. */
  constructor({ hosts, ports, ownPorts = new Set() }: TargetPolicyOptions) {
    this.#listed = networks(hosts);
    this.#ownPorts = ownPorts;
    this.#ports = ports === null ? null : ports.map((range) => {
      const [first, last = first] = String(range).split("-").map(Number);
      return [first!, last!];
    });
  }

  /** Of how many addresses it is remembered what was decided. */
  get remembered(): number {
    return this.#remembered.size;
  }

  /**
   * Tells whether a check may connect.
   *
   * @param target Where to.
   * @returns Why not; undefined if it may. A target without a port is none to connect to, and not refused for it.
   */
  refusal(target: Target | UnknownAddress): string | undefined {
    const { host, port } = target;
    const isOwnPort = this.#ownPorts.has(port);
    if (host === LOCAL_ADDRESS && this.#ports === null && !isOwnPort) return undefined;
    if (host === null) {
      return `Not allowed to check ${target.shown}: check_hosts takes IPv4 and IPv6 addresses`;
    }
    if (isOwnPort && isLoopback(host)) {
      return `Not allowed to check port ${port} of this machine: hacheck itself listens on it`;
    }
    return this.#hostRefusal(host) ?? this.#portRefusal(port);
  }

  #hostRefusal(host: string): string | undefined {
    if (isLoopback(host)) return undefined;
    let decided = this.#remembered.get(host);
    if (decided === undefined) {
      const why = this.#whyNot(host);
      decided = {
        refusal: why === undefined ? undefined : `Not allowed to check ${host}: ${why}`,
      };
      this.#remembered.set(host, decided);
    }
    return decided.refusal;
  }

  #whyNot(host: string): string | undefined {
    const listed = this.#listed.filter((network) => network.has(host));
    if (listed.length === 0) return "check_hosts does not list it";
    const { nobodys, guarded } = this.#reserved ??= {
      nobodys: networks(NOBODYS),
      guarded: networks(GUARDED),
    };
    if (nobodys.some((network) => network.has(host))) return "no check_hosts allows it";
    const guard = guarded.find((network) => network.has(host));
    if (guard === undefined || listed.some((network) => network.isWithin(guard))) return undefined;
    return "check_hosts lists it, but not by itself";
  }

  #portRefusal(port: number): string | undefined {
    const isListed = port === 0 || this.#ports === null ||
      this.#ports.some(([first, last]) => first <= port && port <= last);
    return isListed ? undefined : `Not allowed to check port ${port}: check_ports does not list it`;
  }
}
