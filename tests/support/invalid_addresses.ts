/**
 * Values that attackers send in place of an IP address.
 *
 * @module
 */

/**
 * Spellings that some programs read as an address of this machine or of a cloud's metadata service, and
 * values that contain more than an address. Headers and the fields of HAProxy's header can carry each.
 */
export const INVALID_ADDRESSES: readonly string[] = [
  // Names.
  ...["localhost", "LOCALHOST", "ip6-localhost", "metadata.google.internal", "a.example.org"],
  ...["127.0.0.1.nip.io", "169.254.169.254.", "127.0.0.1.", ".", "*", "-", "unix@/run/x", "abns@x"],
  // IPv4 as C's inet_aton() reads it.
  ...["0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f000001", "2130706433", "017700000001", "0"],
  ...["0xA9.0xFE.0xA9.0xFE", "2852039166", "169.254.43518", "169.16689662", "0251.0376.0251.0376"],
  ...["127.0.0.01", "127.000.000.001", "+127.0.0.1", "127.0.0.-1", "127.0.0.256", "127.0.0.1.1"],
  ...["127.0.0", "127..0.1", "127.0.0.1e0", "1e9"],
  // IPv4 in IPv6.
  ...["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::FFFF:A9FE:A9FE", "0:0:0:0:0:ffff:7f00:1"],
  ...["::127.0.0.1", "64:ff9b::169.254.169.254", "::ffff:0:169.254.169.254", "::ffff:0:a9fe:a9fe"],
  // The unspecified address.
  ...["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0", "::0", "0::0"],
  // Other IPv6.
  ...["[::1]", "::1%lo", "fe80::1%eth0", "fe80::a9fe:a9fe%25eth0", "::1%", ":::1", "1::2::3", ":1"],
  ...["0:0:0:0:0:0:0:0:1", "00000::1", "::g", "::1/128", "0::1]", "[0::1", "1:2:3:4:5:6:7"],
  // More than an address.
  ...["127.0.0.1:80", "127.0.0.1/", "127.0.0.1/../x", "10.0.0.0/8", "127.0.0.1?x", "127.0.0.1#x"],
  ...["[::1]:80", "http://127.0.0.1", "//127.0.0.1", "user@127.0.0.1", "127.0.0.1@169.254.169.254"],
  ...["127.0.0.1 169.254.169.254", "127.0.0.1\t80", "127.0.0.1, 169.254.169.254", "127.0.0.1,"],
  ...[
    "127.0.0.1\\@169.254.169.254",
    "127.0.0.1%00",
    "127.0.0.1%2f",
    "%31%32%37.0.0.1",
    '"127.0.0.1"',
  ],
  ...["'127.0.0.1'", "<b>", "${IFS}", "$(id)", "../../etc/passwd"],
  // Characters of Latin-1 that resemble digits and dots.
  ...["127\xb70\xb70\xb71", "\xb9\xb2\xb3.0.0.1", "127.0.0.1\xad", "\xe4"],
];
