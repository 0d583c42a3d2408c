import { createLRU } from "lru.min";
import { isLoopback, LOCAL_ADDRESS } from "../net/addresses.ts";
import { MAX_CACHED_MATCHES, Network } from "../net/networks.ts";
import type { InvalidTarget, Target } from "./target.ts";

/** What checks may connect to, beside this host. */
export interface TargetPolicyOptions {
  /** The addresses and ranges of other hosts, as {@linkcode Network.parse} reads them. */
  readonly hosts: readonly string[];
  /** The ports, or ranges of them (`8000-8999`); null for all. */
  readonly ports: readonly (number | string)[] | null;
  /** The daemon's own ports, which may be filled later; none by default. */
  readonly ownPorts?: ReadonlySet<number>;
}

/** Never allowed: this network, multicast, broadcast and reserved. */
const UNUSABLE = ["0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/96", "ff00::/8"];

/** Allowed only if listed by themselves: link-local addresses and those of the clouds' metadata (SSRF). */
const SENSITIVE = [
  ...["169.254.0.0/16", "fe80::/10"],
  ...["100.100.100.200", "fd00:100::100:200"], // Alibaba
  ...["168.63.129.16"], // Azure
  ...["192.0.0.192", "fd00:c1::a9fe:a9fe"], // Oracle
  ...["fd00:ec2::/32"], // Amazon
  ...["fd20:ce::254"], // Google
  ...["fd00:a9fe:a9fe::1"], // Linode
  ...["fd00:42::42"], // Scaleway
  // The same by translation to IPv4: NAT64 and 6to4.
  ...["64:ff9b::a9fe:0/112", "64:ff9b::6464:64c8", "64:ff9b::a83f:8110", "64:ff9b::c000:c0"],
  ...["64:ff9b:1::/48"],
  ...["2002:a9fe::/32", "2002:6464:64c8::/48", "2002:a83f:8110::/48", "2002:c000:c0::/48"],
];

function networks(texts: readonly string[]): readonly Network[] {
  return texts.map((text) => Network.parse(text)!);
}

/**
 * Decides which targets may be checked: this host without the daemon's own ports, and what the configuration lists.
 * A check of the daemon by itself could request another one, and so on.
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
  readonly #ports: readonly (readonly [first: number, last: number])[] | null;
  readonly #ownPorts: ReadonlySet<number>;
  /** Parsed when first needed: that would take 2.5 ms of the start. */
  #reserved: Readonly<Record<"unusable" | "sensitive", readonly Network[]>> | undefined;
  readonly #decisions = createLRU<string, { readonly refusal: string | undefined }>({
    max: MAX_CACHED_MATCHES,
  });

  /** @param options What checks may connect to. */
  constructor({ hosts, ports, ownPorts = new Set() }: TargetPolicyOptions) {
    this.#listed = networks(hosts);
    this.#ownPorts = ownPorts;
    this.#ports = ports?.map((range) => {
      const [first, last = first] = String(range).split("-").map(Number);
      return [first!, last!] as const;
    }) ?? null;
  }

  /** The number of cached decisions. */
  get cached(): number {
    return this.#decisions.size;
  }

  /**
   * Returns why a target may not be checked.
   *
   * @param target The target. One without a port is accepted, since nothing connects to it.
   * @returns Why not; undefined if it may be checked.
   */
  refusal(target: Target | InvalidTarget): string | undefined {
    const { host, port } = target;
    const isOwnPort = this.#ownPorts.has(port);
    if (host === LOCAL_ADDRESS && this.#ports === null && !isOwnPort) return undefined;
    if (host === null) {
      return `Not allowed to check ${target.shown}: check_hosts takes IPv4 and IPv6 addresses`;
    }
    if (isLoopback(host)) {
      if (!isOwnPort) return this.#portRefusal(port);
      return `Not allowed to check port ${port} of this machine: hacheck itself listens on it`;
    }
    return this.#hostRefusal(host) ?? this.#portRefusal(port);
  }

  #hostRefusal(host: string): string | undefined {
    let decision = this.#decisions.get(host);
    if (decision === undefined) {
      const why = this.#decide(host);
      const refusal = why === undefined ? why : `Not allowed to check ${host}: ${why}`;
      this.#decisions.set(host, decision = { refusal });
    }
    return decision.refusal;
  }

  #decide(host: string): string | undefined {
    const listed = this.#listed.filter((network) => network.has(host));
    if (listed.length === 0) return "check_hosts does not list it";
    const { unusable, sensitive } = this.#reserved ??= {
      unusable: networks(UNUSABLE),
      sensitive: networks(SENSITIVE),
    };
    if (unusable.some((network) => network.has(host))) return "no check_hosts allows it";
    const range = sensitive.find((network) => network.has(host));
    if (range === undefined || listed.some((network) => network.isWithin(range))) return undefined;
    return "check_hosts lists it, but not by itself";
  }

  #portRefusal(port: number): string | undefined {
    const isListed = port === 0 || this.#ports === null ||
      this.#ports.some(([first, last]) => first <= port && port <= last);
    return isListed ? undefined : `Not allowed to check port ${port}: check_ports does not list it`;
  }
}
