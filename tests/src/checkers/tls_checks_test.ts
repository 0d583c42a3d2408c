/**
 * Checks with TLS of real servers: what each variant of a server makes of each setting.
 *
 * @module
 */

import type { Checker } from "../../../src/checks/check.ts";
import { grpcChecker } from "../../../src/checkers/grpc.ts";
import { httpsChecker } from "../../../src/checkers/https.ts";
import { mysqlChecker } from "../../../src/checkers/mysql.ts";
import { postgresChecker } from "../../../src/checkers/postgres.ts";
import { redisChecker } from "../../../src/checkers/redis.ts";
import { redisInfoChecker } from "../../../src/checkers/redis_info.ts";
import { smtpChecker } from "../../../src/checkers/smtp.ts";
import type { TlsMode } from "../../../src/net/tls_clients.ts";
import { type Identity, type TlsSettings, UNVERIFIED } from "../../../src/net/tls_connection.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { TempFolder } from "../../support/programs.ts";
import {
  Authority,
  type Certificate,
  CERTIFICATE_PROGRAMS,
  issueSelfSigned,
} from "../../servers/certificates.ts";
import { connectionsTo } from "../../servers/faulty.ts";
import { Grpc, GRPC_PROGRAMS } from "../../servers/grpc.ts";
import { MariaDb, MARIADB_PROGRAMS, USER } from "../../servers/mariadb.ts";
import { serverTest, until } from "../../servers/mod.ts";
import { Nginx, NGINX_PROGRAMS } from "../../servers/nginx.ts";
import { Postfix, POSTFIX_PROGRAMS } from "../../servers/postfix.ts";
import { Postgres, POSTGRES_PROGRAMS } from "../../servers/postgres.ts";
import { Redis, REDIS_PROGRAMS } from "../../servers/redis.ts";
import { longDeadline, requestTo } from "./checker_contract.ts";

/** Certificates, and settings that use them. */
interface Certificates extends Disposable {
  /** The server's, for 127.0.0.1 and db.example. */
  readonly server: Certificate;
  /** The authority of all of them. */
  readonly authority: Certificate;
  /** Verifies the server by its address, and by its name. */
  readonly verified: TlsSettings;
  readonly named: TlsSettings;
  /** Verifies it by a name that it does not have, and by another authority. */
  readonly misnamed: TlsSettings;
  readonly foreign: TlsSettings;
  /** Sends a certificate that the server accepts, and one that it does not. */
  readonly known: TlsSettings;
  readonly unknown: TlsSettings;
}

async function makeCertificates(): Promise<Certificates> {
  const folder = new TempFolder();
  // Servers that are not root read them.
  Deno.chmodSync(folder.path, 0o755);
  const authority = await Authority.create(folder, "authority");
  const server = await authority.issue("server", { for: "IP:127.0.0.1,DNS:db.example" });
  const stranger = await issueSelfSigned(folder, "stranger", "DNS:client.example");
  const client = await authority.issue("client", { for: "DNS:client.example" });
  const pem = (path: string) => Deno.readTextFileSync(path);
  const identity = ({ certificate, key }: Certificate): Identity => ({
    cert: pem(certificate),
    key: pem(key),
  });
  const verified = { ...UNVERIFIED, trusted: pem(authority.certificate) };
  return {
    ...{ server, authority, verified },
    named: { ...verified, serverName: "db.example" },
    misnamed: { ...verified, serverName: "other.example" },
    foreign: { ...UNVERIFIED, trusted: pem(stranger.certificate) },
    known: { ...UNVERIFIED, identity: identity(client) },
    unknown: { ...UNVERIFIED, identity: identity(stranger) },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** What a check with some settings must find: 200, or why not. */
type Expected = true | RegExp;

/** Runs a check three times, and compares the verdicts. */
async function expectVerdict(
  name: string,
  check: Checker,
  port: number,
  expected: Expected,
): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const { code, message, tls, reason } = await check(requestTo(port), longDeadline());
    if (expected === true) {
      assertEquals([name, code, reason], [name, 200, undefined], message);
    } else {
      assertEquals([name, code === 200], [name, false], message);
      assertMatch(message, expected, name);
    }
    if (tls !== undefined) assertMatch(tls.version, /^TLSv1\.[23]$/);
  }
}

