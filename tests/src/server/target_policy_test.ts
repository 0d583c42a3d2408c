import { MAX_CACHED_MATCHES } from "../../../src/net/networks.ts";
import { TargetPolicy } from "../../../src/server/target_policy.ts";
import { assertEquals } from "../../support/assert.ts";

/** A policy with listed hosts and all ports. */
function hosts(...hosts: readonly string[]): TargetPolicy {
  return new TargetPolicy({ hosts, ports: null });
}

function refused(host: string, why: string): string {
  return `Not allowed to check ${host}: ${why}`;
}

const NOT_LISTED = "check_hosts does not list it";
const NOT_BY_ITSELF = "check_hosts lists it, but not by itself";
const UNUSABLE = "no check_hosts allows it";

const EVERYTHING = ["0.0.0.0/0", "::/0"];

const THIS_HOST = ["127.0.0.1", "127.0.0.2", "127.255.255.255", "::1"];

Deno.test("TargetPolicy.refusal() accepts this host, whatever is listed", () => {
  for (const policy of [hosts(), hosts("10.0.0.0/8"), hosts(...EVERYTHING)]) {
    for (const host of THIS_HOST) {
      assertEquals(policy.refusal({ host, port: 80 }), undefined, host);
    }
  }
});

Deno.test("TargetPolicy.refusal() accepts other hosts only if they are listed", () => {
  const policy = hosts("10.0.0.0/8", "192.0.2.7", "2001:db8::/32");
  const listed = ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::1"];
  const others = ["11.0.0.0", "9.255.255.255", "192.0.2.6", "2001:db9::1", "::7f00:1", "128.0.0.1"];
  for (const host of listed) {
    // The second decision comes from the cache.
    for (const _ of "12") assertEquals(policy.refusal({ host, port: 1 }), undefined, host);
    assertEquals(hosts().refusal({ host, port: 1 }), refused(host, NOT_LISTED));
  }
  for (const host of others) {
    for (const _ of "12") {
      assertEquals(policy.refusal({ host, port: 1 }), refused(host, NOT_LISTED), host);
    }
  }
});

/** Sensitive addresses, and a range within theirs. */
const SENSITIVE: readonly [host: string, range: string][] = [
  ["169.254.169.254", "169.254.0.0/16"],
  ["169.254.0.1", "169.254.0.0/24"],
  ["169.254.255.255", "169.254.255.255/32"],
  ["fe80::1", "fe80::/10"],
  ["febf::a9fe:a9fe", "febf::/16"],
  ["100.100.100.200", "100.100.100.200/32"],
  ["fd00:100::100:200", "fd00:100::100:200/128"],
  ["168.63.129.16", "168.63.129.16/32"],
  ["192.0.0.192", "192.0.0.192/32"],
  ["fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9fe/128"],
  ["fd00:ec2::254", "fd00:ec2::/32"],
  ["fd00:ec2::23", "fd00:ec2::23/128"],
  ["fd20:ce::254", "fd20:ce::254/128"],
  ["fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1/128"],
  ["fd00:42::42", "fd00:42::42/128"],
  ["64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe"],
  ["64:ff9b::6464:64c8", "64:ff9b::6464:64c8"],
  ["64:ff9b::a83f:8110", "64:ff9b::a83f:8110"],
  ["64:ff9b::c000:c0", "64:ff9b::c000:c0"],
  ["64:ff9b:1::a9fe:a9fe", "64:ff9b:1::/48"],
  ["2002:a9fe:a9fe::1", "2002:a9fe::/32"],
  ["2002:6464:64c8::", "2002:6464:64c8::/48"],
  ["2002:a83f:8110::", "2002:a83f:8110::/48"],
  ["2002:c000:c0::", "2002:c000:c0::/48"],
];

/** Ranges that contain sensitive addresses and others. */
const WIDE = [
  ...[
    "0.0.0.0/0",
    "128.0.0.0/1",
    "169.0.0.0/8",
    "169.254.0.0/15",
    "100.64.0.0/10",
    "168.63.0.0/16",
  ],
  ...["168.63.129.16/31", "100.100.100.200/31", "192.0.0.0/24", "::/0", "fe00::/7", "fe80::/9"],
  ...["fc00::/7", "fd00::/8", "fd00:ec2::/31", "fd20:ce::/64", "64:ff9b::/96", "64:ff9b::/32"],
  ...["2002::/16", "64:ff9b::/47"],
];

