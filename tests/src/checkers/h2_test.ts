import { h2cChecker, h2Checker } from "../../../src/checkers/h2.ts";
import type { Header } from "../../../src/net/http_client.ts";
import { MAX_BODY_BYTES } from "../../../src/net/http_client.ts";
import { UNVERIFIED } from "../../../src/net/tls_connection.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../../servers/certificates.ts";
import { connectionsTo, dripping, silent } from "../../servers/faulty.ts";
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

const options = { serviceNameHeader: "X-Service" };
const [checkH2, checkH2c] = [h2Checker(options), h2cChecker(options)];

/** Locations of a web server that show what was requested. */
const LOCATIONS = `
  gzip on; gzip_min_length 1; gzip_types text/plain;
  default_type text/plain;
  location / { return 200 "$server_protocol $request_method $request_uri $host $http_x_service $http_user_agent"; }
  location /sick { return 503 "not well"; }
  location /moved { return 301 /; }
  location /odd { return 299 odd; }
  location /none { return 204; }
`;

/** What a server with these locations must be found to be. */
const CASES: readonly [path: string, code: number, message: RegExp][] = [
  [
    "/health?deep=1",
    200,
    /^HTTP\/2\.0 GET \/health\?deep=1 web\.example web hacheck\/\d+\.\d+\.\d+$/,
  ],
  ["/h%C3%A9%20/\xe9", 200, /^HTTP\/2\.0 GET \/h%C3%A9%20\/%C3%A9 web\.example /],
  ["/sick", 503, /^not well$/],
  ["/moved", 301, /301/],
  ["/none", 204, /^$/],
  ["/odd", 503, /the service answered 299, which is no registered HTTP status: odd$/],
];

serverTest(
  "h2Checker() and h2cChecker() request by HTTP/2",
  [...NGINX_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "authority");
    const { certificate, key } = await authority.issue("web", { for: "DNS:web.example" });
    // On a port with h2c, this nginx speaks HTTP/2 only.
    await using plain = await Nginx.start((address) => `
server {
  listen ${address} http2;
  ${LOCATIONS}
}`);
    await using secure = await Nginx.start((address) => `
server {
  listen ${address} ssl http2;
  ssl_certificate ${certificate};
  ssl_certificate_key ${key};
  ${LOCATIONS}
}`);
    const trusted = Deno.readTextFileSync(authority.certificate);
    const verifying = h2Checker({ ...options, tls: { ...UNVERIFIED, trusted } });
    for (
      const [name, check, port] of [
        ["h2c", checkH2c, plain.port],
        ["h2", checkH2, secure.port],
        ["verified", verifying, secure.port],
      ] as const
    ) {
      for (const [path, code, message] of CASES) {
        for (const encoding of [[], [["Accept-Encoding", "gzip"]]] as Header[][]) {
          const headers: Header[] = [["Host", "web.example"], ...encoding];
          const verdict = await check(requestTo(port, { path, headers }), longDeadline());
          assertEquals([name, path, verdict.code], [name, path, code], verdict.message);
          assertMatch(verdict.message, message, `${name} ${path}`);
        }
      }
      await until("no connection is open", async () => await connectionsTo(port) === 0);
    }
    // The name in the forwarded Host is that of the certificate, too.
    const headers: Header[] = [["Host", "other.example"]];
    const { code, message } = await verifying(requestTo(secure.port, { headers }), longDeadline());
    assertEquals(code, 503);
    assertMatch(message, /the certificate is not for other\.example, but for DNS:web\.example$/);
  },
);

serverTest("h2cChecker() returns the start of a long body", NGINX_PROGRAMS, async () => {
  using folder = new TempFolder();
  Deno.chmodSync(folder.path, 0o755);
  folder.write("long", "x".repeat(3_000_000));
  await using nginx = await Nginx.start((address) =>
    `server { listen ${address} http2; root ${folder.path}; }`
  );
  const { code, message } = await checkH2c(
    requestTo(nginx.port, { path: "/long" }),
    longDeadline(),
  );
  assertEquals([code, message.length], [200, MAX_BODY_BYTES]);
  await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
});

serverTest("h2Checker() reports a server without HTTP/2", OPENSSL_PROGRAMS, async () => {
  await using server = await OpensslServer.start(["-newkey", "rsa:2048"]);
  const { code, message, reason } = await checkH2(requestTo(server.port), longDeadline());
  assertEquals([code, reason], [503, "protocol"]);
  assertMatch(
    message,
    /: expected HTTP\/2, found a TLS server that does not choose it \(ALPN h2\)$/,
  );
});

serverTest("h2cChecker() reports a server of HTTP/1", NGINX_PROGRAMS, async () => {
  await using nginx = await Nginx.start((address) =>
    `server { listen ${address}; return 200 ok; }`
  );
  assertVerdict(
    { ...await checkH2c(requestTo(nginx.port), longDeadline()), message: "" },
    { code: 503, message: "", reason: "protocol" },
  );
});

for (
  const [name, check, start] of [
    ["h2Checker()", checkH2, "\x16\x03\x03\0\x7a\x02\0\0\x76"],
    ["h2cChecker()", checkH2c, "\0\0\0\x04\0\0\0\0\0"],
  ] as const
) {
  testAbsence(
    name,
    check,
    /^HTTP\/2 check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: Connection refused/,
    /^HTTP\/2 check of 127\.0\.0\.1:\d+ failed after \d+\.\d\ds: timed out: /,
    {
      "accepts and sends nothing": silent,
      "sends a byte a second": dripping(start, 1000),
    },
  );
  testFaults(name, check, () => [503]);
}
