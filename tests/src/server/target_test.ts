import { canonicalAddress } from "../../../src/net/addresses.ts";
import { LocalAddresses } from "../../../src/net/local_addresses.ts";
import { type Target, targetOf } from "../../../src/server/target.ts";
import { assertEquals } from "../../support/assert.ts";
import { INVALID_ADDRESSES } from "../../support/invalid_addresses.ts";

const own = new LocalAddresses();

/** Makes HAProxy's header and Nerve's. */
function headers(state?: string, nerve?: string): Headers {
  const headers = new Headers();
  if (state !== undefined) headers.set("X-Haproxy-Server-State", state);
  if (nerve !== undefined) headers.set("X-Nerve-Check-IP", nerve);
  return headers;
}

/** HAProxy 2.6's header with the given fields in place of address and port. */
function state(fields: string): string {
  return `UP 1/3; ${fields}; name=web/a; node=lb1; weight=1/1; scur=0/0; qcur=0`;
}

/** The address of an interface of this host; 127.0.0.1 if it has no other. */
const INTERFACE =
  Deno.networkInterfaces().map(({ address }) => address).find((address) =>
    address !== "127.0.0.1" && canonicalAddress(address) !== undefined && own.has(address)
  ) ?? "127.0.0.1";

const LOCAL = "127.0.0.1";

const FOUND: readonly [what: string, headers: Headers, port: number, target: Target][] = [
  ["no header", headers(), 8080, { host: LOCAL, port: 8080 }],
  ["no header, and no port", headers(), 0, { host: LOCAL, port: 0 }],
  ["the highest port", headers(), 65_535, { host: LOCAL, port: 65_535 }],
  [
    "HAProxy 2.6",
    headers(state("address=127.0.0.1; port=3982")),
    0,
    { host: LOCAL, port: 3982 },
  ],
  [
    "HAProxy 2.6 with a server on a Unix socket",
    headers(state("address=unix; port="), "198.51.100.8"),
    8080,
    { host: LOCAL, port: 8080 },
  ],
  [
    "HAProxy's port wins over the URL's",
    headers(state("port=3982")),
    8080,
    { host: LOCAL, port: 3982 },
  ],
  [
    "HAProxy's port wins over an invalid one",
    headers(state("port=3982")),
    99_999,
    { host: LOCAL, port: 3982 },
  ],
  [
    "HAProxy's port may be none",
    headers(state("port=0")),
    8080,
    { host: LOCAL, port: 0 },
  ],
  [
    "an older HAProxy",
    headers("UP 2/3; name=web/a; node=lb1; weight=1/2; scur=13/22; qcur=0"),
    8080,
    { host: LOCAL, port: 8080 },
  ],
  [
    "an empty port and address are none",
    headers(state("address=; port=")),
    8080,
    { host: LOCAL, port: 8080 },
  ],
  ["the header's last field", headers("UP; port=3982"), 0, { host: LOCAL, port: 3982 }],
  ["the header's first field", headers("port=3982;UP"), 0, { host: LOCAL, port: 3982 }],
  ["the last of two ports", headers("port=3982; port=3983"), 0, { host: LOCAL, port: 3983 }],
  ["the URL's port if the last is empty", headers("port=3982; port="), 80, {
    host: LOCAL,
    port: 80,
  }],
  [
    "the last of two addresses",
    headers("address=198.51.100.7; address=198.51.100.8; port=1"),
    0,
    { host: "198.51.100.8", port: 1 },
  ],
  [
    "fields with other names that end the same",
    headers("UP; xport=3982; xaddress=192.0.2.1; name=a port=1"),
    8080,
    { host: LOCAL, port: 8080 },
  ],
  ["an empty header", headers(""), 8080, { host: LOCAL, port: 8080 }],
  ["no field at all", headers("é"), 8080, { host: LOCAL, port: 8080 }],
  ["a leading zero", headers(state("port=03982")), 0, { host: LOCAL, port: 3982 }],
  [
    "HAProxy's address",
    headers(state("address=198.51.100.7; port=1")),
    0,
    { host: "198.51.100.7", port: 1 },
  ],
  [
    "HAProxy's address wins over Nerve's",
    headers(state("address=198.51.100.7; port=1"), "198.51.100.8"),
    0,
    { host: "198.51.100.7", port: 1 },
  ],
  [
    "HAProxy's address wins over an invalid one of Nerve",
    headers(state("address=198.51.100.7"), "localhost"),
    1,
    { host: "198.51.100.7", port: 1 },
  ],
  ["Nerve's address", headers(undefined, "198.51.100.8"), 1, { host: "198.51.100.8", port: 1 }],
  [
    "Nerve's address beside HAProxy's port",
    headers(state("port=2"), "198.51.100.8"),
    1,
    { host: "198.51.100.8", port: 2 },
  ],
  ["an empty Nerve header", headers(undefined, ""), 1, { host: LOCAL, port: 1 }],
  [
    "an IPv6 address, in canonical form",
    headers(state("address=2001:DB8:0:0::1")),
    1,
    { host: "2001:db8::1", port: 1 },
  ],
  ["an address of this host, from HAProxy", headers(state(`address=${INTERFACE}`)), 1, {
    host: LOCAL,
    port: 1,
  }],
  ["an address of this host, from Nerve", headers(undefined, INTERFACE), 1, {
    host: LOCAL,
    port: 1,
  }],
  ["other loopback addresses", headers(undefined, "127.0.0.2"), 1, { host: "127.0.0.2", port: 1 }],
  ["the IPv6 loopback address", headers(undefined, "0::1"), 1, { host: "::1", port: 1 }],
];