/** The verdicts that are the same for every protocol whose server requires no certificate. */
function serverCases(certificates: Certificates): readonly [string, TlsSettings, Expected][] {
  return [
    ["unverified", UNVERIFIED, true],
    ["verified", certificates.verified, true],
    ["named", certificates.named, true],
    ["misnamed", certificates.misnamed, /the certificate is not for other\.example, but for /],
    ["foreign", certificates.foreign, /the certificate's issuer is unknown/],
    ["with a certificate", certificates.known, true],
  ];
}

/** Those of a server that requires a certificate. */
function clientCases(certificates: Certificates): readonly [string, TlsSettings, Expected][] {
  return [
    ["without a certificate", UNVERIFIED, /certificate|closed|reset/i],
    ["with an unknown certificate", certificates.unknown, /alert|certificate|closed|reset/i],
    ["with a known certificate", certificates.known, true],
  ];
}

serverTest(
  "https and grpcs checks of nginx, with and without client certificates",
  [...NGINX_PROGRAMS, ...GRPC_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    await using grpc = await Grpc.start({ "": "SERVING" });
    const start = (more: string) =>
      Nginx.start((address) => `
server {
  listen ${address} ssl http2;
  ssl_certificate ${certificates.server.certificate};
  ssl_certificate_key ${certificates.server.key};
  ${more}
  location = / { return 200 fine; }
  location /grpc.health.v1.Health { grpc_pass grpc://127.0.0.1:${grpc.port}; }
}`);
    const client =
      `ssl_verify_client on; ssl_client_certificate ${certificates.authority.certificate};`;
    for (const [more, cases] of [["", serverCases], [client, clientCases]] as const) {
      await using nginx = await start(more);
      for (const [name, tls, expected] of cases(certificates)) {
        // nginx accepts the connection, and answers 400 to requests.
        const isRefused = more !== "" && expected !== true;
        const [https, grpcs] = isRefused
          ? [/400|certificate/, /400|certificate/]
          : [expected, expected];
        const web = httpsChecker({ serviceNameHeader: null, tls });
        await expectVerdict(`https ${name}`, web, nginx.port, https);
        await expectVerdict(`grpcs ${name}`, grpcChecker(tls), nginx.port, grpcs);
      }
      await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
    }
  },
);

serverTest(
  "grpcs checks report a TLS server without HTTP/2",
  [...NGINX_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    const { certificate, key } = certificates.server;
    await using nginx = await Nginx.start((address) =>
      `server { listen ${address} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key}; }`
    );
    await expectVerdict("grpcs", grpcChecker(UNVERIFIED), nginx.port, /ALPN|NoApplicationProtocol/);
    await until("no connection is open", async () => await connectionsTo(nginx.port) === 0);
  },
);

serverTest(
  "rediss checks of Redis, with and without client certificates and a password",
  [...REDIS_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    const login = { username: null, password: "secret" };
    for (const [required, cases] of [["no", serverCases], ["yes", clientCases]] as const) {
      await using redis = await Redis.startTls(
        certificates.server,
        `tls-ca-cert-file ${certificates.authority.certificate}\ntls-auth-clients ${required}\n` +
          "requirepass secret",
      );
      for (const [name, tls, expected] of cases(certificates)) {
        await expectVerdict(name, redisChecker({ ...login, tls }), redis.port, expected);
        await expectVerdict(name, redisInfoChecker({ ...login, tls }), redis.port, expected);
      }
      const [[, tls]] = cases(certificates).slice(-1) as [[string, TlsSettings, Expected]];
      const wrong = redisChecker({ ...login, password: "wrong", tls });
      await expectVerdict("wrong password", wrong, redis.port, /^Sent AUTH, got back -WRONGPASS/);
      await until("no connection is open", async () => await connectionsTo(redis.port) === 0);
    }
  },
);

serverTest(
  "smtp and smtps checks of Postfix with each setting of smtpd_tls_security_level",
  [...POSTFIX_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    const { certificate, key } = certificates.server;
    const files = `smtpd_tls_cert_file = ${certificate}\nsmtpd_tls_key_file = ${key}\n`;
    const noTls = /the server does not offer STARTTLS, and smtp_tls requires it/;
    const cases: readonly [level: string, expected: Record<TlsMode | "implicit", Expected>][] = [
      ["none", { off: true, prefer: true, require: noTls, implicit: /expected TLS/ }],
      ["may", { off: true, prefer: true, require: true, implicit: /expected TLS/ }],
    ];
    const checkLevels = cases.map(async ([level, expected]) => {
      await using postfix = await Postfix.start(`${files}smtpd_tls_security_level = ${level}\n`);
      for (const [mode, verdict] of Object.entries(expected)) {
        const check = smtpChecker({ mode: mode as TlsMode });
        await expectVerdict(`${level} ${mode}`, check, postfix.port, verdict);
      }
      if (level === "none") return;
      for (const [name, tls, verdict] of serverCases(certificates)) {
        await expectVerdict(name, smtpChecker({ mode: "require", tls }), postfix.port, verdict);
      }
    });
    const checkImplicit = async () => {
      await using postfix = await Postfix.start(`${files}smtpd_tls_wrappermode = yes\n`);
      for (const [name, tls, verdict] of serverCases(certificates)) {
        await expectVerdict(name, smtpChecker({ mode: "implicit", tls }), postfix.port, verdict);
      }
    };
    // Postfix takes seconds to start and to stop.
    await Promise.all([...checkLevels, checkImplicit()]);
  },
);

serverTest(
  "postgres checks of PostgreSQL with each kind of access",
  [...POSTGRES_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    const { certificate, key } = certificates.server;
    const access = `
hostssl all secured 127.0.0.1/32 scram-sha-256
hostnossl all plain 127.0.0.1/32 scram-sha-256
host all either 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-ca`;
    const settings = [
      "ssl=on",
      `ssl_cert_file=${certificate}`,
      `ssl_key_file=${key}`,
      `ssl_ca_file=${certificates.authority.certificate}`,
    ];
    // PostgreSQL refuses keys that others can read, and is not root.
    const owner = Deno.uid() === 0 ? ["chown", "postgres"] : ["true"];
    await new Deno.Command(owner[0]!, { args: [...owner.slice(1), key] }).output();
    Deno.chmodSync(key, 0o600);
    await using db = await Postgres.start(access, settings);
    for (const user of ["secured", "plain", "either", "certified"]) {
      await db.query(`CREATE USER ${user} PASSWORD 'secret'`);
    }
    const checker = (username: string, mode: TlsMode, tls: TlsSettings = UNVERIFIED) =>
      postgresChecker({ username, password: "secret", database: "postgres", mode, tls });
    const noEntry = /no pg_hba\.conf entry/;
    const modes: Record<string, Record<TlsMode, Expected>> = {
      secured: { off: noEntry, prefer: true, require: true },
      plain: { off: true, prefer: true, require: noEntry },
      either: { off: true, prefer: true, require: true },
    };
    for (const [user, expected] of Object.entries(modes)) {
      for (const [mode, verdict] of Object.entries(expected)) {
        await expectVerdict(`${user} ${mode}`, checker(user, mode as TlsMode), db.port, verdict);
      }
    }
    for (const [name, tls, verdict] of serverCases(certificates)) {
      await expectVerdict(name, checker("secured", "require", tls), db.port, verdict);
    }
    for (const [name, tls, verdict] of clientCases(certificates)) {
      await expectVerdict(name, checker("certified", "require", tls), db.port, verdict);
    }
    await until("no connection is open", async () => await connectionsTo(db.port) === 0);
    await using plain = await Postgres.start("host all all 127.0.0.1/32 trust", ["ssl=off"]);
    await plain.query("CREATE USER secured");
    const noTls = /the server does not offer TLS, and postgres_tls requires it/;
    await expectVerdict("no TLS", checker("secured", "prefer"), plain.port, true);
    await expectVerdict("no TLS", checker("secured", "require"), plain.port, noTls);
  },
);

serverTest(
  "mysql checks of MariaDB with each kind of account",
  [...MARIADB_PROGRAMS, ...CERTIFICATE_PROGRAMS],
  async () => {
    using certificates = await makeCertificates();
    const { certificate, key } = certificates.server;
    await using db = await MariaDb.start(
      `--ssl-cert=${certificate}`,
      `--ssl-key=${key}`,
      `--ssl-ca=${certificates.authority.certificate}`,
      "--plugin-load-add=auth_ed25519",
    );
    await db.query(`
CREATE USER secured IDENTIFIED BY 'secret' REQUIRE SSL;
CREATE USER certified IDENTIFIED BY 'secret' REQUIRE X509;
CREATE USER modern IDENTIFIED VIA ed25519 USING PASSWORD('secret') REQUIRE SSL`);
    const checker = (username: string, mode: TlsMode, tls: TlsSettings = UNVERIFIED) =>
      mysqlChecker({ username, password: "secret", mode, tls });
    const denied = /^MySQL sez Access denied/;
    for (const user of ["secured", "modern"]) {
      await expectVerdict(`${user} off`, checker(user, "off"), db.port, denied);
      await expectVerdict(`${user} prefer`, checker(user, "prefer"), db.port, true);
      await expectVerdict(`${user} require`, checker(user, "require"), db.port, true);
    }
    for (const mode of ["off", "prefer", "require"] as const) {
      await expectVerdict(mode, mysqlChecker({ ...USER, mode }), db.port, true);
      const wrong = mysqlChecker({ ...USER, password: "wrong", mode });
      await expectVerdict(`wrong password ${mode}`, wrong, db.port, denied);
    }
    for (const [name, tls, verdict] of serverCases(certificates)) {
      await expectVerdict(name, checker("secured", "require", tls), db.port, verdict);
    }
    await expectVerdict("no certificate", checker("certified", "prefer"), db.port, denied);
    await expectVerdict(
      "with a certificate",
      checker("certified", "prefer", certificates.known),
      db.port,
      true,
    );
    await until("no connection is open", async () => await connectionsTo(db.port) === 0);
    await using plain = await MariaDb.start("--skip-ssl");
    const noTls = /the server does not offer TLS, and mysql_tls requires it/;
    await expectVerdict("no TLS", mysqlChecker({ ...USER, mode: "prefer" }), plain.port, true);
    await expectVerdict("no TLS", mysqlChecker({ ...USER, mode: "require" }), plain.port, noTls);
  },
);
