import { UNVERIFIED } from "../../../src/net/tls_connection.ts";
import type { Header } from "../../../src/net/http_client.ts";
import { httpsChecker } from "../../../src/checkers/https.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import {
  Authority,
  type Certificate,
  CERTIFICATE_PROGRAMS,
  issueSelfSigned,
} from "../../servers/certificates.ts";
import {
  afterData,
  type Behaviour,
  closing,
  connectionsTo,
  dripping,
  FaultyServer,
  flooding,
  resetting,
  sending,
  silent,
} from "../../servers/faulty.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../../servers/nginx.ts";
import { OPENSSL_PROGRAMS, OpensslServer } from "../../servers/openssl.ts";
import {
  assertVerdict,
  longDeadline,
  requestTo,
  testAbsence,
  testFaults,
} from "./checker_contract.ts";

const PROGRAMS = [...NGINX_PROGRAMS, ...CERTIFICATE_PROGRAMS];

/** Verifies no certificate. */
const check = httpsChecker({ serviceNameHeader: null });

/** Issues certificates by the names of their servers. That of `default` is for its address. */
async function issueAll(folder: TempFolder): Promise<{
  trusted: string;
  certificates: Readonly<Record<string, Certificate>>;
}> {
  const authority = await Authority.create(folder, "authority");
  const stranger = await Authority.create(folder, "stranger");
  const subordinate = await authority.createSubordinate("subordinate");
  const retired = await authority.createSubordinate("retired", { from: -10, until: -1 });
  const chained = await subordinate.issue("chained", {
    for: "DNS:chained.example,DNS:broken.example",
  });
  const [leaf] = Deno.readTextFileSync(chained.certificate).split(/(?=-----BEGIN)/);
  return {
    trusted: Deno.readTextFileSync(authority.certificate),
    certificates: {
      default: await authority.issue("default", { for: "IP:127.0.0.1" }),
      "good.example": await authority.issue("good", { for: "DNS:good.example" }),
      "chained.example": chained,
      "*.wild.example": await authority.issue("wild", { for: "DNS:*.wild.example" }),
      "past.example": await authority.issue("past", {
        for: "DNS:past.example",
        from: -10,
        until: -1,
      }),
      "future.example": await authority.issue("future", { for: "DNS:future.example", from: 1 }),
      "other.example": await authority.issue("other", { for: "DNS:a.example,DNS:b.example" }),
      "strange.example": await stranger.issue("strange", { for: "DNS:strange.example" }),
      "itself.example": await issueSelfSigned(folder, "itself", "DNS:itself.example"),
      "broken.example": { certificate: folder.write("broken.pem", leaf!), key: chained.key },
      "retired.example": await retired.issue("late", { for: "DNS:retired.example" }),
    },
  };
}

/** Starts an nginx with a server for each certificate, which responds with its name. */
function serveAll(certificates: Readonly<Record<string, Certificate>>): Promise<Nginx> {
  return Nginx.start((address) =>
    Object.entries(certificates).map(([name, { certificate, key }]) => `
server {
  listen ${address} ssl${name === "default" ? " default_server" : ""};
  server_name ${name};
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  return 200 ${name};
}`).join("")
  );
}