Deno.test("targetOf() returns the target of a check", () => {
  for (const [what, headers, port, target] of FOUND) {
    assertEquals(targetOf(headers, port, own), target, what);
  }
});

const HAPROXY_PORT = "Bad port= in X-Haproxy-Server-State: expected a number from 0 to 65535";
const HAPROXY_ADDRESS = "Bad address= in X-Haproxy-Server-State: expected an IPv4 or IPv6 address";
const NERVE = "Bad X-Nerve-Check-IP: expected an IPv4 or IPv6 address";
const LONG = "9".repeat(101);

const BAD_PORTS: readonly [headers: Headers, port: number, message: string][] = [
  [headers(), 65_536, "Bad port in the path: expected a number from 0 to 65535: received 65536"],
  [
    headers(state("address=127.0.0.1")),
    99_999,
    "Bad port in the path: expected a number from 0 to 65535: received 99999",
  ],
  [headers(state("port=abc")), 80, `${HAPROXY_PORT}: received "abc"`],
  [headers(state("port=65536")), 80, `${HAPROXY_PORT}: received "65536"`],
  [headers(state("port=-1")), 80, `${HAPROXY_PORT}: received "-1"`],
  [headers(state("port=80 81")), 80, `${HAPROXY_PORT}: received "80 81"`],
  [headers(state("port=0x50")), 80, `${HAPROXY_PORT}: received "0x50"`],
  [headers(state(`port=${LONG}`)), 80, `${HAPROXY_PORT}: received "${LONG.slice(1)}…"`],
];

Deno.test("targetOf() returns an error message for an invalid port", () => {
  for (const [headers, port, message] of BAD_PORTS) {
    assertEquals(targetOf(headers, port, own), message);
  }
});

Deno.test("targetOf() returns an error message with the header for an invalid address", () => {
  for (const spelling of [...INVALID_ADDRESSES, LONG]) {
    const shown = JSON.stringify(spelling === LONG ? `${LONG.slice(1)}…` : spelling);
    for (
      const [given, problem] of [
        [headers(state(`address=${spelling}`)), `${HAPROXY_ADDRESS}: received ${shown}`],
        [
          headers(state(`address=${spelling}`), "127.0.0.1"),
          `${HAPROXY_ADDRESS}: received ${shown}`,
        ],
        [headers(undefined, spelling), `${NERVE}: received ${shown}`],
      ] as const
    ) {
      assertEquals(targetOf(given, 80, own), { host: null, port: 80, shown, problem });
    }
  }
  const shown = '"unix"';
  const problem = `${NERVE}: received ${shown}`;
  assertEquals(targetOf(headers(undefined, "unix"), 80, own), {
    host: null,
    port: 80,
    shown,
    problem,
  });
});
