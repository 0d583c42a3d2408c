import { canonicalAddress } from "../../../src/net/addresses.ts";
import { LocalAddresses } from "../../../src/net/local_addresses.ts";
import { assert, assertEquals } from "../../support/assert.ts";

Deno.test("canonicalAddress() returns the canonical spelling", () => {
  for (
    const [text, address] of [
      ["127.0.0.1", "127.0.0.1"],
      ["10.0.0.255", "10.0.0.255"],
      ["255.255.255.255", "255.255.255.255"],
      ["::1", "::1"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["2001:DB8:0:0:1::A", "2001:db8::1:0:0:a"],
      ["fe80::0001", "fe80::1"],
      ["64:ff9b::102:304", "64:ff9b::102:304"],
    ] as const
  ) {
    assertEquals(canonicalAddress(text), address, text);
  }
});

Deno.test("canonicalAddress() returns undefined for everything else", () => {
  for (
    const text of [
      ...["", "localhost", "web.example.org", "127.0.0.1:80", "127.0.0.1/secret", "/run/web.sock"],
      ...["0x7f.1", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "01.2.3.4", "1.2.3.-4"],
      ...["1.2.3", "1.2.3.4.", ".1.2.3.4", "1..2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.999"],
      ...[" 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4\u0000", "１.2.3.4", "٣.2.3.4"],
      ...["0.0.0.0", "::", "0:0::0", "[::1]", "fe80::1%eth0", ":", ":::", "1::2::3", "12345::"],
      ...["::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:FFFF:7f00:1", "64:ff9b::1.2.3.4"],
      ...["1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::1", "::1/64", "::1]/x["],
    ]
  ) {
    assertEquals(canonicalAddress(text), undefined, text);
  }
});

Deno.test("LocalAddresses.has() is true for 127.0.0.1 and the addresses of other interfaces", () => {
  const own = new LocalAddresses();
  assert(own.has("127.0.0.1"));
  for (const { address } of Deno.networkInterfaces()) {
    const spelled = canonicalAddress(address);
    // An address of a link (fe80::/10) is incomplete without the name of the link.
    if (spelled === undefined || spelled.startsWith("fe80:") || spelled === "::1") continue;
    // Twice, since the result is cached.
    assert(own.has(spelled) && own.has(spelled), spelled);
  }
});

Deno.test("LocalAddresses.has() is false for foreign, other loopback and shared addresses", () => {
  const own = new LocalAddresses();
  for (
    const address of [
      ...["127.0.0.2", "127.255.255.254", "::1"],
      ...["198.51.100.7", "240.0.0.1", "2001:db8:ffff::7"],
      ...["224.0.0.1", "239.1.2.3", "255.255.255.255", "ff02::1"],
    ]
  ) {
    assert(!own.has(address) && !own.has(address), address);
  }
});