/** The forwarded `Host`, the server that responds, and the problem of its certificate. */
const hosts: readonly [host: string | null, server: string, fault?: RegExp][] = [
  [null, "default"],
  ["127.0.0.1", "default"],
  ["127.0.0.1:8443", "default"],
  ["[::1]:8443", "default"],
  ["good.example", "good.example"],
  ["GOOD.example", "good.example"],
  ["good.example:8443", "good.example"],
  ["chained.example", "chained.example"],
  ["a.wild.example", "*.wild.example"],
  ["past.example", "past.example", /: the certificate expired on \w{3} .*\d GMT$/],
  ["future.example", "future.example", /: the certificate is not valid before \w{3} .*\d GMT$/],
  [
    "other.example",
    "other.example",
    /: the certificate is not for other\.example, but for DNS:a\.example, DNS:b\.example$/,
  ],
  [
    "unknown.example",
    "default",
    /: the certificate is not for unknown\.example, but for IP Address:127\.0\.0\.1$/,
  ],
  ["strange.example", "strange.example", /: the certificate's issuer is unknown \(\w+\)$/],
  [
    "itself.example",
    "itself.example",
    /: the certificate's issuer is unknown \(\w+SELF_SIGNED\w+\)$/,
  ],
  ["broken.example", "broken.example", /: the certificate's issuer is unknown \(\w+\)$/],
  ["retired.example", "retired.example", /: the certificate's issuer is unknown \(\w+\)$/],
];

serverTest("httpsChecker() requests the server of the forwarded Host", PROGRAMS, async () => {
  using folder = new TempFolder();
  const { certificates, trusted } = await issueAll(folder);
  await using nginx = await serveAll(certificates);
  const verified = httpsChecker({ serviceNameHeader: null, tls: { ...UNVERIFIED, trusted } });
  for (const [host, server, fault] of hosts) {
    const headers: Header[] = host === null ? [] : [["Host", host]];
    const request = requestTo(nginx.port, { headers });
    const up = { code: 200, message: server };
    // Not verified: any certificate will do.
    assertVerdict(await check(request, longDeadline()), up, `not verified: ${host}`);
    const verdict = await verified(request, longDeadline());
    if (fault === undefined) {
      assertVerdict(verdict, up, `verified: ${host}`);
    } else {
      assertEquals(verdict.code, 503, `verified: ${host}`);
      assertMatch(verdict.message, /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: /);
      assertMatch(verdict.message, fault);
    }
  }
  await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
});

serverTest("httpsChecker() trusts only the configured authorities", PROGRAMS, async () => {
  using folder = new TempFolder();
  const itself = await issueSelfSigned(folder, "itself", "DNS:itself.example");
  const authorities = [
    await Authority.create(folder, "first"),
    await Authority.create(folder, "second"),
  ];
  const certificates = {
    default: itself,
    "itself.example": itself,
    "first.example": await authorities[0]!.issue("one", { for: "DNS:first.example" }),
    "second.example": await authorities[1]!.issue("two", { for: "DNS:second.example" }),
  };
  await using nginx = await serveAll(certificates);
  const [first, second] = authorities.map(({ certificate }) => Deno.readTextFileSync(certificate));
  for (
    const [trusted, hosts] of [
      [first!, ["first.example"]],
      [second!, ["second.example"]],
      [first! + second!, ["first.example", "second.example"]],
      [`# The first\n${first}\n# The second\n${second}`, ["first.example", "second.example"]],
      [Deno.readTextFileSync(itself.certificate), ["itself.example"]],
    ] as const
  ) {
    const checker = httpsChecker({ serviceNameHeader: null, tls: { ...UNVERIFIED, trusted } });
    for (const host of ["first.example", "second.example", "itself.example"]) {
      const request = requestTo(nginx.port, { headers: [["Host", host]] });
      const { code, message } = await checker(request, longDeadline());
      assertEquals(code, hosts.some((name) => name === host) ? 200 : 503, `${host}: ${message}`);
    }
  }
});

serverTest("httpsChecker() sends the same request as httpChecker()", PROGRAMS, async () => {
  using folder = new TempFolder();
  const { certificate, key } = await issueSelfSigned(folder, "itself", "DNS:itself.example");
  await using nginx = await Nginx.start((address) => `
server {
  listen ${address} ssl;
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  location / { return 200 "$request|$http_host|$http_user_agent|$http_x_name|$http_x_token"; }
  location /bad { return 503 "not well"; }
  location /gone { return 301 https://elsewhere.example/; }
  location /none { return 204; }
  location /more { root ${folder.path}; }
}`);
  folder.write("more", "x".repeat(200_000));
  const checker = httpsChecker({ serviceNameHeader: "X-Name" });
  const ask = (path: string) => {
    const headers: Header[] = [["Host", "itself.example"], ["X-Token", "a b"]];
    return checker(requestTo(nginx.port, { service: "web-1", path, headers }), longDeadline());
  };
  const { code, message } = await ask("/a%20b?c=%2F");
  assertEquals(code, 200);
  assertMatch(
    message,
    /^GET \/a%20b\?c=%2F HTTP\/1\.1\|itself\.example\|hacheck\/\S+\|web-1\|a b$/,
  );
  assertVerdict(await ask("/bad"), { code: 503, message: "not well", reason: "status" });
  assertEquals((await ask("/gone")).code, 301);
  assertVerdict(await ask("/none"), { code: 204, message: "" });
  const more = await ask("/more");
  assertEquals(more.code, 200);
  assert(more.message === "x".repeat(64 * 1024), `${more.message.length} characters`);
});

const NO_TLS = /: expected TLS, found a server that does not speak it$/;

/** Servers with TLS problems, and the causes. */
const strangers: readonly [name: string, behaviour: Behaviour, why: RegExp][] = [
  ["closes at once", closing, /closed within the TLS handshake|reset/],
  ["receives data and closes", afterData(closing), /closed within the TLS handshake/],
  [
    "receives data and resets",
    afterData(resetting),
    /closed within the TLS handshake|reset/i,
  ],
  ["speaks HTTP", afterData(sending("HTTP/1.1 400 Bad Request\r\n\r\n")), NO_TLS],
  ["speaks SSH", sending("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), NO_TLS],
  ["sends endless zeros", flooding("\0"), NO_TLS],
  [
    "has older TLS only",
    afterData(sending("\x15\x03\x01\0\x02\x02\x46")),
    /neither TLS 1\.2 nor TLS 1\.3/,
  ],
  [
    "has no cipher in common",
    afterData(sending("\x15\x03\x03\0\x02\x02\x28")),
    /no cipher, curve or/,
  ],
  [
    "has no certificate for that name",
    afterData(sending("\x15\x03\x03\0\x02\x02\x70")),
    /knows no host named/,
  ],
  [
    "reports an internal error",
    afterData(sending("\x15\x03\x03\0\x02\x02\x50")),
    /sent the fatal TLS alert InternalError$/,
  ],
];

for (const [name, behaviour, why] of strangers) {
  Deno.test(`httpsChecker() reports the problem of a service that ${name}`, async () => {
    await using server = await FaultyServer.start(behaviour);
    const { code, message } = await check(requestTo(server.port), longDeadline());
    assertEquals(code, 503);
    assertMatch(message, /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: /);
    assertMatch(message, why);
    await until("no connection is open", async () => await server.connected() === 0);
  });
}

const EC = ["-newkey", "ec", "-pkeyopt"];
const P256 = [...EC, "ec_paramgen_curve:prime256v1"];
const RSA = ["-newkey", "rsa:2048"];
const NOTHING_IN_COMMON =
  /: the server and Deno have no cipher, curve or signature algorithm in common, or/;
const OLD_TLS =
  /: the server speaks neither TLS 1\.2 nor TLS 1\.3, and Deno supports no other version$/;
const SHORT_KEY = /: Deno cannot verify .* it takes no RSA keys below 2048 bits, and/;

/** Configurations of a server, and the problem. Those that the documentation lists as supported have none. */
const tlsServers: readonly [
  name: string,
  newKey: readonly string[],
  options: readonly string[],
  fault?: RegExp,
][] = [
  ["RSA", RSA, []],
  ["ECDSA with P-256", P256, []],
  ["ECDSA with P-384", [...EC, "ec_paramgen_curve:secp384r1"], []],
  ["ECDSA with P-521, by TLS 1.3", [...EC, "ec_paramgen_curve:secp521r1"], []],
  ["Ed25519", ["-newkey", "ed25519"], []],
  ["TLS 1.2", RSA, ["-tls1_2"]],
  ["TLS 1.3", RSA, ["-tls1_3"]],
  ["ECDHE-RSA-AES128-GCM-SHA256", RSA, ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]],
  ["ECDHE-RSA-CHACHA20-POLY1305", RSA, ["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"]],
  ["X25519", RSA, ["-curves", "X25519"]],
  ["P-256", RSA, ["-curves", "P-256"]],
  ["P-384", RSA, ["-curves", "P-384"]],
  ["an RSA key of 1024 bits", ["-newkey", "rsa:1024"], ["-cipher", "ALL:@SECLEVEL=0"], SHORT_KEY],
  ["an RSA key of 2047 bits", ["-newkey", "rsa:2047"], ["-tls1_2"], SHORT_KEY],
  ["an RSA-PSS key", ["-newkey", "rsa-pss"], [], NOTHING_IN_COMMON],
  ["ECDSA with secp256k1", [...EC, "ec_paramgen_curve:secp256k1"], [], NOTHING_IN_COMMON],
  ["Ed448", ["-newkey", "ed448"], [], NOTHING_IN_COMMON],
  ["TLS 1.1", RSA, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], OLD_TLS],
  ["a CBC cipher", RSA, ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], NOTHING_IN_COMMON],
  ["a DHE cipher", RSA, ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], NOTHING_IN_COMMON],
  ["RSA key exchange", RSA, ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], NOTHING_IN_COMMON],
  ["a CCM cipher", RSA, ["-ciphersuites", "TLS_AES_128_CCM_SHA256"], NOTHING_IN_COMMON],
  ["P-521", RSA, ["-curves", "P-521"], NOTHING_IN_COMMON],
  ["X448", RSA, ["-curves", "X448"], NOTHING_IN_COMMON],
];