Deno.test("TargetPolicy.refusal() accepts link-local and metadata addresses only if listed by themselves", () => {
  for (const [host, range] of SENSITIVE) {
    const target = { host, port: 80 };
    assertEquals(hosts().refusal(target), refused(host, NOT_LISTED));
    assertEquals(hosts(...WIDE).refusal(target), refused(host, NOT_BY_ITSELF), host);
    assertEquals(hosts(...WIDE, range).refusal(target), undefined, host);
    assertEquals(hosts(host).refusal(target), undefined, host);
  }
  // A listed one does not allow its neighbours.
  for (const host of ["169.254.169.253", "fe80::2", "fd00:ec2::254"]) {
    const policy = hosts(...WIDE, "169.254.169.254", "fe80::1", "fd00:ec2::23");
    assertEquals(policy.refusal({ host, port: 80 }), refused(host, NOT_BY_ITSELF));
  }
  // A wide range allows the addresses next to them.
  const neighbours = [
    "169.253.255.255",
    "169.255.0.0",
    "100.100.100.201",
    "168.63.129.17",
    "fd00:ec3::1",
  ];
  for (
    const host of [...neighbours, "64:ff9b::808:808", "2002:808:808::1", "fec0::1", "192.0.0.193"]
  ) {
    assertEquals(hosts(...WIDE).refusal({ host, port: 80 }), undefined, host);
  }
});

Deno.test("TargetPolicy.refusal() never accepts multicast, broadcast and reserved addresses", () => {
  const addresses = ["0.0.0.1", "0.255.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1"];
  for (const host of [...addresses, "255.255.255.255", "ff02::1", "ff00::", "::2", "::a9fe:a9fe"]) {
    assertEquals(hosts(...EVERYTHING, host).refusal({ host, port: 80 }), refused(host, UNUSABLE));
  }
});

Deno.test("TargetPolicy.refusal() never accepts an invalid address, and names the key", () => {
  const target = { host: null, port: 80, shown: '"0x7f.1"', problem: "" };
  for (const policy of [hosts(), hosts(...EVERYTHING)]) {
    assertEquals(
      policy.refusal(target),
      'Not allowed to check "0x7f.1": check_hosts takes IPv4 and IPv6 addresses',
    );
  }
});

Deno.test("TargetPolicy.refusal() accepts only listed ports, on this host too", () => {
  const policy = new TargetPolicy({ hosts: ["10.0.0.1"], ports: [80, "8000-8002", "9-9"] });
  for (const host of [...THIS_HOST, "10.0.0.1"]) {
    for (const port of [80, 8000, 8001, 8002, 9]) {
      assertEquals(policy.refusal({ host, port }), undefined, String(port));
    }
    for (const port of [1, 8, 10, 79, 81, 7999, 8003, 65_535]) {
      assertEquals(
        policy.refusal({ host, port }),
        `Not allowed to check port ${port}: check_ports does not list it`,
      );
    }
    // Nothing connects to port 0.
    assertEquals(policy.refusal({ host, port: 0 }), undefined);
  }
  assertEquals(policy.refusal({ host: "10.0.0.2", port: 80 }), refused("10.0.0.2", NOT_LISTED));
});

Deno.test("TargetPolicy.refusal() does not accept the daemon's own ports on this host", () => {
  for (const ports of [null, [80, "8000-8002"]]) {
    const ownPorts = new Set<number>();
    const policy = new TargetPolicy({ hosts: ["10.0.0.1"], ports, ownPorts });
    for (const host of THIS_HOST) {
      assertEquals(policy.refusal({ host, port: 8000 }), undefined);
    }
    ownPorts.add(8000).add(8001);
    for (const host of THIS_HOST) {
      for (const port of [8000, 8001]) {
        assertEquals(
          policy.refusal({ host, port }),
          `Not allowed to check port ${port} of this machine: hacheck itself listens on it`,
        );
      }
      for (const port of [0, 80, 8002]) assertEquals(policy.refusal({ host, port }), undefined);
    }
    // On another host they belong to another daemon.
    assertEquals(policy.refusal({ host: "10.0.0.1", port: 8000 }), undefined);
  }
});

Deno.test("TargetPolicy caches MAX_CACHED_MATCHES decisions", () => {
  const policy = hosts("10.0.0.0/16");
  const refusal = (i: number) =>
    policy.refusal({ host: `10.${i % 2}.${i >> 8}.${i & 255}`, port: 80 });
  for (let i = 0; i < MAX_CACHED_MATCHES; i++) refusal(i);
  assertEquals(policy.cached, MAX_CACHED_MATCHES);
  for (let i = 0; i <= MAX_CACHED_MATCHES; i++) assertEquals(refusal(i) === undefined, i % 2 === 0);
  assertEquals(policy.cached, MAX_CACHED_MATCHES);
});
