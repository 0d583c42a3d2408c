import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { Daemon, hactl, runDaemon, TempFolder, WORKER_GRANTS } from "../support/programs.ts";
import { openTls, type TlsSession, UNVERIFIED } from "../../src/net/tls_connection.ts";
import { samplesOf } from "../support/metrics.ts";
import { sendRaw } from "../support/raw_http.ts";
import {
  Authority,
  type Certificate,
  CERTIFICATE_PROGRAMS,
  issueSelfSigned,
} from "../servers/certificates.ts";
import { HAProxy } from "../servers/haproxy.ts";
import { serverTest, until } from "../servers/mod.ts";

function configured({ certificate, key }: Certificate): string {
  return `tls_cert: ${certificate}\ntls_key: ${key}\n`;
}

function granted({ certificate, key }: Certificate): string {
  return `--allow-read=${certificate},${key}`;
}

/** Sends a request by HTTPS, and trusts one authority. */
async function get(daemon: Daemon, path: string, { certificate }: Certificate): Promise<string> {
  const caCerts = [Deno.readTextFileSync(certificate)];
  using client = Deno.createHttpClient({ caCerts });
  const response = await fetch(`https://127.0.0.1:${daemon.port}${path}`, { client });
  return `${response.status} ${await response.text()}`;
}

for (const workers of [1, 2]) {
  serverTest(
    `with tls_cert and tls_key, a daemon with -n ${workers} speaks only HTTPS, and hactl uses it`,
    CERTIFICATE_PROGRAMS,
    async () => {
      using folder = new TempFolder();
      const authority = await Authority.create(folder, "ca");
      const certificate = await authority.issue("host", { for: "IP:127.0.0.1" });
      await using daemon = await Daemon.start({
        config: configured(certificate),
        args: ["-n", String(workers)],
        grants: [granted(certificate), ...WORKER_GRANTS],
      });
      const port = String(daemon.port);
      assertEquals(await get(daemon, "/spool/web/0", authority), "200 ");
      const plain = await sendRaw(daemon.port, "GET /spool/web/0 HTTP/1.0\r\n\r\n").catch(String);
      assertEquals(typeof plain, "string", "a response without TLS");
      for (const [command, expected] of [["down", 503], ["up", 200]] as const) {
        assertEquals(await hactl(daemon.spool, [command, "web", "-r", "maint", "-p", port]), {
          code: 0,
          stdout: "",
          stderr: "",
        });
        for (let times = 0; times < 10; times++) {
          assertEquals(
            (await get(daemon, "/spool/web/0", authority)).slice(0, 3),
            String(expected),
          );
        }
      }
      const { code, stdout, stderr } = await hactl(daemon.spool, ["list", "-p", port]);
      assertEquals([code, stderr], [0, ""]);
      assertStringIncludes(stdout, 'web last_response={"code": 200');
    },
  );
}

serverTest(
  "HAProxy checks by HTTPS, and verifies the daemon's certificate",
  [...CERTIFICATE_PROGRAMS, "haproxy"],
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "ca");
    const other = await Authority.create(folder, "other");
    const certificate = await authority.issue("host", { for: "DNS:web1.example" });
    await using daemon = await Daemon.start({
      config: configured(certificate),
      grants: [granted(certificate)],
    });
    const check = (name: string, ca: Certificate) =>
      `    server ${name} 127.0.0.1:1 check port ${daemon.port} inter 100ms fall 1 rise 1` +
      ` check-ssl verify required ca-file ${ca.certificate}\n`;
    await using haproxy = await HAProxy.start((port) =>
      `defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend www
    bind 127.0.0.1:${port}
    default_backend web
backend web
    option httpchk GET /spool/web/0
${check("right", authority)}${check("wrong", other)}`
    );
    const statusOf = async (server: string) =>
      (await haproxy.stat()).find(({ svname }) => svname === server)?.check_status;
    await until("the right authority is trusted", async () => await statusOf("right") === "L7OK");
    await until(
      "the wrong authority is not trusted",
      async () => await statusOf("wrong") === "L6RSP",
    );
  },
);

/**
 * Sends one request after another, each on a new connection, until it is disposed of. Unless tcp_migrate_req is 1, the
 * kernel can reset a connection that is being accepted while its listener closes, so a request may be sent twice.
 */
class HttpsClient implements AsyncDisposable {
  readonly #running: Promise<void>;
  #isStopped = false;
  answered = 0;
  readonly failures: string[] = [];