for (const [name, newKey, options, fault] of tlsServers) {
  const what = fault === undefined ? "accepts" : "reports the problem of";
  serverTest(`httpsChecker() ${what} a server with ${name}`, OPENSSL_PROGRAMS, async () => {
    await using server = await OpensslServer.start(newKey, options);
    const { code, message } = await check(requestTo(server.port), longDeadline());
    assertEquals(code, fault === undefined ? 200 : 503, message);
    if (fault !== undefined) assertMatch(message, fault);
    await until("no connection is open", async () => await connectionsTo(server.port) === 0);
  });
}

serverTest("httpsChecker() returns 503 for a web server without TLS", NGINX_PROGRAMS, async () => {
  await using nginx = await Nginx.start((address) => `server { listen ${address}; return 200; }`);
  const { code, message } = await check(requestTo(nginx.port), longDeadline());
  assertEquals(code, 503);
  assertMatch(message, NO_TLS);
});

serverTest(
  "httpsChecker() times out on a slow service",
  PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const { certificate, key } = await issueSelfSigned(folder, "itself", "DNS:itself.example");
    await using behind = await FaultyServer.start(silent);
    await using nginx = await Nginx.start((address) => `
server {
  listen ${address} ssl;
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  location / { proxy_pass http://127.0.0.1:${behind.port}; }
}`);
    const { code, message } = await check(requestTo(nginx.port), AbortSignal.timeout(700));
    assertEquals(code, 503);
    assertMatch(
      message,
      /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/,
    );
    await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
  },
);

testAbsence(
  "httpsChecker()",
  check,
  /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: .*ECONNREFUSED/,
  /^HTTPS check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: .+$/,
  {
    "sends nothing": silent,
    "stops within its greeting": afterData(sending("\x16\x03\x03\0\x7a\x02")),
    "sends a byte a second": afterData(dripping("\x16\x03\x03\0\x7a\x02\0\0\x76", 1000)),
  },
);

testFaults("httpsChecker()", check, () => [503]);
