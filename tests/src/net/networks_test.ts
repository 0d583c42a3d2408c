import { MAX_CACHED_MATCHES, Network, Networks } from "../../../src/net/networks.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const RANGES: readonly [text: string, inside: string[], outside: string[]][] = [
  ["10.1.2.3", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4", "::a01:203"]],
  ["10.1.2.3/32", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4"]],
  ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "a00::1"]],
  ["10.1.2.128/25", ["10.1.2.128", "10.1.2.255"], ["10.1.2.127", "10.1.3.0"]],
  ["0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1", "2001:db8::1"]],
  ["0.0.0.0/8", ["0.0.0.1"], ["1.0.0.0"]],
  ["2001:db8::/32", ["2001:db8::1", "2001:db8:ffff::"], [
    "2001:db7::1",
    "2001:db9::",
    "32.1.13.184",
  ]],
  ["2001:DB8:0::1", ["2001:db8::1"], ["2001:db8::2"]],
  ["fe80::/10", ["fe80::1", "febf::1"], ["fec0::1", "fe7f::1"]],
  ["::1", ["::1"], ["::2", "127.0.0.1"]],
  ["::/0", ["::1", "ffff::"], ["127.0.0.1"]],
  ["::/96", ["::a9fe:a9fe"], ["0:0:0:0:0:1::"]],
];

Deno.test("Network.has() is true from the first to the last address of the range", () => {
  for (const [text, inside, outside] of RANGES) {
    const network = Network.parse(text);
    const list = new Networks(["192.0.2.1", text]);
    assert(network !== undefined, text);
    for (const address of inside) {
      assertEquals([network.has(address), list.has(address)], [true, true], `${text} ${address}`);
    }
    for (const address of outside) {
      assertEquals([network.has(address), list.has(address)], [false, false], `${text} ${address}`);
    }
  }
});

const NO_RANGES: readonly string[] = [
  ...["", "/", "/8", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1"],
  ...["10.0.0.0/+8", "10.0.0.0/8.0", "10.0.0.0/ 8", " 10.0.0.0/8", "10.0.0.0/8\n", "10.0.0.0/0x8"],
  ...["10.0.0.0/255.0.0.0", "10/8", "10.0/16", "010.0.0.0/8", "0x0a.0.0.0/8", "167772160/8"],
  ...["10.0.0.1/8", "10.0.0.1/31", "2001:db8::1/32", "128.0.0.0/0", "::1/0"],
  ...["0.0.0.0", "::", "0::/0", "2001:db8::/129", "fe80::1%eth0", "[::1]", "::ffff:10.0.0.0/104"],
  ...["::ffff:a00:0/104", "localhost", "*", "10.0.0.*", "10.0.0.0-10.0.0.9", "10.0.0.0,10.0.0.1"],
];

Deno.test("Network.parse() returns undefined for other spellings, and bits beyond the prefix", () => {
  for (const text of NO_RANGES) assertEquals(Network.parse(text), undefined, text);
});

Deno.test("Network.isWithin() is true if the other range contains all addresses", () => {
  const cases: [one: string, other: string, isWithin: boolean][] = [
    ["10.0.0.0/8", "10.0.0.0/8", true],
    ["10.1.0.0/16", "10.0.0.0/8", true],
    ["10.1.2.3", "10.0.0.0/8", true],
    ["10.0.0.0/8", "10.1.0.0/16", false],
    ["11.0.0.0/16", "10.0.0.0/8", false],
    ["0.0.0.0/0", "10.0.0.0/8", false],
    ["a00::/16", "10.0.0.0/8", false],
    ["fe80::1", "fe80::/10", true],
    ["::/0", "fe80::/10", false],
  ];
  for (const [one, other, isWithin] of cases) {
    assertEquals(
      Network.parse(one)!.isWithin(Network.parse(other)!),
      isWithin,
      `${one} within ${other}`,
    );
  }
});

Deno.test("Networks.has() caches a limited number of results", () => {
  const list = new Networks(["10.0.0.0/16"]);
  const address = (i: number) => `10.${i % 2}.${i >> 8}.${i & 255}`;
  for (let i = 0; i < MAX_CACHED_MATCHES; i++) assertEquals(list.has(address(i)), i % 2 === 0);
  assertEquals(list.cached, MAX_CACHED_MATCHES);
  for (let i = 0; i <= MAX_CACHED_MATCHES; i++) assertEquals(list.has(address(i)), i % 2 === 0);
  assertEquals(list.cached, MAX_CACHED_MATCHES);
});

Deno.test("Networks.has() is false for an empty list", () => {
  assertEquals(new Networks([]).has("127.0.0.1"), false);
});