  constructor(daemon: Daemon, authority: Certificate) {
    this.#running = (async () => {
      while (!this.#isStopped) {
        try {
          const request = () => get(daemon, "/spool/web/0", authority);
          assertEquals(await request().catch(request), "200 ");
          this.answered++;
        } catch (error) {
          this.failures.push(String(error));
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }
}

/** The subject of the certificate that a daemon shows. */
async function subjectOf({ port }: Daemon): Promise<string> {
  let subject = "";
  const onSession = (session: TlsSession) => subject = session.subject;
  const signal = AbortSignal.timeout(10_000);
  const options = { ...UNVERIFIED, onSession };
  (await openTls("127.0.0.1", port, options, signal))[Symbol.dispose]();
  return subject;
}

for (const workers of [1, 2]) {
  serverTest(
    `with -n ${workers}, SIGHUP takes a renewed certificate, and no request is lost`,
    CERTIFICATE_PROGRAMS,
    async () => {
      using folder = new TempFolder();
      const authority = await Authority.create(folder, "ca");
      const first = await authority.issue("first", { for: "IP:127.0.0.1" });
      const second = await authority.issue("second", { for: "IP:127.0.0.1" });
      const copy = { certificate: folder.file("copy.pem"), key: folder.file("copy.key") };
      const put = (from: Certificate) => {
        Deno.copyFileSync(from.certificate, copy.certificate);
        Deno.copyFileSync(from.key, copy.key);
      };
      put(first);
      await using daemon = await Daemon.start({
        config: configured(copy),
        args: ["-n", String(workers)],
        grants: [granted(copy), ...WORKER_GRANTS],
      });
      assertEquals(await subjectOf(daemon), "first");
      await using client = new HttpsClient(daemon, authority);
      await until("the client is served", () => client.answered > 10);
      put(second);
      daemon.kill("SIGHUP");
      await daemon.logged(/the configuration was read again/);
      await until("every server has the new certificate", async () => {
        for (let times = 0; times < 16 * workers; times++) {
          if (await subjectOf(daemon) !== "second") return false;
        }
        return true;
      });
      const { answered } = client;
      await until("the client is still served", () => client.answered > answered + 10);
      assertEquals(client.failures, []);

      // An invalid certificate is rejected at the reload, and changes nothing.
      Deno.copyFileSync(first.key, copy.key);
      daemon.kill("SIGHUP");
      await daemon.logged(/the configuration stays as it was: Cannot use tls_cert/);
      assertEquals(await subjectOf(daemon), "second");
      const metric = async (name: string) => {
        const metrics = (await get(daemon, "/metrics", authority)).slice("200 ".length);
        return samplesOf(metrics).get(name);
      };
      assertEquals(await metric("hacheck_config_last_reload_successful"), 0);
      const expiry = await metric("hacheck_tls_certificate_expiry_seconds");
      assert(expiry! > Date.now() / 1000, String(expiry));
      put(second);
      daemon.kill("SIGHUP");
      await until("the reload succeeded", async () => {
        return await metric("hacheck_config_last_reload_successful") === 1;
      });
    },
  );
}

serverTest(
  "a reload neither adds nor removes TLS, and logs that",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const certificate = await issueSelfSigned(folder, "host", "IP:127.0.0.1");
    const config = folder.write("hacheck.yaml", configured(certificate));
    await using daemon = await Daemon.start({
      args: ["-c", config],
      grants: [`--allow-read=${config},${certificate.certificate},${certificate.key}`],
    });
    folder.write("hacheck.yaml", "# nothing\n");
    daemon.kill("SIGHUP");
    await daemon.logged(/WARNING tls_cert and tls_key were added or removed: restart hacheck/);
    assertEquals(await subjectOf(daemon), "host");
  },
);

serverTest(
  "the daemon does not start with an invalid certificate or key, and reports why",
  CERTIFICATE_PROGRAMS,
  async () => {
    using spool = new TempFolder();
    using folder = new TempFolder();
    const [one, other] = await Promise.all(
      ["one", "other"].map((name) => issueSelfSigned(folder, name, "IP:127.0.0.1")),
    );
    const { certificate, key } = one!;
    const none = folder.file("none.pem");
    const cases: [config: string, grants: string, message: string][] = [
      [
        `tls_cert: ${certificate}\n`,
        certificate,
        "tls_cert needs tls_key: the PEM file of its key",
      ],
      [`tls_key: ${key}\n`, key, "tls_key needs tls_cert: the PEM file it is for"],
      [
        configured({ certificate: none, key }),
        folder.path,
        `Cannot read tls_cert ${none}: there is no such file`,
      ],
      [
        configured({ certificate, key: none }),
        folder.path,
        `Cannot read tls_key ${none}: there is no such file`,
      ],
      [
        configured(one!),
        certificate,
        `tls_key needs --allow-read=${key}`,
      ],
      [
        configured({ certificate, key: other!.key }),
        folder.path,
        `Cannot use tls_cert ${certificate} with tls_key ${other!.key}: ` +
        "keys may not be consistent: KeyMismatch",
      ],
      [
        configured({ certificate: key, key }),
        folder.path,
        `Cannot use tls_cert ${key} with tls_key ${key}: No certificates found in certificate data`,
      ],
      [
        configured({ certificate, key: certificate }),
        folder.path,
        `Cannot use tls_cert ${certificate} with tls_key ${certificate}: No keys found in key data`,
      ],
    ];
    for (const [config, readable, message] of cases) {
      const path = folder.write("hacheck.yaml", config);
      const { code, stderr } = await runDaemon(
        ["-c", path, "-p", "0", "-B", "127.0.0.1", "--spool-root", spool.path],
        ["--no-prompt", "--allow-net", `--allow-read=${spool.path},${path},${readable}`],
      );
      // The configuration is valid if only a permission is missing.
      const expected = message.includes("--allow-read") ? 1 : 2;
      assertEquals([code, stderr], [expected, `hacheck: ${message}\n`]);
      assert(!stderr.includes("PRIVATE KEY"), stderr);
    }
  },
);

serverTest(
  "the log warns of a certificate that has expired or soon will, at the start and at a reload",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "authority");
    for (
      const [until, warned] of [[-0.1, "expired"], [3, "expires"], [13.9, "expires"], [
        20,
        null,
      ]] as const
    ) {
      const made = await authority.issue(`days${until}`, { for: "IP:127.0.0.1", until });
      await using daemon = await Daemon.start({
        config: configured(made),
        grants: [granted(made)],
      });
      daemon.kill("SIGHUP");
      await daemon.logged(/the configuration was read again/);
      const lines =
        (await daemon.stop()).match(/WARNING the certificate in tls_cert \w+ on \S+Z: renew it/g) ??
          [];
      assertEquals(lines.length, warned === null ? 0 : 2, daemon.log);
      for (const line of lines) assertStringIncludes(line, `tls_cert ${warned} on 20`);
    }
  },
);
